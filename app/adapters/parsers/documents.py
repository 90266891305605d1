"""What a parser hands back, and the one place where a document's text is put together."""

from dataclasses import dataclass

MAX_HEADINGS = 10_000
MAX_HEADING_LENGTH = 200


class Unreadable(Exception):
    """The file cannot be read, and will not be by trying again; `message` is for the person who uploaded it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `number` counts from 1, the offsets are code points of the document's text."""

    number: int
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading; `level` is 1 for the uppermost, `char_start` a code point of the document's text."""

    level: int
    text: str
    char_start: int


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a document and what is known of its shape; `pages` is empty where the format has none."""

    text: str
    pages: tuple[Page, ...]
    headings: tuple[Heading, ...]
    title: str | None


class Composer:
    """Joins pieces to one text. Offsets are taken while joining, so that they are right by construction."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._pages: list[Page] = []
        self._page: tuple[int, int | None] | None = None  # the open page's number, and where its first text starts
        self._headings: list[Heading] = []

    def add(self, text: str, *, gap: str = "\n\n") -> int:
        """Append `text`, with `gap` between it and what is there; returns where it starts."""
        if not text:
            return self._length
        if self._pieces:
            self._pieces.append(gap)
            self._length += len(gap)
        start = self._length
        self._pieces.append(text)
        self._length += len(text)
        if self._page and self._page[1] is None:
            self._page = (self._page[0], start)
        return start

    def add_heading(self, level: int, text: str) -> None:
        self.mark_heading(level, text, self.add(text))

    def include(self, found: Extracted, *, below: int) -> None:
        """Append another document, its headings under a heading of level `below`; its pages become headings, too."""
        start = self.add(found.text)
        pages = [] if len(found.pages) < 2 else [(page.char_start, 1, f"Page {page.number}") for page in found.pages]
        headings = [(heading.char_start, heading.level + bool(pages), heading.text) for heading in found.headings]
        for offset, level, text in sorted([*pages, *headings], key=lambda mark: mark[:2]):
            self.mark_heading(level + below, text, start + offset)

    def start_page(self, number: int) -> None:
        """What is added from here on stands on page `number`, until the next one starts."""
        self._pages = self._finished_pages()
        self._page = (number, None)

    def number_first_page(self) -> None:
        """Say that all there is so far stands on page 1: the format has pages after all."""
        self._page = (1, 0)

    def mark_heading(self, level: int, text: str, char_start: int) -> None:
        """Say that the text at `char_start` is a heading."""
        shown = " ".join(text.split())[:MAX_HEADING_LENGTH]
        if shown and len(self._headings) < MAX_HEADINGS:
            self._headings.append(Heading(level, shown, char_start))

    def finish(self, title: str | None = None) -> Extracted:
        return Extracted(
            "".join(self._pieces), tuple(self._finished_pages()), tuple(self._headings), clean_title(title)
        )

    def _finished_pages(self) -> list[Page]:
        if self._page is None:
            return self._pages
        number, start = self._page
        return [*self._pages, Page(number, self._length if start is None else start, self._length)]


def clean_title(title: str | None) -> str | None:
    """A title that a person gave; what programs leave in that field (`untitled`, file names, numbers) is no title."""
    shown = " ".join((title or "").split())[:MAX_HEADING_LENGTH]
    lowered = shown.lower()
    is_file_name = " " not in shown and "." in shown
    is_left_over = lowered.startswith(("untitled", "microsoft word", "(anonymous", "powerpoint presentation"))
    if is_file_name or is_left_over or not any(map(str.isalpha, shown)):
        return None
    return shown
