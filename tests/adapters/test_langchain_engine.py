"""Runnables of LangChain's as what answers: what they are given, what comes of them, and what bad ones cannot do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from app.adapters import langchain_engine
from app.adapters.engines import AnswerEngine, Asked, Source, UnusableEngine, open_answer_engine
from app.adapters.llm import Delta, TokenUsage, Turn
from app.errors import ServiceUnavailable
from app.settings import Settings
from app.settings.answers import AnswerSettings
from tests import chains
from tests.processes import environment_of, start_process

DOCUMENT = uuid4()
ASKED = Asked(
    question="Who built it?",
    sources=[Source(3, "Built by Ada Thorne.", "Gull Rock", 7, None, DOCUMENT, None, 0.8)],
    history=[Turn("user", "Is there a lighthouse?"), Turn("assistant", "Yes.")],
    instructions="Be brief.",
    turns=[],
)


@contextlib.asynccontextmanager
async def engine(name: str, silence: float = 5.0) -> AsyncIterator[AnswerEngine]:
    settings = AnswerSettings(engine=f"langchain:tests.chains:{name}", engine_timeout=timedelta(seconds=silence))
    async with open_answer_engine(settings) as opened:
        assert opened is not None
        yield opened


async def said(opened: AnswerEngine) -> list[Delta | TokenUsage]:
    return [part async for part in opened.stream(ASKED)]


async def test_a_chain_is_given_the_question_the_passages_and_the_history():
    async with engine("keeper") as keeper:
        assert keeper.name == "langchain:tests.chains:keeper"
        assert await said(keeper) == [
            Delta("The lighthouse was built "),
            Delta("by Ada Thorne ["),
            Delta("3]. It can fly [99]."),
            TokenUsage(0, 0),
        ]
    asked = chains.given[-1]
    assert (asked["question"], asked["instructions"]) == ("Who built it?", "Be brief.")
    assert asked["history"] == [HumanMessage("Is there a lighthouse?"), AIMessage("Yes.")]
    (passage,) = asked["passages"]
    assert passage.page_content == "Built by Ada Thorne."
    assert passage.metadata == {
        "marker": 3, "title": "Gull Rock", "page": 7, "document_id": str(DOCUMENT), "score": 0.8
    }  # fmt: skip


@pytest.mark.parametrize("name", ["model", "dictionaries"])
async def test_messages_and_dictionaries_are_heard_and_the_tokens_of_models_counted(name: str):
    async with engine(name) as opened:
        parts = await said(opened)
    assert len(parts) > 2
    assert "".join(part.text for part in parts if isinstance(part, Delta)) == "By Ada Thorne [1]."
    assert parts[-1] == TokenUsage(11, 5)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("failing", "failed"),
        ("leaving", "failed"),
        ("cancelled", "failed"),
        ("numbers", "cannot be read"),
        ("endless", "does not end"),
        ("silent", "in time"),
        ("blocking", "in time"),
    ],
)
async def test_what_goes_wrong_in_a_chain_is_said_and_holds_up_nobody(name: str, complaint: str):
    async with engine(name, silence=0.2) as bad, engine("keeper") as good:
        started = asyncio.get_running_loop().time()
        failing = asyncio.create_task(said(bad))
        assert Delta("by Ada Thorne [") in await said(good)
        with pytest.raises(ServiceUnavailable, match=complaint):
            await failing
        with pytest.raises(ServiceUnavailable):  # it is asked again, and has not broken anything
            await said(bad)
        assert asyncio.get_running_loop().time() - started < 3


async def test_who_stops_listening_stops_the_chain():
    chains.events.clear()
    async with engine("silent") as silent:
        async with contextlib.aclosing(silent.stream(ASKED)) as parts:
            assert await anext(parts) == Delta("Well")
        async with asyncio.timeout(5):
            while "stopped" not in chains.events:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("tests.nowhere:chain", "cannot be imported .No module named 'tests.nowhere'.*PYTHONPATH"),
        ("tests.chains:nothing", "cannot be loaded.*no attribute 'nothing'"),
        ("tests.chains:NO_CHAIN", "is no Runnable"),
    ],
)
async def test_what_is_no_chain_is_complained_of_at_the_start(path: str, complaint: str):
    with pytest.raises(UnusableEngine, match=complaint):
        async with open_answer_engine(AnswerSettings(engine=f"langchain:{path}")):
            pass


async def test_without_langchain_the_start_says_what_to_install(monkeypatch):
    monkeypatch.setattr("app.adapters.engines.LANGCHAIN", "app.adapters.not_installed")
    with pytest.raises(UnusableEngine, match="install langchain-core"):
        async with open_answer_engine(AnswerSettings(engine="langchain:tests.chains:keeper")):
            pass
    async with open_answer_engine(AnswerSettings()) as opened:
        assert opened is None


def test_the_setting_names_an_engine():
    for name in ("langchain", "langchain:module", "tests.chains:keeper", "langchain:a b:c", "langchain:os:system()"):
        with pytest.raises(ValueError, match="ANSWER_ENGINE"):
            Settings(_env_file=None, environment="testing", answer=AnswerSettings(engine=name))
    assert langchain_engine.load("tests.chains:keeper.with_retry.__self__") is chains.keeper


async def test_commands_end_with_the_complaint(settings: Settings, capfd):
    process = await start_process(environment_of(settings, ANSWER_ENGINE="langchain:tests.nowhere:chain"), "worker")
    assert await asyncio.wait_for(process.wait(), 30) == 2
    assert "ANSWER_ENGINE: tests.nowhere:chain cannot be imported" in " ".join(capfd.readouterr().err.split())
