"""Numbers of a spreadsheet as a person sees them: the part of Excel's format codes that people use."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import NamedTuple

GENERAL = "General"
ISO_DATE, ISO_TIME = "yyyy-mm-dd", "hh:mm:ss"
# Those without a code in the file. What depends on the reader's country is written as in ISO 8601.
BUILT_IN: Mapping[int, str] = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    14: ISO_DATE,
    15: "d-mmm-yy",
    16: "d-mmm",
    17: "mmm-yy",
    18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM",
    20: "h:mm",
    21: "h:mm:ss",
    22: f"{ISO_DATE} h:mm",
    37: "#,##0;-#,##0",
    38: "#,##0;-#,##0",
    39: "#,##0.00;-#,##0.00",
    40: "#,##0.00;-#,##0.00",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss",
    48: "0.0E+0",
}
EPOCH, EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)  # noqa: DTZ001 (a sheet knows no time zone)
LEAP_YEAR_1900 = 60  # Excel counts a day that never was: below it, days count from a day later
LONGEST_CODE = 255
MOST_DIGITS = 15  # what a floating-point number is shown with

_TOKEN = re.compile(
    r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)[^\]]*\]|\[(h+|m+|s+)\]|\[[^\]]*\]|(AM/PM|A/P)|(General|@)'
    r"|(y+|m+|d+|h+|s+)|(E[+-])|([#0?][#0?,.]*|[.][#0?]+)|(\.0+)|(.)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = re.compile(r"[#0?][#0?,.]*|[.][#0?]+")


class _Token(NamedTuple):
    kind: str  # "literal", "elapsed", "noon", "general", "date", "exponent", "digits"
    text: str


@lru_cache(maxsize=16_384)  # years, counts and dates come again and again
def show_number(raw: str, code: str, *, epoch_1904: bool = False) -> str:
    """The number `raw` (as the file writes it) in the format `code`; as it is where one of them is not understood."""
    if code == GENERAL and raw.isdecimal() and len(raw) <= MOST_DIGITS:
        return raw
    try:
        number = Decimal(raw)
        shown = _show(number, code[:LONGEST_CODE], EPOCH_1904 if epoch_1904 else EPOCH)
    except (ArithmeticError, ValueError, IndexError):
        return raw
    return shown.strip() or raw


def _show(number: Decimal, code: str, epoch: datetime) -> str:
    sections = _sections(code)
    section, number = _choose(sections, number)
    if section is None or any(token.kind == "general" for token in section):
        return _general(number)
    if any(token.kind in ("date", "elapsed") for token in section):
        return _date(number, section, epoch)
    return _number(number, section)


def _choose(sections: tuple[tuple[_Token, ...], ...], number: Decimal) -> tuple[tuple[_Token, ...] | None, Decimal]:
    """For positive numbers; negative ones, which then write their sign themselves; zero."""
    if number == 0 and len(sections) > 2:
        return sections[2], number
    if number < 0 and len(sections) > 1:
        return sections[1], -number
    return (sections[0] if sections else None), number


@lru_cache(maxsize=1_000)
def _sections(code: str) -> tuple[tuple[_Token, ...], ...]:
    sections: list[list[_Token]] = [[]]
    for match in _TOKEN.finditer(code):
        if match[0] == ";":
            sections.append([])
        elif (token := _token(match)) is not None:
            sections[-1].append(token)
    return tuple(tuple(section) for section in sections)


def _token(match: re.Match[str]) -> _Token | None:
    quoted, escaped, currency, elapsed, noon, general, date, exponent, digits, fraction, other = match.groups()
    literal = next((text for text in (quoted, escaped, currency, other) if text is not None), None)
    if literal is not None:
        return _Token("literal", literal)
    kinds = (("elapsed", elapsed), ("noon", noon), ("general", general), ("date", date), ("exponent", exponent))
    for kind, text in (*kinds, ("digits", digits), ("digits", fraction)):
        if text:
            return _Token(kind, text)
    return None  # a space as wide as a letter, a filler, a colour


def _general(number: Decimal) -> str:
    """Without the tail that floating point leaves: 0.30000000000000004 is shown as 0.3."""
    rounded = Decimal(f"{number:.{MOST_DIGITS}g}")
    shown = format(rounded.normalize(), "f") if abs(rounded.adjusted()) < 20 else str(rounded.normalize())
    return "0" if shown == "-0" else shown


def _number(number: Decimal, section: tuple[_Token, ...]) -> str:
    digits = [token.text for token in section if token.kind == "digits"]
    if any(token == _Token("literal", "/") for token in section) and len(digits) > 1:
        return _general(number)  # a fraction
    if any(token.kind == "exponent" for token in section):
        decimals = len(digits[0].partition(".")[2]) if digits else 0
        return f"{number:.{decimals}E}"
    scaled = number.scaleb(2 * sum(token == _Token("literal", "%") for token in section))
    whole, wanted = "", False
    for token in section:
        if token.kind == "digits" and not wanted:
            whole, wanted = whole + _digits(abs(scaled), token.text), True
        elif token.kind != "digits":
            whole += token.text
    is_negative = scaled < 0 and any(character in "123456789" for character in whole)
    return f"-{whole}" if is_negative else whole


def _digits(number: Decimal, pattern: str) -> str:
    bare = pattern.rstrip(",")
    number = number.scaleb(-3 * (len(pattern) - len(bare)))  # each comma at the end: in thousands
    integer, _, fraction = bare.partition(".")
    most, least = len(fraction.replace(",", "")), fraction.count("0")
    grouping = "," if "," in integer else ""
    shown = f"{number.quantize(Decimal(1).scaleb(-most), rounding=ROUND_HALF_UP):{grouping}f}"
    head, _, tail = shown.partition(".")
    tail = tail[:least] + tail[least:].rstrip("0")
    head = head.zfill(integer.count("0")) if integer.count("0") > 1 and not grouping else head
    head = "" if head == "0" and "0" not in integer else head
    return f"{head}.{tail}" if tail else head


def _date(number: Decimal, section: tuple[_Token, ...], epoch: datetime) -> str:
    elapsed = round(number * 86_400)  # seconds
    moment = epoch + timedelta(days=epoch == EPOCH and 1 <= number < LEAP_YEAR_1900, seconds=elapsed)
    has_noon = any(token.kind == "noon" for token in section)
    shown, before = [], ""
    following = [token.text[0].lower() if token.kind in ("date", "elapsed") else "" for token in section]
    for position, token in enumerate(section):
        if token.kind == "date":
            after = next((letter for letter in following[position + 1 :] if letter), "")
            is_minute = token.text[0].lower() == "m" and len(token.text) < 3 and (before == "h" or after == "s")
            shown.append(_part(moment, "minute" if is_minute else token.text.lower(), len(token.text), has_noon))
            before = token.text[0].lower()
        elif token.kind == "elapsed":
            shown.append(str(elapsed // {"h": 3_600, "m": 60, "s": 1}[token.text[0].lower()]))
            before = token.text[0].lower()
        elif token.kind == "noon":
            shown.append(f"{moment:%p}")
        elif token.kind != "digits":  # fractions of a second
            shown.append(token.text)
    return "".join(shown)


def _part(moment: datetime, code: str, width: int, has_noon: bool) -> str:
    hour = (moment.hour % 12 or 12) if has_noon else moment.hour
    numbers = {"d": moment.day, "m": moment.month, "h": hour, "s": moment.second, "minute": moment.minute}
    if code[0] == "y":
        return f"{moment:%Y}" if width > 2 else f"{moment:%y}"
    if code == "minute" or (code[0] in "hs") or width < 3:
        number = numbers["minute" if code == "minute" else code[0]]
        return f"{number:02}" if width > 1 else str(number)
    names = {"d": ("%a", "%A"), "m": ("%b", "%B")}[code[0]]
    return moment.strftime(names[width > 3])
