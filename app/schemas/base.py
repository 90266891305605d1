"""What everything on the wire is made of."""

import asyncio
import warnings

from pydantic import BaseModel, ConfigDict
from pydantic.warnings import UnsupportedFieldAttributeWarning

# FastAPI names bodies by an alias, which means nothing to pydantic; it is quiet about it only while it makes a route.
warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)


class Schema(BaseModel):
    """Its validator is made when it is first needed: all of them together take longer than the rest of a start."""

    model_config = ConfigDict(defer_build=True)


async def complete_schemas() -> None:
    """Make those that nobody has needed yet, between other work: a first request need not wait for its own."""
    waiting: list[type[Schema]] = [Schema]
    while waiting:
        schema = waiting.pop()
        waiting += schema.__subclasses__()
        if not schema.__pydantic_complete__:
            schema.model_rebuild()
            await asyncio.sleep(0)
