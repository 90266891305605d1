"""Which function reads which format: those of one document, which may also lie in an archive or hang on a mail."""

from collections.abc import Callable, Mapping

from app.adapters.media_types import (
    CSV,
    DOCX,
    EPUB,
    HEAD_BYTES,
    HTML,
    JSON,
    MARKDOWN,
    NOTEBOOK,
    ODP,
    ODS,
    ODT,
    PDF,
    PPTX,
    RESTRUCTURED_TEXT,
    RTF,
    TEXT,
    TSV,
    XLSX,
    sniff,
)
from app.adapters.parsers.books import read_epub
from app.adapters.parsers.documents import Extracted
from app.adapters.parsers.hypertext import read_html
from app.adapters.parsers.notebooks import read_notebook
from app.adapters.parsers.open_documents import read_open_document
from app.adapters.parsers.pdf import read_pdf
from app.adapters.parsers.plain import read_json, read_markdown, read_text
from app.adapters.parsers.rich_text import read_rtf
from app.adapters.parsers.sheets import read_xlsx
from app.adapters.parsers.slides import read_pptx
from app.adapters.parsers.word import read_docx

Parser = Callable[[bytes], Extracted]

FORMATS: Mapping[str, Parser] = {
    PDF: read_pdf,
    DOCX: read_docx,
    PPTX: read_pptx,
    XLSX: read_xlsx,
    ODT: read_open_document,
    ODS: read_open_document,
    ODP: read_open_document,
    EPUB: read_epub,
    RTF: read_rtf,
    HTML: read_html,
    MARKDOWN: read_markdown,
    NOTEBOOK: read_notebook,
    JSON: read_json,
    TEXT: read_text,
    CSV: read_text,
    TSV: read_text,
    RESTRUCTURED_TEXT: read_text,
}


def find_format(data: bytes, filename: str | None) -> tuple[str, Parser | None]:
    """The type of a file that is part of another, and what reads it."""
    media_type = sniff(data[:HEAD_BYTES], filename)
    return media_type, FORMATS.get(media_type)
