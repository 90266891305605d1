"""Headings of texts that do not mark them (PDF), or mark them in the text itself (Markdown)."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

MAX_LINE = 100
MAX_WORDS = 14
PROSE_LENGTH = 55  # a line this long below a short one is running text
RUNNING_HEADER_PAGES = 3

_FENCE = re.compile(r" {0,3}(```|~~~)")
_LABEL = re.compile(
    r"(?P<label>part|chapter|appendix|annex|item|section|article|note|schedule|exhibit)\s+"
    r"(?:\d{1,3}[a-z]?(?:\.\d{1,2})*|[ivxlc]{1,6}|[a-z])(?=$|[.:\u2013\u2014-]|\s+[A-Z(])",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?P<number>\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+[^\W\d_]")
_PAGE_NUMBER_AT_END = re.compile(r"\S\s+\.*\s*\d{1,4}$")
_TOP_LABELS = ("part", "chapter", "appendix", "annex")


def markdown_headings(text: str) -> Iterator[tuple[int, str, int]]:
    """Level, text and offset of every `# heading` and underlined heading outside code fences."""
    offset, fence, above = 0, "", ""
    for line in text.split("\n"):
        marker = _FENCE.match(line)
        if marker and fence in ("", marker[1]):
            fence = "" if fence else marker[1]
        elif not fence:
            found = _markdown_heading(line, above)
            if found:
                level, shown, is_above = found
                yield level, shown, offset - len(above) - 1 if is_above else offset
        above = line
        offset += len(line) + 1


def _markdown_heading(line: str, above: str) -> tuple[int, str, bool] | None:
    """Level, text and whether the heading is the line `above` that `line` underlines."""
    bare = line.strip()
    level = len(bare) - len(bare.lstrip("#"))
    if 1 <= level <= 6 and bare[level : level + 1].isspace():
        return level, bare[level:].strip().rstrip("#").strip(), False
    is_underline = len(bare) >= 3 and bare in ("=" * len(bare), "-" * len(bare))
    starts_a_block = above.lstrip().startswith(("#", "-", "*", "+", ">", "|", "=")) or not above.strip()
    if is_underline and not starts_a_block and len(above) <= MAX_LINE:
        return (1 if bare[0] == "=" else 2), above.strip(), True
    return None


def running_headers(pages: Sequence[str]) -> frozenset[str]:
    """Lines that stand on several pages: they name the document, not a section."""
    counts = Counter(line for page in pages for line in {line.strip() for line in page.split("\n")})
    return frozenset(line for line, count in counts.items() if line and count >= RUNNING_HEADER_PAGES)


def layout_headings(page: str, headers: frozenset[str]) -> Iterator[tuple[int, str, int]]:
    """Level, text and offset of lines of a PDF page that read like headings; cautious, since a miss costs little."""
    lines = page.split("\n")
    offset = 0
    for index, line in enumerate(lines):
        if line not in headers and 3 <= len(line) <= MAX_LINE and line[-1] not in ".,;:":
            above = lines[index - 1] if index else ""
            below = lines[index + 1] if index + 1 < len(lines) else ""
            level = _layout_level(line, "" if above in headers else above, below)
            if level:
                yield level, line, offset
        offset += len(line) + 1


def _layout_level(line: str, above: str, below: str) -> int | None:
    words = line.split()
    if len(words) > MAX_WORDS or not any(word.isalpha() and len(word) > 2 for word in words):
        return None
    label = _LABEL.match(line)
    if label and (label.end() == len(line) or not _PAGE_NUMBER_AT_END.search(line, label.end())):
        return 1 if label["label"].lower() in _TOP_LABELS else 2
    if any(character.isdigit() for word in words[1:] for character in word):
        return None
    number = _NUMBER.match(line)
    starts_section = not above or above[-1] in ".!?:"
    if number:
        is_heading = line[number.end() - 1].isupper() and (starts_section or "." in number["number"])
        return number["number"].count(".") + 1 if is_heading and len(below) >= PROSE_LENGTH else None
    if words[0][0].isdigit() or len(below) < PROSE_LENGTH:
        return None
    if line.isupper() and sum(map(str.isalpha, line)) >= 6:
        return 2
    return 3 if starts_section and _is_title_case(words) else None


def _is_title_case(words: Sequence[str]) -> bool:
    return len(words) > 1 and words[0][0].isupper() and all(len(w) <= 3 or w[0].isupper() for w in words)
