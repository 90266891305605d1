"""`hearth reindex`: brings the mirror of the passages' vectors in line with the database."""

from functools import partial

from rich.console import Console

from app.errors import ServiceUnavailable
from app.foundation import open_foundation
from app.repositories import UnitOfWork
from app.repositories.engine import Sessions
from app.services.vector_mirror import VectorMirror
from app.settings import Settings


async def reindex(settings: Settings, console: Console) -> bool:
    """Print what was done; False when it could not be."""
    async with open_foundation(settings) as foundation:
        if foundation.vectors is None:
            console.print("PostgreSQL keeps its vector index in line by itself; this is for VECTOR_STORE=chroma.")
            return True
        uow = partial(UnitOfWork, Sessions.over(foundation.engine), lambda _: None)
        try:
            waiting, removed = await VectorMirror(uow, foundation.vectors, foundation.embedder).repair()
        except ServiceUnavailable as error:
            console.print(f"{error.message} Check CHROMA_URL.")
            return False
    console.print(f"{removed:,} vectors that belong to nothing were removed from {settings.chroma.url}.")
    console.print(f"{waiting:,} documents are told to it again by the worker; searches find everything meanwhile.")
    return True
