"""Zip archives of XML parts (Office files and their kin), read in a stream and within bounds."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol
from xml.parsers import expat

from app.adapters.parsers.documents import Unreadable

MAX_PART_BYTES = 268_435_456
MAX_EXPANSION = 100
HARMLESS_BYTES = 16_777_216  # up to here any expansion is allowed: empty tables compress very well
READ_BYTES = 65_536

_DAMAGED = "The file is damaged or incomplete. Try to open it, save it again and upload that."


class PartHandler(Protocol):
    """Is told of every element by its local name: namespaces differ between producers, the names do not."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None: ...
    def end(self, name: str) -> None: ...
    def text(self, data: str) -> None: ...


class Package:
    """An archive; use `open_package`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = frozenset(archive.namelist())

    def read(self, name: str, handler: PartHandler) -> bool:
        """Tell `handler` of all that is in the part `name`; False where there is none.

        Raises:
            Unreadable: CORRUPT, ENCRYPTED or TOO_LARGE.
        """
        if name not in self._names:
            return False
        parser = _create_parser(handler)
        try:
            for piece in self._pieces(self._archive.getinfo(name)):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
        except RuntimeError as error:  # what zipfile says of a part that asks for a password
            raise Unreadable("ENCRYPTED", "The file is protected by a password.") from error
        except (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, NotImplementedError) as error:
            raise Unreadable("CORRUPT", _DAMAGED) from error
        return True

    def _pieces(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        """The declared size may be a lie, so that what really comes out is counted too."""
        allowed = max(HARMLESS_BYTES, min(MAX_PART_BYTES, part.compress_size * MAX_EXPANSION))
        done = part.file_size if part.file_size > allowed else 0
        with self._archive.open(part) as opened:
            while done <= allowed:
                piece = opened.read(READ_BYTES)
                if not piece:
                    return
                done += len(piece)
                yield piece
        raise Unreadable("TOO_LARGE", "The file expands to far more than its size: it was not unpacked.")


@contextlib.contextmanager
def open_package(path: Path) -> Iterator[Package]:
    """Raises Unreadable (CORRUPT) when the file is no archive."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise Unreadable("CORRUPT", _DAMAGED) from error
    with archive:
        yield Package(archive)


def _create_parser(handler: PartHandler) -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    local = _LocalNames()

    def start(name: str, attributes: Mapping[str, str]) -> None:
        handler.start(
            local[name], {local[key]: value for key, value in attributes.items()} if attributes else attributes
        )

    def end(name: str) -> None:
        handler.end(local[name])

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: object) -> None:
    """No Office program writes one, and entities are only good for an explosion."""
    raise Unreadable("CORRUPT", _DAMAGED)


class _LocalNames(dict[str, str]):
    def __missing__(self, name: str) -> str:
        self[name] = local = name.rpartition(" ")[2]
        return local
