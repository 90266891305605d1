"""How questions are answered, and how long answers are kept."""

from datetime import timedelta
from typing import Final

from pydantic import Field

from app.settings.values import Group, Seconds

BUILTIN: Final = "builtin"
LANGCHAIN: Final = "langchain:"


class AnswerSettings(Group):
    engine: str = Field(
        BUILTIN,
        description="Who answers: `builtin`, or a Runnable of LangChain's, as langchain:package.module:chain.",
    )
    engine_timeout: Seconds = Field(timedelta(seconds=60), description="Longest silence of a Runnable that answers.")
    retention: Seconds = Field(timedelta(days=30), description="How long answers of /query can be read again.")
    replay: Seconds = Field(timedelta(minutes=15), description="How long an ended stream can be resumed.")
    grace: Seconds = Field(timedelta(seconds=20), description="An answer that nobody follows is stopped after this.")

    @property
    def langchain(self) -> str:
        """`package.module:chain`; empty where answers are made by the house itself."""
        return self.engine.removeprefix(LANGCHAIN) if self.engine.startswith(LANGCHAIN) else ""
