"""The lines of iCalendar (RFC 5545): unfolded, and taken apart into name, parameters and value."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.adapters.memory_files.records import LONGEST_LINE

MOST_PROPERTIES: Final = 2_000  # of one event
_HEAD: Final = re.compile(r'[^":]*(?:"[^"]*"[^":]*)*')  # up to the colon that stands in no quotes
_PARAMETER: Final = re.compile(r';([A-Za-z0-9-]+)=("[^"]*"|[^;"]*)')
_ESCAPED: Final = re.compile(r"\\([\\;,nN])")
_COMMA: Final = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class Property:
    parameters: Mapping[str, str]
    value: str

    @property
    def text(self) -> str:
        return _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], self.value).strip()

    @property
    def texts(self) -> list[str]:
        """Of a list that commas separate."""
        return [Property({}, part).text for part in _COMMA.split(self.value)]


@dataclass(slots=True)
class Event:
    """An event, which begins at `line`."""

    line: int
    properties: dict[str, list[Property]] = field(default_factory=dict)
    count: int = 0

    def first(self, name: str) -> Property | None:
        return next(iter(self.properties.get(name, ())), None)

    def all(self, name: str) -> list[Property]:
        return self.properties.get(name, [])


def events(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events of a calendar; alarms and whatever else stands in or beside them is passed over."""
    event: Event | None = None
    inner = 0
    for number, line in _unfolded(lines):
        name, found = _property(line)
        value = found.value.strip().upper()
        if event is None:
            if name == "BEGIN" and value == "VEVENT":
                event, inner = Event(number), 0
        elif name == "END" and value == "VEVENT":
            yield event
            event = None
        elif name in ("BEGIN", "END"):
            inner += 1 if name == "BEGIN" else -1
        elif inner == 0 and event.count < MOST_PROPERTIES:
            event.properties.setdefault(name, []).append(found)
            event.count += 1


def _unfolded(lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Whole lines, with the number of their first part; what is too long is cut off."""
    begun, parts, length = 0, list[bytes](), 0
    for number, line in enumerate(lines, start=1):
        if line[:1] in (b" ", b"\t") and parts:
            length += len(line)
            if length <= LONGEST_LINE:
                parts.append(line[1:].rstrip(b"\r\n"))
            continue
        if parts:
            yield begun, b"".join(parts).decode("utf-8", "replace")
        begun, parts, length = number, [line.rstrip(b"\r\n")], len(line)
    if parts:
        yield begun, b"".join(parts).decode("utf-8", "replace")


def _property(line: str) -> tuple[str, Property]:
    match = _HEAD.match(line)
    head = match[0] if match else ""
    name, _, _ = head.partition(";")
    parameters = {key.upper(): value.strip('"') for key, value in _PARAMETER.findall(head)}
    return name.strip().lstrip("\ufeff").upper(), Property(parameters, line[len(head) + 1 :])
