"""What the product does. Built once, stateless, called by every door: HTTP, WebSocket, tasks and the command line."""

from dataclasses import dataclass

from app.repositories import OpenUnitOfWork
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """One attribute per noun."""


def build_services(settings: Settings, uow: OpenUnitOfWork) -> Services:
    return Services()
