"""A client for Hearth: documents, cited answers, live rooms."""

from hearth_client.client import Hearth
from hearth_client.connection import ProjectFeed, Room
from hearth_client.errors import ConnectionEnded, HearthError, Refused

__all__ = ["ConnectionEnded", "Hearth", "HearthError", "ProjectFeed", "Refused", "Room"]
