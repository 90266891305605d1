"""Optimistic locking: a change that was based on an older state is refused."""

from app.errors import PreconditionFailed
from app.models import Model

Versions = frozenset[str]
"""Versions of a resource that a change may be based on."""


def require_version(row: Model, expected: Versions | None) -> None:
    """Called in the transaction of the change, on a locked row; None expects nothing.

    Raises:
        PreconditionFailed: the row has changed since.
    """
    if expected is not None and row.version not in expected:
        raise PreconditionFailed("This was changed meanwhile: read it again, then decide.", current_etag=row.version)
