"""The language model's adapter, against a server that really speaks its protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.adapters import openai_llm
from app.adapters.llm import Delta, LanguageModel, TokenUsage, Turn, open_language_model
from app.errors import ServiceUnavailable
from app.settings import LLMSettings
from tests.llm_server import LanguageServer, Script, serve_language_model

QUESTION = [Turn("system", "Be brief."), Turn("user", "Who are you?")]


@pytest.fixture
async def server() -> AsyncIterator[LanguageServer]:
    async with serve_language_model() as server:
        yield server


@contextlib.asynccontextmanager
async def model_at(url: str, token_timeout: float = 5) -> AsyncIterator[LanguageModel]:
    settings = LLMSettings(
        base_url=url, model="scripted", api_key=SecretStr("k"), token_timeout=timedelta(seconds=token_timeout)
    )
    async with open_language_model(settings) as model:
        assert model is not None
        yield model


async def said(model: LanguageModel) -> list[Delta | TokenUsage]:
    return [part async for part in model.stream(QUESTION)]


async def test_an_answer_streams_in_pieces_and_its_tokens_are_counted(server: LanguageServer):
    server.say(Script(["I am", " a", " script."]))
    async with model_at(server.url) as model:
        assert await said(model) == [Delta("I am"), Delta(" a"), Delta(" script."), TokenUsage(7, 3)]
        await model.check()
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who are you?"},
    ]


async def test_without_an_address_there_is_no_model():
    async with open_language_model(LLMSettings()) as model:
        assert model is None


async def test_a_busy_server_is_asked_again_and_a_refusing_one_is_not(server: LanguageServer, monkeypatch):
    monkeypatch.setattr(openai_llm, "FIRST_PAUSE", 0.01)
    server.say(Script(status=429, headers={"retry-after": "0"}), Script(status=500), Script(["Yes."]))
    async with model_at(server.url) as model:
        assert Delta("Yes.") in await said(model)
        assert len(server.requests) == 3
        server.say(Script(status=401))
        with pytest.raises(ServiceUnavailable, match="refuses the configured key"):
            await said(model)
        assert len(server.requests) == 4


async def test_a_drop_before_the_first_word_is_tried_again_and_one_in_the_middle_is_told(
    server: LanguageServer, monkeypatch
):
    monkeypatch.setattr(openai_llm, "FIRST_PAUSE", 0.01)
    server.say(Script(["never"], drop_after=0), Script(["Half", " an", " answer"], drop_after=2))
    async with model_at(server.url) as model:
        parts = model.stream(QUESTION)
        assert [await anext(parts), await anext(parts)] == [Delta("Half"), Delta(" an")]
        with pytest.raises(ServiceUnavailable):
            await anext(parts)
    assert len(server.requests) == 2


async def test_silence_between_two_words_ends_the_answer(server: LanguageServer):
    server.say(Script(["Well", "…"], hang_after=1))
    async with model_at(server.url, token_timeout=0.2) as model:
        with pytest.raises(ServiceUnavailable, match="in time"):
            await said(model)


async def test_who_stops_listening_stops_the_model(server: LanguageServer):
    server.say(Script(["on", " and"] * 1000, pause=0.01))
    async with model_at(server.url) as model:
        listening = asyncio.create_task(said(model))
        await asyncio.sleep(0.2)
        assert server.speaking == 1
        listening.cancel()
        await server.wait_for_hang_up()
        assert server.speaking == 0


async def test_a_server_that_is_not_there_is_not_available(monkeypatch):
    monkeypatch.setattr(openai_llm, "FIRST_PAUSE", 0.01)
    async with model_at("http://127.0.0.1:9/v1") as model:
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await model.check()
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await said(model)
