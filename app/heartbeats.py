"""Peers that are gone without a goodbye: uvicorn's pings find them, and here their connections really end."""

from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

GRACE: Final = 1.0  # seconds in which a peer that lives may still read why the connection ends


class HeartbeatProtocol(WebSocketsSansIOProtocol):
    """A peer that reads nothing would never take what is left to write, and the application never hear of its end."""

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(GRACE, self.transport.abort)
