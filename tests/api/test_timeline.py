"""Memories by the calendar."""

import random
from collections import Counter, defaultdict
from collections.abc import Awaitable
from itertools import product
from typing import Any

from httpx import AsyncClient, Response

from app.resources import Resources
from tests.factories import User, make_project, make_user, share
from tests.memories import index, listed, remember


async def test_buckets_count_and_name_what_is_in_them(client: AsyncClient, owner: User, resources: Resources):
    anna, oslo = [{"name": "Anna"}], {"name": "Oslo"}
    await remember(client, owner, "Ice cream.", occurred_at="2022-07-03", people=anna, location=oslo)
    await remember(client, owner, "Swimming.", occurred_at="2022-07-30T23:30:00-11:00", people=anna)
    await remember(client, owner, "Apples.", occurred_at="2022-09")
    await remember(client, owner, "Snow.", occurred_at="2023-01-05")
    await index(resources)

    months = await listed(client, owner, "/memories/timeline", bucket="month")
    assert [(one["start"], one["count"]) for one in months["items"]] == [
        ("2023-01-01", 1),
        ("2022-09-01", 1),
        ("2022-07-01", 2),
    ]
    july = months["items"][2]
    assert [(one["name"], one["count"]) for one in july["people"]] == [("Anna", 2)]
    assert [(one["name"], one["count"]) for one in july["places"]] == [("Oslo", 1)]
    assert july["titles"] == ["Ice cream.", "Swimming."]

    async def starts(**params: object) -> list[str]:
        return [one["start"] for one in (await listed(client, owner, "/memories/timeline", **params))["items"]]

    assert await starts(bucket="year") == ["2023-01-01", "2022-01-01"]
    assert await starts(bucket="day", to="2022-07-31") == ["2022-07-30", "2022-07-03"]
    assert await starts(q="swim") == ["2022-07-01"]
    assert await starts(person=july["people"][0]["id"], bucket="year") == ["2022-01-01"]
    assert await starts(location=july["places"][0]["id"]) == ["2022-07-01"]
    page = await listed(client, owner, "/memories/timeline", limit=2)
    following = await listed(client, owner, "/memories/timeline", limit=2, cursor=page["next_cursor"])
    assert [one["start"] for one in following["items"]] == ["2022-07-01"]
    assert following["next_cursor"] is None


async def test_on_this_day_is_the_day_of_the_wall_clock_in_every_year(client: AsyncClient, owner: User):
    for at in ("2019-02-28", "2020-02-29", "2021-02-28T23:59:00+14:00", "2021-02", "2021", "2021-03-01"):
        await remember(client, owner, at, occurred_at=at)

    async def on(date: str) -> list[str]:
        found = await listed(client, owner, "/memories/on-this-day", date=date)
        return [item["content"] for item in found["items"]]

    assert await on("2026-02-28") == ["2021-02-28T23:59:00+14:00", "2019-02-28"]
    assert await on("2024-02-29") == ["2020-02-29"]
    today = await listed(client, owner, "/memories/on-this-day", timezone="Pacific/Kiritimati")
    other = await listed(client, owner, "/memories/on-this-day", timezone="Pacific/Pago_Pago")
    assert today["date"] > other["date"]  # 25 hours apart
    bad = await client.get("/api/v1/memories/on-this-day", params={"timezone": "Mars/One"}, headers=owner.headers)
    assert bad.status_code == 422


async def test_what_is_private_is_not_counted_for_others(client: AsyncClient, owner: User):
    project, other = await make_project(client, owner), await make_user(client, "Other")
    await share(client, owner, project["id"], other, "viewer")
    await remember(client, owner, "Private.", occurred_at="2022-07-03", people=[{"name": "Anna"}])
    await remember(client, owner, "Shared.", occurred_at="2022-07-03", project_id=project["id"])
    mine = await listed(client, owner, "/memories/timeline")
    theirs = await listed(client, other, "/memories/timeline")
    assert (mine["items"][0]["count"], theirs["items"][0]["count"]) == (2, 1)
    assert (theirs["items"][0]["people"], theirs["items"][0]["titles"]) == ([], ["Shared."])
    day = await listed(client, other, "/memories/on-this-day", date="2024-07-03")
    assert [item["content"] for item in day["items"]] == ["Shared."]


Memories = list[dict[str, Any]]


async def everything(client: AsyncClient, user: User) -> Memories:
    return (await listed(client, user, "/memories", limit=100))["items"]


def counted(memories: Memories, width: int) -> list[tuple[str, int, list[tuple[str, int]], list[tuple[str, int]]]]:
    """What a timeline should say: by the first letters of the day, the newest first."""
    by_start: dict[str, Memories] = defaultdict(list)
    for memory in memories:
        by_start[(memory["occurred_at"][:width] + "-01-01")[:10]].append(memory)
    rows = []
    for start in sorted(by_start, reverse=True):
        people = Counter(person["id"] for memory in by_start[start] for person in memory["people"])
        places = Counter(memory["location"]["id"] for memory in by_start[start] if memory["location"])
        rows.append((start, len(by_start[start]), *(most_of(counts) for counts in (people, places))))
    return rows


def most_of(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:5]


async def told(client: AsyncClient, user: User, unit: str, **params: object) -> list[tuple[Any, ...]]:
    buckets = (await listed(client, user, "/memories/timeline", bucket=unit, limit=100, **params))["items"]
    return [
        (one["start"], one["count"], *([(each["id"], each["count"]) for each in one[kind]] for kind in KINDS))
        for one in buckets
    ]


KINDS = ("people", "places")
AT = {"Oslo": (59.9, 10.7), "Quito": (-0.2, -78.5), "Accra": (5.6, -0.2)}


async def test_whatever_happens_to_memories_the_timeline_counts_those_that_are_there(client: AsyncClient, owner: User):
    """Who was there is kept beside when and where, so these have to follow each change of a memory."""
    draw = random.Random(6)
    project, fellow = await make_project(client, owner), await make_user(client, "Fellow")
    await share(client, owner, project["id"], fellow, "editor")
    people = [{"name": name} for name in ("Anna", "Ben", "Carla", "David", "Elif", "Farid", "Greta")]
    for user, (name, (latitude, longitude)) in product((owner, fellow), AT.items()):
        place = {"name": name, "coordinates": {"latitude": latitude, "longitude": longitude}}
        await must(client.post("/api/v1/locations", json=place, headers=user.headers))

    def surroundings() -> dict[str, Any]:
        return {
            "occurred_at": f"{draw.choice((2021, 2022, 2023))}-0{draw.randrange(1, 4)}-1{draw.randrange(10)}T12:00:00Z",
            "people": draw.sample(people, draw.randrange(4)),
            "location": draw.choice([*({"name": name} for name in AT), None]),
            "project_id": draw.choice([project["id"], None]),
        }

    made = [
        await remember(client, user, f"{number}.", **surroundings(), tags=draw.choice([["a"], []]))
        for user in (owner, fellow)
        for number in range(12)
    ]
    for memory in made[:12:2]:
        changes = draw.choice([surroundings(), {"people": []}, {"location": None}, {"project_id": None}])
        await must(client.patch(f"/api/v1/memories/{memory['id']}", json=changes, headers=owner.headers))
    for memory in made[1:8:2]:
        await must(client.delete(f"/api/v1/memories/{memory['id']}", headers=owner.headers))
    await must(client.post(f"/api/v1/memories/{made[1]['id']}/restore", headers=owner.headers))
    anna, ben = [(await listed(client, owner, "/people", q=name))["items"][0]["id"] for name in ("Anna", "Ben")]
    await must(client.post(f"/api/v1/people/{anna}/merge", json={"person_id": ben}, headers=owner.headers))
    oslo = next(one["id"] for one in (await listed(client, owner, "/locations"))["items"] if one["name"] == "Oslo")

    async def compare(user: User) -> None:
        there = await everything(client, user)
        for unit, width in (("day", 10), ("month", 7), ("year", 4)):
            assert await told(client, user, unit) == counted(there, width)
            assert await told(client, user, unit, tag="a") == counted(
                [one for one in there if "a" in one["tags"]], width
            )
            east = [one for one in there if one["location"] and one["location"]["name"] != "Quito"]
            assert await told(client, user, unit, box="-5,0,30,70") == counted(east, width)
            assert await told(client, user, unit, box="100,-80,110,-70") == []

    for user in (owner, fellow):
        await compare(user)
    await must(client.delete(f"/api/v1/locations/{oslo}", headers=owner.headers))
    await compare(owner)
    await must(client.delete(f"/api/v1/projects/{project['id']}/members/{fellow.id}", headers=owner.headers))
    for user in (owner, fellow):
        await compare(user)


async def must(asked: Awaitable[Response]) -> None:
    response = await asked
    assert response.is_success, response.text
