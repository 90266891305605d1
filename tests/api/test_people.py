"""People and places in memories: what they are called, two who are one, and what is near."""

from httpx import AsyncClient

from app.resources import Resources
from tests.factories import User, make_user
from tests.memories import index, listed, remember, search

PEOPLE, LOCATIONS = "/api/v1/people", "/api/v1/locations"


async def test_two_people_become_one_with_all_names_and_memories(
    client: AsyncClient, owner: User, resources: Resources
):
    first = await remember(client, owner, "Sailing.", people=[{"name": "Anna"}])
    second = await remember(client, owner, "Skiing.", people=[{"name": "Anna Berg"}, {"name": "Anna"}])
    anna = first["people"][0]["id"]
    berg = next(person["id"] for person in second["people"] if person["id"] != anna)
    await client.patch(f"{PEOPLE}/{berg}", json={"aliases": ["Änni"]}, headers=owner.headers)

    merged = await client.post(f"{PEOPLE}/{anna}/merge", json={"person_id": berg}, headers=owner.headers)
    assert merged.json()["aliases"] == ["Anna Berg", "Änni"]
    assert merged.json()["memory_count"] == 2
    assert (await client.get(f"{PEOPLE}/{berg}", headers=owner.headers)).status_code == 404
    third = await remember(client, owner, "Dancing.", people=[{"name": "anni"}])
    assert third["people"][0]["id"] == anna
    await index(resources)
    assert {hit["text"] for hit in (await search(client, owner, "with Anna Berg"))["items"]} == {
        "Sailing.",
        "Skiing.",
        "Dancing.",
    }
    itself = await client.post(f"{PEOPLE}/{anna}/merge", json={"person_id": anna}, headers=owner.headers)
    assert itself.status_code == 409


async def test_people_and_places_are_their_owners_alone(client: AsyncClient, owner: User):
    memory = await remember(client, owner, "x", people=[{"name": "Anna"}], location={"name": "Cape"})
    stranger = await make_user(client, "Stranger")
    for path in (f"{PEOPLE}/{memory['people'][0]['id']}", f"{LOCATIONS}/{memory['location']['id']}"):
        assert (await client.get(path, headers=owner.headers)).status_code == 200
        for method in ("GET", "PATCH", "DELETE"):
            body = {} if method == "PATCH" else None
            assert (await client.request(method, path, json=body, headers=stranger.headers)).status_code == 404
    assert (await listed(client, stranger, "/people"))["items"] == []
    assert (await listed(client, stranger, "/locations"))["items"] == []
    person = {"person_id": memory["people"][0]["id"]}
    theirs = await client.post("/api/v1/memories", json={"content": "x", "people": [person]}, headers=stranger.headers)
    assert theirs.status_code == 404


async def test_somebody_is_found_by_any_name_and_leaves_memories_behind(client: AsyncClient, owner: User):
    person = (await client.post(PEOPLE, json={"name": "Zoë", "aliases": ["Mum", "zoe"]}, headers=owner.headers)).json()
    assert person["aliases"] == ["Mum"]  # the other is the name
    assert [one["id"] for one in (await listed(client, owner, "/people", q="MU"))["items"]] == [person["id"]]
    memory = await remember(client, owner, "Tea.", people=[{"name": "mum"}])
    etag = (await client.get(f"/api/v1/memories/{memory['id']}", headers=owner.headers)).headers["ETag"]
    assert memory["people"] == [{"id": person["id"], "name": "Zoë"}]
    assert (await client.delete(f"{PEOPLE}/{person['id']}", headers=owner.headers)).status_code == 204
    left = await client.get(f"/api/v1/memories/{memory['id']}", headers=owner.headers | {"If-None-Match": etag})
    assert left.json()["people"] == []


async def test_the_nearest_places_come_first(client: AsyncClient, owner: User):
    for name, latitude, longitude in (("Oslo", 59.91, 10.75), ("Bergen", 60.39, 5.32), ("Fiji", -17.7, 178.1)):
        body = {"name": name, "coordinates": {"latitude": latitude, "longitude": longitude}}
        assert (await client.post(LOCATIONS, json=body, headers=owner.headers)).status_code == 201
    near = (await listed(client, owner, "/locations", near="60,6", radius=400_000))["items"]
    assert [place["name"] for place in near] == ["Bergen", "Oslo"]
    assert 50_000 < near[0]["distance"] < 60_000
    assert [place["name"] for place in (await listed(client, owner, "/locations"))["items"]] == [
        "Fiji",
        "Bergen",
        "Oslo",
    ]
    half = await client.post(LOCATIONS, json={"name": "Half", "coordinates": {"latitude": 1}}, headers=owner.headers)
    assert half.status_code == 422


async def test_a_place_is_renamed_in_the_memories_that_have_it(client: AsyncClient, owner: User, resources: Resources):
    memory = await remember(client, owner, "Rain.", location={"name": "Cape"})
    await index(resources)
    path = f"{LOCATIONS}/{memory['location']['id']}"
    renamed = await client.patch(path, json={"name": "Patagonia"}, headers=owner.headers)
    assert renamed.json()["memory_count"] == 1
    await index(resources)
    assert (await search(client, owner, "Patagonia"))["items"][0]["scores"]["text"] > 0
    stale = await client.patch(path, json={"name": "x"}, headers=owner.headers | {"If-Match": '"0-1"'})
    assert stale.status_code == 412
