"""Tickets for opening a WebSocket from a browser."""

from fastapi import Response, status

from app.api.deps import RoomActor, ServicesDep
from app.api.routing import Router
from app.schemas.auth import TicketRead
from app.services.callers import Ticket

router = Router(tags=["accounts"])


@router.post("/ws-tickets", status_code=status.HTTP_201_CREATED, response_model=TicketRead)
async def create_ticket(actor: RoomActor, services: ServicesDep, response: Response) -> Ticket:
    """A stand-in for your credentials in `?ticket=`, good for one WebSocket within 30 seconds."""
    response.headers["Cache-Control"] = "no-store"
    return await services.callers.issue_ticket(actor)
