"""Accounts on the wire."""

import re
import unicodedata
import zoneinfo
from functools import cache
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, StringConstraints

from app.permissions import Role
from app.presets import Quality
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.documents import Metadata
from app.schemas.texts import LINES, VISIBLE_LINE, require_line, require_lines, shown_as

LONGEST_NAME: Final = 100
LONGEST_ABOUT: Final = 500
LONGEST_LANGUAGE: Final = 35  # what RFC 5646 wants software to have room for
LONGEST_TIMEZONE: Final = 64


def _one_visible_line(value: str) -> str:
    """The text in its composed form."""
    text = unicodedata.normalize("NFC", value)
    if len(text) > LONGEST_NAME:  # the composed form of some characters is longer
        raise ValueError(f"must have at most {LONGEST_NAME} characters")
    return require_line(text)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME),
    AfterValidator(_one_visible_line),
    shown_as(VISIBLE_LINE),
]
"""Of a person, a project, a key: 1 to 100 characters on one line."""


# language-script-region-variants-extensions-private use, as in RFC 5646, section 2.1; without its irregular tags.
_LANGUAGE_TAG: Final = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?)",
    re.IGNORECASE | re.ASCII,
)
_TIMEZONE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")


def _language_tag(value: str) -> str:
    """The tag as it is usually written: `de-AT`, `zh-Hant-TW`."""
    tag = _LANGUAGE_TAG.fullmatch(value)
    if tag is None:
        raise ValueError("must be a language tag (BCP 47) such as en, de-AT or zh-Hant")
    parts = (tag["language"].lower(), (tag["script"] or "").title(), (tag["region"] or "").upper())
    return "-".join(part for part in parts if part) + tag["rest"].lower()


@cache
def _known_timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})  # which tell of the machine, or of none


def _timezone(value: str) -> str:
    """A machine without time zone data (no package tzdata) knows only what such a name looks like."""
    known = _known_timezones()
    if value not in known if known else _TIMEZONE_NAME.fullmatch(value) is None:
        raise ValueError("must be a time zone of the IANA database such as Europe/Vienna")
    return value


def _storable_text(value: str) -> str:
    """The text in its composed form."""
    text = unicodedata.normalize("NFC", value)
    if len(text) > LONGEST_ABOUT:
        raise ValueError(f"must have at most {LONGEST_ABOUT} characters")
    return require_lines(text)


Language = Annotated[str, Field(max_length=LONGEST_LANGUAGE, examples=["de-AT"]), AfterValidator(_language_tag)]
Timezone = Annotated[str, Field(max_length=LONGEST_TIMEZONE, examples=["Europe/Vienna"]), AfterValidator(_timezone)]
About = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=LONGEST_ABOUT),
    AfterValidator(_storable_text),
    shown_as(LINES),
]


class UserSettingsRead(Read):
    """What Hearth itself goes by; null: not set."""

    language: str | None = None
    timezone: str | None = None
    default_quality: str | None = None
    remember: str | None = None


class UserSettingsUpdate(Schema):
    """`language` (BCP 47), `timezone` (IANA), the quality of tasks that are started without one, and what becomes of
    candidates for memories: you are asked, or they are accepted.
    """

    model_config = ConfigDict(extra="forbid")

    language: Language | None = None
    timezone: Timezone | None = None
    default_quality: Quality | None = None
    remember: Literal["ask", "accept"] | None = None


class UserRead(Read):
    """An account, as its owner sees it."""

    id: UUID
    email: str | None
    email_verified: bool
    name: str
    about: str
    role: Role
    settings: UserSettingsRead
    preferences: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp


class UserUpdate(Schema):
    """What is left out stays as it is, single settings too; a setting that is null is not set any more.

    `preferences` replace those that were there.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    about: About | None = None
    settings: UserSettingsUpdate | None = None
    preferences: Metadata | None = Field(None, description="Any JSON object of at most 16 KB; Hearth only keeps it.")


class AccountDeletion(Schema):
    """`password` is needed where the account has one; without one, the log-in must be younger than five minutes.

    `erase_messages` also empties what was said in the rooms of others, where it stands without a name otherwise.
    `delete_shared_projects` deletes projects that others work in, and that have no other owner.
    """

    model_config = ConfigDict(extra="forbid")

    password: SecretStr | None = Field(None, max_length=1024)
    erase_messages: bool = False
    delete_shared_projects: bool = False
