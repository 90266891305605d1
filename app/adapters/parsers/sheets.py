"""Excel workbooks (XLSX): a page and a heading per sheet, Markdown tables, numbers and dates as they are shown."""

import re
from collections.abc import Mapping, Sequence

from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.number_formats import BUILT_IN, GENERAL, show_number
from app.adapters.parsers.packages import RELATION_ID, Ignore, Package, Texts, open_package, relations_of
from app.adapters.parsers.tables import sparse_table
from app.adapters.parsers.texts import tidy

MAX_CELLS = 2_000_000
MAX_COLUMN = 16_384

_COLUMN = re.compile(r"[A-Z]{1,3}")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_TRUE = ("1", "true", "on")

Block = list[dict[int, str]]


def read_xlsx(data: bytes) -> Extracted:
    """Every sheet that is shown; comments and hidden sheets are left out. A blank row ends a table.

    Raises:
        Unreadable: also TOO_LARGE, for more than `MAX_CELLS`.
    """
    with open_package(data) as package:
        main = next(iter(relations_of(package, "").of_kind("officeDocument")), "xl/workbook.xml")
        if main.endswith(".bin"):
            raise Unreadable("UNSUPPORTED_MEDIA_TYPE", "Binary workbooks (XLSB) cannot be read: save it as XLSX.")
        workbook, core = _Workbook(), Texts(("title",))
        if not package.read(main, workbook):
            raise Unreadable("CORRUPT", "The file is damaged: it holds no workbook.")
        package.read("docProps/core.xml", core)
        relations = relations_of(package, main)
        strings, styles = _Strings(), _Styles()
        for part in relations.of_kind("sharedStrings"):
            package.read(part, strings)
        for part in relations.of_kind("styles"):
            package.read(part, styles)
        cells = _Cells(strings.found, styles.codes, is_1904=workbook.is_1904)
        composer = Composer()
        for number, (name, relation) in enumerate(workbook.shown, start=1):
            composer.start_page(number)
            composer.add_heading(1, tidy(name))
            for block in _blocks(package, relations.parts.get(relation, ""), cells):
                composer.add(sparse_table(block))
    if not cells.left < MAX_CELLS:
        raise Unreadable("NO_TEXT", "No text was found in the file: its sheets are empty.")
    return composer.finish(core.found.get("title"))


def _blocks(package: Package, part: str, cells: "_Cells") -> Sequence[Block]:
    sheet = _Sheet(cells)
    package.read(part, sheet)
    return [block for block in sheet.blocks if block]


class _Workbook(Ignore):
    """Its sheets (name, relation) in order."""

    def __init__(self) -> None:
        self.is_1904 = False
        self._sheets: list[tuple[str, str, bool]] = []

    @property
    def shown(self) -> list[tuple[str, str]]:
        return [(name, relation) for name, relation, is_shown in self._sheets if is_shown]

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "sheet":
            is_shown = attributes.get("state", "visible") == "visible"
            self._sheets.append((attributes.get("name", ""), attributes.get(RELATION_ID, ""), is_shown))
        elif name == "workbookPr":
            self.is_1904 = attributes.get("date1904", "") in _TRUE


class _Strings:
    """The strings that cells refer to by number; readings of Japanese words, which stand beside them, are left out."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._pieces: list[str] = []
        self._is_text = False
        self._is_reading = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:  # noqa: ARG002 (of the protocol)
        if name == "si":
            self._pieces = []
        elif name == "rPh":
            self._is_reading = True
        elif name == "t":
            self._is_text = not self._is_reading

    def end(self, name: str) -> None:
        if name == "si":
            self.found.append(_unescape("".join(self._pieces)))
        elif name == "rPh":
            self._is_reading = False
        elif name == "t":
            self._is_text = False

    def text(self, data: str) -> None:
        if self._is_text:
            self._pieces.append(data)


class _Styles(Ignore):
    """The format code of every cell style."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self._own: dict[str, str] = {}
        self._is_in_cell_styles = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "numFmt":
            self._own[attributes.get("numFmtId", "")] = attributes.get("formatCode", GENERAL)
        elif name == "cellXfs":
            self._is_in_cell_styles = True
        elif name == "xf" and self._is_in_cell_styles:
            number = attributes.get("numFmtId", "0")
            built_in = BUILT_IN.get(int(number), GENERAL) if number.isdecimal() and len(number) < 9 else GENERAL
            self.codes.append(self._own.get(number, built_in))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._is_in_cell_styles = False


class _Cells:
    """What stands in a cell, from how the file writes it; counts the cells of all sheets."""

    def __init__(self, strings: Sequence[str], codes: Sequence[str], *, is_1904: bool) -> None:
        self.left = MAX_CELLS
        self._strings = strings
        self._codes = codes
        self._is_1904 = is_1904

    def show(self, kind: str, style: str, value: str, formula: str) -> str:
        """As shown when the file was last saved; a formula that no program has worked out yet as it is."""
        self.left -= 1
        if self.left < 0:
            raise Unreadable("TOO_LARGE", f"The workbook has more than {MAX_CELLS:,} filled cells.")
        if not value:
            return f"={formula}" if formula else ""
        if kind == "s":
            return self._strings[int(value)] if value.isdecimal() and int(value) < len(self._strings) else ""
        if kind == "b":
            return "TRUE" if value in _TRUE else "FALSE"
        if kind in ("inlineStr", "str"):
            return _unescape(value)
        return show_number(value, self._code(style), epoch_1904=self._is_1904) if kind in ("n", "") else value

    def _code(self, style: str) -> str:
        return self._codes[int(style)] if style.isdecimal() and int(style) < len(self._codes) else GENERAL


class _Sheet:
    """Blocks of rows between blank ones."""

    def __init__(self, cells: _Cells) -> None:
        self.blocks: list[Block] = [[]]
        self._cells = cells
        self._row_number = 0
        self._row: dict[int, str] = {}
        self._column = 0
        self._attributes: Mapping[str, str] = {}
        self._value: list[str] = []
        self._formula: list[str] = []
        self._into: list[str] | None = None
        self._is_reading = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "row":
            self._start_row(attributes.get("r", ""))
        elif name == "c":
            self._attributes = attributes
            self._column = _column(attributes.get("r", ""), self._column + 1)
            self._value, self._formula = [], []
        elif name == "v" or (name == "t" and not self._is_reading):
            self._into = self._value
        elif name == "f":
            self._into = self._formula
        elif name == "rPh":
            self._is_reading = True

    def end(self, name: str) -> None:
        if name == "c":
            self._end_cell()
        elif name == "row":
            self.blocks[-1].extend([self._row] if self._row else [])
        elif name in ("v", "t", "f"):
            self._into = None
        elif name == "rPh":
            self._is_reading = False

    def text(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)

    def _start_row(self, number: str) -> None:
        previous = self._row_number
        self._row_number = int(number) if number.isdecimal() and len(number) < 9 else previous + 1
        if (self._row_number != previous + 1 or not self._row) and self.blocks[-1]:
            self.blocks.append([])
        self._row, self._column = {}, 0

    def _end_cell(self) -> None:
        kind, style = self._attributes.get("t", ""), self._attributes.get("s", "0")
        value, formula = "".join(self._value), "".join(self._formula)
        if value or formula:
            shown = tidy(self._cells.show(kind, style, value, formula))
            if shown:
                self._row[self._column] = shown


def _column(reference: str, following: int) -> int:
    """The column's number, counted from 1; the cell after the last one where it is not said."""
    letters = _COLUMN.match(reference)
    if not letters:
        return min(following, MAX_COLUMN)
    number = 0
    for letter in letters[0]:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _unescape(text: str) -> str:
    """`_x000D_` is how a workbook writes characters that XML cannot hold."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text
