"""A question that leans on the conversation is searched for as it is meant; without help, as it was asked."""

from app.adapters.llm import Turn, open_language_model
from app.services.rewriting import standalone_question
from app.settings import LLMSettings
from tests.llm_server import serve_language_model

HISTORY = [Turn("user", "Tell me of the lighthouse on Gull Rock."), Turn("assistant", "It has 212 steps.")]
ASKED = "And when was it built?"
MEANT = "When was the lighthouse on Gull Rock built?"


async def test_a_model_puts_in_what_pronouns_stand_for_and_what_is_no_question_is_not_taken():
    async with (
        serve_language_model() as server,
        open_language_model(LLMSettings(base_url=server.url, model="scripted")) as model,
    ):
        for said, meant in ((MEANT, MEANT), ("x" * 500, ASKED), ("", ASKED)):
            server.rewrite = {ASKED: said}.__getitem__
            assert await standalone_question(model.stream, ASKED, HISTORY) == meant


async def test_without_a_conversation_or_an_answer_the_question_stays():
    async with open_language_model(LLMSettings(base_url="http://127.0.0.1:9", model="away")) as away:
        assert await standalone_question(away.stream, ASKED, []) == ASKED
        assert await standalone_question(away.stream, ASKED, HISTORY) == ASKED
