"""Routes that are made when they are needed, and looked for where they can be and nowhere else."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.types import DecoratedCallable
from starlette.routing import BaseRoute, Match
from starlette.types import Scope


class Router(APIRouter):
    """An `APIRouter` that has no other router inside.

    Its routes are made when somebody first asks for one of them, or by `complete_routes`: FastAPI looks at every
    parameter of every function, which takes longer than anything else of a start.

    A path is compared with them only where one of them could be meant. FastAPI compares every path with every route,
    once for each level of routers and once more to handle it, which took longer than most of what we do for a request.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._made: list[BaseRoute] = []
        self._waiting: list[tuple[str, Callable[[], object]]] = []
        self._heads: tuple[str, ...] = ()
        self._known = -1  # routes that `_heads` are of
        super().__init__(*args, **options)

    @property
    def routes(self) -> list[BaseRoute]:
        waiting, self._waiting = self._waiting, []  # making one asks for `routes`, to add itself
        try:
            while waiting:
                waiting[0][1]()
                del waiting[0]
        finally:
            self._waiting += waiting  # a mistake is told again and again
        return self._made

    @routes.setter
    def routes(self, routes: list[BaseRoute]) -> None:
        self._made = routes

    def api_route(self, path: str, *args: Any, **options: Any) -> Callable[[DecoratedCallable], DecoratedCallable]:
        make = super().api_route(path, *args, **options)

        def decorator(function: DecoratedCallable) -> DecoratedCallable:
            self._waiting.append((path, lambda: make(function)))
            return function

        return decorator

    def _contains_router(self, *_: Any) -> bool:  # which FastAPI asks to find rings, and would have all routes made for
        return False

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"]
        if not any(head in path for head in self.heads):
            return Match.NONE, {}
        return super().matches(scope) if self.routes else (Match.NONE, {})  # makes them

    @property
    def heads(self) -> tuple[str, ...]:
        """What every path begins with that a route of this router can answer, behind the prefixes of routers above."""
        count = len(self._made) + len(self._waiting)
        if self._known != count:
            self._heads, self._known = self._find_heads(), count
        return self._heads

    def _find_heads(self) -> tuple[str, ...]:
        if self.prefix:
            return (self.prefix.split("{")[0],)
        paths = [path for path, _ in self._waiting] + [getattr(route, "path", "/") for route in self._made]
        return tuple({path.split("{")[0] for path in paths})
