"""Word documents (DOCX), read by ourselves: kreuzberg 4.10 drops every `&`, `<` and `>` of their text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.packages import Package, Texts, open_package, relations_of
from app.adapters.parsers.tables import head_line, row_line
from app.adapters.parsers.texts import tidy

MAX_LEVEL = 9
CELL_SEPARATOR = " | "  # within a cell, where a table can be no table

_SKIPPED = frozenset(("Fallback", "moveFrom", "del"))  # said twice, moved away, deleted
_CHARACTERS: Mapping[str, str] = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_FORMULA: Mapping[str, str] = {"den": "/", "sup": "^", "sub": "_"}
_NOTES: Mapping[str, str] = {"footnoteReference": "footnote", "endnoteReference": "endnote"}


@dataclass(slots=True)
class _Paragraph:
    """`printed_page` counts the breaks that Word left when it last showed the file, `broken_page` those set by hand."""

    printed_page: int
    broken_page: int
    pieces: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    level: int | None = None
    is_item: bool = False
    is_row: bool = False

    @property
    def text(self) -> str:
        shown = tidy("".join(self.pieces))
        return f"- {shown}" if shown and self.is_item and not self.level else shown


def read_docx(data: bytes) -> Extracted:
    """Headings by their style or outline level, a line per table row, notes below the paragraph that refers to them.

    Pages are known only where Word, or the author, left page breaks in the file.
    """
    with open_package(data) as package:
        main = _main_part(package)
        folder = main.rpartition("/")[0]
        styles, core = _Styles(), Texts(("title",))
        package.read(f"{folder}/styles.xml", styles)
        package.read("docProps/core.xml", core)
        notes: dict[tuple[str, str], str] = {}
        for kind in _NOTES.values():
            found = _Notes(kind)
            package.read(f"{folder}/{kind}s.xml", found)
            notes.update(found.texts)
        body = _Body(styles.levels())
        if not package.read(main, body):
            raise Unreadable("CORRUPT", "The file is damaged: it holds no Word document.")
    return _compose(body.paragraphs, notes, core.found.get("title"))


def _compose(paragraphs: Iterable[_Paragraph], notes: Mapping[tuple[str, str], str], title: str | None) -> Extracted:
    shown = [(paragraph, paragraph.text) for paragraph in paragraphs]
    is_printed = any(paragraph.printed_page > 1 for paragraph, _ in shown)
    pages = [paragraph.printed_page if is_printed else paragraph.broken_page for paragraph, _ in shown]
    composer, page, was_tight = Composer(), 0, False
    for (paragraph, text), number in zip(shown, pages, strict=True):
        if number > page and pages[-1] > 1:
            for skipped in range(page + 1, number + 1):
                composer.start_page(skipped)
            page = number
        is_tight = paragraph.is_row or paragraph.is_item
        if paragraph.level and text:
            composer.add_heading(paragraph.level, text)
        elif text:
            composer.add(text, gap="\n" if is_tight and was_tight else "\n\n")
        was_tight = is_tight if text else was_tight
        for note in paragraph.notes:
            composer.add(notes.get(note, ""), gap="\n")
    return composer.finish(title)


def _main_part(package: Package) -> str:
    return next(iter(relations_of(package, "").of_kind("officeDocument")), "word/document.xml")


class _Styles:
    """Which paragraph styles are headings, by name, by outline level, or by the style they are based on."""

    def __init__(self) -> None:
        self._own: dict[str, int] = {}
        self._bases: dict[str, str] = {}
        self._style = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        value = attributes.get("val", "")
        if name == "style":
            self._style = attributes.get("styleId", "")
        elif name == "basedOn":
            self._bases[self._style] = value
        elif name == "name" and value.lower() == "title":
            self._own[self._style] = 1
        elif name == "name" and value.lower().startswith("heading ") and value[8:].isdecimal():
            self._own[self._style] = min(MAX_LEVEL, max(1, int(value[8:])))
        elif name == "outlineLvl" and (level := _outline_level(value)):
            self._own.setdefault(self._style, level)

    def end(self, name: str) -> None:
        pass

    def text(self, data: str) -> None:
        pass

    def levels(self) -> dict[str, int]:
        return {style: level for style in {*self._own, *self._bases} if (level := self._level(style))}

    def _level(self, style: str) -> int | None:
        seen: set[str] = set()
        while style not in self._own and style in self._bases and style not in seen:
            seen.add(style)
            style = self._bases[style]
        return self._own.get(style)


class _Body:
    """Paragraphs in reading order; a table row is one, unless only one of its cells holds anything."""

    def __init__(self, levels: Mapping[str, int]) -> None:
        self.paragraphs: list[_Paragraph] = []
        self._levels = levels
        self._open: list[_Paragraph] = []  # more than one inside a text box
        self._rows: list[list[list[_Paragraph]]] = []  # more than one inside a nested table
        self._printed_page = self._broken_page = 1
        self._skipping = 0
        self._has_head = False  # the table that is open
        self._is_text = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in _SKIPPED or self._skipping:
            self._skipping += 1
        elif name == "p":
            self._open.append(_Paragraph(self._printed_page, self._broken_page))
        elif name == "tbl":
            self._has_head = self._has_head and bool(self._rows)
        elif name == "tr":
            self._rows.append([])
        elif name == "tc" and self._rows:
            self._rows[-1].append([])
        elif self._open:
            self._start_inside(name, attributes, self._open[-1])

    def end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
        elif name == "t":
            self._is_text = False
        elif name == "p" and self._open:
            self._add(self._open.pop())
        elif name == "tr" and self._rows:
            self._end_row(self._rows.pop())

    def text(self, data: str) -> None:
        if self._is_text and self._open and not self._skipping:
            self._open[-1].pieces.append(data)

    def _start_inside(self, name: str, attributes: Mapping[str, str], paragraph: _Paragraph) -> None:
        if name == "t":
            self._is_text = True
        elif name == "lastRenderedPageBreak" or (name == "br" and attributes.get("type") == "page"):
            self._break_page(paragraph, is_printed=name != "br")
        elif name in _CHARACTERS:
            paragraph.pieces.append(_CHARACTERS[name])
        elif name in _FORMULA and paragraph.pieces:
            paragraph.pieces.append(_FORMULA[name])
        elif name == "pStyle":
            paragraph.level = self._levels.get(attributes.get("val", ""))
        elif name == "outlineLvl":
            paragraph.level = _outline_level(attributes.get("val", ""))
        elif name == "numId":
            paragraph.is_item = attributes.get("val") != "0"
        elif name in _NOTES:
            paragraph.notes.append((_NOTES[name], attributes.get("id", "")))

    def _break_page(self, paragraph: _Paragraph, *, is_printed: bool) -> None:
        self._printed_page += is_printed
        self._broken_page += not is_printed
        if not "".join(paragraph.pieces).strip():  # a paragraph is on the page where its text begins
            paragraph.printed_page, paragraph.broken_page = self._printed_page, self._broken_page

    def _add(self, paragraph: _Paragraph) -> None:
        if self._rows and self._rows[-1]:
            self._rows[-1][-1].append(paragraph)
        else:
            self.paragraphs.append(paragraph)

    def _end_row(self, cells: list[list[_Paragraph]]) -> None:
        filled = [cell for cell in cells if any(paragraph.text for paragraph in cell)]
        if len(filled) < 2:
            for paragraph in (paragraph for cell in filled for paragraph in cell):
                self._add(paragraph)
            return
        row = _Paragraph(filled[0][0].printed_page, filled[0][0].broken_page, is_row=True)
        shown = [" ".join(paragraph.text.replace("\n", " ") for paragraph in cell).strip() for cell in cells]
        row.pieces.append(CELL_SEPARATOR.join(shown) if self._rows else row_line(shown))
        row.notes = [note for cell in cells for paragraph in cell for note in paragraph.notes]
        self._add(row)
        if not self._rows and not self._has_head:
            self._has_head = True
            self._add(_Paragraph(row.printed_page, row.broken_page, [head_line(len(cells))], is_row=True))


class _Notes:
    """Footnotes or endnotes, by kind and number."""

    def __init__(self, kind: str) -> None:
        self.texts: dict[tuple[str, str], str] = {}
        self._kind = kind
        self._number = ""
        self._body = _Body({})

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == self._kind:
            self._number = attributes.get("id", "")
        self._body.start(name, attributes)

    def end(self, name: str) -> None:
        self._body.end(name)
        if name == self._kind:
            shown = " ".join(paragraph.text for paragraph in self._body.paragraphs)
            self.texts[self._kind, self._number] = shown.strip()
            self._body.paragraphs.clear()

    def text(self, data: str) -> None:
        self._body.text(data)


def _outline_level(value: str) -> int | None:
    """From what Word counts from 0; its 9 is running text."""
    return int(value) + 1 if value.isdecimal() and int(value) < MAX_LEVEL else None
