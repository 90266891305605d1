"""Archives are one document, whose sections are the files in it; what could not be read is said."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import pytest

from app.adapters.media_types import BZIP2, DOCX, GZIP, HEAD_BYTES, TAR, XZ, ZIP, sniff
from app.adapters.parsers.archives import MAX_FILES
from app.adapters.parsers.documents import Unreadable
from app.adapters.parsing import PARSERS
from tests.documents import make_docx, make_pdf, make_zip, make_zip_bomb
from tests.office_files import make_xlsx

MAIL = b"Subject: Boats\r\nMessage-ID: <1>\r\n\r\nThey float."


def make_tar(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return packed.getvalue()


def encrypt(archive: bytes) -> bytes:
    """As if its first file asked for a password."""
    marked = bytearray(archive)
    listed = marked.index(b"PK\x01\x02")
    marked[6] |= 1
    marked[listed + 8] |= 1
    return bytes(marked)


def refusal(content: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        PARSERS[sniff(content[:HEAD_BYTES], None)](content)
    return caught.value.code


@pytest.mark.parametrize(
    ("pack", "media_type"),
    [
        (make_zip, ZIP),
        (make_tar, TAR),
        (lambda files: gzip.compress(make_tar(files)), GZIP),
        (lambda files: bz2.compress(make_tar(files)), BZIP2),
        (lambda files: lzma.compress(make_tar(files)), XZ),
    ],
)
def test_every_file_in_an_archive_is_a_section_under_its_name(pack: Callable[[Mapping[str, bytes]], bytes], media_type):
    files = {
        "docs/plan.docx": make_docx(["# Plan", "Step one"]),
        "two pages.pdf": make_pdf(["first", "second"]),
        "mails/boats.eml": MAIL,
        "broken.docx": make_docx(["a"])[:200],
        "../../photo.png": b"\x89PNG\r\n\x1a\n\0\0",
        "empty.txt": b"",
        "inner.zip": make_zip({"a.txt": b"a"}),
        "__MACOSX/._plan.docx": b"\0\0\0",
    }
    content = pack(files)
    assert sniff(content[:HEAD_BYTES], "a.txt") == media_type

    found = PARSERS[media_type](content)

    sections, unread = found.text.split("\n\nFiles that were not read\n\n")
    assert sections == (
        "docs/plan.docx\n\nPlan\n\nStep one\n\ntwo pages.pdf\n\nfirst\n\nsecond\n\n"
        "mails/boats.eml\n\nBoats\n\nThey float."
    )
    assert [line.split(": ")[0] for line in unread.split("\n")] == [
        "- broken.docx",
        "- ../../photo.png",
        "- empty.txt",
        "- inner.zip",
    ]
    assert [(heading.level, heading.text) for heading in found.headings] == [
        (1, "docs/plan.docx"),
        (2, "Plan"),
        (1, "two pages.pdf"),
        (2, "Page 1"),
        (2, "Page 2"),
        (1, "mails/boats.eml"),
        (2, "Boats"),
        (1, "Files that were not read"),
    ]


def test_a_single_compressed_file_is_read_as_itself():
    assert PARSERS[GZIP](gzip.compress(make_docx(["# Plan"]))).text == "Plan"


def test_an_office_file_that_begins_with_its_pictures_is_still_one():
    parts = {"media/picture.bin": bytes(100), "folder/a.txt": b"a"}
    packed = io.BytesIO(make_xlsx({"One": "<row><c><v>1</v></c></row>"}))
    with zipfile.ZipFile(packed) as workbook:
        parts |= {name: workbook.read(name) for name in workbook.namelist()}

    assert PARSERS[ZIP](make_zip(parts)).text == "One\n\n1"


def test_names_in_the_code_page_of_another_machine_are_read():
    content = make_zip({"XXXX.txt": b"text"}).replace(b"XXXX", "議事".encode("cp932"))

    assert PARSERS[ZIP](content).text.endswith(".txt\n\ntext")
    assert PARSERS[ZIP](make_zip({"plän.txt": b"text"})).text == "plän.txt\n\ntext"


def test_archives_that_cannot_be_read_say_why():
    reasons = [
        (encrypt(make_zip({"a.txt": b"text"})), "ENCRYPTED"),
        (make_zip({"a.png": b"\x89PNG\r\n\x1a\n\0\0"}), "NO_TEXT"),
        (make_zip({}), "NO_TEXT"),
        (make_zip({"a.txt": b"text"})[:-30], "CORRUPT"),
        (make_tar({"a.txt": b"text" * 1_000})[:2_000], "CORRUPT"),
        (gzip.compress(make_tar({"a.txt": bytes(5_000)}))[:-50], "CORRUPT"),
        (gzip.compress(gzip.compress(b"text")), "UNSUPPORTED_MEDIA_TYPE"),
        (make_zip({f"{number}.txt": b"text" for number in range(MAX_FILES + 1)}), "TOO_LARGE"),
        (make_zip({"a.txt": b"text", "bomb.docx": make_zip_bomb(40)}), "TOO_LARGE"),
        (make_zip({"bomb.txt": bytes(50_000_000)}), "TOO_LARGE"),
        (gzip.compress(bytes(300_000_000), 1), "TOO_LARGE"),
    ]
    for content, code in reasons:
        assert refusal(content) == code


def test_a_word_document_is_none_of_these():
    assert sniff(make_docx(["a"])[:HEAD_BYTES], "a.zip") == DOCX
