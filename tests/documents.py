"""Small files of every kind, made by code."""

import io
import textwrap
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_STYLES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def make_pdf(pages: Sequence[str], *, protected: bool = False) -> bytes:
    """A PDF with one page per text, in Latin letters; `protected` asks every reader for a password."""
    contents = [_stream(b"", _page_content(page)) for page in pages]
    return _pdf(contents, resources=b"<</Font<</F 3 0 R>>>>", protected=protected)


def make_scan() -> bytes:
    """A PDF of one page that is a picture."""
    image = b"/Type/XObject/Subtype/Image/Width 8/Height 8/ColorSpace/DeviceGray/BitsPerComponent 8"
    content = _stream(b"", b"q 500 0 0 700 50 50 cm /I Do Q")
    return _pdf([content], resources=b"<</XObject<</I 5 0 R>>>>", further=[_stream(image, bytes(range(64)))])


def make_docx(paragraphs: Sequence[str]) -> bytes:
    """A Word document; a paragraph that begins with `# ` or `## ` is a heading of that level."""
    body = b"".join(_paragraph(paragraph) for paragraph in paragraphs)
    return pack_docx([body])


def pack_docx(body: Iterable[bytes]) -> bytes:
    """A Word document with the given XML as its body."""
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr></w:style>'
        for level in (1, 2)
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _content_types())
        archive.writestr("_rels/.rels", _relations((_OFFICE_DOCUMENT, "word/document.xml")))
        archive.writestr("word/_rels/document.xml.rels", _relations((_STYLES, "styles.xml")))
        archive.writestr("word/styles.xml", f'{_XML}<w:styles xmlns:w="{_WORD}">{styles}</w:styles>')
        with archive.open("word/document.xml", "w") as document:
            document.write(f'{_XML}<w:document xmlns:w="{_WORD}"><w:body>'.encode())
            for piece in body:
                document.write(piece)
            document.write(b"</w:body></w:document>")
    return packed.getvalue()


def make_zip_bomb(megabytes: int) -> bytes:
    """A Word document that is a thousand times as large when it is unpacked."""
    return pack_docx(_paragraph("lorem ipsum dolor " * 3_600) * 16 for _ in range(megabytes))


def make_zip(parts: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _page_content(text: str) -> bytes:
    lines = [line for paragraph in text.split("\n") for line in textwrap.wrap(paragraph, 90) or [""]]
    leading = min(14.0, 760 / max(1, len(lines)))  # however long the text is, it stays on its page
    shown = b" T* ".join(b"(%s) Tj" % _escape_pdf(line) for line in lines)
    return b"BT /F %.2f Tf 50 800 Td %.2f TL %s ET" % (leading * 0.7, leading, shown)


def _escape_pdf(line: str) -> bytes:
    raw = line.encode("cp1252", "replace")
    return raw.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")


def _stream(entries: bytes, data: bytes) -> bytes:
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data)


def _pdf(
    contents: Sequence[bytes], *, resources: bytes, further: Sequence[bytes] = (), protected: bool = False
) -> bytes:
    """Objects 1 to 4 are the catalog, the page tree, the font and the encryption; then `further`, pages, contents."""
    first_page = 5 + len(further)
    numbers = range(first_page, first_page + len(contents))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources%s/Contents %d 0 R>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(contents), b" ".join(b"%d 0 R" % number for number in numbers)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % (b"11" * 32, b"22" * 32),
        *further,
        *(page % (resources, number + len(contents)) for number in numbers),
        *contents,
    ]
    return _with_cross_references(objects, b"/Encrypt 4 0 R/ID[<00><00>]" if protected else b"")


def _with_cross_references(objects: Sequence[bytes], trailer: bytes) -> bytes:
    written = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    written += b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(written)


def _paragraph(text: str) -> bytes:
    level = 1 if text.startswith("# ") else 2 if text.startswith("## ") else 0
    style = f'<w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr>' if level else ""
    shown = escape(text[level + 1 :] if level else text)
    return f'<w:p>{style}<w:r><w:t xml:space="preserve">{shown}</w:t></w:r></w:p>'.encode()


def _content_types() -> str:
    parts = (("document", "document.main"), ("styles", "styles"))
    overrides = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{_WORD_TYPE}.{kind}+xml"/>' for name, kind in parts
    )
    relations = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    return f'{_XML}<Types xmlns="{_TYPES}">{relations}{overrides}</Types>'


def _relations(*targets: tuple[str, str]) -> str:
    shown = "".join(
        f'<Relationship Id="rId{number}" Type="{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, start=1)
    )
    return f'{_XML}<Relationships xmlns="{_RELATIONS}">{shown}</Relationships>'
