"""Makes a question that leans on the conversation ("And when was it built?") one that can be searched for by itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from app.adapters.llm import Delta, TokenUsage, Turn
from app.errors import ServiceUnavailable

PATIENCE: Final = 4.0  # seconds; then the question is searched for as it was asked
Stream = Callable[[Sequence[Turn]], AsyncGenerator[Delta | TokenUsage, None]]

MOST_TURNS: Final = 6
LONGEST: Final = 400  # characters of a rewritten question; a longer one is an answer

INSTRUCTION: Final = """\
Rewrite the user's last question so that it can be understood without the conversation: put in the names that its \
pronouns stand for, and nothing else. Keep its language. Reply with the question alone. If it can be understood as it \
is, repeat it."""


async def standalone_question(stream: Stream, question: str, history: Sequence[Turn]) -> str:
    """`question` as it is searched for; unchanged without a conversation, or when the language model fails."""
    if not history:
        return question
    said = "\n".join(f"{turn.speaker}: {turn.text}" for turn in history[-MOST_TURNS:])
    turns = [Turn("system", INSTRUCTION), Turn("user", f"{said}\n\nThe last question: {question}")]
    try:
        async with asyncio.timeout(PATIENCE):
            found = await _answer(stream, turns)
    except (ServiceUnavailable, TimeoutError):
        return question
    return found if 0 < len(found) <= LONGEST else question


async def _answer(stream: Stream, turns: Sequence[Turn]) -> str:
    async with aclosing(stream(turns)) as parts:
        pieces = [part.text async for part in parts if isinstance(part, Delta)]
    return " ".join("".join(pieces).split())
