"""When something recurs: as the best-known library says, and without an end to the work."""

import random
import time
from datetime import datetime

import pytest
from dateutil.rrule import rrulestr

from app.adapters.memory_files.recurrences import MOST_OCCURRENCES, Budget, occurrences, read_rule

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def made_up(draw: random.Random) -> str:
    frequency = draw.choice(("DAILY", "WEEKLY", "MONTHLY", "YEARLY"))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw.randrange(1, 5)}"]
    if draw.random() < 0.5:
        choices = ("1", "2", "-1") if frequency in ("MONTHLY", "YEARLY") and draw.random() < 0.6 else ("",)
        parts.append("BYDAY=" + ",".join(draw.choice(choices) + day for day in draw.sample(DAYS, draw.randrange(1, 4))))
    if frequency != "WEEKLY" and draw.random() < 0.3:
        parts.append(f"BYMONTHDAY={draw.choice((1, 13, 28, 31, -1, -5))}")
    if draw.random() < 0.3:
        parts.append("BYMONTH=" + ",".join(map(str, draw.sample(range(1, 13), draw.randrange(1, 4)))))
    if draw.random() < 0.2:
        parts.append(f"WKST={draw.choice(DAYS)}")
    if frequency in ("MONTHLY", "YEARLY") and "BY" in "".join(parts) and draw.random() < 0.3:
        parts.append(f"BYSETPOS={draw.choice((1, 2, -1))}")
    if draw.random() < 0.4:
        parts.append(f"COUNT={draw.randrange(1, 30)}")
    return ";".join(parts)


def test_rules_are_expanded_as_others_expand_them():
    draw = random.Random(5545)  # the other library mixes up "2FR,SA": those are left out
    for _ in range(100):
        text = made_up(draw)
        start = datetime(draw.randrange(1995, 2015), draw.randrange(1, 13), draw.randrange(1, 29), 9, 30)  # noqa: DTZ001 - a wall clock
        until = start.replace(year=start.year + 9)
        expected = []
        for at in rrulestr(text, dtstart=start):
            if at > until or len(expected) == MOST_OCCURRENCES:
                break
            expected.append(at)
        rule, _ = read_rule(text)
        assert list(occurrences(rule, start, until, Budget())) == expected, (text, start)


def test_a_rule_that_never_fits_ends_soon():
    rule, _ = read_rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")
    start, until = datetime(1000, 1, 1), datetime(9000, 1, 1)  # noqa: DTZ001 - a wall clock
    started = time.perf_counter()
    assert list(occurrences(rule, start, until, Budget())) == []
    daily, _ = read_rule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31")
    assert list(occurrences(daily, start, until, Budget())) == []
    with pytest.raises(ValueError, match="too long"):
        list(occurrences(daily, start, until, Budget(1000)))
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "wrong",
    ["", "FREQ=HOURLY", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;BYDAY=XX", "FREQ=YEARLY;BYWEEKNO=1", "FREQ=DAILY;COUNT=x"],
)
def test_what_is_no_rule_is_refused(wrong: str):
    with pytest.raises(ValueError, match=r"expanded|malformed"):
        read_rule(wrong)
