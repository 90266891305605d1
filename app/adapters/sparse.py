"""Texts become weighted word pieces, which find what is said in other words: the learned sparse leg of a search."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

from app.adapters.splade import Expansion, SpladeEncoder
from app.settings import EmbeddingSettings


class SparseEncoder(Protocol):
    """All of its methods raise `ServiceUnavailable` while it does not work."""

    @property
    def model(self) -> str: ...

    @property
    def size(self) -> int:
        """Of the vocabulary."""
        ...

    async def expand_query(self, text: str) -> Expansion: ...

    async def expand_passages(self, texts: Sequence[str]) -> list[Expansion]:
        """In the order of `texts`. Questions overtake passages."""
        ...

    def word(self, piece: int) -> str | None:
        """The word that a word piece is; None for a piece of one. Only of pieces that came from here."""
        ...

    async def check(self) -> None:
        """Make sure that it works; loads the model."""
        ...


@asynccontextmanager
async def open_sparse_encoder(settings: EmbeddingSettings, models_dir: Path) -> AsyncIterator[SparseEncoder | None]:
    """The configured encoder, loaded when it is first needed; None where it is switched off."""
    if settings.sparse == "off":
        yield None
        return
    encoder = SpladeEncoder(settings, models_dir)
    async with aclosing(encoder):
        yield encoder
