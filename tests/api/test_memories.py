"""Memories: written, changed, taken back, thrown away, and read by either clock."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from httpx import AsyncClient
from sqlalchemy import select, text, update

from app.models import EventRow, Memory, MemoryChunk
from app.resources import Resources
from tests.factories import User, execute, make_user
from tests.memories import index, listed, remember

MEMORIES = "/api/v1/memories"


async def test_a_memory_keeps_what_was_said_and_says_when_it_was(client: AsyncClient, owner: User):
    memory = await remember(
        client,
        owner,
        "We climbed the lighthouse.",
        occurred_at="2023-03-05",
        tags=["Sea", "sea"],
        people=[{"name": "Anna"}],
        location={"name": "Cape", "coordinates": {"latitude": 45.5, "longitude": -122.6}},
    )
    assert memory["title"] == "We climbed the lighthouse."
    assert (memory["occurred_at"], memory["occurred_local"]) == ("2023-03-05T00:00:00Z", "2023-03-05T00:00:00")
    assert (memory["precision"], memory["tags"], memory["media"]) == ("day", ["sea"], [])
    assert [person["name"] for person in memory["people"]] == ["Anna"]
    assert memory["location"]["coordinates"] == {"latitude": 45.5, "longitude": -122.6}
    assert memory["source"] == {"kind": "manual", "ids": {}}
    assert memory["project_id"] is None

    again = await client.get(f"{MEMORIES}/{memory['id']}", headers=owner.headers)
    assert again.json() == memory
    unchanged = await client.get(
        f"{MEMORIES}/{memory['id']}", headers=owner.headers | {"If-None-Match": again.headers["ETag"]}
    )
    assert unchanged.status_code == 304
    second = await remember(client, owner, "Again.", people=[{"name": "ANNA"}], location={"name": "cape"})
    assert second["people"][0]["id"] == memory["people"][0]["id"]
    assert second["location"]["id"] == memory["location"]["id"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"content": "x" * 50_001},
        {"content": "x", "occurred_at": "2023-02-30"},
        {"content": "x", "occurred_at": "yesterday"},
        {"content": "x", "occurred_at": "2023-03-05", "occurred_end": "2023-03-04"},
        {"content": "x", "people": [{"name": "A", "person_id": str(uuid4())}]},
        {"content": "x", "location": {"name": "A", "coordinates": {"latitude": 91, "longitude": 0}}},
        {"content": "x", "tags": ["t" * 51]},
        {"content": "x", "owner_id": str(uuid4())},
    ],
)
async def test_what_is_no_memory_is_refused(client: AsyncClient, owner: User, wrong: dict):
    response = await client.post(MEMORIES, json=wrong, headers=owner.headers)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("said", "precision", "at", "local"),
    [
        ("2023", "year", "2022-12-31T23:00:00Z", "2023-01-01T00:00:00"),
        ("2023-07", "month", "2023-06-30T22:00:00Z", "2023-07-01T00:00:00"),
        ("2023-07-04", "day", "2023-07-03T22:00:00Z", "2023-07-04T00:00:00"),
        ("2023-07-04T23:30:00", "exact", "2023-07-04T21:30:00Z", "2023-07-04T23:30:00"),
        ("2023-07-04T23:30:00Z", "exact", "2023-07-04T23:30:00Z", "2023-07-05T01:30:00"),
        ("2023-07-04T23:30:00-07:00", "exact", "2023-07-05T06:30:00Z", "2023-07-04T23:30:00"),
    ],
)
async def test_a_time_is_on_the_clock_of_its_place_or_else_of_its_owner(
    client: AsyncClient, owner: User, said: str, precision: str, at: str, local: str
):
    await client.patch("/api/v1/users/me", json={"settings": {"timezone": "Europe/Vienna"}}, headers=owner.headers)
    memory = await remember(client, owner, "Then.", occurred_at=said)
    assert (memory["precision"], memory["occurred_at"], memory["occurred_local"]) == (precision, at, local)
    retagged = await client.patch(f"{MEMORIES}/{memory['id']}", json={"precision": precision}, headers=owner.headers)
    assert (retagged.json()["occurred_at"], retagged.json()["occurred_local"]) == (at, local)


async def test_both_clocks_narrow_a_list(client: AsyncClient, owner: User, resources: Resources):
    old = await remember(client, owner, "Old.", occurred_at="2019-05-01T12:00:00Z")
    trip = await remember(client, owner, "Trip.", occurred_at="2023-03-30", occurred_end="2023-04-02")
    month = await remember(client, owner, "Month.", occurred_at="2023-03")
    day = timedelta(days=1)
    await execute(resources, update(Memory).where(Memory.id == trip["id"]).values(created_at=Memory.created_at - day))

    async def ids(**params: str) -> list[str]:
        return [item["id"] for item in (await listed(client, owner, **params))["items"]]

    assert await ids() == [trip["id"], month["id"], old["id"]]
    assert await ids(order="created") == [month["id"], trip["id"], old["id"]]
    assert await ids(**{"from": "2023-04-01"}) == [trip["id"]]
    assert await ids(**{"from": "2023-03", "to": "2023-03"}) == [trip["id"], month["id"]]
    assert await ids(to="2019") == [old["id"]]
    assert await ids(**{"from": "2019-05-01T12:00:00Z", "to": "2019-05-01T12:00:01Z"}) == [old["id"]]
    assert await ids(**{"from": "2019-05-01T12:00:01Z", "to": "2020-01-01T00:00:00Z"}) == []
    assert await ids(created_before=old["created_at"]) == [trip["id"]]
    assert await ids(created_from=old["created_at"]) == [month["id"], old["id"]]


async def test_pages_follow_each_other_while_memories_come_and_go(client: AsyncClient, owner: User):
    made = [await remember(client, owner, str(n), occurred_at=f"2020-01-{n:02d}") for n in range(1, 8)]
    first = await listed(client, owner, limit=3)
    await remember(client, owner, "new", occurred_at="2024")
    await client.delete(f"{MEMORIES}/{made[4]['id']}", headers=owner.headers)  # the last that was shown
    second = await listed(client, owner, limit=3, cursor=first["next_cursor"])
    third = await listed(client, owner, limit=3, cursor=second["next_cursor"])
    shown = [item["content"] for page in (first, second, third) for item in page["items"]]
    assert (shown, third["next_cursor"]) == (["7", "6", "5", "4", "3", "2", "1"], None)
    bad = await client.get(MEMORIES, params={"cursor": "A" * 31 + "!"}, headers=owner.headers)
    assert bad.status_code == 422


async def test_filters_by_person_place_tag_and_map(client: AsyncClient, owner: User):
    oslo = {"name": "Oslo", "coordinates": {"latitude": 59.91, "longitude": 10.75}}
    fiji = {"name": "Fiji", "coordinates": {"latitude": -17.7, "longitude": 178.1}}
    both = await remember(client, owner, "Both", people=[{"name": "Anna"}, {"name": "Ben"}], location=oslo, tags=["a"])
    anna = await remember(client, owner, "Anna", people=[{"name": "Anna"}], location=fiji, tags=["a", "b"])
    ids = {person["name"]: person["id"] for person in both["people"]}

    async def found(**params: object) -> set[str]:
        return {item["content"] for item in (await listed(client, owner, **params))["items"]}

    assert await found(person=ids["Anna"]) == {"Both", "Anna"}
    assert await found(person=[ids["Anna"], ids["Ben"]]) == {"Both"}
    assert await found(person=str(uuid4())) == set()
    assert await found(location=anna["location"]["id"]) == {"Anna"}
    assert await found(tag=["a", "B"]) == {"Anna"}
    assert await found(near="59.9,10.7", radius=5000) == {"Both"}
    assert await found(near="59.9,10.7", radius=1000) == set()
    assert await found(near="-17.7,-179.9", radius=300_000) == {"Anna"}  # across the date line
    assert await found(box="170,-20,-170,-10") == {"Anna"}
    assert await found(box="0,50,20,60") == {"Both"}
    for wrong in ({"near": "91,0"}, {"near": "x"}, {"box": "0,60,20,50"}, {"from": "soon"}, {"radius": "nan"}):
        assert (await client.get(MEMORIES, params=wrong, headers=owner.headers)).status_code == 422


async def test_a_change_is_kept_and_can_be_undone(client: AsyncClient, owner: User):
    memory = await remember(client, owner, "First.", occurred_at="2020", people=[{"name": "Anna"}], tags=["a"])
    path = f"{MEMORIES}/{memory['id']}"
    changed = await client.patch(
        path, json={"content": "Second.", "people": [], "occurred_at": "2021-06", "tags": []}, headers=owner.headers
    )
    assert changed.json()["title"] == "Second."  # it was how the content began
    stale = await client.patch(path, json={"content": "Third."}, headers=owner.headers | {"If-Match": '"0"'})
    assert stale.status_code == 412

    history = await listed(client, owner, f"/memories/{memory['id']}/history")
    assert [(one["revision"], one["change"]) for one in history["items"]] == [(2, "updated"), (1, "created")]
    assert history["items"][1]["state"]["content"] == "First."

    undone = (await client.post(f"{path}/undo", headers=owner.headers)).json()
    same = ("content", "title", "occurred_at", "precision", "people", "tags")
    assert [undone[name] for name in same] == [memory[name] for name in same]
    again = (await client.post(f"{path}/undo", json={"revision": 2}, headers=owner.headers)).json()
    assert again["content"] == "Second."
    assert (await client.post(f"{path}/undo", json={"revision": 99}, headers=owner.headers)).status_code == 409


async def test_a_deleted_memory_is_nowhere_until_it_is_restored(client: AsyncClient, owner: User, resources: Resources):
    memory = await remember(client, owner, "A secret garden.")
    await index(resources)
    path = f"{MEMORIES}/{memory['id']}"
    assert (await client.delete(path, headers=owner.headers | {"If-Match": '"0"'})).status_code == 412
    assert (await client.delete(path, headers=owner.headers)).status_code == 204
    assert (await client.get(path, headers=owner.headers)).status_code == 404
    assert (await listed(client, owner))["items"] == []
    assert (await listed(client, owner, q="secret garden"))["items"] == []
    assert [item["id"] for item in (await listed(client, owner, deleted=True))["items"]] == [memory["id"]]

    restored = await client.post(f"{path}/restore", headers=owner.headers)
    assert restored.json()["deleted_at"] is None
    await index(resources)
    assert [item["id"] for item in (await listed(client, owner, q="secret garden"))["items"]] == [memory["id"]]


async def test_the_bin_is_emptied_after_the_retention(client: AsyncClient, owner: User, resources: Resources):
    gone, kept = await remember(client, owner, "Gone."), await remember(client, owner, "Kept.")
    for memory in (gone, kept):
        await client.delete(f"{MEMORIES}/{memory['id']}", headers=owner.headers)
    month = resources.settings.memory.retention + timedelta(days=1)
    await execute(resources, update(Memory).where(Memory.id == gone["id"]).values(deleted_at=Memory.deleted_at - month))
    await resources.services.memories.sweep()
    assert [item["id"] for item in (await listed(client, owner, deleted=True))["items"]] == [kept["id"]]
    assert (await client.post(f"{MEMORIES}/{gone['id']}/restore", headers=owner.headers)).status_code == 404


async def test_links_lead_to_what_is_there_and_visible(client: AsyncClient, owner: User):
    first = await remember(client, owner, "First.")
    second = await remember(client, owner, "Second.", links={"memory_ids": [first["id"]]})
    assert second["links"]["memory_ids"] == [first["id"]]
    stranger = await make_user(client, "Stranger")
    foreign = await client.post(
        MEMORIES, json={"content": "x", "links": {"memory_ids": [first["id"]]}}, headers=stranger.headers
    )
    assert foreign.status_code == 404
    itself = await client.patch(
        f"{MEMORIES}/{first['id']}", json={"links": {"memory_ids": [first["id"]]}}, headers=owner.headers
    )
    assert itself.status_code == 422
    await client.delete(f"{MEMORIES}/{first['id']}", headers=owner.headers)
    assert (await client.get(f"{MEMORIES}/{second['id']}", headers=owner.headers)).json()["links"]["memory_ids"] == []


async def test_every_change_is_told_on_the_owners_channel(client: AsyncClient, owner: User, resources: Resources):
    memory = await remember(client, owner, "Told.")
    await client.patch(f"{MEMORIES}/{memory['id']}", json={"content": "Retold."}, headers=owner.headers)
    await client.delete(f"{MEMORIES}/{memory['id']}", headers=owner.headers)
    frames = []
    async with resources.uow() as uow:
        query = select(EventRow.frame).where(EventRow.channel_id == owner.id).order_by(EventRow.seq)
        frames = (await uow._session.scalars(query)).all()
    assert ['"memory_changed"' in frame and memory["id"] in frame for frame in frames] == [True, True, True]
    assert "Told" not in "".join(frames)


async def test_a_memory_written_twice_with_one_key_is_one(client: AsyncClient, owner: User):
    headers = owner.headers | {"Idempotency-Key": "the same"}
    first = await client.post(MEMORIES, json={"content": "Once."}, headers=headers)
    second = await client.post(MEMORIES, json={"content": "Once."}, headers=headers)
    assert (first.json()["id"], first.status_code) == (second.json()["id"], second.status_code)
    assert len((await listed(client, owner))["items"]) == 1


async def test_words_are_counted_as_memories_come_change_and_go(client: AsyncClient, owner: User, resources: Resources):
    memory = await remember(client, owner, "Marmalade.")
    await index(resources)
    counts = text("SELECT sum(passages) FROM memory_term_counts WHERE shelf_id = :shelf").bindparams(
        shelf=UUID(owner.id)
    )
    async with resources.uow() as uow:
        assert await uow._session.scalar(counts) == 2  # the word, and the passage itself
    await client.delete(f"{MEMORIES}/{memory['id']}", headers=owner.headers)
    async with resources.uow() as uow:
        assert await uow._session.scalar(counts) is None
        assert await uow._session.scalar(select(MemoryChunk.id)) is None
