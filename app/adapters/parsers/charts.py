"""Charts of presentations: their titles, and the numbers behind them as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.adapters.parsers.number_formats import show_number
from app.adapters.parsers.packages import Package
from app.adapters.parsers.tables import table
from app.adapters.parsers.texts import tidy

MAX_POINTS = 10_000  # of one series

_PARTS = frozenset(("tx", "cat", "xVal", "val", "yVal"))


def read_chart(package: Package, part: str) -> str:
    """A table under its title: a row per category, a column per series."""
    chart = _Chart()
    package.read(part, chart)
    return table(_rows(tidy("".join(chart.title)), chart.series))


@dataclass(slots=True)
class _Series:
    """Texts by number of the point, of each of its parts."""

    parts: dict[str, dict[int, str]] = field(default_factory=dict)

    def get(self, *names: str) -> dict[int, str]:
        return next((self.parts[name] for name in names if name in self.parts), {})


def _rows(title: str, series: Sequence[_Series]) -> list[list[str]]:
    if not series:
        return [[title]]
    head = [title or "Category", *(" ".join(one.get("tx").values()) for one in series)]
    categories = series[0].get("cat", "xVal")
    values = [one.get("val", "yVal") for one in series]
    points = sorted({*categories, *(number for found in values for number in found)})
    return [head, *([categories.get(n, ""), *(found.get(n, "") for found in values)] for n in points)]


class _Chart:
    def __init__(self) -> None:
        self.title: list[str] = []
        self.series: list[_Series] = []
        self._part = ""
        self._point = -1
        self._format = ""
        self._open: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._open.append(name)
        if name == "ser":
            self.series.append(_Series())
        elif name in _PARTS:
            self._part, self._format = name, ""
        elif name == "pt":
            number = attributes.get("idx", "")
            self._point = int(number) if number.isdecimal() and len(number) < 6 else -1

    def end(self, name: str) -> None:
        self._open.pop()
        if name == "v" and self.series and self._part in ("val", "yVal"):
            points = self.series[-1].parts.get(self._part, {})
            if self._point in points:
                points[self._point] = show_number(points[self._point], self._format or "General")
        elif name in _PARTS:
            self._part = ""

    def text(self, data: str) -> None:
        inside = self._open[-1]
        if inside == "t" and "title" in self._open and "ser" not in self._open:
            self.title.append(data)
        elif inside == "formatCode":
            self._format += data
        elif inside == "v" and self.series and self._part and 0 <= self._point < MAX_POINTS:
            points = self.series[-1].parts.setdefault(self._part, {})
            points[self._point] = points.get(self._point, "") + data
