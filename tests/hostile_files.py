"""One whole file of each kind, and ways to damage it."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping

from app.adapters.media_types import DOCX, EMAIL, EPUB, GZIP, HTML, NOTEBOOK, ODP, ODS, ODT, PDF, PPTX, RTF, XLSX, ZIP
from tests.documents import make_docx, make_pdf, make_zip
from tests.office_files import make_epub, make_ods, make_open_document, make_pptx, make_xlsx, shape, slide_table

_ROW = "<table:table-row><table:table-cell><text:p>one</text:p></table:table-cell></table:table-row>"
_FRAME = '<draw:page><draw:frame presentation:class="title"><text:p>One</text:p></draw:frame></draw:page>'
_NOTEBOOK = {"cells": [{"cell_type": "code", "source": "1", "outputs": [{"text": ["one"]}]}], "nbformat": 4}
_MAIL = (
    b'Subject: One\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: '
    b"text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nb25l\r\n--b\r\nContent-Type: text/html\r\n"
    b'Content-Disposition: attachment; filename="a.html"\r\n\r\n<p>two\r\n--b--\r\n'
)

WHOLE: Mapping[str, bytes] = {
    PDF: make_pdf(["Some text on a page", "More"]),
    DOCX: make_docx(["# Title", "Some text"]),
    PPTX: make_pptx([shape("One", "title") + slide_table([["a", "b"]])], notes={1: "Note"}),
    XLSX: make_xlsx(
        {"One": '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" s="1"><v>45413</v></c></row>'},
        strings=["<t>Item</t>"],
        formats=["[h]:mm d.m.yyyy #,##0.00"],
    ),
    ODT: make_open_document("text", "<office:text><text:h>One</text:h><text:p>two</text:p></office:text>"),
    ODS: make_ods({"One": _ROW}),
    ODP: make_open_document("presentation", f"<office:presentation>{_FRAME}</office:presentation>"),
    EPUB: make_epub({"a.xhtml": "<p>One"}, order=["a.xhtml"], labels={"a.xhtml": "First"}),
    RTF: rb"{\rtf1\ansi{\fonttbl{\f0 A;}}{\stylesheet{\s1 heading 1;}}\s1 One\par\intbl a\cell\row\u233?\'e9\par}",
    EMAIL: _MAIL,
    NOTEBOOK: json.dumps(_NOTEBOOK).encode(),
    HTML: b"<h1>One</h1><table><tr><th>a<th>b</table><p>two &lt;",
    ZIP: make_zip({"a.txt": b"one", "b.docx": make_docx(["two"])}),
    GZIP: gzip.compress(b"one"),
}


def damage(content: bytes, chance: random.Random) -> bytes:
    """`content` with some bytes changed, cut out, or repeated; of an archive also those that are packed in it."""
    if content.startswith(b"PK") and chance.random() < 0.7:
        return _repack(content, lambda part: _damage(part, chance) if chance.random() < 0.5 else part)
    return _damage(content, chance)


def bombs() -> Iterator[tuple[str, str, bytes]]:
    """Name, type and content of small files that are large, deep or endless for whoever reads them carelessly."""
    laughs = b'<!DOCTYPE a [<!ENTITY a "lol"><!ENTITY b "' + b"&a;" * 100 + b'">]><a>' + b"&b;" * 100 + b"</a>"
    for media_type in (PPTX, XLSX, ODT, EPUB):
        yield "entities", media_type, _repack(WHOLE[media_type], lambda part: laughs if part.startswith(b"<") else part)
        yield "depth", media_type, _repack(WHOLE[media_type], _deepen)
    yield "spaces", ODT, _repack(WHOLE[ODT], lambda part: part + b" " * 40_000_000)
    cells = "".join(f'<c r="{column}{{0}}"><v>1</v></c>' for column in ("A", "XFD"))
    scattered = "".join(f'<row r="{n}">{cells.format(n)}</row>' for n in range(1, 20_000, 3))
    yield "scattered cells", XLSX, make_xlsx({"One": scattered})
    yield "many cells", XLSX, make_xlsx({"One": "<row>" + "<c><v>1</v></c>" * 2_100_000 + "</row>"})
    repeated = _ROW.replace("-cell>", '-cell table:number-columns-repeated="999999999">', 1)
    yield (
        "repeated cells",
        ODS,
        make_ods({"One": repeated.replace("-row>", '-row table:number-rows-repeated="99999">', 1)}),
    )
    yield "groups", RTF, rb"{\rtf1" + b"{" * 2_000_000
    yield "skipped", RTF, rb"{\rtf1" + rb"\uc999999999\u1\bin999999999 x" * 10_000
    yield "notes", RTF, rb"{\rtf1" + rb"{\footnote a" * 100_000
    yield "depth", NOTEBOOK, b'{"cells": [' + b"[" * 1_000_000
    yield "numbers", NOTEBOOK, b'{"cells": [' + b"9" * 10_000_000 + b"]}"
    yield "parts", EMAIL, b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 100_000
    nested = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(2_000))
    yield "nested parts", EMAIL, nested.encode()
    yield "header", EMAIL, b"Subject: " + b"=?utf-8?q?a?= " * 500_000 + b"\r\n\r\nx"
    yield "addresses", EMAIL, b"To: " + b"(" * 1_000_000 + b"\r\n\r\nx"


def _deepen(part: bytes) -> bytes:
    return b"<a>" * 1_000_000 if part.startswith(b"<") and b"Relationship" not in part else part


def _damage(content: bytes, chance: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(chance.randrange(1, 12)):
        start = chance.randrange(len(broken) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            broken[start : start + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del broken[start : start + chance.randrange(30)]
        elif kind == 2:
            broken[start:start] = broken[start : start + chance.randrange(60)] * chance.randrange(1, 20)
        else:
            broken[start:start] = chance.choice((b"<", b">", b'"', b"&", b"999999999", b"-1", b"\0", b"\\", b"{", b"}"))
    return bytes(broken[: chance.randrange(len(broken) + 1)] if chance.random() < 0.1 else broken)


def _repack(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            part = old.read(info)
            new.writestr(info, part if info.filename == "mimetype" else change(part))
    return packed.getvalue()
