"""The Python client against a live server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hearth_client import ConnectionEnded, Hearth, HearthError, Refused, Room

from tests.factories import make_user
from tests.processes import start_process, wait_until_live
from tests.rooms import invite_guest, make_room

PATIENCE = 30  # seconds
NOWHERE = "00000000-0000-7000-8000-000000000000"


async def messages(room: Room, texts: list[str], until: str) -> None:
    """Collect what is said, until somebody says `until`."""
    async with asyncio.timeout(PATIENCE):
        async for event in room:
            if event["type"] == "message_received":
                texts.append(event["text"])
                if event["text"] == until:
                    return


async def welcomed(room: Room) -> AsyncIterator[dict]:
    events = aiter(room)
    async with asyncio.timeout(PATIENCE):
        assert (await anext(events))["type"] == "welcome"
    return events


async def test_a_room_is_followed_without_loss_through_a_crash_of_the_server(start_another):
    server = await start_another()
    async with server.client() as client:
        ada = await make_user(client)
        room_id = await make_room(client, ada)
        guest = (await invite_guest(client, ada, room_id))["Authorization"].removeprefix("Bearer ")
    async with (
        Hearth(server.url, token=ada.access_token) as hearth,
        Hearth(server.url, token=guest) as other,
        hearth.room(room_id) as one,
        other.room(room_id) as two,
    ):
        await welcomed(one)
        await welcomed(two)
        heard, overheard = [], []
        listening = asyncio.gather(messages(one, heard, "after"), messages(two, overheard, "after"))
        await one.send("before")
        server.process.kill()
        await server.process.wait()
        saying = asyncio.create_task(one.send("while it is away"))  # waits for the server, and is said once
        await asyncio.sleep(0.1)
        server.process = await start_process(server.environment, "serve")
        await wait_until_live(server)
        assert (await saying)["seq"] == 2
        await two.send("after")
        await listening
        assert heard == overheard == ["before", "while it is away", "after"]
        with pytest.raises(Refused) as refused:
            await one.send(" ")
        assert refused.value.code == "VALIDATION_ERROR"
        with pytest.raises(HearthError) as failed:
            await hearth.request("GET", f"/documents/{NOWHERE}")
        assert (failed.value.status, failed.value.code) == (404, "RESOURCE_NOT_FOUND")
        with pytest.raises(ConnectionEnded) as ended:
            async with hearth.room(NOWHERE) as nowhere:
                [_ async for _ in nowhere]
        assert ended.value.code == 4404


async def test_documents_are_added_asked_about_and_found(live, tmp_path):
    async with live.client() as client:
        ada = await make_user(client)
    file = tmp_path / "ferry.txt"
    file.write_text("The ferry to Tern Island leaves at half past nine.")
    async with await Hearth.login(live.url, ada.email, ada.password) as hearth:
        document = await hearth.when_ready((await hearth.add_document(file))["id"])
        assert document["filename"] == "ferry.txt"
        question = "When does the ferry to Tern Island leave?"
        assert (await hearth.search(question))["items"][0]["document_id"] == document["id"]
        pieces, done = "", {}
        async for name, data in hearth.ask_streaming(question):
            pieces += data["delta"] if name == "token" else ""
            done = data if name == "done" else done
        assert "half past nine" in pieces == done["answer"]
        assert (await hearth.ask(question))["grounded"] is True
        with pytest.raises(HearthError, match="text"):
            await hearth.when_ready((await hearth.add_document("\u200b \u200b"))["id"])
