"""OpenDocument texts, spreadsheets and presentations (ODT, ODS, ODP): one reader, for they share their elements."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.packages import Ignore, Texts, open_package
from app.adapters.parsers.tables import sparse_table
from app.adapters.parsers.texts import tidy

MAX_CELLS = 2_000_000
MAX_REPEATS = 100  # of a row or a cell that holds something; empty ones may be repeated to the edge of the sheet
MAX_SPACES = 100
MAX_LEVEL = 9

_SKIPPED = frozenset(  # comments, what was deleted, what is no text, numbers of notes, descriptions of pictures
    ("annotation", "tracked-changes", "forms", "scripts", "event-listeners", "binary-data", "note-citation", "title")
) | frozenset(("desc", "ruby-text", "page-thumbnail"))
_CELLS = frozenset(("table-cell", "covered-table-cell"))
_TABLES = frozenset(("table", "table-row")) | _CELLS
_FURNITURE = frozenset(("date-time", "footer", "header", "page-number", "page"))  # classes of frames
_VALUES = ("string-value", "date-value", "time-value", "boolean-value", "value")

_WHITE_SPACE = re.compile(r"\s+")


def read_open_document(data: bytes) -> Extracted:
    """Slides and sheets are pages; so are those of a text whose program has noted where they ended.

    Raises:
        Unreadable: also TOO_LARGE, for more than `MAX_CELLS`, and NO_TEXT for sheets that are all empty.
    """
    with open_package(data) as package:
        encryption, meta = _Encryption(), Texts(("title",))
        package.read("META-INF/manifest.xml", encryption)
        if encryption.is_there:
            raise Unreadable("ENCRYPTED", "The file is protected by a password.")
        package.read("meta.xml", meta)
        composer = Composer()
        content = _Content(composer)
        if not package.read("content.xml", content):
            raise Unreadable("CORRUPT", "The file is damaged: it holds no document.")
    if content.holds_nothing:
        raise Unreadable("NO_TEXT", "No text was found in the file: its sheets are empty.")
    return composer.finish(meta.found.get("title"))


class _Encryption(Ignore):
    def __init__(self) -> None:
        self.is_there = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:  # noqa: ARG002 (of the protocol)
        self.is_there = self.is_there or name == "encryption-data"


@dataclass(slots=True)
class _Paragraph:
    """`page` is where it begins."""

    page: int
    level: int | None = None
    is_item: bool = False
    pieces: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Tables:
    """The tables that are open, one inside a cell of the other."""

    def __init__(self) -> None:
        self._open: list[_Table] = []
        self._left = MAX_CELLS
        self.is_any = False

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, text: str) -> None:
        """Text of the open cell."""
        self._open[-1].cell.append(text)

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "table":
            self._open.append(_Table())
        elif self._open and name == "table-row":
            self._open[-1].row, self._open[-1].column = {}, 0
            self._open[-1].row_repeats = _count(attributes.get("number-rows-repeated", "1"))
        elif self._open:
            value = next((attributes[key] for key in _VALUES if key in attributes), "")
            self._open[-1].cell, self._open[-1].value = [], value
            self._open[-1].cell_repeats = _count(attributes.get("number-columns-repeated", "1"))

    def end(self, name: str) -> str:
        """The table in Markdown, when the outermost has ended."""
        if self._open and name in _CELLS:
            self._end_cell(self._open[-1], is_covered=name != "table-cell")
        elif self._open and name == "table-row":
            self._end_row(self._open[-1])
        elif self._open:
            shown = "\n\n".join(sparse_table(block) for block in self._open.pop().blocks if block)
            if not self._open:
                return shown
            self.add(shown)
        return ""

    def _end_cell(self, table: "_Table", *, is_covered: bool) -> None:
        """What lies under a merged cell is not shown."""
        shown = "" if is_covered else tidy(" ".join(table.cell)) or table.value
        if shown:
            repeats = min(table.cell_repeats, MAX_REPEATS)
            self._count(repeats)
            table.row.update((table.column + number, shown) for number in range(repeats))
        table.column += table.cell_repeats
        table.cell = []

    def _end_row(self, table: "_Table") -> None:
        if table.row:
            repeats = min(table.row_repeats, MAX_REPEATS)
            self._count(len(table.row) * (repeats - 1))
            table.blocks[-1].extend([table.row] * repeats)
        elif table.blocks[-1]:
            table.blocks.append([])

    def _count(self, cells: int) -> None:
        self.is_any = True
        self._left -= cells
        if self._left < 0:
            raise Unreadable("TOO_LARGE", f"The file has more than {MAX_CELLS:,} filled cells.")


@dataclass(slots=True)
class _Table:
    """Rows between blank ones, and the row and the cell that are open."""

    blocks: list[list[dict[int, str]]] = field(default_factory=lambda: [[]])
    row: dict[int, str] = field(default_factory=dict)
    column: int = 0
    row_repeats: int = 1
    cell_repeats: int = 1
    cell: list[str] = field(default_factory=list)
    value: str = ""


class _Content:
    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._open: list[_Paragraph] = []  # more than one inside a note or a frame
        self._tables = _Tables()
        self._notes: list[list[str]] = []
        self._lists = self._skipping = self._page = self._shown_page = 0
        self._frame = ""  # its class
        self._style = ""
        self._hidden: set[str] = set()  # styles of sheets
        self._is_workbook = self._was_item = False

    @property
    def holds_nothing(self) -> bool:
        return self._is_workbook and not self._tables.is_any

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in _SKIPPED or self._skipping or self._is_left_out(name, attributes):
            self._skipping += 1
        elif name in ("p", "h"):
            level = _level(attributes) if name == "h" else 1 if self._frame in ("title", "subtitle") else None
            self._open.append(_Paragraph(self._page, level, is_item=self._lists > 0))
        elif name in _TABLES:
            self._start_table(name, attributes)
        elif name in ("s", "tab", "line-break") and self._open:
            self._open[-1].pieces.append(_white_space(name, attributes))
        else:
            self._start_block(name, attributes)

    def end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
        elif name in ("p", "h") and self._open:
            self._end_paragraph(self._open.pop())
        elif name in _TABLES:
            self._add(self._tables.end(name), self._page)
        elif name == "list":
            self._lists -= 1
        elif name == "frame":
            self._frame = ""
        elif name in ("note", "notes") and self._notes:
            self._end_note(self._notes.pop())

    def text(self, data: str) -> None:
        if self._open and not self._skipping:
            self._open[-1].pieces.append(_WHITE_SPACE.sub(" ", data))

    def _is_left_out(self, name: str, attributes: Mapping[str, str]) -> bool:
        is_hidden = name == "table" and self._is_workbook and attributes.get("style-name") in self._hidden
        return is_hidden or (name == "frame" and attributes.get("class") in _FURNITURE)

    def _start_table(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "table" and self._is_workbook and not self._tables:
            self._page += 1
            self._turn_to(self._page)
            self._composer.add_heading(1, tidy(attributes.get("name", "")))
        self._tables.start(name, attributes)

    def _start_block(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "list":
            self._lists += 1
        elif name == "frame":
            self._frame = attributes.get("class", "")
        elif name in ("note", "notes"):
            self._notes.append([])
        elif name == "spreadsheet":
            self._is_workbook = True
        elif name == "page" or (name == "soft-page-break" and self._page):
            self._page += 1
            self._turn_to(self._page if name == "page" else self._shown_page)
        elif name == "text" and attributes.get("use-soft-page-breaks") == "true":
            self._page = 1
        elif name == "style":
            self._style = attributes.get("name", "")
        elif name == "table-properties" and attributes.get("display") == "false":
            self._hidden.add(self._style)

    def _end_paragraph(self, paragraph: _Paragraph) -> None:
        shown = tidy("".join(paragraph.pieces))
        if self._notes:
            self._notes[-1].append(shown)
        elif self._tables:
            self._tables.add(" ".join([shown, *paragraph.notes]))
        else:
            if paragraph.level and shown:
                self._turn_to(paragraph.page)
                self._composer.add_heading(paragraph.level, " ".join(shown.split()))
            else:
                is_tight = paragraph.is_item and self._was_item
                self._add(f"- {shown}" if shown and paragraph.is_item else shown, paragraph.page, is_tight=is_tight)
            self._was_item = paragraph.is_item
            for note in paragraph.notes:
                self._composer.add(note, gap="\n")

    def _end_note(self, lines: list[str]) -> None:
        """A note of a text stands below its paragraph; those of a speaker below the slide."""
        said = " ".join(line for line in lines if line)
        if self._open:
            self._open[-1].notes.append(said)
        elif said:
            self._add(f"Notes: {said}", self._page)

    def _add(self, text: str, page: int, *, is_tight: bool = False) -> None:
        if text:
            self._turn_to(page)
            self._composer.add(text, gap="\n" if is_tight else "\n\n")

    def _turn_to(self, page: int) -> None:
        while self._shown_page < page:
            self._shown_page += 1
            self._composer.start_page(self._shown_page)


def _level(attributes: Mapping[str, str]) -> int:
    return max(1, min(MAX_LEVEL, _count(attributes.get("outline-level", "1"))))


def _white_space(name: str, attributes: Mapping[str, str]) -> str:
    if name == "s":
        return " " * min(MAX_SPACES, _count(attributes.get("c", "1")))
    return "\t" if name == "tab" else "\n"


def _count(value: str) -> int:
    return int(value) if value.isdecimal() and len(value) < 10 else 1
