from collections.abc import Iterator
from typing import Any, get_args
from uuid import UUID

from app.events import DurableEvent, MessageReceived, around_number

BY_OURSELVES = {"type", "id", "timestamp", "session_id", "project_id", "task_id", "task_type"}


def classes(union: Any) -> Iterator[Any]:
    for part in get_args(union):
        yield from classes(part) if get_args(part) else (part,)


def test_before_its_number_no_event_has_a_text_of_people():
    """Or else who writes `"seq":0` would number somebody's words."""
    for event in classes(DurableEvent):
        fields = list(event.model_fields)
        assert set(fields[: fields.index("seq")]) <= BY_OURSELVES, event


def test_an_event_is_told_with_the_number_that_it_gets():
    room = UUID("0190a1b2-0000-7000-8000-000000000001")
    event = MessageReceived(session_id=room, user_id=None, user_name='"seq":0', text='"seq":0', is_spirit=False)
    head, tail = around_number(event)
    assert event.model_copy(update={"seq": 17}).model_dump_json() == f"{head}17{tail}"
