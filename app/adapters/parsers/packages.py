"""Zip archives of XML parts (Office files and their kin), read in a stream and within bounds."""

import contextlib
import io
import lzma
import posixpath
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol
from xml.parsers import expat

from app.adapters.parsers.documents import Unreadable

MAX_PART_BYTES = 268_435_456
MAX_TOTAL_BYTES = 536_870_912  # of all parts that are read
MAX_EXPANSION = 100
HARMLESS_BYTES = 16_777_216  # up to here any expansion is allowed: empty tables compress very well
READ_BYTES = 65_536
RELATION_ID = "r:id"

_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError)
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
        self._left = MAX_TOTAL_BYTES
        self.names = frozenset(archive.namelist())

    def read(self, name: str, handler: PartHandler) -> bool:
        """Tell `handler` of all that is in the part `name`; False where there is none.

        Raises:
            Unreadable: CORRUPT, ENCRYPTED or TOO_LARGE.
        """
        if name not in self.names:
            return False
        parser = _create_parser(handler)
        try:
            for piece in self._pieces(self._archive.getinfo(name)):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
        except (expat.ExpatError, LookupError) as error:  # also: an encoding that nobody knows
            raise Unreadable("CORRUPT", _DAMAGED) from error
        return True

    def read_bytes(self, name: str) -> bytes:
        """All of the part `name`; empty where there is none. Raises Unreadable as `read` does."""
        return b"".join(self._pieces(self._archive.getinfo(name))) if name in self.names else b""

    def members(self) -> Iterator[zipfile.ZipInfo]:
        """What is in it, in the order of its list of contents, without folders."""
        return (part for part in self._archive.infolist() if not part.is_dir())

    def _pieces(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        try:
            yield from self._unpack(part)
        except _BROKEN as error:
            raise Unreadable("CORRUPT", _DAMAGED) from error
        except RuntimeError as error:  # what zipfile says of a part that asks for a password
            raise Unreadable("ENCRYPTED", "The file is protected by a password.") from error

    def _unpack(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        """The declared size may be a lie, so that what really comes out is counted too."""
        allowed = max(HARMLESS_BYTES, min(MAX_PART_BYTES, part.compress_size * MAX_EXPANSION))
        allowed = min(allowed, self._left)
        done = part.file_size if part.file_size > allowed else 0
        with self._archive.open(part) as opened:
            while done <= allowed:
                piece = opened.read(READ_BYTES)
                if not piece:
                    return
                done += len(piece)
                self._left -= len(piece)
                yield piece
        raise Unreadable("TOO_LARGE", "The file expands to far more than its size: it was not unpacked.")


@contextlib.contextmanager
def open_package(data: bytes) -> Iterator[Package]:
    """Raises Unreadable (CORRUPT) when the file is no archive."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
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
    parser.StartDoctypeDeclHandler = _refuse_entities
    return parser


def _refuse_entities(_name: str, _system_id: str | None, _public_id: str | None, declares: bool) -> None:
    """No program writes declarations of its own, and entities are only good for an explosion; books name a DTD."""
    if declares:
        raise Unreadable("CORRUPT", _DAMAGED)


class Ignore:
    """A handler that does nothing, for others to take what they need not do themselves from."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, data: str) -> None: ...


class Texts:
    """The text of the first element of each of some names."""

    def __init__(self, names: Iterable[str]) -> None:
        self.found: dict[str, str] = {}
        self._names = frozenset(names)
        self._open: str | None = None

    def start(self, name: str, attributes: Mapping[str, str]) -> None:  # noqa: ARG002 (of the protocol)
        self._open = name if name in self._names and name not in self.found else None

    def end(self, name: str) -> None:  # noqa: ARG002 (of the protocol)
        self._open = None

    def text(self, data: str) -> None:
        if self._open:
            self.found[self._open] = self.found.get(self._open, "") + data


class Relations(Ignore):
    """Which part is meant by an id in another part; ids and kinds (the last word of their address) to part names."""

    def __init__(self, source: str) -> None:
        self.parts: dict[str, str] = {}
        self.kinds: dict[str, str] = {}  # by id
        self._folder = source.rpartition("/")[0]

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name != "Relationship" or attributes.get("TargetMode") == "External":
            return
        target, number = attributes.get("Target", ""), attributes.get("Id", "")
        path = target if target.startswith("/") else f"{self._folder}/{target}"
        self.parts[number] = posixpath.normpath(path).lstrip("/")
        self.kinds[number] = attributes.get("Type", "").rpartition("/")[2]

    def of_kind(self, kind: str) -> list[str]:
        return [self.parts[number] for number, found in self.kinds.items() if found == kind]


def relations_of(package: Package, part: str) -> Relations:
    """Of the part named `part`, or of the whole package where it is empty."""
    folder, _, name = part.rpartition("/")
    found = Relations(part)
    package.read(f"{folder}/_rels/{name}.rels".lstrip("/"), found)
    return found


class _LocalNames(dict[str, str]):
    def __missing__(self, name: str) -> str:
        space, _, local = name.rpartition(" ")
        if local == "id" and space.endswith("/relationships"):
            local = RELATION_ID  # stands beside another `id`
        self[name] = local
        return local
