"""Archives (ZIP, TAR, and compressed with gzip, bzip2 or xz): one document, whose sections are the files in it."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from app.adapters.media_types import BZIP2, DOCX, EMAIL, GZIP, PPTX, SUPPORTED, TAR, XLSX, XZ, ZIP
from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.formats import FORMATS, find_format
from app.adapters.parsers.mail import read_mail
from app.adapters.parsers.members import Members
from app.adapters.parsers.packages import Package, open_package
from app.adapters.parsers.texts import decode

MAX_FILES = 1_000
MAX_UNPACKED = 268_435_456  # bytes of all files
READ_BYTES = 1_048_576
UTF8_NAME = 0x800  # flag of a zip: the name is in UTF-8

_OFFICE = (("word/document.xml", DOCX), ("xl/workbook.xml", XLSX), ("ppt/presentation.xml", PPTX))
_SYSTEM_FILES = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, ValueError, OverflowError)
_DAMAGED = "The archive is damaged or incomplete. Try to open it, pack it again and upload that."

File = tuple[str, Callable[[], bytes]]


def read_zip(data: bytes) -> Extracted:
    """An Office file whose first parts did not tell that it is one is read as what it is.

    Raises:
        Unreadable: CORRUPT, ENCRYPTED, TOO_LARGE or NO_TEXT, when not a single file in it could be read.
    """
    with open_package(data) as package:
        office = next((kind for part, kind in _OFFICE if part in package.names), None)
        if not office:
            return _read(_zipped(package))
    return FORMATS[office](data)


def read_tar(data: bytes) -> Extracted:
    """Raises Unreadable as `read_zip` does."""
    return _read(_tarred(data))


def read_compressed(data: bytes) -> Extracted:
    """A tar that was compressed as a whole, or a single file. Raises Unreadable as `read_zip` does."""
    unpacked = _unpack(data)
    if unpacked[257:262] == b"ustar":
        return _read(_tarred(unpacked))
    media_type, parser = find_format(unpacked, None)
    if parser is None:
        kind = SUPPORTED.get(media_type, media_type)
        raise Unreadable("UNSUPPORTED_MEDIA_TYPE", f"In the compressed file is one that is not read there ({kind}).")
    return parser(unpacked)


def _read(files: Iterator[File]) -> Extracted:
    composer = Composer()
    members = Members(composer, {EMAIL: read_mail})
    for number, (name, load) in enumerate(files):
        if number >= MAX_FILES:
            raise Unreadable("TOO_LARGE", f"The archive holds more than {MAX_FILES:,} files: split it.")
        members.add(name, load)
    if not members.read:
        reason = f" The first: {members.first_reason}" if members.first_reason else ""
        raise Unreadable("NO_TEXT", f"The archive holds no file that could be read.{reason}")
    members.finish()
    return composer.finish()


def _zipped(package: Package) -> Iterator[File]:
    for part in package.members():
        if part.flag_bits & 1:
            raise Unreadable("ENCRYPTED", "The archive is protected by a password.")
        if not _is_of_the_system(part.filename):
            yield _name(part), partial(package.read_bytes, part.filename)


def _tarred(data: bytes) -> Iterator[File]:
    left = MAX_UNPACKED
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if not member.isreg() or _is_of_the_system(member.name):
                    continue  # links lead nowhere, devices are no files
                left -= member.size
                if left < 0:
                    raise Unreadable("TOO_LARGE", "The archive unpacks to more than can be read: split it.")
                yield member.name, partial(_read_member, archive, member)
    except _BROKEN as error:
        raise Unreadable("CORRUPT", _DAMAGED) from error


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    try:
        return opened.read() if opened else b""
    except _BROKEN as error:
        raise Unreadable("CORRUPT", _DAMAGED) from error


def _name(part: zipfile.ZipInfo) -> str:
    """Many programs write names in the code page of their machine and do not say so."""
    return part.filename if part.flag_bits & UTF8_NAME else decode(part.orig_filename.encode("cp437", "replace"))


def _unpack(data: bytes) -> bytes:
    pieces, total = [], 0
    try:
        with _open_compressed(io.BytesIO(data), data[:3]) as opened:
            while piece := opened.read(READ_BYTES):
                pieces.append(piece)
                total += len(piece)
                if total > MAX_UNPACKED:
                    raise Unreadable("TOO_LARGE", "The file expands to far more than its size: it was not unpacked.")
    except _BROKEN as error:
        raise Unreadable("CORRUPT", _DAMAGED) from error
    return b"".join(pieces)


def _open_compressed(file: io.BytesIO, mark: bytes) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    if mark.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    return bz2.BZ2File(file) if mark == b"BZh" else lzma.LZMAFile(file)


def _is_of_the_system(name: str) -> bool:
    return name.startswith(_SYSTEM_FILES[0]) or name.rpartition("/")[2].startswith("._") or name.endswith(_SYSTEM_FILES)


ARCHIVES = {ZIP: read_zip, TAR: read_tar, GZIP: read_compressed, BZIP2: read_compressed, XZ: read_compressed}
