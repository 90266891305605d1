"""Files within a file: each becomes a section of the document, under its name as heading."""

from collections.abc import Callable
from typing import Final

from app.adapters.media_types import EMPTY, SUPPORTED
from app.adapters.parsers.documents import Composer, Unreadable
from app.adapters.parsers.formats import Parser, find_format
from app.adapters.parsers.texts import tidy

MAX_LISTED: Final = 200
# One damaged file does not spoil the others; one that is too large, or holds the memory, ends the reading.
FATAL: Final = frozenset(("TOO_LARGE",))


class Members:
    """Adds files to a document, and says at its end which were not read, and why."""

    def __init__(self, composer: Composer, further: dict[str, Parser] | None = None) -> None:
        self._composer = composer
        self._further = further or {}
        self._unread: list[str] = []
        self.read = 0

    def add(self, name: str, load: Callable[[], bytes]) -> None:
        """Raises Unreadable (TOO_LARGE)."""
        try:
            self._add(name, load())
        except Unreadable as error:
            if error.code in FATAL:
                raise
            self._unread.append(f"{name}: {error.message}")
        except MemoryError:
            raise
        except Exception:  # whatever a hostile file does to a parser, the others are still there
            self._unread.append(f"{name}: The file is damaged: it could not be read.")

    def finish(self) -> None:
        if not self._unread:
            return
        more = len(self._unread) - MAX_LISTED
        listed = [f"- {line}" for line in self._unread[:MAX_LISTED]] + ([f"- and {more} more"] if more > 0 else [])
        self._composer.add_heading(1, "Files that were not read")
        self._composer.add("\n".join(listed))

    @property
    def first_reason(self) -> str:
        return self._unread[0] if self._unread else ""

    def _add(self, name: str, data: bytes) -> None:
        media_type, parser = find_format(data, name)
        parser = parser or self._further.get(media_type)
        if media_type == EMPTY:
            raise Unreadable("EMPTY", "The file is empty.")
        if parser is None:
            kind = SUPPORTED.get(media_type, media_type)
            raise Unreadable("UNSUPPORTED_MEDIA_TYPE", f"Such files ({kind}) are not read within another file.")
        found = parser(data)
        if not found.text.strip():
            raise Unreadable("NO_TEXT", "No text was found in it.")
        self._composer.add_heading(1, tidy(name))
        self._composer.include(found, below=1)
        self.read += 1
