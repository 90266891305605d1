"""HTML to tags and text in one pass. The standard library's parser takes hours over some files of a few megabytes.

Everything is searched for forwards only, and what was once not found is not searched for again: time is linear,
whatever the file.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Literal, NamedTuple

# Their content is no markup; that of the last two has character references.
RAW = frozenset(("script", "style", "iframe", "noembed", "noframes", "xmp", "title", "textarea"))
ESCAPED = frozenset(("title", "textarea"))

_TAG = re.compile(r"<(?P<slash>/?)(?P<name>[a-zA-Z][^\s/>\x00]{0,60})")
_IN_TAG = re.compile(r"""[>"']""")


class Markup(NamedTuple):
    """A tag (`value`: its name in lower case) or a piece of text."""

    kind: Literal["start", "end", "text"]
    value: str


def read_markup(text: str) -> Iterator[Markup]:
    """Tags and text of `text` in order; comments, declarations and attributes are left out."""
    scanner = _Scanner(text)
    position = done = 0
    while (position := text.find("<", position)) >= 0:
        tag = _TAG.match(text, position)
        end = scanner.end_of_tag(tag.end()) if tag else scanner.end_of_declaration(position)
        if end < 0:
            position += 1  # just a character
            continue
        if position > done:
            yield Markup("text", _readable(text[done:position]))
        if tag:
            name = tag["name"].lower()
            yield Markup("end" if tag["slash"] else "start", name)
            if text[end - 2] == "/" and not tag["slash"]:
                yield Markup("end", name)
            elif name in RAW and not tag["slash"]:
                content_end = scanner.end_of_raw(name, end)
                content = text[end:content_end]
                yield Markup("text", _readable(content) if name in ESCAPED else content)
                end = content_end
        position = done = end
    if done < len(text):
        yield Markup("text", _readable(text[done:]))


class _Scanner:
    """Finds ends, and remembers what is nowhere further on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._absent: set[str] = set()

    def end_of_tag(self, position: int) -> int:
        """Behind the `>` that closes a tag, which may also stand within quotes; -1 where there is none."""
        close = self._find(">", position)
        while close >= 0:
            found = _IN_TAG.search(self._text, position)
            if found is None or found[0] == ">":
                return (found.start() if found else close) + 1
            quote_end = self._find(found[0], found.end())
            if quote_end < 0 or self._find(">", quote_end) < 0:
                return close + 1  # a quote that is never closed is none
            position = quote_end + 1
        return -1

    def end_of_declaration(self, position: int) -> int:
        """Behind a comment or declaration at `position`, or -1; one that is never closed takes all the rest."""
        if self._text.startswith("<!--", position):
            end = self._find("-->", position + 4)
            return end + 3 if end >= 0 else len(self._text)
        if self._text.startswith(("<!", "<?", "</"), position):
            end = self._find(">", self._behind_subset(position))
            return end + 1 if end >= 0 else len(self._text)
        return -1

    def _behind_subset(self, position: int) -> int:
        """A document type may declare entities between brackets, each of which has a `>` of its own."""
        end = self._find(">", position)
        if end < 0 or self._text[position : position + 9].lower() != "<!doctype":
            return position
        is_opened = self._text.find("[", position, end) >= 0
        return max(position, self._find("]", position)) if is_opened else position

    def end_of_raw(self, name: str, position: int) -> int:
        """Where the end tag of a script or the like begins; without one it goes to the end."""
        if name in self._absent:
            return len(self._text)
        found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(self._text, position)
        if found is None:
            self._absent.add(name)
        return found.start() if found else len(self._text)

    def _find(self, wanted: str, position: int) -> int:
        if wanted in self._absent:
            return -1
        found = self._text.find(wanted, position)
        if found < 0:
            self._absent.add(wanted)
        return found


def _readable(text: str) -> str:
    try:
        return unescape(text) if "&" in text else text
    except ValueError:  # a character reference with thousands of digits
        return text
