"""Reading files in a process that may be killed: real files, real processes."""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from app.adapters.extraction import Extracted, Extractor
from app.adapters.media_types import CSV, DOCX, HEAD_BYTES, HTML, JSON, MARKDOWN, PDF, SUPPORTED, TEXT, sniff
from app.adapters.parsing import PARSERS
from app.errors import ExtractionFailed
from app.settings import DocumentSettings
from tests.documents import make_docx, make_pdf, make_scan, make_zip, make_zip_bomb, pack_docx

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
async def extractor() -> AsyncIterator[Extractor]:
    async with Extractor(DocumentSettings(max_pages=20, max_characters=200_000)) as extractor:
        yield extractor


@pytest.fixture
def document(tmp_path: Path):
    def write(content: bytes | str) -> Path:
        path = tmp_path / "document"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


async def failure(extractor: Extractor, path: Path, media_type: str) -> ExtractionFailed:
    with pytest.raises(ExtractionFailed) as caught:
        await extractor.extract(path, media_type)
    return caught.value


def page_texts(found: Extracted) -> list[str]:
    return [found.text[page.char_start : page.char_end] for page in found.pages]


def heading_lines(found: Extracted) -> list[str]:
    return [found.text[heading.char_start :].split("\n")[0] for heading in found.headings]


@pytest.fixture
def parsers():
    """The parser processes that this test has started and that still run."""
    before = running_parsers()
    return lambda: sorted(running_parsers() - before)


def running_parsers() -> set[int]:
    found = set()
    for tasks in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread or a process that has just ended
            children = tasks.read_text().split()
            found |= {
                int(one) for one in children if "app.adapters.parsing" in Path(f"/proc/{one}/cmdline").read_text()
            }
    return found


def environment_of(process: int) -> str:
    return Path(f"/proc/{process}/environ").read_text()


async def wait_until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def wait_until_reading(fifo: Path) -> int:
    """Until a parser hangs on `fifo`; returns a descriptor to write to it."""
    opened: list[int] = []

    def open_for_writing() -> bool:
        with contextlib.suppress(OSError):  # nobody reads it yet
            opened.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    await wait_until(open_for_writing)
    return opened[0]


def is_written(fifo: int, data: bytes) -> bool:
    with contextlib.suppress(BrokenPipeError):  # nobody reads it yet
        return os.write(fifo, data) == len(data)
    return False


def test_every_supported_type_has_its_parser():
    assert set(PARSERS) == set(SUPPORTED)


async def test_a_pdf_gives_its_pages_in_order(extractor, document):
    pages = ["The harbour opens at six.\nBring (both) keys.", "Grüße from the café", ""]

    found = await extractor.extract(document(make_pdf(pages)), PDF)

    assert page_texts(found) == pages
    assert [page.number for page in found.pages] == [1, 2, 3]


async def test_a_scan_says_that_it_is_one(extractor, document):
    scan = await failure(extractor, document(make_scan()), PDF)

    assert scan.code == "NO_TEXT"
    assert "scan" in scan.message


async def test_headings_of_a_pdf_are_found_and_running_headers_are_not(extractor, document):
    prose = "The company sells boats to people who like water, and repairs them in the winter months."
    pages = [f"Annual Report of Boats\nItem {number}. Risk Factors\n{prose}" for number in range(1, 5)]

    found = await extractor.extract(document(make_pdf(pages)), PDF)

    assert [heading.text for heading in found.headings] == [f"Item {number}. Risk Factors" for number in range(1, 5)]
    assert heading_lines(found) == [heading.text for heading in found.headings]


async def test_a_word_document_keeps_headings_and_every_character(extractor, document):
    found = await extractor.extract(document(make_docx(["# R&D", "AT&T: 3 < 5 > 4", "## Naïve", "Ende"])), DOCX)

    assert found.text == "R&D\n\nAT&T: 3 < 5 > 4\n\nNaïve\n\nEnde"
    assert [(heading.level, heading.text) for heading in found.headings] == [(1, "R&D"), (2, "Naïve")]
    assert heading_lines(found) == ["R&D", "Naïve"]


async def test_a_word_table_gives_a_line_per_row_and_page_breaks_give_pages(extractor, document):
    cells = b"".join(b"<w:tc><w:p><w:r><w:t>%s</w:t></w:r></w:p></w:tc>" % cell for cell in (b"Tea", b"4 euros"))
    page_break = b'<w:p><w:r><w:br w:type="page"/><w:t>Over</w:t></w:r></w:p>'
    deleted = b"<w:p><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>"
    body = [b"<w:tbl><w:tr>%s</w:tr><w:tr>%s</w:tr></w:tbl>" % (cells, cells), deleted, page_break]

    found = await extractor.extract(document(pack_docx(body)), DOCX)

    assert page_texts(found) == ["| Tea | 4 euros |\n| --- | --- |\n| Tea | 4 euros |", "Over"]


async def test_html_is_what_a_reader_sees(extractor, document):
    page = """<!doctype html><head><title>Prices &amp; times</title><style>p {}</style></head>
        <h1>Prices</h1><p>Open <b>daily</b>.<script>alert(1)</script><img src=x onerror=alert(2)>
        <table><tr><th>Tea<th>Cake</tr><tr><td>4<td><p>5 &lt; 6</p></tr></table><ul><li>One<li>Two</ul>"""

    found = await extractor.extract(document(page), HTML)

    assert found.text == "Prices\n\nOpen daily.\n\n| Tea | Cake |\n| --- | --- |\n| 4 | 5 < 6 |\n\n- One\n- Two"
    assert [(heading.level, heading.text, heading.char_start) for heading in found.headings] == [(1, "Prices", 0)]
    assert found.title == "Prices & times"


async def test_html_that_nobody_would_write_is_read_in_linear_time(extractor, document):
    endless = ["<!--", "<a ", "<a b='", "</a ", "<![CDATA[", "<p", "<div><svg></p>", "<td>a<p>", "&#", "<script>", "<"]
    started = time.monotonic()
    for piece in endless:
        with contextlib.suppress(ExtractionFailed):
            await extractor.extract(document(piece * 100_000 + "x"), HTML)
    assert time.monotonic() - started < 20


async def test_html_without_its_optional_tags_is_read(extractor, document):
    page = "<title>A > B</title><meta name=x><p title='a > b'>One &lt; two<br/>three<P>Four</p><textarea><b></textarea>"

    found = await extractor.extract(document(page), HTML)

    assert found.text == "One < two\nthree\n\nFour\n\n<b>"
    assert found.title == "A > B"


async def test_markdown_stays_as_it_is_and_its_headings_are_found(extractor, document):
    text = "# Plan\n\nA  line.  \n```\n# no heading\n```\nSecond\n------\n### Third ###\n"

    found = await extractor.extract(document(text), MARKDOWN)

    assert found.text == text
    assert found.title == "Plan"
    assert [(heading.level, heading.text) for heading in found.headings] == [(1, "Plan"), (2, "Second"), (3, "Third")]
    assert heading_lines(found) == ["# Plan", "Second", "### Third ###"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8-sig", "Die Kasse schließt um 18 Uhr"),
        ("utf-16", "the meeting moved to Thursday"),
        ("utf-16-le", "the meeting moved to Thursday"),
        ("cp1252", "Señor Muñoz visitó el café à côté de la gare. “Smart” quotes, too."),
        ("cp932", "議事録：次回の会議は京都で開催します。担当は山田です。"),
        ("koi8-r", "Съешь же ещё этих мягких французских булок, да выпей чаю."),
    ],
)
async def test_text_is_read_in_whatever_encoding_it_is(extractor, document, encoding, text):
    assert (await extractor.extract(document(text.encode(encoding)), TEXT)).text == text


async def test_text_holds_nothing_that_the_database_refuses_or_that_hides_a_word(extractor, document):
    plain = await extractor.extract(document("a\0b\r\npass\u200bword\u2028cafe\u0301"), CSV)
    escaped = await extractor.extract(document(r'{"a": "\u00e9 \ud83d\ude00 \ud800 \u0000 \\u00e9"}'), JSON)

    assert plain.text == "ab\npassword\ncafé"
    assert escaped.text == '{"a": "é 😀 \ufffd  \\\\u00e9"}'


async def test_every_refusal_says_why(extractor, document, tmp_path):
    word = make_docx(["Hello"])
    reasons = [
        (make_pdf(["secret"], protected=True), PDF, "ENCRYPTED"),
        (b"%PDF-1.4\nnothing of a PDF", PDF, "CORRUPT"),
        (word[: len(word) // 2], DOCX, "CORRUPT"),
        (b"\0" * 100, TEXT, "NO_TEXT"),
        (b" \n\t", MARKDOWN, "NO_TEXT"),
        (b"[" * 5_000 + b"]" * 5_000, JSON, "NO_TEXT"),
        (b"", TEXT, "EMPTY"),
        (b"x" * 200_001, TEXT, "TOO_LARGE"),
        (make_pdf(["page"] * 21), PDF, "TOO_LARGE"),
        (make_zip_bomb(40), DOCX, "TOO_LARGE"),
        (b"GIF89a", "image/gif", "UNSUPPORTED_MEDIA_TYPE"),
    ]
    for content, media_type, code in reasons:
        assert (await failure(extractor, document(content), media_type)).code == code
    assert (await failure(extractor, tmp_path / "absent", TEXT)).code == "FILE_MISSING"


async def test_entities_of_a_word_document_are_never_expanded(extractor, document):
    paragraph = b'<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>%s</w:t></w:r></w:p></w:body></w:document>'
    plain = make_zip({"word/document.xml": paragraph % b"lol"})
    bomb = make_zip({"word/document.xml": b'<!DOCTYPE w [<!ENTITY a "lol">]>' + paragraph % b"&a;"})

    assert (await extractor.extract(document(plain), DOCX)).text == "lol"
    assert (await failure(extractor, document(bomb), DOCX)).code == "CORRUPT"


async def test_damaged_files_end_as_text_or_as_a_refusal(extractor, document):
    chance = random.Random(4)
    whole = {PDF: make_pdf(["Some text on a page", "More"]), DOCX: make_docx(["# Title", "Some text"])}
    outcomes = set()
    for number in range(60):
        media_type = (PDF, DOCX)[number % 2]
        broken = bytearray(whole[media_type])
        for _ in range(chance.randrange(1, 30)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            await extractor.extract(document(bytes(broken[: chance.randrange(len(broken))])), media_type)
            outcomes.add("text")
        except ExtractionFailed as error:
            outcomes.add(error.code)
    assert outcomes <= {"text", "CORRUPT", "NO_TEXT", "ENCRYPTED"}


async def test_a_file_that_needs_too_much_memory_is_refused_and_the_next_one_is_read(document):
    async with Extractor(DocumentSettings(parse_memory_bytes=60_000_000)) as extractor:
        huge = await failure(extractor, document(b"x\xe9" * 20_000_000), TEXT)
        found = await extractor.extract(document("small"), TEXT)

    assert huge.code == "TOO_LARGE"
    assert found.text == "small"


@needs_proc
async def test_a_parser_that_hangs_is_killed_and_the_next_file_is_read(document, tmp_path, parsers):
    os.mkfifo(tmp_path / "endless")
    settings = DocumentSettings(parse_timeout=timedelta(seconds=2), parse_processes=1)
    async with Extractor(settings) as extractor:
        started = time.monotonic()
        assert (await failure(extractor, tmp_path / "endless", TEXT)).code == "PARSE_TIMEOUT"
        assert time.monotonic() - started < 6
        assert parsers() == []
        assert (await extractor.extract(document("after"), TEXT)).text == "after"


@needs_proc
async def test_a_file_that_breaks_its_parser_is_refused(tmp_path, parsers):
    os.mkfifo(tmp_path / "slow")
    async with Extractor(DocumentSettings()) as extractor:
        reading = asyncio.create_task(failure(extractor, tmp_path / "slow", TEXT))
        writer = await wait_until_reading(tmp_path / "slow")
        os.kill(parsers()[0], signal.SIGSEGV)

        assert (await reading).code == "PARSE_CRASHED"
        os.close(writer)


@needs_proc
async def test_a_parser_that_others_have_used_is_replaced_when_it_dies_and_the_file_is_read(
    document, tmp_path, parsers
):
    os.mkfifo(tmp_path / "slow")
    async with Extractor(DocumentSettings()) as extractor:
        await extractor.extract(document("before"), TEXT)
        reading = asyncio.create_task(extractor.extract(tmp_path / "slow", TEXT))
        writer = await wait_until_reading(tmp_path / "slow")
        killed = parsers()
        os.kill(killed[0], signal.SIGKILL)
        await wait_until(lambda: parsers() not in ([], killed))
        await wait_until(lambda: is_written(writer, b"after"))
        os.close(writer)

        assert (await reading).text == "after"


@needs_proc
async def test_a_cancelled_reading_leaves_no_process(tmp_path, parsers):
    os.mkfifo(tmp_path / "slow")
    async with Extractor(DocumentSettings()) as extractor:
        reading = asyncio.create_task(extractor.extract(tmp_path / "slow", TEXT))
        writer = await wait_until_reading(tmp_path / "slow")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

        assert parsers() == []
        os.close(writer)


@needs_proc
async def test_parsers_know_no_secrets_and_end_with_their_extractor(document, monkeypatch, parsers):
    monkeypatch.setenv("JWT_SECRET", "known to the server alone, not to parsers")
    async with Extractor(DocumentSettings()) as extractor:
        await asyncio.gather(*(extractor.extract(document("text"), TEXT) for _ in range(5)))
        running = parsers()

        assert 1 <= len(running) <= DocumentSettings().parse_processes
        assert not any("JWT_SECRET" in environment_of(parser) for parser in running)
    assert parsers() == []


async def test_real_documents_are_read_or_refused_as_expected(shared_data):
    folder = shared_data / "documents"
    problems = {}
    async with Extractor(DocumentSettings()) as extractor:
        for entry, media_type in expected_documents(folder):
            problems[entry["file"]] = await judge(extractor, folder / entry["file"], media_type, entry)
    assert {file: problem for file, problem in problems.items() if problem} == {}


def expected_documents(folder: Path) -> list[tuple[dict, str]]:
    entries = json.loads((folder / "manifest.json").read_text())
    return [
        (entry, sniff((folder / entry["file"]).read_bytes()[:HEAD_BYTES], entry["upload_name"])) for entry in entries
    ]


async def judge(extractor: Extractor, path: Path, media_type: str, entry: dict) -> str | None:
    """What is wrong with the way that `path` was read; a type that is not supported must be refused, whatever it is."""
    started = time.monotonic()
    try:
        found = await extractor.extract(path, media_type)
    except ExtractionFailed as error:
        is_supported = media_type in SUPPORTED or not entry["expect"].endswith("_if_supported")
        must_be_read = entry["expect"].startswith("text") and entry["expect"] != "text_or_reject" and is_supported
        return f"refused: {error.code}" if must_be_read or not error.message else None
    if time.monotonic() - started > entry["max_seconds"]:
        return "too slow"
    if entry["expect"] in ("reject", "empty_or_reject"):
        return "accepted"
    return judge_text(found.text, entry)


def judge_text(text: str, entry: dict) -> str | None:
    folded = fold(text)
    script = entry.get("must_have_script")
    if sum(fold(wanted) in folded for wanted in entry["must_contain"]) < entry["min_hits"]:
        return "does not hold what it should"
    if any(unwanted in text for unwanted in entry.get("must_not_contain", ())):
        return "holds what it should not"
    if script and not any(script.upper() in unicodedata.name(character, "") for character in text):
        return f"holds no {script}"
    return None


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()
