"""Two people and the spirit in one room, over WebSockets.

HEARTH_URL=http://127.0.0.1:8000 python examples/room.py EMAIL PASSWORD "a question about your documents"
"""

import asyncio
import json
import os
import sys
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

URL = os.environ.get("HEARTH_URL", "http://127.0.0.1:8000")
PATIENCE = 60  # seconds


async def sign_in(http: httpx.AsyncClient, email: str, password: str) -> str:
    response = await http.post("/auth/login", data={"username": email, "password": password})
    response.raise_for_status()
    return response.json()["access_token"]


async def open_room(http: httpx.AsyncClient, token: str) -> tuple[str, str]:
    """A new room, and the token of a guest who was invited to it."""
    headers = {"Authorization": f"Bearer {token}"}
    fields = {"name": "Kitchen table", "shares_documents": True}  # with the guest, too
    room = (await http.post("/sessions", json=fields, headers=headers)).raise_for_status().json()
    invite = (await http.post(f"/sessions/{room['id']}/invites", headers=headers)).raise_for_status().json()
    joined = await http.post("/sessions/join", json={"invite": invite["invite"], "name": "Grace"})
    return room["id"], joined.raise_for_status().json()["access_token"]


def enter(room: str, token: str) -> connect:
    address = f"{URL.replace('http', 'ws', 1)}/ws/chat/{room}"
    return connect(address, additional_headers={"Authorization": f"Bearer {token}"})


async def next_of(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next frame of one type; others are passed over."""
    async with asyncio.timeout(PATIENCE):
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == kind:
                return frame


async def main(email: str, password: str, question: str) -> None:
    async with httpx.AsyncClient(base_url=f"{URL}/api/v1", timeout=30) as http:
        token = await sign_in(http, email, password)
        room, guest_token = await open_room(http, token)
    async with enter(room, token) as ada, enter(room, guest_token) as grace:
        await next_of(ada, "welcome")
        await next_of(grace, "welcome")
        await grace.send(json.dumps({"type": "send_message", "text": question}))
        for _ in range(2):  # Grace's question, then the spirit's answer; both hear both
            heard = await next_of(ada, "message_received")
            assert (await next_of(grace, "message_received"))["id"] == heard["id"]
            print(f"{heard['user_name']}: {heard['text']}")
            for citation in heard["citations"]:
                print(f"  [{citation['marker']}] {citation['title']}: {citation['quote']}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
