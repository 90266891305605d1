"""How much each project got at this worker lately, so that one that got little comes first."""

import time
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

HALF_LIFE: Final = 5.0  # seconds after which work that was begun counts half
NEGLIGIBLE: Final = 0.05
MOST: Final = 50  # projects that are remembered; the others got too little to matter


class Shares:
    """`now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._shares: dict[UUID, float] = {}
        self._updated = now()

    def add(self, project_id: UUID) -> None:
        """A task of the project was begun."""
        self._fade()
        self._shares[project_id] = self._shares.get(project_id, 0.0) + 1.0

    def current(self) -> Mapping[UUID, float]:
        """The tasks that were begun, the newest at their full weight."""
        self._fade()
        return self._shares

    def _fade(self) -> None:
        now = self._now()
        factor = 0.5 ** ((now - self._updated) / HALF_LIFE)
        self._updated = now
        faded = ((project_id, share * factor) for project_id, share in self._shares.items())
        most = sorted(faded, key=lambda pair: -pair[1])[:MOST]
        self._shares = {project_id: share for project_id, share in most if share > NEGLIGIBLE}
