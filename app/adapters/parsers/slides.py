"""PowerPoint presentations (PPTX): a page per slide, its title as heading, its tables, its notes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.adapters.parsers.charts import read_chart
from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.packages import RELATION_ID, Ignore, Package, Texts, open_package, relations_of
from app.adapters.parsers.tables import table
from app.adapters.parsers.texts import tidy

_SKIPPED = frozenset(("Fallback",))
_TITLES = frozenset(("title", "ctrTitle"))
_FURNITURE = frozenset(("dt", "ftr", "hdr", "sldNum", "sldImg"))  # date, footer and number, the same on every slide


def read_pptx(data: bytes) -> Extracted:
    """Slides in the order in which they are shown; comments are left out."""
    with open_package(data) as package:
        main = next(iter(relations_of(package, "").of_kind("officeDocument")), "ppt/presentation.xml")
        order, core = _Order(), Texts(("title",))
        if not package.read(main, order):
            raise Unreadable("CORRUPT", "The file is damaged: it holds no presentation.")
        package.read("docProps/core.xml", core)
        parts = relations_of(package, main).parts
        composer = Composer()
        for number, slide in enumerate((parts.get(found, "") for found in order.slides), start=1):
            composer.start_page(number)
            _add_slide(composer, package, slide)
    return composer.finish(core.found.get("title"))


def _add_slide(composer: Composer, package: Package, part: str) -> None:
    shapes = _read_shapes(package, part)
    for shape in shapes:
        if shape.is_title and shape.lines:
            composer.add_heading(1, " ".join(shape.lines))
    for shape in shapes:
        if not shape.is_title:
            composer.add("\n".join(shape.lines))
    relations = relations_of(package, part)
    for diagram in relations.of_kind("diagramData"):
        composer.add("\n".join(line for shape in _read_shapes(package, diagram) for line in shape.lines))
    for chart in relations.of_kind("chart"):
        composer.add(read_chart(package, chart))
    for notes in relations.of_kind("notesSlide"):
        said = "\n".join(line for shape in _read_shapes(package, notes) for line in shape.lines)
        composer.add(f"Notes: {said}" if said else "")


def _read_shapes(package: Package, part: str) -> list["_Shape"]:
    slide = _Slide()
    package.read(part, slide)
    return [shape for shape in slide.shapes if shape.kind not in _FURNITURE]


class _Order(Ignore):
    """The slides, by the ids of their relations."""

    def __init__(self) -> None:
        self.slides: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "sldId":
            self.slides.append(attributes.get(RELATION_ID, ""))


@dataclass(slots=True)
class _Shape:
    kind: str = ""  # of the placeholder
    lines: list[str] = field(default_factory=list)

    @property
    def is_title(self) -> bool:
        return self.kind in _TITLES


class _Slide:
    """Texts in the order of the file, which is that of their layers."""

    def __init__(self) -> None:
        self.shapes: list[_Shape] = []
        self._paragraph: list[str] = []
        self._rows: list[list[list[str]]] | None = None  # of the table that is open: the lines of its cells
        self._is_text = False
        self._is_bullet = False
        self._skipping = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in _SKIPPED or self._skipping:
            self._skipping += 1
        elif name in ("sp", "graphicFrame", "pt"):
            self.shapes.append(_Shape())
        elif name == "ph" and self.shapes:
            self.shapes[-1].kind = attributes.get("type", "body")
        elif name == "tbl":
            self._rows = []
        elif name == "tr" and self._rows is not None:
            self._rows.append([])
        elif name == "tc" and self._rows:
            self._rows[-1].append([])
        else:
            self._start_inside(name)

    def end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
        elif name == "t":
            self._is_text = False
        elif name == "p":
            self._end_paragraph()
        elif name == "tbl" and self._rows is not None:
            rows, self._rows = self._rows, None
            self._write(table([[" ".join(cell) for cell in row] for row in rows]))

    def text(self, data: str) -> None:
        if self._is_text and not self._skipping:
            self._paragraph.append(data)

    def _start_inside(self, name: str) -> None:
        if name == "p":
            self._paragraph.clear()
            self._is_bullet = False
        elif name == "t":
            self._is_text = True
        elif name == "br":
            self._paragraph.append("\n")
        elif name in ("buChar", "buAutoNum"):
            self._is_bullet = True

    def _end_paragraph(self) -> None:
        shown = tidy("".join(self._paragraph))
        self._paragraph.clear()
        if not shown:
            return
        if self._rows and self._rows[-1]:
            self._rows[-1][-1].append(shown)
        else:
            self._write(f"- {shown}" if self._is_bullet else shown)

    def _write(self, text: str) -> None:
        if not self.shapes:
            self.shapes.append(_Shape())
        if text:
            self.shapes[-1].lines.append(text)
