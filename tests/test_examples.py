"""The examples run as they stand, against a real server."""

import asyncio
import importlib
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from streamlit.testing.v1 import AppTest

from app.adapters.engines import Asked, Source, open_answer_engine
from app.adapters.llm import Delta, TokenUsage
from app.settings.answers import AnswerSettings
from tests.browser import browse
from tests.clients.test_typescript import node
from tests.documents import make_pdf
from tests.factories import PASSWORD, User, make_key, make_user
from tests.library import DOCUMENTS, UNDER_WAY
from tests.llm_server import Script, serve_language_model
from tests.processes import REPOSITORY, LiveServer, start_process, wait_until_live

QUESTION = "When does the lighthouse keeper light the lamp?"
SENTENCE = "The lighthouse keeper lights the lamp at nine in the evening."
EXAMPLES = REPOSITORY / "examples"


async def output_of(live: LiveServer, *command: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=REPOSITORY,
        env={**live.environment, "HEARTH_URL": live.url, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour is made of curl calls, and curl is not installed")
async def test_the_tour_goes_from_an_account_to_a_room(live: LiveServer, tmp_path: Path):
    file = tmp_path / "lighthouse.pdf"
    file.write_bytes(make_pdf([SENTENCE]))
    async with live.client() as client:
        user = await make_user(client)
    said = await output_of(live, str(EXAMPLES / "tour.sh"), str(file), QUESTION, EMAIL=user.email, PASSWORD=PASSWORD)
    assert '"status":"ready"' in said
    assert said.count("nine in the evening") >= 4  # answer and quote, over HTTP and in the room
    assert '"is_spirit":true' in said


async def with_lighthouse(live: LiveServer) -> User:
    """Somebody whose document says when the lamp is lit."""
    async with live.client() as client:
        user = await make_user(client)
        text = {"text": SENTENCE, "title": "Lighthouse"}
        document = (await client.post(DOCUMENTS, json=text, headers=user.headers)).json()["document"]
        async with asyncio.timeout(30):
            path = f"{DOCUMENTS}/{document['id']}"
            while (await client.get(path, headers=user.headers)).json()["status"] in UNDER_WAY:
                await asyncio.sleep(0.1)
    return user


async def test_two_people_and_the_spirit_talk_in_a_room(live: LiveServer):
    user = await with_lighthouse(live)
    for command in ([sys.executable, str(EXAMPLES / "room.py")], [*node(), str(EXAMPLES / "room.mjs")]):
        said = await output_of(live, *command, user.email, PASSWORD, QUESTION)
        assert f"Grace: {QUESTION}" in said
        assert "[1] Lighthouse" in said


async def test_openais_client_fills_a_vector_store_and_asks_about_it(live: LiveServer, tmp_path: Path):
    file = tmp_path / "lighthouse.txt"
    file.write_text(SENTENCE)
    async with live.client() as client:
        key = (await make_key(client, await make_user(client), scopes=["read", "write"]))["key"]
    script = str(EXAMPLES / "ask_with_openai.py")
    said = await output_of(live, sys.executable, script, str(file), QUESTION, HEARTH_KEY=key)
    assert said.count("nine in the evening") >= 3  # found, answered and told in a stream
    assert "lighthouse.txt (file-" in said


async def test_a_page_of_streamlits_takes_documents_answers_and_talks(live: LiveServer, monkeypatch):
    async with live.client() as client:
        user = await make_user(client)
    monkeypatch.setenv("HEARTH_URL", live.url)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # it puts the page there, and children run it
    page = AppTest.from_file(EXAMPLES / "streamlit_app.py", default_timeout=60)
    await asyncio.to_thread(partial(use, page, user))


def use(page: AppTest, user: User) -> None:
    def fill(**fields: str) -> None:
        for field in page.run().text_input:
            field.set_value(fields.get(field.label.split()[-1], field.value))

    def press(label: str) -> None:
        next(button for button in page.button if button.label == label).click().run()
        assert not page.exception

    fill(**{"E-mail": user.email, "Password": "another"})
    press("Sign in")
    assert page.error[0].value.endswith("is wrong.")
    fill(**{"E-mail": user.email, "Password": PASSWORD})
    press("Sign in")
    page.file_uploader[0].set_value([("lighthouse.txt", SENTENCE.encode(), "text/plain"), ("x.bin", b"\0", "")]).run()
    assert page.error  # of the one that is no text
    page.run()
    assert "**lighthouse.txt** · ready, 1 passages" in [each.value for each in page.markdown]
    fill(documents=QUESTION)
    press("Ask")
    assert page.expander[0].label == "[1] lighthouse.txt"
    assert page.expander[0].text[0].value in SENTENCE
    fill(room="Kitchen")
    press("Open")
    fill(Message=QUESTION)
    press("Say")
    for _ in range(100):
        if "assistant" in [message.name for message in page.run().chat_message]:
            break
    asked, answered = page.chat_message
    assert QUESTION in asked.markdown[0].value
    assert "nine in the evening" in answered.markdown[0].value
    assert answered.caption[0].value.startswith("[1] lighthouse.txt")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Where a browser finds the files of a folder."""
    handler = type("Silent", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def test_a_page_of_plain_javascript_talks_and_comes_back(
    live: LiveServer, start_another: Callable, tmp_path: Path
):
    user = await with_lighthouse(live)
    with served(EXAMPLES) as origin:
        async with browse(f"{origin}/chat.html", tmp_path) as page:
            server = await start_another(CORS_ORIGINS=origin)
            said = "document.getElementById('said').innerText"
            state = "document.getElementById('state').textContent"

            async def say(text: str) -> None:
                await page.fill(text=text)
                await page.run("document.querySelector('#speech button').click()")

            await page.fill(server=server.url, email=user.email, password="another")
            await page.run("document.querySelector('#entry button').click()")
            await page.until(f"{state}.endsWith('is wrong.')")
            await page.fill(password=PASSWORD)
            await page.run("document.querySelector('#entry button').click()")
            await page.until(f"{state} === 'You are Ada.'")
            await say(QUESTION)
            await page.until(f"{said}.includes('[1] Lighthouse')")
            server.process.kill()
            await server.process.wait()
            await page.until(f"{state}.startsWith('The connection was lost')")
            server.process = await start_process(server.environment, "serve")
            await wait_until_live(server)
            await page.until(f"{state} === 'You are Ada.'")
            markup = "<img src=x onerror='document.title = 0'>"
            await say(markup)
            await page.until(f"{said}.includes({json.dumps(f'Ada: {markup}')})")
            assert await page.run(f"{said}.split({json.dumps(QUESTION)}).length") == 2  # nothing is told twice
            assert await page.run("document.title") == "Hearth"


async def test_a_chain_of_langchains_answers_with_a_model_of_its_own(monkeypatch):
    source = Source(3, SENTENCE, "Lighthouse", None, None, uuid4(), None, 1.0)
    asked = Asked(QUESTION, [source], [], "Be brief.", [])
    async with serve_language_model() as model:
        model.say(Script(["The lamp is lit at nine,", " and so they always dine [3]."]))
        monkeypatch.setenv("LLM_BASE_URL", model.url)
        monkeypatch.syspath_prepend(EXAMPLES)
        importlib.invalidate_caches()
        async with open_answer_engine(AnswerSettings(engine="langchain:langchain_chain:chain")) as engine:
            assert engine is not None
            *told, usage = [part async for part in engine.stream(asked)]
            assert "".join(part.text for part in told if isinstance(part, Delta)).endswith("dine [3].")
            assert usage == TokenUsage(7, 2)
    prompt = model.requests[0]["messages"][0]["content"]
    assert f"[3] {SENTENCE}" in prompt
    assert "Be brief." in prompt
