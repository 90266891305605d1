"""What texts may hold: each rule once, for the validator and as the pattern that the API's description shows."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, Strict

CONTROL: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
TEXT_DIRECTION: Final = r"\u202a-\u202e\u2066-\u2069"
SPACES: Final = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE: Final = (  # control, format and space characters; what Unicode does not know yet may well be visible
    r"\x00-\x20\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb"
)
INVISIBLE_BEYOND: Final = (  # the same above U+FFFF, where the patterns of JSON Schema do not agree
    "\U000110bd\U000110cd\U00013430-\U00013438\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
NO_NUL: Final = r"^[^\x00]*$"
VISIBLE: Final = f"[^{INVISIBLE}]"
VISIBLE_LINE: Final = f"^[^{CONTROL}{TEXT_DIRECTION}]*{VISIBLE}[^{CONTROL}{TEXT_DIRECTION}]*$"
LINES: Final = rf"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{TEXT_DIRECTION}]*$"
NO_NUL_NOR_BLANK: Final = rf"^[^\x00]*[^\x00{SPACES}][^\x00]*$"

_breaks_a_line = re.compile(f"[{CONTROL}{TEXT_DIRECTION}\ud800-\udfff]").search
_holds_lines = re.compile(LINES).search
_find_half_pair = re.compile("[\ud800-\udfff]").search
_find_visible = re.compile(f"[^{INVISIBLE}{INVISIBLE_BEYOND}]").search


def shown_as(pattern: str) -> Any:
    """Put `pattern` into the description of a text that a validator of ours judges."""
    return Field(json_schema_extra={"pattern": pattern})


def is_visible(text: str) -> bool:
    """Whether there is anything to see."""
    return _find_visible(text) is not None


def require_visible(text: str) -> str:
    if not is_visible(text):
        raise ValueError("must contain a visible character")
    return text


def require_line(text: str) -> str:
    """Characters that break, hide or reorder what stands around them are refused."""
    if _breaks_a_line(text):
        raise ValueError("must not contain control characters")
    return require_visible(text)


def require_lines(text: str) -> str:
    """Line ends and tabs are welcome; nothing else may control or reorder what stands around it."""
    if not _holds_lines(text):
        raise ValueError("must not contain control characters")
    return text


def require_storable(text: str) -> str:
    """PostgreSQL stores every text but those with NUL, or with half a surrogate pair, which is no text."""
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
    if _find_half_pair(text):
        raise ValueError("must not contain half a surrogate pair")
    return text


def require_content(text: str) -> str:
    """More than spaces."""
    if not text.strip():
        raise ValueError("must not be blank")
    return require_storable(text)


def _only_text(value: Any) -> Any:
    """A moment is written out; pydantic would take a number for seconds since 1970."""
    if isinstance(value, str) and not value.lstrip("+-").replace(".", "", 1).isdigit():
        return value
    raise ValueError("must be a date and time, such as 2030-01-31T12:00:00Z")


def _only_number(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise ValueError("must be a number")


Storable = Annotated[str, AfterValidator(require_storable), shown_as(NO_NUL)]
Truth = Annotated[bool, Strict()]
"""true or false; not 1, "yes" or "off"."""
ONLY_NUMBERS: Final = BeforeValidator(_only_number)
"""7 or 7.0; not "7" and not true."""
Whole = Annotated[int, ONLY_NUMBERS]
ONLY_WRITTEN_OUT: Final = BeforeValidator(_only_text)
