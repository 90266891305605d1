"""Budgets and their rates: what is counted, and how much of it there is in which time."""

from enum import StrEnum
from functools import lru_cache
from typing import Final

from limits import RateLimitItem, parse_many

UNLIMITED: Final = "unlimited"
LARGEST_AMOUNT: Final = 10**9
LONGEST_WINDOW: Final = 366 * 86_400  # seconds


class Budget(StrEnum):
    """What is counted apart from everything else."""

    REQUESTS = "requests"
    UPLOADS = "uploads"
    QUERIES = "queries"
    MESSAGES = "messages"
    FRAMES = "frames"
    TOKENS = "tokens"
    LOGIN = "login"
    FAILURES = "failures"
    MAILS = "mails"


OF_CALLERS: Final = (Budget.REQUESTS, Budget.UPLOADS, Budget.QUERIES, Budget.MESSAGES, Budget.TOKENS)
"""Those that roles and API keys may have rates of their own for; the others are counted by address alone."""


@lru_cache(maxsize=1024)
def parse_rate(text: str) -> RateLimitItem | None:
    """`600/minute`, `10 per 30 seconds`, `0/day` (nothing at all); None for `unlimited`.

    Raises:
        ValueError: not one rate, or one beyond all measure.
    """
    if text.strip().lower() == UNLIMITED:
        return None
    try:
        rates = parse_many(text)
    except ValueError:
        rates = []
    if len(rates) != 1:
        raise ValueError(f"write one rate, such as 600/minute, 10 per 30 seconds or {UNLIMITED}")
    [rate] = rates
    if rate.amount > LARGEST_AMOUNT or not 1 <= rate.get_expiry() <= LONGEST_WINDOW:
        raise ValueError(f"at most {LARGEST_AMOUNT} in a time between a second and a year")
    return rate


def written(rate: RateLimitItem | None) -> str:
    """The shortest way to write a rate: `600/minute`, `10/30 second`."""
    if rate is None:
        return UNLIMITED
    multiples = f"{rate.multiples} " if rate.multiples != 1 else ""
    return f"{rate.amount}/{multiples}{rate.GRANULARITY.name}"


def is_within(rate: RateLimitItem | None, bound: RateLimitItem | None) -> bool:
    """Whether who keeps to `rate` never has more than `bound`, in any stretch of time."""
    if bound is None:
        return True
    if rate is None:
        return False
    windows = max(1.0, bound.get_expiry() / rate.get_expiry())  # of `rate`, in one of `bound`
    return bool(rate.amount * windows <= bound.amount)
