"""The MCP server, as the official client meets it: over a real socket, in both ways of speaking."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from httpx import ASGITransport, AsyncClient
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from app.api import mcp_server
from app.main import create_app
from app.resources import Resources
from tests.factories import User, make_key, make_project, make_user, share
from tests.library import LIGHTHOUSE, add_text, with_model
from tests.llm_server import Script, serve_language_model
from tests.processes import LiveServer

READING = {
    "ask",
    "fetch_document",
    "fetch_memory",
    "list_memories",
    "list_messages",
    "list_projects",
    "list_rooms",
    "search",
}
WRITING = {"add_memory", "post_message"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@asynccontextmanager
async def connected(live: LiveServer, headers: dict[str, str], mode: str = "auto") -> AsyncIterator[Client]:
    http = httpx2.AsyncClient(headers=headers, timeout=30)
    async with http, Client(streamable_http_client(f"{live.url}/mcp", http_client=http), mode=mode) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return json.loads(result.content[0].text)["error"]


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.fixture
async def ada(live: LiveServer) -> User:
    async with live.client() as http:
        return await make_user(http)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_tools_are_described_and_those_that_write_are_for_keys_that_may(live: LiveServer, ada: User, mode: str):
    async with live.client() as http:
        keys = [await make_key(http, ada, scopes=scopes) for scopes in (["read"], ["read", "write"])]
    async with connected(live, {"X-API-Key": keys[0]["key"]}, mode) as reader:
        listed = (await reader.list_tools()).tools
        assert {tool.name for tool in listed} == READING
        assert all(tool.annotations.read_only_hint and tool.output_schema and tool.description for tool in listed)
        assert (await refusal(reader, "add_memory", content="A secret."))["code"] == "PERMISSION_DENIED"
    async with connected(live, {"Authorization": f"Bearer {keys[1]['key']}"}, mode) as writer:
        tools = {tool.name: tool for tool in (await writer.list_tools()).tools}
        assert set(tools) == READING | WRITING
        assert not tools["add_memory"].annotations.read_only_hint
        assert (await call(writer, "add_memory", content="A secret."))["title"] == "A secret."


async def test_documents_are_found_answered_from_and_read_in_parts(live: LiveServer, committed: Resources, ada: User):
    async with live.client() as http:
        document = await add_text(http, committed, ada, LIGHTHOUSE, "Gull Rock")
        stranger = await make_user(http)
    async with connected(live, ada.headers) as client:
        hit = (await call(client, "search", query="How high is the tower?", top_k=1))["items"][0]
        assert (hit["document_id"], hit["page"]) == (document["id"], None)
        assert LIGHTHOUSE[hit["char_start"] : hit["char_end"]] == hit["text"]
        told = await call(client, "ask", question="Who built the lighthouse on Gull Rock?")
        citation = told["citations"][0]
        assert told["grounded"]
        assert LIGHTHOUSE[citation["char_start"] : citation["char_end"]] == citation["quote"]
        first = await call(client, "fetch_document", document_id=document["id"], length=10)
        assert (first["text"], first["next_start"], first["total_chars"]) == (LIGHTHOUSE[:10], 10, len(LIGHTHOUSE))
        rest = await call(client, "fetch_document", document_id=document["id"], char_start=first["next_start"])
        assert (rest["text"], rest["next_start"]) == (LIGHTHOUSE[10:], None)
        behind = await call(client, "fetch_document", document_id=document["id"], char_start=2**31 - 2)
        assert (behind["text"], behind["next_start"]) == ("", None)
        resource = (await client.list_resources()).resources[0]
        assert resource.name == "Gull Rock"
        read = (await client.read_resource(f"{resource.uri}?start=5")).contents[0]
        assert (read.text, read.meta) == (LIGHTHOUSE[5:], {"total_chars": len(LIGHTHOUSE)})
        with pytest.raises(MCPError, match="RESOURCE_NOT_FOUND"):
            await client.read_resource(f"hearth://documents/{uuid4()}")
    async with connected(live, stranger.headers) as other:
        assert (await call(other, "search", query="How high is the tower?"))["items"] == []
        assert (await refusal(other, "fetch_document", document_id=document["id"]))["code"] == "RESOURCE_NOT_FOUND"
        assert (await other.list_resources()).resources == []
        with pytest.raises(MCPError, match="RESOURCE_NOT_FOUND"):
            await other.read_resource(resource.uri)


async def test_memories_are_written_down_listed_and_nobody_elses(live: LiveServer, ada: User):
    async with live.client() as http:
        stranger = await make_user(http)
    long = "We sailed. " * 300
    async with connected(live, ada.headers) as client:
        fields = {"occurred_at": "2023-07", "tags": ["Sea"], "people": ["Ben"], "location": "Cape"}
        sailed = await call(client, "add_memory", content=long, title="Sailing", **fields)
        assert (sailed["precision"], sailed["people"], sailed["location"]) == ("month", ["Ben"], "Cape")
        await call(client, "add_memory", content="We ate soup.", occurred_at="2024-01-05")
        page = await call(client, "list_memories", limit=1)
        following = await call(client, "list_memories", limit=1, cursor=page["next_cursor"])
        assert [one["title"] for one in (*page["items"], *following["items"])] == ["We ate soup.", "Sailing"]
        assert len(following["items"][0]["content"]) < following["items"][0]["content_chars"] == len(long)
        inside = await call(client, "list_memories", occurred_from="2023", occurred_before="2024", tags=["sea"])
        assert [one["id"] for one in inside["items"]] == [sailed["id"]]
        part = await call(client, "fetch_memory", memory_id=sailed["id"], char_start=3, length=6)
        assert part["text"] == "sailed"
        for wrong in ({"cursor": "x"}, {"limit": 51}, {"occurred_from": "soon"}, {"colour": "red"}):
            assert (await refusal(client, "list_memories", **wrong))["code"] == "VALIDATION_ERROR"
        assert (await refusal(client, "add_memory", content="a\0b"))["code"] == "VALIDATION_ERROR"
    async with connected(live, stranger.headers) as other:
        assert (await call(other, "list_memories"))["items"] == []
        assert (await refusal(other, "fetch_memory", memory_id=sailed["id"]))["code"] == "RESOURCE_NOT_FOUND"


async def test_a_message_reaches_the_room_and_a_stranger_finds_no_room(live: LiveServer, ada: User):
    async with live.client() as http:
        viewer, stranger = await make_user(http), await make_user(http)
        project = await make_project(http, ada)
        await share(http, ada, project["id"], viewer, "viewer")
        room = {"name": "Kitchen", "project_id": project["id"], "spirit_mode": "off"}
        room = (await http.post("/api/v1/sessions", json=room, headers=ada.headers)).json()
    async with connected(live, viewer.headers) as client:
        assert [one["id"] for one in (await call(client, "list_rooms"))["items"]] == [room["id"]]
        assert project["id"] in [one["id"] for one in (await call(client, "list_projects"))["items"]]
        for _ in range(2):
            said = await call(client, "post_message", session_id=room["id"], text="Good evening", client_id="one")
        heard = (await call(client, "list_messages", session_id=room["id"]))["items"]
        assert [one["id"] for one in heard] == [said["id"]]
        shared = {"content": "For all.", "project_id": project["id"]}
        assert (await refusal(client, "add_memory", **shared))["code"] == "PERMISSION_DENIED"
    async with connected(live, stranger.headers) as other:
        for tool, fields in (("post_message", {"text": "Hello"}), ("list_messages", {})):
            assert (await refusal(other, tool, session_id=room["id"], **fields))["code"] == "RESOURCE_NOT_FOUND"


async def test_any_process_answers_any_request_and_counts_it(
    live: LiveServer, start_another: Callable[..., Any], ada: User
):
    another = await start_another(RATE_LIMIT_QUERIES="2/hour")
    async with live.client() as first, another.client() as second:
        opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        headers = ada.headers | ACCEPT
        opened = await first.post("/mcp", json=message("initialize", **opening), headers=headers)
        assert opened.json()["result"]["serverInfo"]["name"] == "hearth"
        assert "mcp-session-id" not in opened.headers
        headers |= {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": "of-somebody"}
        listed = await second.post("/mcp", json=message("tools/list"), headers=headers)
        assert len(listed.json()["result"]["tools"]) == len(READING | WRITING)
        assert set(listed.headers) >= {"ratelimit-remaining", "x-request-id"}
        searching = message("tools/call", name="search", arguments={"query": "lamp"})
        answers = [await second.post("/mcp", json=searching, headers=headers) for _ in range(3)]
    errors = [answer.json()["result"]["isError"] for answer in answers]
    assert errors == [False, False, True]
    refused = json.loads(answers[2].json()["result"]["content"][0]["text"])
    assert refused["error"]["code"] == "RATE_LIMITED"
    assert refused["error"]["details"]["retry_after"] > 0
    assert refused["request_id"] == answers[2].headers["X-Request-ID"]


async def test_nobody_gets_in_without_credentials_from_another_page_or_with_too_much(live: LiveServer, ada: User):
    listing = message("tools/list")
    async with live.client(headers=ACCEPT) as http:
        nobody = await http.post("/mcp", json=listing)
        assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (await http.post("/mcp", json=listing, headers={"X-API-Key": "hearth_key_no"})).status_code == 401
        rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
        for origin in (rebound, {"Origin": "https://evil.example"}, {"Origin": "http://[x"}, {"Origin": "null"}):
            assert (await http.post("/mcp", json=listing, headers=ada.headers | origin)).status_code == 403
        for origin in (live.url, "http://localhost:3000"):
            assert (await http.post("/mcp", json=listing, headers=ada.headers | {"Origin": origin})).status_code == 200
        big = await http.post("/mcp", json=message("tools/list", cursor="x" * 2**20), headers=ada.headers)
        assert (big.status_code, big.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        for method in ("GET", "DELETE"):
            assert (await http.request(method, "/mcp", headers=ada.headers)).status_code == 405
        deep = await http.post(
            "/mcp", content=b"[" * 100_000, headers=ada.headers | {"Content-Type": "application/json"}
        )
        assert deep.status_code == 400


async def test_a_guest_has_a_room_and_no_tools(live: LiveServer, ada: User):
    async with live.client(headers=ACCEPT) as http:
        room = (await http.post("/api/v1/sessions", json={"name": "Kitchen"}, headers=ada.headers)).json()
        made = await http.post(f"/api/v1/sessions/{room['id']}/invites", json={}, headers=ada.headers)
        joined = await http.post("/api/v1/sessions/join", json={"invite": made.json()["invite"], "name": "Guest"})
        guest = {"Authorization": f"Bearer {joined.json()['access_token']}"}
        assert (await http.post("/mcp", json=message("tools/list"), headers=guest)).status_code == 403
        unknown = message("tools/call", name="rm_rf", arguments={})
        assert (await http.post("/mcp", json=unknown, headers=ada.headers)).json()["error"]["code"] == -32602


async def test_a_tool_ends_with_its_time_and_when_the_client_is_gone(
    client: AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
):
    ada = await make_user(client)
    await add_text(client, resources, ada, LIGHTHOUSE, "Gull Rock")
    asking = message("tools/call", name="ask", arguments={"question": "How high is the tower on Gull Rock?"})
    async with serve_language_model() as model, with_model(resources, model.url) as speaking:
        model.say(Script(["It is", " high"], hang_after=1))
        app = create_app(resources=speaking)

        has_asked = False

        async def leave(scope: Any, receive: Any, send: Any) -> None:
            async def receive_and_leave() -> Any:
                nonlocal has_asked
                if has_asked:
                    await model.wait_for_request()
                    return {"type": "http.disconnect"}
                got = await receive()
                has_asked = not got["more_body"]
                return got

            await app(scope, receive_and_leave, send)

        async with AsyncClient(transport=ASGITransport(leave), base_url="http://test", headers=ACCEPT) as leaving:
            with pytest.raises(AssertionError):  # nothing was answered
                await leaving.post("/mcp", json=asking, headers=ada.headers)
        await model.wait_for_hang_up()

        monkeypatch.setattr(mcp_server, "PATIENCE", 0.3)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test", headers=ACCEPT) as waiting:
            late = (await waiting.post("/mcp", json=asking, headers=ada.headers)).json()["result"]
        assert late["isError"]
        assert json.loads(late["content"][0]["text"])["error"]["code"] == "SERVICE_UNAVAILABLE"
