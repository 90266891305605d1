"""Traces, as a collector gets them: of requests, commands, tasks, statements, round trips and calls to models."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import SecretStr
from sqlalchemy import select

from app.main import create_app
from app.models import Task
from app.resources import Resources
from app.settings import Settings
from app.settings.operation import TracingSettings
from app.telemetry.meters import REGISTRY
from app.telemetry.spans import Kind, begin, begin_root, current, is_recording, traceparent
from app.telemetry.tracing import open_tracing
from tests.collector import Collector, attributes_of, serve_collector
from tests.factories import User, execute, make_user
from tests.library import LIGHTHOUSE, with_model
from tests.llm_server import Script, serve_language_model
from tests.processes import REPOSITORY, free_port
from tests.rooms import make_room, visit
from tests.work import run_queued_tasks

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
NOT_CHOSEN = {"traceparent": f"00-{TRACE}-{PARENT}-00"}


def traced(settings: Settings, endpoint: str, **options: object) -> Settings:
    tracing = TracingSettings(endpoint=endpoint, headers=SecretStr("x-team=hearth"), **options)
    return settings.model_copy(update={"tracing": tracing})


@pytest.fixture
async def collector(settings: Settings) -> AsyncIterator[Collector]:
    with serve_collector() as serving:
        async with open_tracing(traced(settings, serving.url), "hearth-test"):
            yield serving


async def arrived(collector: Collector, name: str, trace_id: str = "") -> Span:
    return await asyncio.to_thread(collector.wait_for, name, trace_id)


def dropped() -> float:
    return REGISTRY.get_sample_value("hearth_trace_spans_total", {"outcome": "dropped"}) or 0.0


async def test_a_request_is_one_trace_with_what_it_asked_of_postgresql_and_redis(
    collector: Collector, client: AsyncClient, owner: User
):
    response = await client.get("/api/v1/projects", headers=owner.headers | GIVEN)
    assert response.status_code == 200
    root = await arrived(collector, "GET /api/v1/projects", TRACE)
    spans = collector.of_trace(TRACE)
    assert (root.parent_span_id.hex(), root.kind, root.status.code) == (PARENT, Span.SPAN_KIND_SERVER, 0)
    told = attributes_of(root)
    assert (told["http.route"], told["http.response.status_code"]) == ("/api/v1/projects", 200)
    assert told["hearth.request_id"] == response.headers["X-Request-ID"]

    parts = {span.name: span for span in spans if span.parent_span_id == root.span_id}
    assert {"SQL SELECT", "Redis PIPELINE"} <= set(parts), "what is asked together with others, too"
    statement = attributes_of(parts["SQL SELECT"])
    assert statement["db.system.name"] == "postgresql"
    assert "FROM" in statement["db.query.text"]
    assert owner.id not in str(spans), "parameters are nobody's business"
    assert all(root.start_time_unix_nano <= span.start_time_unix_nano < span.end_time_unix_nano for span in spans)
    assert collector.resources[0]["service.name"] == "hearth-test"
    assert collector.headers[0]["x-team"] == "hearth"


async def test_who_called_decides_whether_a_trace_is_recorded_and_nonsense_begins_a_new_one(
    collector: Collector, client: AsyncClient, owner: User
):
    await client.get("/api/v1/users/me", headers=owner.headers | NOT_CHOSEN)
    await client.get("/health", headers=GIVEN)  # asked by machines, all the time
    for nonsense in ("", "x", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-x"):
        await client.get("/api/v1/users/me", headers=owner.headers | {"traceparent": nonsense})
    unknown = await client.get("/api/v1/nothing/here")
    await arrived(collector, "GET ")
    assert unknown.status_code == 404
    assert collector.of_trace(TRACE) == []
    roots = [span for span in collector.spans if span.name == "GET /api/v1/users/me"]
    assert len({root.trace_id for root in roots}) == len(roots) == 5


async def test_an_error_of_ours_is_one_in_the_trace_and_one_of_the_caller_is_not(
    collector: Collector, client: AsyncClient
):
    work = begin_root("work", Kind.CONSUMER, {})
    with work, pytest.raises(ZeroDivisionError), begin("part", Kind.INTERNAL, {}):
        raise ZeroDivisionError("with a secret in its message")
    assert (await client.get("/api/v1/projects")).status_code == 401
    refused = await arrived(collector, "GET /api/v1/projects")
    part = await arrived(collector, "part")
    assert refused.status.code == Status.STATUS_CODE_UNSET
    assert (part.status.code, attributes_of(part)["error.type"]) == (Status.STATUS_CODE_ERROR, "ZeroDivisionError")
    assert "secret" not in str(part)


async def test_a_task_goes_on_with_the_trace_of_the_request_that_queued_it(
    collector: Collector, client: AsyncClient, resources: Resources, owner: User
):
    files = {"file": ("light.txt", LIGHTHOUSE.encode(), "text/plain")}
    response = await client.post("/api/v1/documents", files=files, headers=owner.headers | GIVEN)
    assert response.status_code == 202, response.text
    await run_queued_tasks(resources)
    task = await arrived(collector, "task ingest_document", TRACE)
    names = {span.name for span in collector.of_trace(TRACE)}
    assert {"POST /api/v1/documents", "ingest read", "ingest embed", "ingest publish"} <= names
    root = await arrived(collector, "POST /api/v1/documents", TRACE)
    assert task.parent_span_id == root.span_id
    assert attributes_of(task)["hearth.task.outcome"] == "succeeded"


async def test_a_model_is_told_which_trace_its_answer_belongs_to(
    collector: Collector, client: AsyncClient, resources: Resources, owner: User
):
    async with serve_language_model() as model, with_model(resources, model.url) as speaking:
        model.say(Script(["Hello", "."]))
        application = ASGITransport(create_app(resources=speaking))
        async with AsyncClient(transport=application, base_url="http://test") as told:
            body = {"model": "hearth-raw", "messages": [{"role": "user", "content": "Hello?"}]}
            answer = await told.post("/v1/chat/completions", json=body, headers=owner.headers | GIVEN)
            assert answer.status_code == 200, answer.text
    call = await arrived(collector, "chat scripted", TRACE)
    assert f"traceparent: 00-{TRACE}-{call.span_id.hex()}-01" in model.heads[0].lower()
    assert attributes_of(call)["gen_ai.usage.input_tokens"] == 7


async def test_a_command_is_a_trace_of_its_own_linked_to_its_connection(start_another):
    port = free_port()
    with serve_collector() as collector:
        server = await start_another(TRACING_ENDPOINT=collector.url, METRICS_PORT=str(port), METRICS_TOKEN="scrape-me")
        async with server.client() as http:
            from_one = await make_user(http)
            room = await make_room(http, from_one)
            async with visit(server, room, from_one.headers) as visitor:
                await visitor.next_of("welcome")
                await visitor.say("good evening")
                await visitor.next_of("message_received")
                await visitor.send("dance")
                await visitor.next_of("error")
            said = await arrived(collector, "WS send_message")
            connection = await arrived(collector, "WS /ws/{channel_id}")
            assert (await http.get(f"http://127.0.0.1:{port}/metrics")).status_code == 401
            allowed = {"Authorization": "Bearer scrape-me"}
            shown = (await http.get(f"http://127.0.0.1:{port}/metrics", headers=allowed)).text
            assert (await http.get(f"http://127.0.0.1:{port}/health/live")).status_code == 200
    assert said.trace_id != connection.trace_id
    assert [(link.trace_id, link.span_id) for link in said.links] == [(connection.trace_id, connection.span_id)]
    assert "SQL WITH" in {span.name for span in collector.of_trace(said.trace_id.hex())}, (
        "the message is stored by that"
    )
    assert 'hearth_websocket_commands_total{command="send_message",outcome="ok"} 1.0' in shown
    assert 'hearth_websocket_commands_total{command="unknown",outcome="refused"} 1.0' in shown
    assert "hearth_event_loop_lag_seconds_bucket" in shown


async def test_a_collector_that_is_away_or_slow_costs_spans_and_nothing_else(settings: Settings, client: AsyncClient):
    before = dropped()
    async with open_tracing(traced(settings, f"http://127.0.0.1:{free_port()}", queue=3), "hearth-test"):
        for _ in range(20):
            with begin_root("work", Kind.CONSUMER, {}):
                pass
        assert (await client.get("/api/v1/info")).status_code == 200
    assert dropped() - before >= 17
    assert not is_recording()


async def test_what_outlives_its_parent_and_what_belongs_to_no_trace_is_not_recorded(collector: Collector):
    assert begin("nobody's", Kind.CLIENT, {}).traceparent == traceparent() == ""
    with begin_root("request", Kind.SERVER, {}) as root:
        late = asyncio.create_task(begin_later())
        assert traceparent() == root.traceparent
    await late
    with begin_root("request", Kind.SERVER, {}, traceparent=NOT_CHOSEN["traceparent"]):
        assert current().traceparent == ""
        assert (traceparent()[:36], traceparent()[-3:]) == (f"00-{TRACE}-", "-00"), "others hear of the decision"
    await arrived(collector, "request")
    assert [span.name for span in collector.spans] == ["request"]


async def begin_later() -> None:
    await asyncio.sleep(0.01)
    with begin("late", Kind.CLIENT, {}):
        pass


async def test_without_a_collector_nothing_is_imported_kept_or_sent(client: AsyncClient, resources: Resources, owner):
    code = "import json, sys, app.main, app.tasks.worker; print(json.dumps(sorted(sys.modules)))"
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True, timeout=60
    )
    modules = json.loads(ran.stdout)
    assert "app.telemetry.tracing" in modules
    assert not [
        name for name in modules if name.startswith("opentelemetry.proto")
    ]  # the SDK, where there is one, is FastAPI's
    assert begin_root("work", Kind.CONSUMER, {}, traceparent=GIVEN["traceparent"]).__enter__().traceparent == ""
    files = {"file": ("light.txt", LIGHTHOUSE.encode(), "text/plain")}
    await client.post("/api/v1/documents", files=files, headers=owner.headers | GIVEN)
    assert await execute(resources, select(Task.steps)) == {}
