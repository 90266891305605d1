"""What an answer of a language model has cost, however it ended."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from app.adapters.llm import Delta, TokenUsage, Turn
from app.errors import ServiceUnavailable
from app.permissions import Principal, Role
from app.repositories import UnitOfWork

CHARACTERS_PER_TOKEN: Final = 4  # about, where the model's server was not heard to the end, or does not count


async def metered(
    parts: AsyncGenerator[Delta | TokenUsage, None], turns: Sequence[Turn], charge: Callable[[int], Awaitable[None]]
) -> AsyncGenerator[Delta | TokenUsage, None]:
    """The same parts; `charge` is told the tokens at the end, also when nobody listens any more.

    A model that failed before it said anything costs nothing.
    """
    characters, usage, has_failed = 0, None, False
    try:
        async with contextlib.aclosing(parts):
            async for part in parts:
                if isinstance(part, TokenUsage):
                    usage = part
                else:
                    characters += len(part.text)
                yield part
    except ServiceUnavailable:
        has_failed = True
        raise
    finally:
        if usage is not None or characters or not has_failed:
            tokens = _counted(usage) or _estimated(turns, characters)
            await asyncio.shield(asyncio.ensure_future(charge(tokens)))


def _counted(usage: TokenUsage | None) -> int:
    return usage.prompt_tokens + usage.completion_tokens if usage else 0


def _estimated(turns: Sequence[Turn], characters: int) -> int:
    return (sum(len(turn.text) for turn in turns) + characters) // CHARACTERS_PER_TOKEN + 1


async def asker_of(uow: UnitOfWork, user_id: UUID, key_id: UUID | None) -> Principal:
    """Whom the language model's tokens are charged to."""
    user = await uow.users.get(user_id)
    key = await uow.api_keys.get_own(user_id, key_id) if key_id else None
    role = Role(user.role) if user else Role.GUEST
    return Principal(
        user_id, user.name if user else "", role, key_id=key.id if key else None, limits=key.limits if key else {}
    )
