"""What a file is, told from its bytes; its name only decides between kinds of text."""

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from app.adapters.parsers.texts import BYTE_ORDER_MARKS, utf16_without_mark

HEAD_BYTES = 65_536
"""How much of a file `sniff` should be shown."""

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODP = "application/vnd.oasis.opendocument.presentation"
EPUB = "application/epub+zip"
RTF = "application/rtf"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"
CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON = "application/json"
RESTRUCTURED_TEXT = "text/x-rst"
ZIP = "application/zip"
TAR = "application/x-tar"
GZIP = "application/gzip"
BZIP2 = "application/x-bzip2"
XZ = "application/x-xz"
OLE = "application/x-ole-storage"
ENCRYPTED_OFFICE = "application/x-ole-storage-encrypted"
XML = "application/xml"
EMAIL = "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
EMPTY = "application/x-empty"
UNKNOWN = "application/octet-stream"

SUPPORTED: Mapping[str, str] = {
    PDF: "PDF",
    DOCX: "Word (DOCX)",
    PPTX: "PowerPoint (PPTX)",
    XLSX: "Excel (XLSX)",
    ODT: "OpenDocument text (ODT)",
    ODS: "OpenDocument spreadsheet (ODS)",
    ODP: "OpenDocument presentation (ODP)",
    EPUB: "EPUB",
    RTF: "RTF",
    EMAIL: "mail (EML)",
    NOTEBOOK: "Jupyter notebook",
    HTML: "HTML",
    MARKDOWN: "Markdown",
    TEXT: "plain text",
    CSV: "CSV",
    TSV: "tab-separated values",
    JSON: "JSON",
    RESTRUCTURED_TEXT: "reStructuredText",
    ZIP: "ZIP archive",
    TAR: "TAR archive",
    GZIP: "gzip",
    BZIP2: "bzip2",
    XZ: "xz",
}
"""What can be read now: media type to the name that people know."""

_OTHER_ARCHIVES = frozenset(("application/zstd", "application/x-7z-compressed", "application/vnd.rar"))
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"{\\rtf", RTF),
    (b"\x1f\x8b", GZIP),
    (b"BZh", BZIP2),
    (b"\xfd7zXZ\0", XZ),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x7fELF", "application/x-executable"),
    (b"MZ", "application/x-dosexec"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
)
_OLE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")  # the name of a stream, in which the Office file is
_CONTAINERS: Mapping[bytes, str] = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_OFFICE_PARTS: tuple[tuple[bytes, str], ...] = (
    (b"word/", DOCX),
    (b"xl/", XLSX),
    (b"ppt/", PPTX),
)
_TEXT_NAMES: Mapping[str, str] = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdown": MARKDOWN,
    ".rst": RESTRUCTURED_TEXT,
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".json": JSON,
    ".ipynb": NOTEBOOK,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".eml": EMAIL,
}
_CONTROL_BYTES = bytes([*range(9), *range(14, 27), *range(28, 32), 127])
_MAX_CONTROL_SHARE = 0.08
_TEXT_BYTES = 8_192

_HTML_CERTAIN = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_HTML_LIKELY = re.compile(
    r"<(?:title|meta|script|style|div|p|h[1-6]|table|ul|ol|article|section|main|span|center|font|br|a|img)\b",
    re.IGNORECASE,
)
_EMAIL_HEADER = re.compile(
    r"^(?:received|return-path|message-id|mime-version|delivered-to):\s", re.IGNORECASE | re.MULTILINE
)
_EMAIL_START = re.compile(r"[A-Za-z][A-Za-z-]{1,40}:\s")
_TEMPLATES = re.compile(r"-template$")  # an OpenDocument template is a document, too
_NOTEBOOK_START = re.compile(r'\{\s*"cells"\s*:\s*\[\s*\{[^}]{0,500}"cell_type"')
_JSON_START = re.compile(r'\{\s*"|\[\s*[{"\[]')


def sniff(head: bytes, filename: str | None) -> str:
    """Media type of the file that begins with `head` (its first `HEAD_BYTES`), `application/octet-stream` if unknown.

    `filename` is believed only where the bytes are text, which looks the same as Markdown, CSV or a log.
    """
    if not head:
        return EMPTY
    suffix = PurePosixPath((filename or "").replace("\\", "/")).suffix.lower()
    is_text = _is_text(head[:_TEXT_BYTES])
    kind = _pdf_kind(head, suffix, is_text) or _binary_kind(head, suffix, is_text)
    if kind:
        return kind
    return _text_kind(head, suffix) if is_text else UNKNOWN


def refusal(media_type: str) -> str:
    """Why a file of a type that is not in `SUPPORTED` is refused, for the person who sent it."""
    readable = ", ".join(SUPPORTED.values())
    if media_type == EMPTY:
        return "The file is empty."
    if media_type == OLE:
        return "This is an Office file of the old format, or protected by a password: save it as DOCX, XLSX or PPTX."
    if media_type == ENCRYPTED_OFFICE:
        return "The file is protected by a password. Save it without one and upload it again."
    if media_type in _OTHER_ARCHIVES:
        return "Archives of this kind are not unpacked: pack the files as ZIP, or upload them one by one."
    if media_type.startswith("image/"):
        return f"Pictures hold no text that could be read. What can be read: {readable}."
    if media_type == UNKNOWN:
        return f"What kind of file this is could not be recognised. What can be read: {readable}."
    return f"Files of type {media_type} cannot be read. What can be read: {readable}."


def _pdf_kind(head: bytes, suffix: str, is_text: bool) -> str | None:
    """PDF may begin with up to 1,024 bytes of something else; a text that merely speaks of `%PDF-` is none."""
    position = head[:1024].find(b"%PDF-")
    starts_with_it = not head[: max(position, 0)].strip(b"\0 \t\r\n\xef\xbb\xbf")
    return PDF if position >= 0 and (starts_with_it or suffix == ".pdf" or not is_text) else None


def _binary_kind(head: bytes, suffix: str, is_text: bool) -> str | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(head, suffix)
    if head.startswith(b"RIFF") and not is_text:
        return _CONTAINERS.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp" and not is_text:
        return "image/heic" if head[8:11] in (b"hei", b"mif", b"avi") else "video/mp4"
    if head[257:262] == b"ustar":
        return TAR
    if head.startswith(_OLE_MARK):
        return ENCRYPTED_OFFICE if _OLE_ENCRYPTED in head else OLE
    # A short mark may be the beginning of a word: `BMW`, `MZ`, `ID3`.
    return next((kind for mark, kind in _MAGIC if head.startswith(mark) and (len(mark) > 3 or not is_text)), None)


def _zip_kind(head: bytes, suffix: str) -> str:
    """Office files are zip archives: told by the names in them, and by the list of contents that comes first."""
    names = list(_zip_names(head))
    if names[:1] == [b"mimetype"]:
        start = 30 + 8 + int.from_bytes(head[28:30], "little")
        declared = head[start : start + int.from_bytes(head[18:22], "little")].decode("ascii", "replace").strip()
        return _TEMPLATES.sub("", declared) if re.fullmatch(r"application/[\w.+-]{1,100}", declared) else ZIP
    contents = _content_types(head) if b"[Content_Types].xml" in names else b""
    for folder, kind in _OFFICE_PARTS:
        if any(name.startswith(folder) for name in names) or b'PartName="/' + folder in contents:
            return kind
    is_office = b"[Content_Types].xml" in names or b"_rels/.rels" in names
    return DOCX if is_office and suffix == ".docx" else ZIP


def _zip_names(head: bytes) -> Iterator[bytes]:
    position = head.find(b"PK\x03\x04")
    while position >= 0:
        length = int.from_bytes(head[position + 26 : position + 28], "little")
        yield head[position + 30 : position + 30 + length]
        position = head.find(b"PK\x03\x04", position + 4)


def _content_types(head: bytes) -> bytes:
    """The beginning of `[Content_Types].xml`, at most 64 KiB however small it was packed."""
    name = head.find(b"[Content_Types].xml")
    extra = int.from_bytes(head[name - 2 : name], "little")
    packed = head[name + len(b"[Content_Types].xml") + extra :]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, 65_536)
    except zlib.error:
        return packed[:65_536]


def _is_text(sample: bytes) -> bool:
    if sample.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)) or utf16_without_mark(sample):
        return True
    controls = len(sample) - len(sample.translate(None, _CONTROL_BYTES))
    return controls <= _MAX_CONTROL_SHARE * len(sample)


def _text_kind(head: bytes, suffix: str) -> str:
    start = _beginning(_as_ascii(head[:_TEXT_BYTES]))
    named = _TEXT_NAMES.get(suffix)
    if _HTML_CERTAIN.match(start):
        return HTML
    if start.startswith("<?xml"):
        return XML
    if start.startswith("<svg"):
        return "image/svg+xml"
    if named:
        return named
    if _HTML_LIKELY.match(start):
        return HTML
    if suffix == ".xml" and start.startswith("<"):
        return XML
    if _EMAIL_START.match(start) and _EMAIL_HEADER.search(start):
        return EMAIL
    if _NOTEBOOK_START.match(start):
        return NOTEBOOK
    return JSON if _JSON_START.match(start) else TEXT


def _as_ascii(sample: bytes) -> str:
    """Enough of a decoding to recognise a syntax by; finding the true encoding would take too long here."""
    marked = next((encoding for mark, encoding in BYTE_ORDER_MARKS if sample.startswith(mark)), None)
    return sample.decode(marked or utf16_without_mark(sample) or "latin-1", "replace")


def _beginning(text: str) -> str:
    """`text` without the comments and the declaration that may stand before the first element."""
    text = text.lstrip("\ufeff \t\r\n")
    bare = text
    while bare.startswith(("<!--", "<?xml")):
        end = bare.find("-->" if bare.startswith("<!--") else "?>")
        if end < 0:
            return text
        bare = bare[end + (3 if bare.startswith("<!--") else 2) :].lstrip()
    return bare if bare.startswith("<") and (_HTML_CERTAIN.match(bare) or bare.startswith("<svg")) else text
