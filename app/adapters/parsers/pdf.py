"""PDF, read by kreuzberg. Nothing here reaches out: no text recognition, no cache, no attachments."""

import contextlib
import re
from pathlib import Path

from kreuzberg import (
    ConcurrencyConfig,
    ContentFilterConfig,
    ExtractionConfig,
    ExtractionResult,
    KreuzbergError,
    PageConfig,
    PdfPageIterator,
    extract_bytes_sync,
)

from app.adapters.media_types import PDF
from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.headings import layout_headings, running_headers
from app.adapters.parsers.texts import tidy

_SPLIT_WORD = re.compile("(\\w{1,40})\x02\\s{0,4}(\\w{1,40})")  # pdfium's mark of a word divided at the end of a line
_HYPHENATED = re.compile(r"\w{1,40}-\w{1,40}")


def warm_up() -> None:
    """Load what the first document would have to load, and start the library's threads."""
    with contextlib.suppress(KreuzbergError):  # it is no document, and need not be
        extract_bytes_sync(b"%PDF-1.4", PDF, _configuration())


def read_pdf(data: bytes) -> Extracted:
    """Page by page, in lines as they are set; much faster, and truer to tables, than rebuilt paragraphs."""
    result = _extract(data)
    raw = [page["content"] for page in result.pages or ()]
    hyphenated = frozenset(_HYPHENATED.findall("\n".join(raw)))
    pages = [tidy(_SPLIT_WORD.sub(lambda match: _rejoin(match, hyphenated), page)) for page in raw]
    composer = Composer()
    headers = running_headers(pages)
    for number, text in enumerate(pages, start=1):
        composer.start_page(number)
        start = composer.add(text)
        for level, shown, offset in layout_headings(text, headers):
            composer.mark_heading(level, shown, start + offset)
    return composer.finish(result.metadata.get("title"))


def _configuration() -> ExtractionConfig:
    configuration = ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="plain",
        pages=PageConfig(extract_pages=True),
        concurrency=ConcurrencyConfig(max_threads=1),
        content_filter=ContentFilterConfig(
            include_headers=True, include_footers=True, strip_repeating_text=False, include_watermarks=True
        ),
    )
    configuration.max_archive_depth = 0
    return configuration


def _extract(data: bytes) -> ExtractionResult:
    try:
        return extract_bytes_sync(data, PDF, _configuration())
    except KreuzbergError as error:
        raise _refusal(str(error)) from error


def refuse_too_many_pages(path: Path, max_pages: int) -> None:
    """Raises Unreadable when the PDF at `path` is too long to be worth the wait, or is no PDF."""
    try:
        with PdfPageIterator(str(path)) as pages:
            count = len(pages)
    except RuntimeError as error:
        raise _refusal(str(error)) from error
    if count > max_pages:
        raise Unreadable("TOO_LARGE", f"The document has {count:,} pages; at most {max_pages:,} can be read.")


def _refusal(reason: str) -> Unreadable:
    lowered = reason.lower()
    if "password" in lowered or "encrypt" in lowered:
        return Unreadable("ENCRYPTED", "The file is protected by a password. Save it without one and upload it again.")
    if "security limit" in lowered:
        return Unreadable("TOO_LARGE", "The file expands to far more than its size: it was not unpacked.")
    return Unreadable("CORRUPT", "The file is damaged or incomplete. Try to open it, save it again and upload that.")


def _rejoin(match: re.Match[str], hyphenated: frozenset[str]) -> str:
    """`impor` + `tant` is one word; `chat` + `optimized` keeps its hyphen when the document writes it so elsewhere."""
    with_hyphen = f"{match[1]}-{match[2]}"
    return with_hyphen if with_hyphen in hyphenated else match[1] + match[2]
