"""LangChain talks to OpenAI's routes, and through Hearth's client: its own tests pass (`langchain_suite.py`)."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from app.settings import Settings
from tests.factories import make_key, make_project, make_user
from tests.library import BEES, DOCUMENTS, INVOICE, LIGHTHOUSE, OBEY, UNDER_WAY
from tests.llm_server import Body, Script, serve_language_model
from tests.processes import REPOSITORY, LiveServer, start_server

SUITE = Path(__file__).with_name("langchain_suite.py")
CLIENT = REPOSITORY / "clients" / "python"
VALUES = {"integer": 3, "number": 3.0, "boolean": True, "string": "你好こんにちは", "array": [], "object": {}}


def obedient(body: Body) -> Script:
    """Does what it is asked for: calls the tool, fills the form, or says something."""
    last, tools = body["messages"][-1], body.get("tools")
    form = body.get("response_format") or {}
    if tools and last["role"] != "tool" and body.get("tool_choice") != "none":
        wanted = body.get("tool_choice")
        name = wanted["function"]["name"] if isinstance(wanted, dict) else tools[0]["function"]["name"]
        function = next(tool["function"] for tool in tools if tool["function"]["name"] == name)
        arguments = json.dumps(filled(function.get("parameters") or {}))
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        return Script(deltas=[{"tool_calls": [call]}], finish_reason="tool_calls")
    if form.get("type") == "json_schema":
        return Script([json.dumps(filled(form["json_schema"]["schema"]))])
    if form.get("type") == "json_object":
        return Script(['{"setup": "cat", ', '"punchline": "cat"}'])
    return Script(["The lighthouse ", "was built ", "by Ada Thorne [1]."])


def filled(schema: dict[str, Any]) -> dict[str, Any]:
    """An object that fits."""
    properties = schema.get("properties", {})
    return {
        name: each.get("enum", [VALUES.get(each.get("type"), "你好こんにちは")])[0] for name, each in properties.items()
    }


async def test_langchains_own_tests_pass(committed_settings: Settings, live: LiveServer):
    async with (
        serve_language_model() as model,
        start_server(committed_settings, worker=False, LLM_BASE_URL=model.url, LLM_MODEL="scripted") as server,
        server.client() as client,
    ):
        model.answer = obedient
        user = await make_user(client)
        key, project = (await make_key(client, user, scopes=["read", "write"]))["key"], await make_project(client, user)
        for text in (LIGHTHOUSE, BEES, INVOICE, OBEY):
            body = {"text": text, "project_id": project["id"]}
            added = (await client.post(DOCUMENTS, json=body, headers=user.headers)).json()["document"]["id"]
            path = f"{DOCUMENTS}/{added}"
            async with asyncio.timeout(60):
                while (await client.get(path, headers=user.headers)).json()["status"] in UNDER_WAY:
                    await asyncio.sleep(0.1)
        store = f"vs_{UUID(project['id']).hex}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pytest", "-q", "--tb=short", "-c", os.devnull, "--rootdir", str(SUITE.parent),
            "--confcutdir", str(SUITE.parent), "-o", "asyncio_mode=auto",
            "-o", "asyncio_default_test_loop_scope=session", "-p", "no:cacheprovider", str(SUITE),
            env={**os.environ, "PYTHONPATH": str(CLIENT), "HEARTH_URL": server.url, "HEARTH_KEY": key,
                 "HEARTH_STORE": store, "HEARTH_PROJECT": project["id"]},
            cwd=SUITE.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 500)
    assert process.returncode == 0, output.decode()
    assert " passed" in output.decode()
