"""Times in questions: what is said, what is not, and what is not sure."""

from datetime import datetime

import pytest

from app.services.time_sense import read_anchor, read_times

NOW = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - a Saturday, on a wall clock


def spans(question: str, *languages: str) -> list[tuple[str, str, str, bool]]:
    read = read_times(question, NOW, languages)
    return [(one.text, one.start.date().isoformat(), one.end.date().isoformat(), one.is_sure) for one in read]


@pytest.mark.parametrize(
    ("question", "start", "end"),
    [
        ("what did Anna and I do last summer?", "2026-06-01", "2026-09-01"),
        ("skiing last winter", "2025-12-01", "2026-03-01"),
        ("in March 2023", "2023-03-01", "2023-04-01"),
        ("dinner on 5 March 2023 with Bob", "2023-03-05", "2023-03-06"),
        ("March 5th, 2023", "2023-03-05", "2023-03-06"),
        ("what did I eat on 2020/01/02?", "2020-01-02", "2020-01-03"),
        ("the walk of 2020-01-02", "2020-01-02", "2020-01-03"),
        ("what did I do yesterday", "2026-11-20", "2026-11-21"),
        ("two weeks ago", "2026-11-03", "2026-11-12"),
        ("3 years ago", "2023-01-01", "2024-01-01"),
        ("last month", "2026-10-01", "2026-11-01"),
        ("in the last three months", "2026-08-20", "2026-11-22"),
        ("last Monday", "2026-11-16", "2026-11-17"),
        ("last weekend", "2026-11-14", "2026-11-16"),
        ("last Christmas", "2025-12-24", "2025-12-27"),
        ("Easter 2024", "2024-03-29", "2024-04-02"),
        ("the nineties", "1990-01-01", "2000-01-01"),
        ("between 2019 and 2021", "2019-01-01", "2022-01-01"),
        ("from June to August 2022", "2022-06-01", "2022-09-01"),
        ("since March 2021", "2021-03-01", "2026-11-22"),
        ("before 2020", "1000-01-01", "2020-01-01"),
        ("after 2020", "2021-01-01", "9000-01-01"),
        ("am 24. Dezember 2020", "2020-12-24", "2020-12-25"),
        ("le 3 mars 2021", "2021-03-03", "2021-03-04"),
        ("el 5 de mayo de 2022", "2022-05-05", "2022-05-06"),
    ],
)
def test_a_time_is_read(question: str, start: str, end: str):
    [(text, *span, is_sure)] = spans(question)
    assert (span, is_sure) == ([start, end], True)
    assert text in question


@pytest.mark.parametrize(
    "question",
    [
        "May I march with Mark and April?",
        "Will Smith's second book",
        "when was I born?",
        "how much is 2,500?",
        "the augustus statue",
        "a sun day at 10:30",
        "what is in room 1234?",
        "the 3 best of 10",
        "",
    ],
)
def test_what_is_no_time_is_left_alone(question: str):
    assert spans(question) == []


@pytest.mark.parametrize("question", ["in May", "on the 5th of March", "page 2019", "lately", "at Christmas"])
def test_what_may_mean_another_time_is_not_sure(question: str):
    assert [one[-1] for one in spans(question)] == [False]


def test_an_event_that_a_question_dates_by_is_read_unless_it_is_a_date():
    anchor = read_anchor("what did we do before we moved?", [])
    assert anchor is not None
    assert (anchor.relation, anchor.event) == ("before", "we moved")
    question = "before the 5th of March 2020"
    assert read_anchor(question, read_times(question, NOW)) is None
    assert read_anchor("before lunch", []) is None


def test_no_number_is_too_large_to_be_read():
    for question in (
        "999 years ago",
        "in the last 999 years",
        "31/31/2020",
        "99.99.9999",
        "February 30 2020",
        "9999-99-99",
    ):
        spans(question)
