"""What each format gives: text as a person sees it, pages, headings and tables. The parsers run in this process."""

import json
from email.message import EmailMessage

import pytest

from app.adapters.media_types import (
    DOCX,
    EMAIL,
    EPUB,
    HEAD_BYTES,
    NOTEBOOK,
    ODP,
    ODS,
    ODT,
    PPTX,
    RTF,
    XLSX,
    sniff,
)
from app.adapters.parsers.documents import Extracted, Unreadable
from app.adapters.parsers.number_formats import show_number
from app.adapters.parsing import PARSERS
from tests.documents import make_docx, make_zip
from tests.office_files import (
    make_epub,
    make_ods,
    make_open_document,
    make_pptx,
    make_xlsx,
    shape,
    slide_table,
)


def read(content: bytes, media_type: str, name: str | None = None) -> Extracted:
    """Read a file that must be recognised as what it is."""
    assert sniff(content[:HEAD_BYTES], name) == media_type
    return PARSERS[media_type](content)


def pages(found: Extracted) -> list[str]:
    return [found.text[page.char_start : page.char_end] for page in found.pages]


def headings(found: Extracted) -> list[tuple[int, str]]:
    """Levels and texts, each of which must stand where it is said to stand."""
    for heading in found.headings:
        assert found.text[heading.char_start :].lstrip("# ").startswith(heading.text)
    return [(heading.level, heading.text) for heading in found.headings]


def refusal(content: bytes, media_type: str) -> str:
    with pytest.raises(Unreadable) as caught:
        PARSERS[media_type](content)
    return caught.value.code


def test_a_presentation_gives_slides_in_the_order_shown_with_titles_tables_and_notes():
    first = shape("Loose text") + shape("Sales & more", "title") + shape("Page 1", "sldNum")
    second = shape("Prices", "ctrTitle") + slide_table([["Tea", "Cake"], ["4", "5"]]) + shape("a\nb", "body")

    found = read(make_pptx([first, second], notes={1: "Smile.\nWave."}), PPTX)

    assert pages(found) == [
        "Sales & more\n\nLoose text\n\nNotes: Smile.\nWave.",
        "Prices\n\n| Tea | Cake |\n| --- | --- |\n| 4 | 5 |\n\na\nb",
    ]
    assert headings(found) == [(1, "Sales & more"), (1, "Prices")]


def test_a_chart_gives_the_numbers_behind_it():
    points = (
        '<{0}><cache><formatCode>{1}</formatCode><pt idx="0"><v>{2}</v></pt><pt idx="1"><v>{3}</v></pt></cache></{0}>'
    )
    series = "<ser><tx><cache><pt idx='0'><v>Tea</v></pt></cache></tx>{}{}</ser>".format(
        points.format("cat", "", "May", "June"), points.format("val", "0%", "0.5", "0.25")
    )
    chart = f"<title><tx><a:t>Sales</a:t></tx></title>{series}"

    found = read(make_pptx([shape("One", "title")], notes={1: "Note"}, chart=chart), PPTX)

    assert found.text == "One\n\n| Sales | Tea |\n| --- | --- |\n| May | 50% |\n| June | 25% |\n\nNotes: Note"


def test_a_workbook_shows_what_a_person_sees_and_no_hidden_sheet():
    strings = ["<t>Item</t>", "<r><t>R&amp;</t></r><r><t>D</t></r><rPh><t>reading</t></rPh>"]
    rows = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="inlineStr"><is><t>Share</t></is></c></row>'
        '<row r="2"><c r="A2" t="s"><v>1</v></c><c r="C2" s="1"><v>0.125</v></c></row>'
        '<row r="9"><c r="B9" t="b"><v>1</v></c><c r="C9" s="2"><f>TODAY()</f><v>45413</v></c></row>'
        '<row r="10"><c r="B10" t="e"><v>#DIV/0!</v></c><c r="C10"><f>A1+1</f></c></row>'
    )
    secret = '<row><c t="str"><v>secret</v></c></row>'
    book = make_xlsx(
        {"One": rows, "Two": secret, "Three": ""}, strings=strings, formats=["0.0%", "dd.mm.yyyy"], hidden=["Two"]
    )

    found = read(book, XLSX)

    first, third = pages(found)
    assert first == (
        "One\n\n| Item | Share |\n| --- | --- |\n| R&D | 12.5% |\n\n"
        "| TRUE | 01.05.2024 |\n| --- | --- |\n| #DIV/0! | =A1+1 |"
    )
    assert third == "Three"
    assert headings(found) == [(1, "One"), (1, "Three")]


@pytest.mark.parametrize(
    ("number", "code", "shown"),
    [
        ("0.30000000000000004", "General", "0.3"),
        ("1234567.891", "#,##0.00", "1,234,567.89"),
        ("1234567", '0.0,,"M"', "1.2M"),
        ("-3.5", "#,##0.00_);(#,##0.00)", "(3.50)"),
        ("-3.5", '"$"#,##0.00;[Red]\\-"$"#,##0.00', "-$3.50"),
        ("1234.5", "#,##0.00 [$€-407]", "1,234.50 €"),
        ("0", '0;-0;"none"', "none"),
        ("-0.001", "0.00", "0.00"),
        ("7", "000", "007"),
        ("0.00123", "0.0E+00", "1.2E-3"),
        ("0.25", "# ?/?", "0.25"),
        ("45413.75", "m/d/yy h:mm AM/PM", "5/1/24 6:00 PM"),
        ("45413", "dddd, mmmm d, yyyy", "Wednesday, May 1, 2024"),
        ("1.5", "[h]:mm", "36:00"),
        ("1", "yyyy-mm-dd", "1900-01-01"),
        ("61", "yyyy-mm-dd", "1900-03-01"),
        ("1e400000000", "0%", "1e400000000"),
        ("9999999999", "yyyy", "9999999999"),
        ("no number", "0", "no number"),
    ],
)
def test_numbers_are_shown_in_their_format(number, code, shown):
    assert show_number(number, code) == shown


def test_dates_of_an_old_macintosh_count_from_1904():
    assert show_number("0", "yyyy-mm-dd", epoch_1904=True) == "1904-01-01"


def test_an_open_document_text_keeps_headings_lists_tables_and_notes():
    body = """<office:text text:use-soft-page-breaks="true"><text:tracked-changes><text:p>gone</text:p>
        </text:tracked-changes><text:h text:outline-level="2">Tea &amp; cake</text:h>
        <text:p>Two<text:s text:c="3"/>
        words<text:note><text:note-citation>1</text:note-citation>{}</text:note>, bold<text:span>er</text:span>.
        <office:annotation><text:p>a comment</text:p></office:annotation></text:p>
        <text:list><text:list-item><text:p>One</text:p></text:list-item><text:list-item><text:p>Two</text:p>
        </text:list-item></text:list><text:soft-page-break/><table:table><table:table-row><table:table-cell>
        <text:p>a</text:p></table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row>
        <table:table-row><table:table-cell table:number-columns-spanned="2"><text:p>c</text:p></table:table-cell>
        <table:covered-table-cell><text:p>under</text:p></table:covered-table-cell></table:table-row></table:table>
        </office:text>"""
    note = "<text:note-body><text:p>The note.</text:p></text:note-body>"

    found = read(make_open_document("text", body.format(note)), ODT)

    assert pages(found) == [
        "Tea & cake\n\nTwo words, bolder.\nThe note.\n\n- One\n- Two",
        "| a | b |\n| --- | --- |\n| c |  |",
    ]
    assert headings(found) == [(2, "Tea & cake")]


def test_an_open_document_spreadsheet_shows_its_sheets_and_bounds_repetitions():
    cell = '<table:table-cell table:number-columns-repeated="{}"><text:p>{}</text:p></table:table-cell>'
    rows = (
        f"<table:table-row>{cell.format(1, 'Item')}{cell.format(1, '12,5 %')}"
        '<table:table-cell table:number-columns-repeated="16382"/></table:table-row>'
        f"<table:table-row>{cell.format(2, 'same')}</table:table-row>"
        '<table:table-row table:number-rows-repeated="1048574"><table:table-cell/></table:table-row>'
    )
    found = read(make_ods({"One": rows, "Two": rows}, hidden="Two"), ODS)
    endless = f"<table:table-row>{cell.format(999_999_999, 'x')}</table:table-row>"

    assert pages(found) == ["One\n\n| Item | 12,5 % |\n| --- | --- |\n| same | same |"]
    assert len(read(make_ods({"One": endless}), ODS).text) < 20_000
    assert refusal(make_ods({"One": endless * 20_001}), ODS) == "TOO_LARGE"
    assert refusal(make_ods({"One": ""}), ODS) == "NO_TEXT"


def test_an_open_document_presentation_gives_slides_with_their_notes():
    frame = '<draw:frame presentation:class="{}"><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>'
    notes = f"<presentation:notes>{frame.format('notes', 'Smile.')}</presentation:notes>"
    slides = "".join(
        f"<draw:page>{frame.format('title', f'Slide {n}')}{frame.format('page-number', n)}"
        f"{frame.format('outline', 'Text')}{notes}</draw:page>"
        for n in (1, 2)
    )
    found = read(make_open_document("presentation", f"<office:presentation>{slides}</office:presentation>"), ODP)

    assert pages(found) == ["Slide 1\n\nText\n\nNotes: Smile.", "Slide 2\n\nText\n\nNotes: Smile."]
    assert headings(found) == [(1, "Slide 1"), (1, "Slide 2")]


def test_an_open_document_with_a_password_is_refused():
    body, manifest = "<office:text/>", "<manifest><file-entry><encryption-data/></file-entry></manifest>"

    assert refusal(make_open_document("text", body, manifest=manifest), ODT) == "ENCRYPTED"


def test_a_book_is_read_in_its_order_with_headings_from_its_contents():
    chapters = {
        "b.xhtml": "<html><title>x</title><body><h1>Second</h1><p>Tea &amp; cake&nbsp;&lt;3</p></body></html>",
        "a.xhtml": '<!DOCTYPE html [<!ENTITY a "b">]><html><body><p>It was a dark night.</p></body></html>',
    }
    found = read(make_epub(chapters, order=["a.xhtml", "b.xhtml"], labels={"a.xhtml": "First"}), EPUB)

    assert found.text == "First\n\nIt was a dark night.\n\nSecond\n\nTea & cake <3"
    assert headings(found) == [(1, "First"), (1, "Second")]
    assert found.title == "A Book"


def test_rich_text_reads_code_pages_unicode_headings_tables_notes_and_pages():
    content = rb"""{\rtf1\ansi\ansicpg1252{\info{\title Tea & Cake}{\author nobody}}
{\fonttbl{\f0 Arial;}{\f1\fcharset204 Cyr;}{\f2\fcharset128 Gothic;}}
{\stylesheet{\s1\outlinelevel0 top;}{\s2 heading 2;}}
\pard\s1 AT&T\par\pard caf\'e9 \u8364?\{x\} \f1 \'cf\'f0\'e8 {\f2 \'8bc\'8e\'96}\par\pard\s2 Part\par
\pard \uc2\u-10179??\u-8704??{\v hidden}{\*\unknown skipped}{\pict\bin3 }}}}{\field{\*\fldinst LINK}{\fldrslt link}}
{\footnote\pard The note.\par}\par{\listtext\'b7\tab}item\par
\trowd\pard\intbl a\par b\cell c\cell\row\intbl d\cell e\cell\row\pard\page Last\par \intbl x\cell}"""

    found = read(content, RTF)

    assert pages(found) == [
        "AT&T\n\ncafé €{x} При 議事\n\nPart\n\n😀link\nThe note.\n\n- item\n\n| a b | c |\n| --- | --- |\n| d | e |",
        "Last\n\nx",
    ]
    assert headings(found) == [(1, "AT&T"), (2, "Part")]
    assert found.title == "Tea & Cake"


def test_a_mail_gives_its_head_its_text_and_what_hangs_on_it():
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Grüße & <Tea>", "Jörg <j@example.com>", "a@example.com"
    mail["Date"] = "Wed, 01 May 2024 10:00:00 +0200"
    mail.set_content("Zwölf < dreizehn\n\nBis bald", charset="iso-8859-1", cte="quoted-printable")
    mail.add_alternative("<p>not this</p>", subtype="html")
    mail.add_attachment(
        make_docx(["# Plan", "Step one"]), maintype="application", subtype="x-any", filename="plän.docx"
    )
    mail.add_attachment(b"\x89PNG\r\n\x1a\n\0\0", maintype="image", subtype="png", filename="photo.png")
    mail.add_attachment(make_zip({"a.txt": b"a"}), maintype="application", subtype="zip", filename="a.zip")

    found = read(mail.as_bytes(), EMAIL, "a.eml")

    assert found.text.startswith(
        "Grüße & <Tea>\n\nFrom: Jörg <j@example.com>\nTo: a@example.com\nDate: 2024-05-01 10:00+02:00\n\n"
        "Zwölf < dreizehn\n\nBis bald\n\nplän.docx\n\nPlan\n\nStep one\n\nFiles that were not read\n\n- photo.png: "
    )
    assert "not this" not in found.text
    assert "- a.zip: " in found.text
    assert headings(found) == [
        (1, "Grüße & <Tea>"),
        (1, "plän.docx"),
        (2, "Plan"),
        (1, "Files that were not read"),
    ]


def test_a_mail_of_html_alone_is_read_and_broken_heads_break_nothing():
    html = b"Subject: =?nope?Q?a?=\r\nDate: never\r\nContent-Type: text/html; charset=nope\r\n\r\n<h1>Hi</h1>5 &lt; 6"

    found = read(html, EMAIL, "a.eml")

    assert found.text == "=?nope?Q?a?=\n\nDate: never\n\nHi\n\n5 < 6"


def test_a_notebook_gives_its_words_its_code_and_what_it_printed():
    outputs = [
        {"output_type": "stream", "text": ["one\n", "two\n"]},
        {"output_type": "execute_result", "data": {"text/plain": "3", "image/png": "iVBORw0KGgo="}},
        {"output_type": "error", "ename": "ValueError", "evalue": "\x1b[31mbad\x1b[0m", "traceback": ["long"]},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Tea\n", "\n", "5 < 6 & 7"]},
        {"cell_type": "code", "source": "print(1)", "outputs": outputs},
    ]
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}}

    found = read(json.dumps(notebook).encode(), NOTEBOOK)

    assert found.text == "# Tea\n\n5 < 6 & 7\n\n```python\nprint(1)\n```\n\none\ntwo\n3\nValueError: bad"
    assert headings(found) == [(1, "Tea")]
    assert found.title == "Tea"


def test_a_notebook_that_is_none_is_read_as_json_or_refused():
    assert read(b'{"cells": "none"}', NOTEBOOK, "a.ipynb").text == '{"cells": "none"}'
    assert refusal(b'{"cells": [', NOTEBOOK) == "CORRUPT"
    assert refusal(b"[" * 100_000, NOTEBOOK) == "CORRUPT"


def test_office_files_without_their_main_part_are_damaged():
    for media_type in (DOCX, PPTX, XLSX, ODT, EPUB):
        assert refusal(make_zip({"other.xml": b"<a/>"}), media_type) == "CORRUPT"
