"""What a server or worker asks before it starts: are the tables there that it was written for?"""

from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from app.repositories import UnitOfWork
from app.repositories.engine import Sessions, create_engine
from app.settings import Settings


async def find_problem(settings: Settings, warn: Callable[[str], object]) -> str | None:
    """Why it cannot start, and what to do. A database that does not answer is worth a warning: it may come back."""
    engine = create_engine(settings.database)
    uow = partial(UnitOfWork, Sessions.over(engine), lambda _: None)
    try:
        async with uow(is_reading=True) as reading:
            return await reading.schema.find_problem()
    except (SQLAlchemyError, OSError) as error:
        warn(f"The database does not answer yet: {type(error).__name__}. Starting all the same.")
        return None
    finally:
        await engine.dispose()
