import asyncio

import pytest

from app.realtime.outbox import CloseCode, CutOff, Outbox


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
