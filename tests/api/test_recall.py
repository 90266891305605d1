"""Memories are found by what they say, when they were and who was there, beside documents, and by nobody else."""

from httpx import AsyncClient

from app.resources import Resources
from tests.factories import User, make_project, make_user, share
from tests.memories import index, listed, remember, search
from tests.work import run_queued_tasks


def texts(found: dict) -> list[str]:
    return [item["text"] for item in found["items"]]


async def test_a_memory_is_found_by_meaning_and_shown_with_its_time(
    client: AsyncClient, owner: User, resources: Resources
):
    memory = await remember(client, owner, "We adopted a kitten called Mole.", occurred_at="2021-05")
    await remember(client, owner, "The car needed new tyres.", occurred_at="2021-06")
    await index(resources)
    [hit] = (await search(client, owner, "our cat", top_k=1))["items"]
    assert (hit["source"], hit["memory_id"], hit["document_id"]) == ("memories", memory["id"], None)
    assert (hit["text"], hit["heading"]) == (memory["content"], "May 2021")
    assert memory["content"][hit["char_start"] : hit["char_end"]] == hit["text"]
    assert (await listed(client, owner, q="our cat", limit=1))["items"][0]["id"] == memory["id"]


async def test_a_time_and_a_name_in_a_question_narrow_and_are_explained(
    client: AsyncClient, owner: User, resources: Resources
):
    await remember(client, owner, "Dinner at the harbour.", occurred_at="2023-03-05", people=[{"name": "Anna"}])
    await remember(client, owner, "Dinner in the garden.", occurred_at="2022-03-05", people=[{"name": "Anna"}])
    await remember(client, owner, "Dinner on the roof.", occurred_at="2023-03-09", people=[{"name": "Ben"}])
    await remember(client, owner, "Dinner with anna on the train.", occurred_at="2023-03-30")
    await index(resources)
    found = await search(client, owner, "dinner with Anna in March 2023", explain=True)
    assert set(texts(found)) == {"Dinner at the harbour.", "Dinner with anna on the train."}
    said = {one["kind"]: one for one in found["explanation"]["readings"]}
    assert (said["time"]["text"], said["time"]["use"]) == ("March 2023", "narrowed")
    assert (said["time"]["occurred_from"], said["time"]["occurred_before"]) == (
        "2023-03-01T00:00:00",
        "2023-04-01T00:00:00",
    )
    assert (said["person"]["names"], said["person"]["use"]) == (["Anna"], "narrowed")

    nobody = await search(client, owner, "dinner with Anna in March 1999", explain=True)
    uses = {one["kind"]: one["use"] for one in nobody["explanation"]["readings"]}
    assert uses == {"time": "dropped", "person": "narrowed"}
    assert "Dinner on the roof." not in texts(nobody)


async def test_an_event_dates_a_question(client: AsyncClient, owner: User, resources: Resources):
    await remember(client, owner, "We moved into the new house.", occurred_at="2020-06-01")
    await remember(client, owner, "A party with the neighbours.", occurred_at="2019-06-01")
    await remember(client, owner, "A party in the new garden.", occurred_at="2021-06-01")
    await index(resources)
    before = await search(client, owner, "parties before we moved into the new house", explain=True)
    assert texts(before) == ["A party with the neighbours."]
    [event] = before["explanation"]["readings"]
    assert (event["kind"], event["use"], event["occurred_before"]) == ("event", "narrowed", "2020-06-01T00:00:00")
    unknown = await search(client, owner, "parties before we bought the submarine", explain=True)
    assert [one["use"] for one in unknown["explanation"]["readings"]] == ["dropped"]
    assert len(texts(unknown)) == 3


async def test_what_may_be_a_word_only_comes_first(client: AsyncClient, owner: User, resources: Resources):
    await remember(client, owner, "Rain all day.", people=[{"name": "Will"}])
    await remember(client, owner, "It rained and rained.")
    await index(resources)
    found = await search(client, owner, "Will it rain?", explain=True)
    assert (len(texts(found)), found["explanation"]["readings"][0]["use"]) == (2, "preferred")


async def test_filters_narrow_by_name_and_leave_out_what_cannot_have_them(
    client: AsyncClient, owner: User, resources: Resources
):
    memory = await remember(client, owner, "A walk by the sea.", tags=["sea"], occurred_at="2020-01-01")
    await remember(client, owner, "A walk in the sea.", occurred_at="2021-01-01")
    await index(resources)
    for filters in ({"tags": ["SEA"]}, {"occurred_before": "2020"}, {"memory_ids": [memory["id"]]}):
        assert texts(await search(client, owner, "walk by the sea", filters=filters)) == ["A walk by the sea."]
    assert texts(await search(client, owner, "walk by the sea", filters={"media_type": "text/plain"})) == []
    both = {"sources": ["documents", "memories"], "filters": {"tags": ["sea"]}}
    assert texts(await search(client, owner, "walk by the sea", **both)) == ["A walk by the sea."]


async def test_documents_and_memories_make_one_list_with_mixed_citations(
    client: AsyncClient, owner: User, resources: Resources
):
    text = "The Cape lighthouse was built in 1894. Its lamp is lit at nine every evening."
    await client.post("/api/v1/documents", json={"text": text, "title": "Guide"}, headers=owner.headers)
    await run_queued_tasks(resources)
    memory = await remember(client, owner, "Anna lit the lamp of the Cape lighthouse herself.", occurred_at="2020")
    await remember(client, owner, "Pancakes for breakfast.")
    await index(resources)
    both = {"sources": ["documents", "memories"]}
    found = await search(client, owner, "lamp of the Cape lighthouse", **both)
    assert {hit["source"] for hit in found["items"][:2]} == {"documents", "memories"}
    scores = [hit["score"] for hit in found["items"]]
    assert scores == sorted(scores, reverse=True)
    assert found["items"][-1]["text"] == "Pancakes for breakfast."

    body = {"question": "Who lit the lamp of the Cape lighthouse?", **both}
    answer = (await client.post("/api/v1/query", json=body, headers=owner.headers)).json()
    cited = next(one for one in answer["citations"] if one["memory_id"])
    assert (cited["memory_id"], cited["document_id"]) == (memory["id"], None)
    assert memory["content"][cited["char_start"] : cited["char_end"]] == cited["quote"]
    default = (await client.post("/api/v1/query", json={"question": body["question"]}, headers=owner.headers)).json()
    assert [one for one in default["citations"] if one["memory_id"]] == []  # unless it is asked for


async def test_others_find_what_is_shared_and_learn_nothing_of_the_rest(
    client: AsyncClient, owner: User, resources: Resources
):
    project, other = await make_project(client, owner), await make_user(client, "Other")
    await share(client, owner, project["id"], other, "viewer")
    await remember(client, owner, "The zeppelin was stolen.", people=[{"name": "Anna"}])
    shared = await remember(client, owner, "The zeppelin came back.", project_id=project["id"])
    await index(resources)

    mine = await search(client, owner, "zeppelin", explain=True)
    theirs = await search(client, other, "zeppelin with Anna", explain=True)
    assert (len(texts(mine)), texts(theirs)) == (2, ["The zeppelin came back."])
    assert theirs["explanation"]["words"]["zeppelin"] == 1  # rarity is counted on the caller's shelves alone
    assert (theirs["explanation"]["memories"], theirs["explanation"]["readings"]) == (1, [])
    question = {"question": "What was stolen?", "sources": ["memories"]}
    answer = (await client.post("/api/v1/query", json=question, headers=other.headers)).json()
    assert "stolen" not in str(answer["citations"])
    assert (await listed(client, other, q="zeppelin"))["items"][0]["id"] == shared["id"]
    only = await search(client, owner, "zeppelin", project_ids=[project["id"]])
    assert texts(only) == ["The zeppelin came back."]

    taken_back = await client.patch(
        f"/api/v1/memories/{shared['id']}", json={"project_id": None}, headers=owner.headers
    )
    assert taken_back.json()["project_id"] is None
    assert texts(await search(client, other, "zeppelin")) == []  # at once: no index has to be made first
    assert (await search(client, other, "zeppelin", explain=True))["explanation"]["memories"] == 0
    assert len(texts(await search(client, owner, "zeppelin"))) == 2


async def test_sharing_ends_with_the_membership_and_the_project(client: AsyncClient, owner: User, resources: Resources):
    host = await make_user(client, "Host")
    project, second = await make_project(client, host), await make_project(client, host, "Second")
    for one in (project, second):
        await share(client, host, one["id"], owner, "editor")
    memory = await remember(client, owner, "A regatta.", project_id=project["id"])
    other = await remember(client, owner, "Another regatta.", project_id=second["id"])
    await index(resources)
    assert len(texts(await search(client, host, "regatta"))) == 2

    await client.delete(f"/api/v1/projects/{project['id']}/members/{owner.id}", headers=owner.headers)
    await client.delete(f"/api/v1/projects/{second['id']}", headers=host.headers)
    assert texts(await search(client, host, "regatta")) == []
    for one in (memory, other):
        assert (await client.get(f"/api/v1/memories/{one['id']}", headers=host.headers)).status_code == 404
        kept = await client.get(f"/api/v1/memories/{one['id']}", headers=owner.headers)
        assert (kept.status_code, kept.json()["project_id"]) == (200, None)
    assert len(texts(await search(client, owner, "regatta"))) == 2


async def test_an_editor_changes_what_it_says_and_nothing_else(client: AsyncClient, owner: User):
    project, editor = await make_project(client, owner), await make_user(client, "Editor")
    await share(client, owner, project["id"], editor, "editor")
    memory = await remember(client, owner, "Draft.", project_id=project["id"], people=[{"name": "Anna"}])
    path = f"/api/v1/memories/{memory['id']}"
    changed = await client.patch(path, json={"content": "Final."}, headers=editor.headers)
    assert (changed.status_code, changed.json()["content"]) == (200, "Final.")
    for field in ({"project_id": None}, {"people": []}, {"location": None}, {"links": {}}):
        assert (await client.patch(path, json=field, headers=editor.headers)).status_code == 403
    assert (await client.post(f"{path}/undo", headers=owner.headers)).json()["content"] == "Draft."


async def test_a_long_memory_is_found_by_any_part_of_it(client: AsyncClient, owner: User, resources: Resources):
    filler = " ".join(f"On day {n} we sailed on and the wind was fair." for n in range(1, 120))
    content = f"{filler} Then a whale breached beside us. {filler}"
    await remember(client, owner, content)
    await index(resources)
    [hit] = (await search(client, owner, "a whale breached", top_k=1))["items"]
    assert "whale" in hit["text"]
    assert content[hit["char_start"] : hit["char_end"]] == hit["text"]
    assert len(hit["text"]) < len(content) / 3
