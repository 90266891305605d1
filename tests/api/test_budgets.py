"""Budgets beside that of all routes, and who has which rate: by setting, by role, by key."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient

from app.errors import RateLimited
from app.main import create_app
from app.permissions import Principal
from app.rates import Budget
from app.resources import Resources
from app.schemas.query import QueryRequest, TokenEvent
from app.services import limits
from app.settings import RateLimitSettings
from tests.factories import User, make_key, make_user, with_limits
from tests.library import LIGHTHOUSE, add_text, with_model
from tests.llm_server import Script, serve_language_model
from tests.work import run_queued_tasks

ME = "/api/v1/users/me"
LIMITS = "/api/v1/admin/limits"
QUESTION = "How high is the tower of the lighthouse on Gull Rock?"
AMPLE = dict.fromkeys(Budget, "100000/hour")
SIZES = {Budget.LOGIN: 1001, Budget.UPLOADS: 1002, Budget.QUERIES: 1003, Budget.MESSAGES: 1004}
TIGHTER: Mapping[str, Budget] = {
    "POST /api/v1/sessions/join": Budget.LOGIN,
    "POST /api/v1/documents": Budget.UPLOADS,
    "POST /api/v1/ingest": Budget.UPLOADS,
    "POST /api/v1/documents/{document_id}/reingest": Budget.UPLOADS,
    "POST /api/v1/memories/{memory_id}/media": Budget.UPLOADS,
    "PUT /api/v1/projects/{project_id}/files/{path}": Budget.UPLOADS,
    "POST /api/v1/search": Budget.QUERIES,
    "POST /api/v1/query": Budget.QUERIES,
    "POST /api/v1/chat/{session_id}/messages": Budget.MESSAGES,
    "PATCH /api/v1/chat/{session_id}/messages/{message_id}": Budget.MESSAGES,
    "DELETE /api/v1/chat/{session_id}/messages/{message_id}": Budget.MESSAGES,
    "PUT /api/v1/chat/{session_id}/messages/{message_id}/reactions/{emoji}": Budget.MESSAGES,
    "DELETE /api/v1/chat/{session_id}/messages/{message_id}/reactions/{emoji}": Budget.MESSAGES,
    "PUT /api/v1/chat/{session_id}/read": Budget.MESSAGES,
    "POST /api/v1/chat/{session_id}/stop": Budget.MESSAGES,
    "POST /v1/files": Budget.UPLOADS,
    "POST /v1/vector_stores": Budget.UPLOADS,
    "POST /v1/vector_stores/{vector_store_id}/files": Budget.UPLOADS,
    "POST /v1/vector_stores/{vector_store_id}/file_batches": Budget.UPLOADS,
    "POST /v1/chat/completions": Budget.QUERIES,
    "POST /v1/embeddings": Budget.QUERIES,
    "POST /v1/responses": Budget.QUERIES,
    "POST /v1/vector_stores/{vector_store_id}/search": Budget.QUERIES,
}
"""Public routes below /auth that take a POST apart: each of those is limited like a log-in."""

Opened = Callable[..., "AsyncIterator[AsyncClient]"]


@asynccontextmanager
async def served(resources: Resources) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(create_app(resources=resources)), base_url="http://test") as opened:
        yield opened


@pytest.fixture
async def process(resources: Resources) -> Opened:
    """The application as one of several processes has it, with limits of its own; nothing is counted yet."""
    counted = await resources.foundation.redis.keys(f"{resources.settings.redis.prefix}{{limit}}:*")
    await resources.foundation.redis.unlink("nothing", *counted)

    def open_client(**rates: str):
        return served(with_limits(resources, RateLimitSettings(**(AMPLE | rates))))

    return open_client


async def statuses(client: AsyncClient, count: int, headers: Mapping[str, str], path: str = ME) -> list[int]:
    return [(await client.get(path, headers=headers)).status_code for _ in range(count)]


async def set_limit(client: AsyncClient, admin: User, role: str, budget: str, rate: str | None):
    return await client.put(LIMITS, json={"role": role, "budget": budget, "rate": rate}, headers=admin.headers)


async def test_every_route_has_its_budget_and_what_is_public_below_auth_that_of_log_ins(process: Opened):
    async with process(**{budget: f"{size}/hour" for budget, size in SIZES.items()}) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        found, public = {}, 0
        for path, item in paths.items():
            for method, operation in item.items():
                concrete = re.sub(r"{\w+}", "01900000-0000-7000-8000-000000000000", path)
                limit = (await client.request(method, concrete)).headers.get("RateLimit-Limit")
                name = f"{method.upper()} {path}"
                if method == "post" and path.startswith("/api/v1/auth/") and not operation.get("security"):
                    assert limit == str(SIZES[Budget.LOGIN]), f"{name} belongs into LIMITED_LIKE_LOGIN"
                    public += 1
                elif limit not in (None, "100000"):
                    found[name] = limit
    assert public >= 4
    others = {name: limit for name, limit in found.items() if not name.split()[1].startswith("/api/v1/auth/")}
    assert others == {name: str(SIZES[budget]) for name, budget in TIGHTER.items()}


async def test_budgets_are_used_up_apart(process: Opened):
    async with process(queries="1/hour", uploads="1/hour") as client:
        ada = await make_user(client)
        search = {"json": {"query": "lamp"}, "headers": ada.headers}
        text = {"json": {"text": "Tea.", "title": "Tea"}, "headers": ada.headers}
        assert [(await client.post("/api/v1/search", **search)).status_code for _ in range(2)] == [200, 429]
        first, refused = [await client.post("/api/v1/documents", **text) for _ in range(2)]
        assert (first.status_code, refused.status_code) == (202, 429)
        assert refused.json()["error"]["details"]["budget"] == "uploads"
        assert (await client.get(ME, headers=ada.headers)).status_code == 200


async def test_repetitions_of_an_idempotent_request_count_too(process: Opened):
    async with process() as client:
        ada = await make_user(client)
    async with process(requests="3/day") as client:
        body = {"json": {"name": "Once"}, "headers": ada.headers | {"Idempotency-Key": "once"}}
        answers = [await client.post("/api/v1/projects", **body) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
        assert answers[2].json() == answers[0].json()
        assert answers[3].headers["Retry-After"] == answers[3].headers["RateLimit-Reset"]


async def test_a_role_has_other_rates_everywhere_within_seconds(process: Opened):
    async with process() as here, process() as elsewhere:
        admin, ada = await make_user(here), await make_user(here)
        assert await statuses(elsewhere, 1, ada.headers) == [200]
        assert (await set_limit(here, ada, "user", "requests", "2/hour")).status_code == 403
        listed = await set_limit(here, admin, "user", "requests", "2 per 1 day")
        assert listed.json()["roles"] == [{"role": "user", "budget": "requests", "rate": "2/day"}]
        assert listed.json()["defaults"]["requests"] == "100000/hour"
        assert await statuses(here, 3, ada.headers) == [200, 200, 429]
        await asyncio.sleep(limits.REMEMBERED_FOR.total_seconds())
        assert await statuses(elsewhere, 1, ada.headers) == [429]
        assert await statuses(elsewhere, 3, admin.headers) == [200, 200, 200]

        await set_limit(here, admin, "user", "requests", "unlimited")
        unlimited = await here.get(ME, headers=ada.headers)
        assert (unlimited.status_code, "RateLimit-Limit" in unlimited.headers) == (200, False)
        assert (await set_limit(here, admin, "user", "requests", None)).json()["roles"] == []
        assert (await here.get(ME, headers=ada.headers)).headers["RateLimit-Limit"] == "100000"


@pytest.mark.parametrize(
    ("budget", "rate"),
    [("requests", "0/day"), ("requests", "many"), ("requests", "1/hour;9/hour"), ("login", "1/hour"), ("x", "1/hour")],
)
async def test_a_rate_that_makes_no_sense_is_refused(process: Opened, budget: str, rate: str):
    async with process() as client:
        admin = await make_user(client)
        assert (await set_limit(client, admin, "user", budget, rate)).status_code == 422


async def test_a_key_has_rates_of_its_own_and_never_more_than_its_owner(process: Opened):
    async with process(requests="100/hour") as client:
        admin, ada = await make_user(client), await make_user(client)
        key = await make_key(client, ada, limits={"requests": "2/hour"})
        assert key["limits"] == {"requests": "2/hour"}
        bearer = {"X-API-Key": key["key"]}
        assert await statuses(client, 3, bearer) == [200, 200, 429]
        assert await statuses(client, 1, ada.headers) == [200]

        path = f"/api/v1/api-keys/{key['id']}"
        too_much = await client.patch(path, json={"limits": {"requests": "101/hour"}}, headers=ada.headers)
        assert (too_much.status_code, too_much.json()["error"]["details"]["errors"][0]["loc"][-1]) == (
            422,
            "limits.requests",
        )
        for bad in ({"requests": "100/minute"}, {"requests": "unlimited"}, {"login": "1/hour"}):
            body = {"name": "greedy", "limits": bad}
            assert (await client.post("/api/v1/api-keys", json=body, headers=ada.headers)).status_code == 422
        changed = await client.patch(path, json={"limits": {"requests": "9/hour"}}, headers=ada.headers)
        assert (changed.json()["name"], changed.json()["limits"]) == ("script", {"requests": "9/hour"})
        assert await statuses(client, 1, bearer) == [200]
        stale = await client.patch(path, json={"name": "x"}, headers=ada.headers | {"If-Match": '"0"'})
        assert stale.status_code == 412

        another = await client.post("/api/v1/api-keys", json={"name": "free"}, headers=bearer)
        assert another.status_code == 403, "by other keys it would have more than its own"
        await set_limit(client, admin, "user", "requests", "1/hour")
        assert (await client.get(ME, headers=bearer)).headers["RateLimit-Limit"] == "1"


async def test_guessed_keys_are_not_looked_up_for_ever_and_lock_nobody_out(process: Opened):
    async with process(failures="3/hour") as client:
        ada = await make_user(client)
        used, unused = await make_key(client, ada), await make_key(client, ada)
        assert await statuses(client, 1, {"X-API-Key": used["key"]}) == [200]
        guesses = [{"X-API-Key": f"hearth_key_{letter * 43}"} for letter in "abc"]
        assert [await statuses(client, 1, guess) for guess in guesses] == [[401], [401], [401]]
        assert await statuses(client, 1, guesses[0]) == [429]
        assert await statuses(client, 1, {"Authorization": "Bearer x.y.z"}) == [429]
        assert await statuses(client, 1, {"X-API-Key": unused["key"]}) == [429], "it might be a guess"
        assert await statuses(client, 1, {}) == [401]
        assert await statuses(client, 1, ada.headers) == [200]
        assert await statuses(client, 1, {"X-API-Key": used["key"]}) == [200]
    async with process(failures="3/hour") as fresh:  # another process, which has not seen the key yet
        assert await statuses(fresh, 1, {"X-API-Key": used["key"]}) == [200]
        assert await statuses(fresh, 1, guesses[0], "/api/v1/metrics") == [429]


async def test_tokens_of_the_language_model_are_charged_to_who_asks_and_used_up(resources: Resources):
    async with (
        serve_language_model() as model,
        with_model(resources, model.url) as told,
        served(told) as client,
    ):
        model.say(Script(["It ", "is ", "43 ", "metres ", "high ", "[1]."]))  # 7 + 6 tokens
        admin, ada = await make_user(client), await make_user(client)
        await add_text(client, told, ada, LIGHTHOUSE, "Gull Rock")
        limited_key = await make_key(client, ada, limits={"tokens": "10/day"})
        await set_limit(client, admin, "user", "tokens", "30/day")

        async def ask(headers: Mapping[str, str], question: str = QUESTION, **fields: object):
            body = {"question": question, **fields}
            return await client.post("/api/v1/query", json=body, headers=headers)

        key = {"X-API-Key": limited_key["key"]}
        assert (await ask(key)).json()["usage"]["total_tokens"] == 13
        refused = await ask(key, stream=True)
        assert (refused.status_code, refused.json()["error"]["details"]["limit"]) == (429, "10/day")
        assert [refused.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining")] == ["10", "0"]
        assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]
        assert [(await ask(ada.headers)).status_code for _ in range(3)] == [200, 200, 429]  # 39 of 30
        assert len(model.requests) == 3
        free = await ask(ada.headers, "What do bees eat?")
        assert (free.status_code, free.json()["grounded"]) == (200, False), "nobody asks a model without passages"
        assert (await client.get(ME, headers=ada.headers)).status_code == 200


async def test_an_answer_that_nobody_hears_to_its_end_is_charged_too(resources: Resources):
    async with serve_language_model() as model, with_model(resources, model.url) as told, served(told) as client:
        model.say(Script(["It "] * 40, hang_after=20))
        admin, ada = await make_user(client), await make_user(client)
        await add_text(client, told, ada, LIGHTHOUSE, "Gull Rock")
        await set_limit(client, admin, "user", "tokens", "20/day")
        actor = Principal(UUID(ada.id), ada.name)
        answers = told.services.answers
        parts = answers.tell(actor, *await answers.prepare(actor, QueryRequest(question=QUESTION)))
        async for part in parts:
            if isinstance(part, TokenEvent):
                break
        await told.services.limits.require_tokens(actor)
        await parts.aclose()
        with pytest.raises(RateLimited):
            await told.services.limits.require_tokens(actor)


async def test_the_spirit_quotes_when_who_asks_has_no_tokens_left(resources: Resources):
    async with serve_language_model() as model, with_model(resources, model.url) as told, served(told) as client:
        admin, ada = await make_user(client), await make_user(client, name="Ada")
        await add_text(client, told, ada, LIGHTHOUSE, "Gull Rock")
        room = (await client.post("/api/v1/sessions", json={"name": "Evening"}, headers=ada.headers)).json()
        await set_limit(client, admin, "user", "tokens", "5/day")
        messages = f"/api/v1/chat/{room['id']}/messages"
        for text in (f"@Spirit {QUESTION}", f"@Spirit {QUESTION}", "@Spirit tell me a joke"):
            assert (await client.post(messages, json={"text": text}, headers=ada.headers)).status_code == 201
            await run_queued_tasks(told)
        said = (await client.get(f"{messages}?after_seq=0", headers=ada.headers)).json()["items"]
        first, quoted, refused = [message for message in said if message["is_spirit"]]
        assert first["text"] == "Hello."
        assert "Ada has used up" in quoted["text"]
        assert "43 metres" in quoted["text"]
        assert quoted["citations"]
        assert "Ada has used up" in refused["text"]
        assert refused["citations"] == []
        assert len(model.requests) == 1
