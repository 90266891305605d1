import asyncio
from collections.abc import Callable

import pytest

from app.realtime.outbox import CloseCode, CutOff, Outbox, encoded


async def test_frames_leave_in_the_order_in_which_they_came():
    outbox = Outbox(8)
    for text in "abc":
        outbox.put(text)
    assert [await outbox.take() for _ in range(3)] == ["a", "b", "c"]


async def test_a_full_outbox_cuts_its_listener_off_and_drops_what_lies_there():
    outbox = Outbox(8)
    for number in range(8):
        outbox.put(str(number))
    assert not outbox.is_cut_off

    outbox.put("one too many")
    outbox.put("and one that comes later")

    with pytest.raises(CutOff) as cut:
        await outbox.take()
    assert cut.value.code is CloseCode.TOO_SLOW
    assert await outbox.end is CloseCode.TOO_SLOW, "who takes nothing learns it here"


async def test_whoever_waits_for_a_frame_is_woken_by_the_end():
    outbox = Outbox(8)
    waiting = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.cut_off(CloseCode.RESTARTING)
    outbox.cut_off(CloseCode.TOO_SLOW)
    with pytest.raises(CutOff) as cut:
        await waiting
    assert cut.value.code is CloseCode.RESTARTING, "the first reason counts"


async def test_a_replay_leaves_room_for_what_happens_meanwhile():
    outbox = Outbox(8)
    replay = asyncio.create_task(_put_paced(outbox, 20))
    await asyncio.sleep(0.01)
    for number in range(4):
        outbox.put(f"live {number}")
    assert not outbox.is_cut_off
    taken = [await outbox.take() for _ in range(24)]
    await replay
    assert [text for text in taken if not text.startswith("live")] == [str(number) for number in range(20)]


async def test_a_replay_ends_when_its_listener_is_cut_off():
    outbox = Outbox(8)
    replay = asyncio.create_task(_put_paced(outbox, 20))
    await asyncio.sleep(0.01)
    outbox.cut_off(CloseCode.RESTARTING)
    with pytest.raises(CutOff):
        await replay


async def _put_paced(outbox: Outbox, count: int) -> None:
    for number in range(count):
        await outbox.put_paced(str(number))


class Socket:
    """A sink that takes `room` frames, and then says when it has room again."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written: list[bytes] = []

    def notify(self, has_room: Callable[[], None]) -> None:
        self._has_room = has_room

    def write(self, frame: bytes) -> bool:
        self.written.append(frame)
        self.room -= 1
        return self.room > 0

    def drain(self, room: int) -> None:
        self.room = room
        self._has_room()


async def test_frames_go_straight_into_a_sink_and_wait_in_order_while_it_is_full():
    outbox, sink = Outbox(8), Socket(room=3)
    outbox.put("0")
    outbox.pour_into(sink)
    for number in range(1, 6):
        outbox.put(str(number))
    assert sink.written == [encoded(str(number)) for number in range(3)]
    sink.drain(room=2)
    assert sink.written == [encoded(str(number)) for number in range(5)]
    sink.drain(room=100)
    outbox.put("6")
    assert sink.written == [encoded(str(number)) for number in range(7)]


async def test_a_sink_that_stays_full_ends_the_connection_and_gets_nothing_more():
    outbox, sink = Outbox(8), Socket(room=1)
    outbox.pour_into(sink)
    for number in range(10):
        outbox.put(str(number))
    assert await outbox.end is CloseCode.TOO_SLOW
    sink.drain(room=100)
    outbox.put("later")
    assert sink.written == [encoded("0")]


@pytest.mark.parametrize(("length", "head"), [(5, b"\x81\x05"), (125, b"\x81\x7d"), (126, b"\x81\x7e\x00\x7e")])
def test_a_frame_says_how_long_it_is(length: int, head: bytes):
    assert encoded("x" * length) == head + b"x" * length
    assert encoded("ü" * 40_000).startswith(b"\x81\x7f" + (80_000).to_bytes(8, "big"))
