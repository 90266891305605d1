"""Rates on the wire."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from app.permissions import Role
from app.rates import Budget, parse_rate, written
from app.schemas.base import Schema
from app.schemas.common import Read

LONGEST_RATE = 40  # characters


def _in_short(text: str) -> str:
    return written(parse_rate(text))


Rate = Annotated[
    str,
    Field(
        max_length=LONGEST_RATE,
        examples=["600/minute"],
        description="`600/minute`, `10 per 30 seconds`, `0/day` (nothing at all), `unlimited`.",
    ),
    AfterValidator(_in_short),
]
CallersBudget = Literal[Budget.REQUESTS, Budget.UPLOADS, Budget.QUERIES, Budget.MESSAGES, Budget.TOKENS]
KeyLimits = dict[CallersBudget, Rate]
"""Rates that an API key has of its own."""


class RoleLimitUpdate(Schema):
    """What everybody of a role may do; `rate: null` brings the setting's rate back."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    budget: CallersBudget
    rate: Rate | None


class RoleLimitRead(Read):
    role: Role
    budget: Budget
    rate: str


class LimitsRead(Read):
    """`defaults` are the settings', by budget; `roles` have others. A key's own stand before both."""

    defaults: Mapping[Budget, str]
    roles: list[RoleLimitRead]
