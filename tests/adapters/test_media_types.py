"""Files are what their bytes say, whatever they are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.media_types import (
    CSV,
    DOCX,
    EMAIL,
    EMPTY,
    ENCRYPTED_OFFICE,
    EPUB,
    HEAD_BYTES,
    HTML,
    JSON,
    MARKDOWN,
    NOTEBOOK,
    ODS,
    OLE,
    PDF,
    PPTX,
    RTF,
    SUPPORTED,
    TEXT,
    UNKNOWN,
    XLSX,
    XML,
    ZIP,
    refusal,
    sniff,
)
from tests.documents import make_docx, make_pdf, make_zip
from tests.office_files import make_epub, make_ods, make_pptx, make_xlsx


@pytest.mark.parametrize(
    ("content", "filename", "media_type"),
    [
        (make_pdf(["a"]), "notes.txt", PDF),
        (b"HTTP header\n" + make_pdf(["a"]), "a.pdf", PDF),
        (b"A PDF begins with %PDF-1.4, they say.", "a.txt", TEXT),
        (make_docx(["a"]), "notes.txt", DOCX),
        (make_zip({"[Content_Types].xml": b'<Override PartName="/word/document.xml"/>'}), None, DOCX),
        (make_zip({"xl/workbook.xml": b""}), "a.docx", XLSX),
        (make_zip({"mimetype": b"", "a": b""}), None, ZIP),
        (make_zip({"holiday.jpg": b""}), "a.docx", ZIP),
        (b"\x89PNG\r\n\x1a\n\0\0", "invoice.pdf", "image/png"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "a.docx", OLE),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "a.docx",
            ENCRYPTED_OFFICE,
        ),
        (b"BMW builds cars.", "a.txt", TEXT),
        (make_xlsx({"One": ""}), "a.zip", XLSX),
        (make_pptx([]), "a.docx", PPTX),
        (make_ods({}), "a.zip", ODS),
        (make_epub({}, order=[]), None, EPUB),
        (b"{\\rtf1 a}", "a.doc", RTF),
        (b'{\n "cells": [\n  {\n   "cell_type": "code"', None, NOTEBOOK),
        (b"<html><body>Not a PDF", "report.pdf", HTML),
        (b"<!-- made by hand -->\n<!DOCTYPE HTML>", "a.md", HTML),
        ("<!doctype html>".encode("utf-16"), None, HTML),
        (b'<p align="center">Logo</p>\n# Read me', "README.md", MARKDOWN),
        (b"<p>Hello</p>", None, HTML),
        (b"<?xml version='1.0'?><html>", None, HTML),
        (b"<?xml version='1.0'?><rss>", "a.txt", XML),
        (b"# Title", "a.md", MARKDOWN),
        (b"# Title", None, TEXT),
        (b"a;b", "C:\\data\\A.CSV", CSV),
        (b'{"a": 1}', None, JSON),
        (b"[1] Smith, J.: On boats.", None, TEXT),
        (b'{"cells": []}', "a.ipynb", NOTEBOOK),
        (b"Received: from a\nSubject: b\n\nc", None, EMAIL),
        ("次回の会議".encode("cp932"), "a.txt", TEXT),
        ("hello there".encode("utf-16-le"), "a.txt", TEXT),
        (b"Budget\0 approved on Monday", "a.txt", TEXT),
        (bytes(range(256)), "a.txt", UNKNOWN),
        (b"", "a.txt", EMPTY),
    ],
)
def test_bytes_decide_and_names_only_tell_texts_apart(content, filename, media_type):
    assert sniff(content[:HEAD_BYTES], filename) == media_type


def test_a_book_is_told_by_its_first_part():
    content = bytearray(make_zip({"mimetype": b""}))
    content[18:22] = len(EPUB).to_bytes(4, "little")  # as if it were stored, not packed
    assert sniff(bytes(content[:38]) + EPUB.encode(), None) == EPUB


@pytest.mark.parametrize("media_type", [EMPTY, ENCRYPTED_OFFICE, OLE, "application/vnd.rar", UNKNOWN, XML, "image/png"])
def test_what_is_not_supported_is_refused_in_a_sentence(media_type):
    assert media_type not in SUPPORTED
    assert refusal(media_type).endswith(".")


@given(st.binary(max_size=600), st.none() | st.text(max_size=20))
def test_any_bytes_have_some_type(head, filename):
    assert "/" in sniff(head, filename)


@given(st.sampled_from([b"PK\x03\x04", b"RIFF", b"%PDF-", b"<?xml", b"<!--", b"PK\x03\x04" + b"\0" * 26]), st.binary())
def test_any_continuation_of_a_known_beginning_has_some_type(beginning, rest):
    assert "/" in sniff(beginning + rest, "a.docx")
