"""What questions find among memories, without a language model: LoCoMo's turns of talk (recall of the evidence) and a
made-up life of TimelineQA (the one memory that answers, filters and counts). Both sets are for measuring alone.

python -m benchmarks.memory_recall
"""

import asyncio
import csv
import gzip
import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx

from app.permissions import Principal
from app.repositories.memory_filters import MemoryFilter
from app.resources import Resources, open_resources
from app.schemas.memories import MemoryCreate
from app.schemas.moments import parse_moment
from app.schemas.search import SearchFields
from app.services.moments import narrowed_by
from benchmarks.measuring import machine, percentiles, prepared_settings
from tests.processes import start_server

SHARED: Final = Path(os.environ.get("HEARTH_SHARED", Path(__file__).parent.parent.parent / "shared")) / "data"
LOCOMO: Final = SHARED / "locomo" / "conversations.jsonl.gz"
LIFE: Final = SHARED / "timelineqa" / "p11"
WITHOUT_ANSWER: Final = 5  # the category of questions that nothing answers
FIELDS: Final = SearchFields(sources=["memories"], top_k=10)


async def account(client: httpx.AsyncClient, name: str) -> Principal:
    body = {"email": f"{name}@example.com", "password": "a long password of nobody", "name": name}
    user = (await client.post("/auth/register", json=body)).raise_for_status().json()
    return Principal(UUID(user["id"]), name)


async def keep(resources: Resources, owner: Principal, memories: Mapping[str, MemoryCreate]) -> dict[UUID, str]:
    """Write and index them; whose id is which."""
    ids = {}
    for key, data in memories.items():
        ids[(await resources.services.memories.create(owner, data)).id] = key
    await resources.services.memory_indexing.run_due()
    return ids


# --- LoCoMo ---


def talk(path: Path) -> Iterator[Mapping[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def turns_of(conversation: Mapping[str, Any]) -> dict[str, MemoryCreate]:
    """Every turn is a memory of the time of its session."""
    turns = {}
    for name, said in conversation.items():
        if not isinstance(said, list):
            continue
        at = datetime.strptime(conversation[f"{name}_date_time"], "%I:%M %p on %d %B, %Y")  # noqa: DTZ007 - a wall clock
        for turn in said:
            shown = f" [shows {turn['blip_caption']}]" if turn.get("blip_caption") else ""
            text = f"{turn['speaker']}: {turn['text']}{shown}"
            turns[turn["dia_id"]] = MemoryCreate(content=text, occurred_at=at.isoformat())  # type: ignore[arg-type]  # parsed
    return turns


async def locomo(resources: Resources, client: httpx.AsyncClient) -> None:
    recalls: dict[int, list[float]] = {5: [], 10: []}
    by_category: dict[int, list[float]] = defaultdict(list)
    took = []
    for number, one in enumerate(talk(LOCOMO)):
        owner = await account(client, f"locomo-{number}")
        ids = await keep(resources, owner, turns_of(one["conversation"]))
        known = set(ids.values())
        for question in one["qa"]:
            evidence = {name for given in question["evidence"] for name in re.findall(r"D\d+:\d+", given)} & known
            if question["category"] == WITHOUT_ANSWER or not evidence:
                continue
            started = time.perf_counter()
            found = await resources.services.retrieval.find(owner.user_id, question["question"], FIELDS)
            took.append(time.perf_counter() - started)
            named = [ids[match.document_id] for match in found.matches]
            for depth, scores in recalls.items():
                scores.append(len(evidence & set(named[:depth])) / len(evidence))
            by_category[question["category"]].append(recalls[5][-1])
    count = len(took)
    print(f"LoCoMo, {count} questions: R@5 {_mean(recalls[5]):.3f}, R@10 {_mean(recalls[10]):.3f}")
    print("  R@5 by category: " + ", ".join(f"{key}: {_mean(by_category[key]):.3f}" for key in sorted(by_category)))
    print(f"  find, p50 / p95: {percentiles(took)}", flush=True)


# --- TimelineQA ---


def life(path: Path) -> dict[str, Mapping[str, Any]]:
    with gzip.open(path / "memories.jsonl.gz", "rt", encoding="utf-8") as lines:
        return {one["_id"]: one for one in map(json.loads, lines)}


def people_of(memory: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [name for name in names if re.search(rf"\b{name}\b", memory["text"])]


async def timelineqa(resources: Resources, client: httpx.AsyncClient) -> None:
    owner = await account(client, "timelineqa")
    memories, persona = life(LIFE), json.loads((LIFE / "persona.json").read_text())
    names = [*persona["close_friends_names"], persona["biological_mom_name"], persona["biological_dad_name"]]
    made = {
        key: MemoryCreate.model_validate(
            {
                "content": one["text"],
                "occurred_at": one["date"].replace("/", "-"),
                "tags": [one["kind"]],
                "people": [{"name": name} for name in people_of(one, names)],
            }
        )
        for key, one in memories.items()
    }
    ids = await keep(resources, owner, made)
    await _ask(resources, owner, ids, memories)
    await _filters(resources, owner, memories, names)
    await _counts(resources, owner)


async def _ask(
    resources: Resources, owner: Principal, ids: Mapping[UUID, str], memories: Mapping[str, Mapping[str, Any]]
) -> None:
    hits: dict[str, list[bool]] = {"dated": [], "undated": []}
    among: list[bool] = []
    took = []
    missed: Counter[str] = Counter()
    with gzip.open(LIFE / "questions.jsonl.gz", "rt", encoding="utf-8") as lines:
        questions = list(map(json.loads, lines))
    for question in questions:
        started = time.perf_counter()
        found = await resources.services.retrieval.find(owner.user_id, question["question"], FIELDS)
        took.append(time.perf_counter() - started)
        named = [ids[match.document_id] for match in found.matches]
        kind = "dated" if re.search(r"\d{4}", question["question"]) else "undated"
        hits[kind].append(named[:1] == [question["memory"]])
        among.append(question["memory"] in named[:5])
        if not hits[kind][-1]:
            missed[memories[question["memory"]]["kind"]] += 1
    for kind, right in hits.items():
        print(f"TimelineQA, {len(right)} {kind} questions: Hit@1 {_mean(right):.3f}")
    print(f"  all: R@5 {_mean(among):.3f}; missed most: {missed.most_common(5)}")
    print(f"  find, p50 / p95: {percentiles(took)}", flush=True)


async def _filters(
    resources: Resources, owner: Principal, memories: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> None:
    """Every month, everybody, and both: the very memories that a walk through the data finds."""
    people = {
        one.name: one.id for one in await resources.services.people.list(owner, words=None, before=None, limit=99)
    }
    months = sorted({one["date"][:7].replace("/", "-") for one in memories.values()})
    right = wrong = 0
    for month in (*months, None):
        for name in (*names, None):
            filters = MemoryFilter(person_ids=(people[name],) if name in people else ())
            if month is not None:
                filters = narrowed_by(filters, parse_moment(month), parse_moment(month))
            async with resources.uow() as uow:
                found = len(await uow.recall.list_narrowed(owner.user_id, filters))
            expected = sum(
                (month is None or one["date"].startswith(month.replace("-", "/")))
                and (name is None or name not in people or name in people_of(one, names))
                for one in memories.values()
            )
            right, wrong = right + (found == expected), wrong + (found != expected)
    print(f"TimelineQA, filters by month and person: {right} of {right + wrong} right")


async def _counts(resources: Resources, owner: Principal) -> None:
    """How often a year had this kind of thing: the timeline against the truth tables."""
    right = wrong = 0
    for table, tag in (("daily_chat", "chat"), ("weekly_hobby", "hobbies"), ("weekly_grocery", "grocery")):
        with gzip.open(LIFE / f"{table}.csv.gz", "rt", encoding="utf-8") as lines:
            expected = Counter(one["date"][:4] for one in csv.DictReader(lines))
        buckets = await resources.services.timeline.list(
            owner, MemoryFilter(tags=[tag]), "year", words=None, before=None, limit=100
        )
        found = {str(bucket.start.year): bucket.count for bucket in buckets}
        for year, count in expected.items():
            right, wrong = right + (found.get(year) == count), wrong + (found.get(year) != count)
    print(f"TimelineQA, counts of a year against the truth tables: {right} of {right + wrong} right", flush=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


async def main() -> None:
    print(machine())
    if not SHARED.exists():
        print(f"measuring data is absent: {SHARED} (set HEARTH_SHARED)")
        return
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=False, RATE_LIMIT_ENABLED="false") as server,
        httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as client,
        open_resources(settings) as resources,
    ):
        await locomo(resources, client)
        await timelineqa(resources, client)


if __name__ == "__main__":
    asyncio.run(main())
