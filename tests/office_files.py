"""Small presentations, workbooks, OpenDocument files and books, made by code."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from html import escape

from tests.documents import make_zip

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SPACES = (
    f'xmlns="m" xmlns:r="{_RELATIONS}" xmlns:a="a" xmlns:p="p" xmlns:office="o" xmlns:text="t" xmlns:table="b" '
    'xmlns:draw="d" xmlns:presentation="n" xmlns:style="s"'
)


def make_pptx(slides: Sequence[str], notes: Mapping[int, str] | None = None, *, chart: str = "") -> bytes:
    """A presentation of the given shapes in XML, the last slide first in its list of parts; notes by slide number.

    A chart, in XML, stands on the slides that have notes.
    """
    order = "".join(f'<p:sldId r:id="r{number}" id="{256 + number}"/>' for number in range(1, len(slides) + 1))
    targets = {f"r{number}": ("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1)}
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": _relations({"r1": ("officeDocument", "ppt/presentation.xml")}),
        "ppt/presentation.xml": f"<p:presentation {_SPACES}><p:sldIdLst>{order}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relations(targets),
    }
    for number, shapes in reversed(list(enumerate(slides, start=1))):
        parts[f"ppt/slides/slide{number}.xml"] = f"<p:sld {_SPACES}>{shapes}</p:sld>"
    for number, said in (notes or {}).items():
        target = {"r1": ("notesSlide", "../notesSlides/notes.xml"), "r2": ("chart", "../charts/chart.xml")}
        parts["ppt/charts/chart.xml"] = f"<chartSpace {_SPACES}>{chart}</chartSpace>"
        parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = _relations(target)
        parts["ppt/notesSlides/notes.xml"] = f"<p:notes {_SPACES}>{shape(said, 'body')}{shape('1', 'sldNum')}</p:notes>"
    return make_zip({name: part.encode() for name, part in parts.items()})


def shape(text: str, kind: str = "") -> str:
    """A shape of one paragraph per line, each in two runs; a placeholder if it has a kind."""
    placeholder = f'<p:nvPr><p:ph type="{kind}"/></p:nvPr>' if kind else ""
    paragraphs = "".join(
        f"<a:p><a:r><a:t>{escape(line[:3])}</a:t></a:r><a:r><a:t>{escape(line[3:])}</a:t></a:r></a:p>"
        for line in text.split("\n")
    )
    return f"<p:sp>{placeholder}<p:txBody>{paragraphs}</p:txBody></p:sp>"


def slide_table(rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<a:tc><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:tc>" for cell in row) for row in rows)
    return f"<p:graphicFrame><a:tbl>{''.join(f'<a:tr>{row}</a:tr>' for row in cells)}</a:tbl></p:graphicFrame>"


def make_xlsx(
    sheets: Mapping[str, str],
    *,
    strings: Sequence[str] = (),
    formats: Sequence[str] = (),
    hidden: Sequence[str] = (),
    epoch_1904: bool = False,
) -> bytes:
    """A workbook of sheets whose rows are XML; style `s="1"` shows numbers in the first of `formats`."""
    states = {name: "hidden" if name in hidden else "visible" for name in sheets}
    listed = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="r{number}" state="{state}"/>'
        for number, (name, state) in enumerate(states.items(), start=1)
    )
    targets = {f"r{number}": ("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1)}
    codes = "".join(f'<numFmt numFmtId="{164 + n}" formatCode="{escape(code)}"/>' for n, code in enumerate(formats))
    styles = "".join(f'<xf numFmtId="{164 + number}"/>' for number in range(len(formats)))
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": _relations({"r1": ("officeDocument", "/xl/workbook.xml")}),
        "xl/workbook.xml": f'<workbook {_SPACES}><workbookPr date1904="{int(epoch_1904)}"/>{listed}</workbook>',
        "xl/_rels/workbook.xml.rels": _relations(
            {**targets, "s": ("sharedStrings", "sharedStrings.xml"), "t": ("styles", "styles.xml")}
        ),
        "xl/sharedStrings.xml": f"<sst {_SPACES}>{''.join(f'<si>{string}</si>' for string in strings)}</sst>",
        "xl/styles.xml": f"<styleSheet {_SPACES}>{codes}<cellXfs><xf numFmtId='0'/>{styles}</cellXfs></styleSheet>",
    }
    for number, rows in enumerate(sheets.values(), start=1):
        parts[f"xl/worksheets/sheet{number}.xml"] = f"<worksheet {_SPACES}><sheetData>{rows}</sheetData></worksheet>"
    return make_zip({name: part.encode() for name, part in parts.items()})


def make_open_document(kind: str, body: str, *, styles: str = "", manifest: str = "<manifest/>") -> bytes:
    """An OpenDocument file; `kind` is `text`, `spreadsheet` or `presentation`, `body` XML."""
    packed = io.BytesIO()
    content = f"<office:document-content {_SPACES}>{styles}<office:body>{body}</office:body></office:document-content>"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        mimetype = zipfile.ZipInfo("mimetype")
        archive.writestr(mimetype, f"application/vnd.oasis.opendocument.{kind}")  # stored, not packed
        archive.writestr("META-INF/manifest.xml", manifest)
        archive.writestr("content.xml", content)
    return packed.getvalue()


def make_ods(sheets: Mapping[str, str], *, hidden: str = "") -> bytes:
    """A spreadsheet of sheets whose rows are XML."""
    styles = '<style:style style:name="h"><style:table-properties table:display="false"/></style:style>'
    tables = "".join(
        f'<table:table table:name="{name}" table:style-name="{"h" if name == hidden else "v"}">{rows}</table:table>'
        for name, rows in sheets.items()
    )
    return make_open_document("spreadsheet", f"<office:spreadsheet>{tables}</office:spreadsheet>", styles=styles)


def make_epub(chapters: Mapping[str, str], *, order: Sequence[str], labels: Mapping[str, str] | None = None) -> bytes:
    """A book; chapters by file name, read in the given order, and what its table of contents calls some of them."""
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in chapters)
    spine = "".join(f'<itemref idref="{name}"/>' for name in order)
    points = "".join(
        f'<navPoint><navLabel><text>{label}</text></navLabel><content src="{name}#start"/></navPoint>'
        for name, label in (labels or {}).items()
    )
    ncx = '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), "application/epub+zip")
        archive.writestr("META-INF/container.xml", '<container><rootfile full-path="OEBPS/book.opf"/></container>')
        archive.writestr("OEBPS/book.opf", f"<package><title>A Book</title>{ncx}{items}{spine}</package>")
        archive.writestr("OEBPS/toc.ncx", f'<!DOCTYPE ncx PUBLIC "-//NISO" "ncx.dtd"><ncx>{points}</ncx>')
        for name, content in chapters.items():
            archive.writestr(f"OEBPS/{name}", content)
    return packed.getvalue()


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    shown = "".join(
        f'<Relationship Id="{number}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in targets.items()
    )
    return f"<Relationships>{shown}</Relationships>"
