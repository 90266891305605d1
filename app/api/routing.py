"""Routes that are made when they are needed, and looked for where they can be and nowhere else."""

import inspect
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

DEFAULTS: Final = {
    name: parameter.default
    for name, parameter in inspect.signature(APIRoute.__init__).parameters.items()
    if parameter.default is not inspect.Parameter.empty
}


class Plan(APIRoute):
    """What a route was declared to be. FastAPI makes the route of it where the router is included, when first asked.

    An `APIRoute` looks at every parameter of its function here and there, and that takes a start as long as all of
    SQLAlchemy.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        declared = DEFAULTS | options
        vars(self).update(
            declared,
            path=path,
            endpoint=endpoint,
            name=declared["name"] or endpoint.__name__,
            methods={method.upper() for method in declared["methods"] or ("GET",)},
            tags=declared["tags"] or [],
            dependencies=list(declared["dependencies"] or ()),
            responses=declared["responses"] or {},
            form_limits=declared["form_limits"] or {},
            stream_item_type=None,
        )


class Router(APIRouter):
    """An `APIRouter` that compares a path with its routes only where one of them could be meant.

    FastAPI compares every path with every route, once for each level of routers and once more to handle it, which took
    longer than most of what we do for a request.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, route_class=Plan, **options)
        self._heads: tuple[str, ...] = ()
        self._known = -1  # routes that `_heads` are of

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"]
        if not any(head in path for head in self.heads):
            return Match.NONE, {}
        return super().matches(scope)

    @property
    def heads(self) -> tuple[str, ...]:
        """What every path begins with that a route of this router can answer, behind the prefixes of routers above."""
        if self._known != len(self.routes):
            self._heads, self._known = self._find_heads(), len(self.routes)
        return self._heads

    def _find_heads(self) -> tuple[str, ...]:
        if self.prefix:
            return (self.prefix.split("{")[0],)
        return tuple({getattr(route, "path", "/").split("{")[0] for route in self.routes})
