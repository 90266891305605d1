"""What is counted, and how it is shown."""

import asyncio
import subprocess
import sys
from pathlib import Path

from httpx import AsyncClient
from redis.asyncio import Redis

from app.rates import Budget, parse_rate
from app.realtime.limits import RateLimits, Use
from app.repositories import UnitOfWork
from app.resources import Resources
from app.services.queue_numbers import QueueNumbers
from app.settings.operation import MetricsSettings
from app.telemetry.exposition import shown
from app.telemetry.meters import REGISTRY
from app.telemetry.watching import Numbers, Watch
from tests.factories import User
from tests.library import LIGHTHOUSE
from tests.processes import REPOSITORY, free_port
from tests.work import run_queued_tasks

METRICS = "/api/v1/metrics"
MOST_SERIES = 40  # of one request: each has its buckets


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def shown_to(client: AsyncClient, user: User) -> str:
    response = await client.get(METRICS, headers=user.headers)
    assert response.status_code == 200
    return response.text


async def test_what_callers_send_never_becomes_a_label(client: AsyncClient, owner: User):
    before = await shown_to(client, owner)
    await client.get(f"/api/v1/projects/{owner.id}", headers=owner.headers)
    await client.get("/api/v1/no/such/place-of-mine", headers=owner.headers)
    await client.request("BREW", "/api/v1/projects", headers=owner.headers)
    after = await shown_to(client, owner)
    for told in (owner.id, "place-of-mine", "BREW"):
        assert told not in after
    assert 'hearth_http_requests_total{method="GET",operation="get_project",status="404"}' in after
    assert 'method="OTHER"' in after
    assert after.count("\n") - before.count("\n") < 3 * MOST_SERIES


async def test_waiting_work_is_counted_by_type_with_its_age_and_running_and_finished_work_too(
    client: AsyncClient, resources: Resources, owner: User
):
    numbers = QueueNumbers(resources.uow)
    await numbers.look()
    assert value("hearth_tasks_waiting", task_type="ingest_document") == 0
    files = {"file": ("light.txt", LIGHTHOUSE.encode(), "text/plain")}
    await client.post("/api/v1/documents", files=files, headers=owner.headers)
    ended = {"task_type": "ingest_document", "outcome": "succeeded"}
    ready, passages = value("hearth_tasks_ended_total", **ended), value("hearth_ingest_passages_total")
    await numbers.look()
    assert value("hearth_tasks_waiting", task_type="ingest_document") == 1
    assert 0 < value("hearth_tasks_oldest_waiting_seconds", task_type="ingest_document") < 60
    await run_queued_tasks(resources)
    await numbers.look()
    assert value("hearth_tasks_waiting", task_type="ingest_document") == 0
    assert value("hearth_tasks_oldest_waiting_seconds", task_type="ingest_document") == 0
    assert value("hearth_tasks_ended_total", **ended) == ready + 1
    assert value("hearth_ingest_passages_total") > passages
    assert value("hearth_worker_tasks_running") == 0


async def test_a_queue_that_cannot_be_asked_has_no_numbers_instead_of_old_ones(resources: Resources):
    def broken(*, is_reading: bool = False) -> UnitOfWork:
        raise ConnectionError("the database is away")

    numbers = QueueNumbers(resources.uow)
    numbers._shown.add("ingest_document")
    await numbers.look()
    numbers._uow = broken
    watching = asyncio.create_task(numbers.watch())
    await asyncio.sleep(0.01)
    watching.cancel()
    assert value("hearth_tasks_waiting", task_type="ingest_document") != value(
        "hearth_tasks_waiting", task_type="ingest_document"
    ), "it is no number"


async def test_searches_statements_and_round_trips_are_timed(client: AsyncClient, owner: User):
    names = ["hearth_database_statement_seconds_count", "hearth_redis_call_seconds_count"]
    labels = [{"operation": "SELECT"}, {"kind": "pipeline"}]
    before = [value(name, **label) for name, label in zip(names, labels, strict=True)]
    searches = value("hearth_retrieval_stage_seconds_count", stage="documents")
    found = await client.post("/api/v1/search", json={"query": "lighthouse"}, headers=owner.headers)
    assert found.status_code == 200
    assert value("hearth_retrieval_stage_seconds_count", stage="documents") == searches + 1
    assert all(value(name, **label) > old for name, label, old in zip(names, labels, before, strict=True))


async def test_a_limiter_without_redis_says_so_and_each_refusal_is_counted():
    redis = Redis(host="127.0.0.1", port=free_port())
    limits, rate = RateLimits(redis, prefix="x:"), parse_rate("1/hour")
    assert rate is not None
    refused = value("hearth_rate_limit_refusals_total", budget="mails")
    alone = value("hearth_rate_limiter_fallbacks_total")
    answers = [(await limits.take([Use(Budget.MAILS, rate, "ada")])).is_refused for _ in range(3)]
    await redis.aclose()
    assert answers == [False, True, True]
    assert value("hearth_rate_limiter_degraded") == 1
    assert value("hearth_rate_limiter_fallbacks_total") == alone + 3
    assert value("hearth_rate_limit_refusals_total", budget="mails") == refused + 2


async def test_a_blocked_event_loop_is_late_and_one_that_hangs_is_not_alive():
    watch = Watch(lambda: Numbers(sockets=3, channels=2, connections_in_use=5, connections_idle=1, most_connections=30))
    before = value("hearth_event_loop_lag_seconds_count")
    slow = value("hearth_event_loop_lag_seconds_bucket", le="0.05")
    watching = asyncio.create_task(watch.run())
    await asyncio.sleep(0.24)
    subprocess.run(["sleep", "0.15"], check=True)  # noqa: ASYNC221 - that is what it is about
    await asyncio.sleep(0.05)
    watching.cancel()
    assert value("hearth_event_loop_lag_seconds_count") == before + 1
    assert value("hearth_event_loop_lag_seconds_bucket", le="0.05") == slow
    assert value("hearth_database_connections", state="in_use") == 5
    assert watch.is_beating
    watch._beaten_at -= 60
    assert not watch.is_beating


async def test_the_port_asks_for_its_token_says_who_hangs_and_a_taken_one_costs_the_numbers_alone():
    port = free_port()
    settings = MetricsSettings(token="scrape-me")
    async with AsyncClient(base_url=f"http://127.0.0.1:{port}") as scraper:
        with shown(settings, port, is_alive=lambda: False), shown(settings, port):
            good = await scraper.get("/metrics", headers={"Authorization": "Bearer scrape-me"})
            bad = [
                (await scraper.get("/metrics", headers=headers)).status_code
                for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "scrape-me"})
            ]
            others = [(await scraper.get(path)).status_code for path in ("/health/live", "/", "/api/v1/users")]
    assert (good.status_code, bad, others) == (200, [401] * 3, [503, 404, 404])
    assert "hearth_build_info" in good.text
    assert "process_resident_memory_bytes" in good.text


def test_several_processes_show_what_they_come_to_together_without_the_dead(tmp_path: Path):
    def run(code: str) -> str:
        head = "from app.telemetry.meters import REQUESTS, CONNECTIONS\nfrom app.telemetry.exposition import render\n"
        environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", head + code]
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    run('REQUESTS.labels("GET", "search", "200").inc(2); CONNECTIONS.set(5)')
    text = run('REQUESTS.labels("GET", "search", "200").inc(3); CONNECTIONS.set(1); print(render().decode())')
    assert 'hearth_http_requests_total{method="GET",operation="search",status="200"} 5.0' in text
    assert "hearth_websocket_connections 1.0" in text
