"""What people ask to remember in rooms becomes a memory when they say so."""

from httpx import AsyncClient

from app.resources import Resources
from app.services.remembering import wish_in
from tests.factories import User, make_project, make_user, share
from tests.memories import index, listed, remember
from tests.work import run_queued_tasks

CANDIDATES = "/api/v1/memories/candidates"


async def make_room(client: AsyncClient, owner: User, **fields: object) -> str:
    body = {"name": "Kitchen", "spirit_mode": "off", **fields}
    return (await client.post("/api/v1/sessions", json=body, headers=owner.headers)).json()["id"]


async def say(client: AsyncClient, user: User, room: str, text: str) -> dict:
    response = await client.post(f"/api/v1/chat/{room}/messages", json={"text": text}, headers=user.headers)
    assert response.status_code == 201, response.text
    return response.json()


async def candidates_of(client: AsyncClient, user: User, **params: str) -> list[dict]:
    return (await listed(client, user, "/memories/candidates", **params))["items"]


def test_a_wish_to_remember_is_told_from_talk():
    assert wish_in("Remember that we met on 5 March 2021.") == "We met on 5 March 2021."
    assert wish_in("@Spirit, please remember: the key is under the pot") == "The key is under the pot"
    assert wish_in("Merk dir, dass Oma im Mai kommt") == "Oma im Mai kommt"
    for talk in ("Do you remember that day?", "I remember that well", "Remember the milk", "remember that", "noted"):
        assert wish_in(talk) is None


async def test_a_wish_becomes_a_candidate_and_then_a_memory(client: AsyncClient, owner: User, resources: Resources):
    await remember(client, owner, "Tea.", people=[{"name": "Anna"}])
    room = await make_room(client, owner)
    message = await say(client, owner, room, "Remember that Anna and I married on 5 March 2021.")
    await say(client, owner, room, "What a day that was.")
    await run_queued_tasks(resources)

    [candidate] = await candidates_of(client, owner)
    assert candidate["content"] == "Anna and I married on 5 March 2021."
    assert (candidate["occurred_local"], candidate["precision"]) == ("2021-03-05T00:00:00", "day")
    assert (candidate["people"], candidate["duplicate_of"]) == (["Anna"], None)
    assert candidate["source"]["ids"] == {"session_id": room, "message_ids": [message["id"]]}
    assert len((await listed(client, owner))["items"]) == 1  # nothing is kept before its owner says so

    path = f"{CANDIDATES}/{candidate['id']}"
    await client.patch(path, json={"title": "The wedding"}, headers=owner.headers)
    memory = (await client.post(f"{path}/accept", headers=owner.headers)).json()
    assert (memory["title"], memory["occurred_local"]) == ("The wedding", "2021-03-05T00:00:00")
    assert (memory["source"]["kind"], memory["links"]["message_ids"]) == ("conversation", [message["id"]])
    assert [person["name"] for person in memory["people"]] == ["Anna"]
    assert await candidates_of(client, owner) == []
    assert (await candidates_of(client, owner, status="accepted"))[0]["memory_id"] == memory["id"]
    again = await client.post(f"{path}/accept", headers=owner.headers)
    dropped = await client.delete(path, headers=owner.headers)
    assert (again.status_code, dropped.status_code) == (409, 409)


async def test_what_says_the_same_of_the_same_time_is_merged_and_what_contradicts_is_kept(
    client: AsyncClient, owner: User, resources: Resources
):
    there = await remember(client, owner, "The roof was repaired on 2021-03-05.", occurred_at="2021-03-05")
    await index(resources)
    room = await make_room(client, owner)
    for text in (
        "Remember that the roof was repaired on 2021-03-05.",
        "Remember that the roof was repaired on 2022-03-05.",
        "Remember that the roof was not repaired but painted by Ben and his brother on 2021-03-05.",
    ):
        await say(client, owner, room, text)
    await run_queued_tasks(resources)
    found = {one["content"]: one for one in await candidates_of(client, owner)}
    duplicates = {content: one["duplicate_of"] for content, one in found.items()}
    assert duplicates["The roof was repaired on 2021-03-05."] == there["id"]
    assert list(duplicates.values()).count(None) == 2
    for one in found.values():
        assert (await client.post(f"{CANDIDATES}/{one['id']}/accept", headers=owner.headers)).status_code == 200
    memories = (await listed(client, owner))["items"]
    assert len(memories) == 3  # two were added, one was merged
    merged = next(one for one in memories if one["id"] == there["id"])
    assert merged["content"] == there["content"]


async def test_a_rule_accepts_and_what_was_dropped_is_not_proposed_again(
    client: AsyncClient, owner: User, resources: Resources
):
    room = await make_room(client, owner)
    await say(client, owner, room, "Remember that the cat is called Mole.")
    await run_queued_tasks(resources)
    [candidate] = await candidates_of(client, owner)
    assert (await client.delete(f"{CANDIDATES}/{candidate['id']}", headers=owner.headers)).status_code == 204
    await say(client, owner, room, "Remember that the cat is called Mole.")
    await run_queued_tasks(resources)
    assert await candidates_of(client, owner) == []

    await client.patch("/api/v1/users/me", json={"settings": {"remember": "accept"}}, headers=owner.headers)
    await say(client, owner, room, "Remember that the dog is called Fox.")
    await run_queued_tasks(resources)
    assert [one["content"] for one in (await listed(client, owner))["items"]] == ["The dog is called Fox."]


async def test_a_candidate_is_of_whoever_said_it(client: AsyncClient, owner: User, resources: Resources):
    project, friend = await make_project(client, owner), await make_user(client, "Friend")
    await share(client, owner, project["id"], friend, "editor")
    room = await make_room(client, owner, project_id=project["id"])
    await say(client, friend, room, "Remember that I hide the present in the attic.")
    await run_queued_tasks(resources)
    [candidate] = await candidates_of(client, friend)
    assert await candidates_of(client, owner) == []
    path = f"{CANDIDATES}/{candidate['id']}"
    assert (await client.get(path, headers=owner.headers)).status_code == 404
    assert (await client.post(f"{path}/accept", headers=owner.headers)).status_code == 404
    accepted = (await client.post(f"{path}/accept", headers=friend.headers)).json()
    assert (accepted["owner_id"], accepted["project_id"]) == (friend.id, None)


async def test_without_a_language_model_nothing_is_proposed(client: AsyncClient, owner: User, resources: Resources):
    project = await make_project(client, owner)
    room = await make_room(client, owner, project_id=project["id"])
    await say(client, owner, room, "We sold the boat yesterday.")
    body = {"task_type": "extract_memories", "params": {"session_id": room}}
    refused = await client.post(f"/api/v1/projects/{project['id']}/tasks", json=body, headers=owner.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
    assert await candidates_of(client, owner) == []
