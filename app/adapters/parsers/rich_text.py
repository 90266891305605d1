"""Rich text (RTF), read by ourselves: kreuzberg 4.10 reads every font in one code page, and knows no headings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.tables import table
from app.adapters.parsers.texts import tidy

MAX_LEVEL = 9
MAX_DEPTH = 10_000
MAX_SKIPPED = 100  # characters that stand for one in Unicode

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,9})? ?|\\'(?P<hex>[0-9a-fA-F]{2})"
    rb"|\\(?P<symbol>[^a-zA-Z'])|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|.",
    re.DOTALL,
)
_CODE_PAGES: Mapping[int, str] = {
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    134: "gb18030",
    136: "big5",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
}
_CHARACTERS: Mapping[str, str] = {
    "tab": "\t",
    "line": "\n",
    "emdash": "\u2014",
    "endash": "\u2013",
    "bullet": "\u2022",
    "lquote": "\u2018",
    "rquote": "\u2019",
    "ldblquote": "\u201c",
    "rdblquote": "\u201d",
    "emspace": " ",
    "enspace": " ",
    "~": "\u00a0",
    "_": "-",
    "nestcell": " | ",
    "nestrow": " ",
    "{": "{",
    "}": "}",
    "\\": "\\",
}
_ENCODINGS: Mapping[str, str] = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
_SKIPPED = frozenset(
    ("colortbl", "pict", "object", "header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf")
) | frozenset(("fldinst", "annotation", "comment", "shprslt", "nonshppict", "listtable", "revtbl", "xe", "tc", "sp"))
_STARRED = frozenset(("shpinst", "shptxt"))  # read although a reader who does not know them should skip them


def read_rtf(data: bytes) -> Extracted:
    """Headings by style or outline level, tables in Markdown, footnotes below their paragraph, pages where broken.

    Raises:
        Unreadable: CORRUPT.
    """
    if not data.lstrip().startswith(b"{\\rtf"):
        raise Unreadable("CORRUPT", "The file is damaged: it is no rich text.")
    reader = _Reader()
    position = 0
    while match := _TOKEN.match(data, position):
        position = match.end() + reader.read(match)
    return reader.finish()


@dataclass(slots=True)
class _Group:
    """What holds until the closing brace."""

    kind: str = ""  # the destination: where text goes
    font: int = -1
    is_hidden: bool = False
    skipped_after: int = 1  # characters behind one in Unicode, for readers that do not know it


@dataclass(slots=True)
class _Paragraph:
    pieces: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self) -> None:
        self._composer = Composer()
        self._groups = [_Group()]
        self._encoding = "cp1252"
        self._fonts: dict[int, str] = {}
        self._levels: dict[int, int] = {}
        self._style, self._style_level = -1, 0  # the style that is being defined
        self._paragraphs = [_Paragraph()]  # more than one inside a note
        self._bytes = bytearray()  # of the code page of the open font, not decoded yet
        self._side: dict[str, list[str]] = {}  # text of destinations that is no text of the document
        self._level: int | None = None
        self._is_in_table = self._is_starred = False
        self._cells: list[str] = []
        self._rows: list[list[str]] = []
        self._to_skip = 0
        self._page = 0

    def read(self, match: re.Match[bytes]) -> int:
        """Take one token; how many bytes behind it are no text."""
        kind = match.lastgroup
        if kind in ("text", "hex"):
            self._add_bytes(match["text"] or bytes.fromhex(match["hex"].decode()))
        elif kind in ("word", "number"):
            return self._control(match["word"].decode(), int(match["number"] or 0), has_number=kind == "number")
        elif kind == "symbol":
            self._symbol(match["symbol"].decode("latin-1"))
        elif match["brace"] == b"{":
            self._flush_bytes()
            self._start_group(self._groups[-1])
        elif match["brace"] == b"}":
            self._end_group()
        return 0

    def finish(self) -> Extracted:
        self._flush_bytes()
        self._end_paragraph()
        self._end_table()
        return self._composer.finish("".join(self._side.get("title", ())))

    def _control(self, word: str, number: int, *, has_number: bool) -> int:
        group = self._groups[-1]
        is_starred, self._is_starred = self._is_starred, False
        if word == "bin":
            return max(0, number)
        if word == "u" and has_number:
            self._add(chr(number % 65_536))
            self._to_skip = min(group.skipped_after, MAX_SKIPPED)
        elif self._to_skip and word not in ("uc", "par"):
            self._to_skip -= 1
        elif word in _SKIPPED or (is_starred and word not in _STARRED):
            group.kind = "skipped"
        elif word in _CHARACTERS:
            self._add(_CHARACTERS[word])
        elif group.kind in ("fonttbl", "stylesheet") or word in ("fonttbl", "stylesheet"):
            self._define(word, number, group)
        else:
            self._format(word, number, group, is_on=not has_number or number != 0)
        return 0

    def _define(self, word: str, number: int, group: _Group) -> None:
        if word in ("fonttbl", "stylesheet"):
            group.kind = word
        elif group.kind == "fonttbl" and word == "f":
            group.font = number
        elif word == "fcharset" and number in _CODE_PAGES:
            self._fonts[group.font] = _CODE_PAGES[number]
        elif group.kind == "stylesheet" and word == "s":
            self._style, self._style_level = number, 0
        elif word == "outlinelevel" and number < MAX_LEVEL:
            self._style_level = number + 1

    def _format(self, word: str, number: int, group: _Group, *, is_on: bool) -> None:
        if word in ("par", "sect", "page", "cell", "row", "pard", "intbl", "s", "outlinelevel"):
            self._flush_bytes()
            if group.kind != "skipped":
                self._layout(word, number)
        elif word in ("v", "deleted"):
            self._flush_bytes()
            group.is_hidden = is_on
        elif word == "plain":
            self._flush_bytes()
            group.is_hidden = False
        elif word == "f":
            self._flush_bytes()
            group.font = number
        elif word == "uc":
            group.skipped_after = number
        elif word == "ansicpg" and number not in (0, 65_001):
            self._encoding = f"cp{number}"
        elif word == "ansicpg" and number:
            self._encoding = "utf-8"
        elif word in _ENCODINGS:
            self._encoding = _ENCODINGS[word]
        elif word in ("info", "listtext", "pntext", "title", "footnote") and group.kind != "skipped":
            self._open(word, group)

    def _open(self, word: str, group: _Group) -> None:
        if word == "footnote":
            self._paragraphs.append(_Paragraph())
        elif word == "title" and group.kind != "info":
            return
        group.kind = word

    def _layout(self, word: str, number: int) -> None:
        if word == "pard":
            self._level, self._is_in_table = None, False
        elif word == "intbl":
            self._is_in_table = True
        elif word in ("s", "outlinelevel"):
            level = self._levels.get(number) if word == "s" else number + 1
            self._level = level if level and level <= MAX_LEVEL else self._level
        elif word == "cell":
            self._cells.append(tidy(self._take()))
        elif word == "row":
            self._rows.append(self._cells)
            self._cells = []
        elif self._is_in_table or len(self._paragraphs) > 1:
            self._add(" ")
        else:
            self._end_paragraph()
            if word == "page":
                self._end_table()
                self._turn_page()

    def _symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._is_starred = True
        elif self._to_skip:
            self._to_skip -= 1
        elif symbol in _CHARACTERS:
            self._add(_CHARACTERS[symbol])
        elif symbol in "\r\n":
            self._control("par", 0, has_number=False)

    def _add_bytes(self, data: bytes) -> None:
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        self._bytes += data[skipped:]

    def _flush_bytes(self) -> None:
        if self._bytes:
            encoding = self._fonts.get(self._groups[-1].font, self._encoding)
            try:
                text = self._bytes.decode(encoding, "replace")
            except LookupError:
                text = self._bytes.decode("cp1252", "replace")
            self._bytes.clear()
            self._write(text)

    def _add(self, text: str) -> None:
        self._flush_bytes()
        self._write(text)

    def _write(self, text: str) -> None:
        group = self._groups[-1]
        if group.kind in ("title", "stylesheet", "listtext", "pntext"):
            self._side.setdefault(group.kind, []).append(text)
        elif group.kind in ("", "footnote") and not group.is_hidden:
            self._paragraphs[-1].pieces.append(text)

    def _start_group(self, around: _Group) -> None:
        if len(self._groups) > MAX_DEPTH:
            raise Unreadable("CORRUPT", "The file is damaged: it nests too deeply.")
        self._groups.append(_Group(around.kind, around.font, around.is_hidden, around.skipped_after))

    def _end_group(self) -> None:
        self._flush_bytes()
        self._to_skip = 0
        if len(self._groups) == 1:
            return
        ended = self._groups.pop()
        if ended.kind == "stylesheet":
            self._end_style()
        elif ended.kind == "footnote" and self._groups[-1].kind != "footnote" and len(self._paragraphs) > 1:
            note = tidy(self._take())
            self._paragraphs.pop()
            self._paragraphs[-1].notes.append(note)
        elif ended.kind in ("listtext", "pntext") and self._groups[-1].kind != ended.kind:
            self._end_list_mark("".join(self._side.pop(ended.kind, ())))

    def _end_style(self) -> None:
        name = "".join(self._side.pop("stylesheet", ())).strip("; ").lower()
        named = int(name[8:]) if name.startswith("heading ") and name[8:].isdecimal() and len(name) < 11 else 0
        level = self._style_level or named or (1 if name == "title" else 0)
        if self._style >= 0 and 0 < level <= MAX_LEVEL:
            self._levels[self._style] = level
        self._style, self._style_level = -1, 0

    def _end_list_mark(self, mark: str) -> None:
        shown = mark.strip()
        self._write(f"{shown} " if any(map(str.isalnum, shown)) else "- ")

    def _take(self) -> str:
        """The text of the open paragraph; characters of two units are put together."""
        text = "".join(self._paragraphs[-1].pieces)
        self._paragraphs[-1].pieces.clear()
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _end_paragraph(self) -> None:
        shown = tidy(self._take())
        notes, self._paragraphs[-1].notes = self._paragraphs[-1].notes, []
        if shown:
            self._end_table()
        if self._level and shown:
            self._composer.add_heading(self._level, " ".join(shown.split()))
        else:
            self._composer.add(shown)
        for note in notes:
            self._composer.add(note, gap="\n")

    def _end_table(self) -> None:
        rows = [*self._rows, self._cells]  # the last row may lack its end
        self._rows, self._cells = [], []
        self._composer.add(table(rows))

    def _turn_page(self) -> None:
        if not self._page:
            self._page = 1
            self._composer.number_first_page()
        self._page += 1
        self._composer.start_page(self._page)
