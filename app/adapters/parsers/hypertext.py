"""HTML: what a reader of the page sees, with headings found and every table row on a line of its own."""

import re

from app.adapters.parsers.documents import Composer, Extracted
from app.adapters.parsers.markup import read_markup
from app.adapters.parsers.tables import head_line
from app.adapters.parsers.texts import decode, tidy

SKIPPED = frozenset(("script", "style", "noscript", "template", "svg", "iframe", "object"))
CELLS = frozenset(("td", "th"))
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
BLOCKS = HEADINGS.union(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt"),
    ("fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend", "li", "main", "nav"),
    ("ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"),
)
ROWS = frozenset(("tr", "table"))
TIGHT = frozenset(("li", "tr", "dd", "dt"))  # on the next line, without a blank line between
SHORT_CELL = 200  # a longer cell is a piece of the page's layout: what stands in it keeps its paragraphs

_CHARSET = re.compile(rb"""<meta[^>]{0,300}charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_WHITE_SPACE = re.compile(r"\s+")


def read_html(data: bytes) -> Extracted:
    declared = _CHARSET.search(data[:4096])
    return read_html_text(decode(data, declared[1].decode("ascii") if declared else None))


def read_html_text(text: str) -> Extracted:
    reader = _Reader()
    for kind, value in read_markup(text):
        if kind == "text":
            reader.text(value)
        elif kind == "start":
            reader.start(value)
        else:
            reader.end(value)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self._composer = Composer()
        self._block: list[str] = []
        self._gap = "\n\n"
        self._skipped: str | None = None  # the element that is left out now, with all that stands in it
        self._in_title = False
        self._title: list[str] = []
        self._heading: int | None = None
        self._in_cell, self._cell_start, self._cells_in_row = False, 0, 0
        self._rows = 0  # of the table, so far
        self._row_is_whole = True  # none of it has been written yet
        self._awaits_head = False  # a table whose first row is one of `<th>`
        self._preformatted = 0

    def start(self, tag: str) -> None:
        if self._skipped:
            return
        if tag in SKIPPED:
            self._skipped = tag
        elif tag == "title":
            self._in_title = True
        elif tag in CELLS:
            self._start_cell(tag)
        elif tag == "br":
            self._block.append(" " if self._in_cell else "\n")
        elif tag in BLOCKS:
            self._start_block(tag)

    def end(self, tag: str) -> None:
        if self._skipped:
            self._skipped = None if tag == self._skipped else self._skipped
        elif tag == "title":
            self._in_title = False
        elif tag in CELLS:
            self._in_cell = False
        elif tag in BLOCKS:
            self._end_block(tag)

    def text(self, data: str) -> None:
        if self._in_title:
            self._title.append(data)
        elif not self._skipped:
            self._block.append(data if self._preformatted else _WHITE_SPACE.sub(" ", data))

    def finish(self) -> Extracted:
        self._flush()
        return self._composer.finish("".join(self._title))

    def _start_cell(self, tag: str) -> None:
        self._block.append(" | " if self._cells_in_row else "")
        self._awaits_head = self._awaits_head or (tag == "th" and not self._rows)
        self._cells_in_row += 1
        self._in_cell, self._cell_start = True, len(self._block)

    def _start_block(self, tag: str) -> None:
        if self._in_cell and tag not in HEADINGS | ROWS and sum(map(len, self._block[self._cell_start :])) < SHORT_CELL:
            self._block.append(" ")
            return
        self._flush()
        self._widen_gap(tag)
        if tag in ROWS:
            self._start_row(tag)
        self._preformatted += tag == "pre"
        self._heading = int(tag[1]) if tag in HEADINGS else None
        if tag == "li":
            self._block.append("- ")

    def _end_block(self, tag: str) -> None:
        self._preformatted = max(0, self._preformatted - (tag == "pre"))
        if self._in_cell and self._heading is None and tag not in ROWS:
            self._block.append(" ")
            return
        self._flush()
        self._widen_gap(tag)
        if tag in ROWS:
            self._start_row(tag)
        self._heading = None

    def _start_row(self, tag: str) -> None:
        self._in_cell, self._cells_in_row, self._row_is_whole = False, 0, True
        if tag == "table":
            self._rows, self._awaits_head = 0, False

    def _widen_gap(self, tag: str) -> None:
        """The widest of the gaps that were asked for since the last text."""
        self._gap = max(self._gap, "\n" if tag in TIGHT or self._in_cell else "\n\n")

    def _flush(self) -> None:
        if not self._block:
            return
        text = tidy("".join(self._block))
        self._block.clear()
        self._cell_start = 0
        if not text.strip(" -|\n"):
            return
        if self._heading:
            self._composer.add_heading(self._heading, " ".join(text.split()))
        elif self._cells_in_row > 1 and self._row_is_whole and "\n" not in text:
            self._add_row(text)
        else:
            self._composer.add(text, gap=self._gap)
            self._row_is_whole = False
        self._gap = "\n"

    def _add_row(self, text: str) -> None:
        self._composer.add(f"| {text} |", gap=self._gap)
        self._rows += 1
        if self._awaits_head:
            self._composer.add(head_line(self._cells_in_row), gap="\n")
            self._awaits_head = False
