"""Formats whose bytes are their text: it stays as it was written."""

import re

from app.adapters.parsers.documents import Composer, Extracted
from app.adapters.parsers.headings import markdown_headings
from app.adapters.parsers.texts import decode, make_safe

# An even number of backslashes before it, so that `\\u00e9` (an escaped backslash) stays.
_JSON_ESCAPES = re.compile(r"(?<!\\)((?:\\\\)*)((?:\\u[0-9a-fA-F]{4})+)")


def read_text(data: bytes) -> Extracted:
    composer = Composer()
    composer.add(make_safe(decode(data)))
    return composer.finish()


def read_markdown(data: bytes) -> Extracted:
    composer = Composer()
    text = make_safe(decode(data))
    composer.add(text)
    headings = list(markdown_headings(text))
    for level, shown, offset in headings:
        composer.mark_heading(level, shown, offset)
    return composer.finish(next((shown for level, shown, _ in headings if level == 1), None))


def read_json(data: bytes) -> Extracted:
    """As text; characters written as `\\uXXXX` become readable, or nobody would find them."""
    composer = Composer()
    composer.add(make_safe(_JSON_ESCAPES.sub(_unescape, decode(data))))
    return composer.finish()


def _unescape(match: re.Match[str]) -> str:
    units = "".join(match[2].split("\\u"))
    return match[1] + bytes.fromhex(units).decode("utf-16-be", "replace")
