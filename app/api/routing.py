"""Routes that are looked for where they can be, and nowhere else."""

from typing import Any

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class Router(APIRouter):
    """An `APIRouter` that compares a path with its routes only where one of them could be meant.

    FastAPI compares every path with every route, once for each level of routers and once more to handle it, which took
    longer than most of what we do for a request.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._heads: tuple[str, ...] = ()
        self._known = -1  # routes that `_heads` are of

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._known != len(self.routes):
            self._heads, self._known = self._find_heads(), len(self.routes)
        path = scope["path"]
        if not any(head in path for head in self._heads):
            return Match.NONE, {}
        return super().matches(scope)

    def _find_heads(self) -> tuple[str, ...]:
        """What every path begins with that a route of this router can answer, behind the prefixes of routers above."""
        if self.prefix:
            return (self.prefix.split("{")[0],)
        return tuple({getattr(route, "path", "/").split("{")[0] for route in self.routes})
