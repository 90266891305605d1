"""Memories by the calendar."""

from httpx import AsyncClient

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
