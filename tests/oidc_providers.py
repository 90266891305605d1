"""OpenID providers on real sockets: a conformant one from a package, and one of our own that misbehaves when told."""

import asyncio
import base64
import functools
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import uvicorn
from httpx import AsyncClient, HTTPError
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.processes import free_port

CLIENT_ID = "hearth"
CLIENT_SECRET = "a secret that the provider gave us, of some length"
PATIENCE = 20.0  # seconds

Claims = dict[str, Any]


@asynccontextmanager
async def start_conformant_provider(people: Sequence[Claims]) -> AsyncIterator[str]:
    """A process of its own; yields the issuer. `people`: claims, with `sub` among them."""
    port = free_port()
    options = [option for person in people for option in ("--user-claims", json.dumps(person))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(port), "--require-nonce", *options),
        env=os.environ | {"NO_COLOR": "1"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    issuer = f"http://127.0.0.1:{port}"
    try:
        await _wait_for(f"{issuer}/.well-known/openid-configuration")
        yield issuer
    finally:
        process.terminate()
        await process.wait()


async def _wait_for(url: str) -> None:
    async with AsyncClient() as client, asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.get(url)
            except HTTPError:
                await asyncio.sleep(0.05)
            else:
                return


def make_signing_key() -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=True)


FIRST_KEY = functools.cache(make_signing_key)  # takes a while


@dataclass
class StandIn:
    """Speaks the protocol strictly. `person` signs in; `sign` and `discovery` are changed to misbehave."""

    issuer: str
    person: Claims = field(default_factory=dict)
    told_by_userinfo: Claims = field(default_factory=dict)
    key: RSAKey = field(default_factory=FIRST_KEY)
    published: list[RSAKey] = field(default_factory=list)
    discovery: Claims = field(default_factory=dict)
    changes: Claims = field(default_factory=dict)
    sign: Callable[["StandIn", Claims], str] | None = None
    answer: Callable[[Request], Response] | None = None
    asked: list[str] = field(default_factory=list)
    grants: dict[str, dict[str, str]] = field(default_factory=dict)

    def begin_anew(self, **person: Any) -> None:
        """As if nothing had happened; for the next test."""
        blank = StandIn(self.issuer, person)
        vars(self).update(vars(blank))

    def __post_init__(self) -> None:
        self.published = [self.key]

    def count(self, path: str) -> int:
        return self.asked.count(path)

    def id_token(self, nonce: str, access_token: str) -> str:
        digest = hashlib.sha256(access_token.encode()).digest()[:16]
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            **self.person,
            **self.changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return self.sign(self, claims) if self.sign else signed(self.key, claims)

    # --- the routes -------------------------------------------------------------------------------------------------

    def discover(self, _: Request) -> Response:
        own = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return JSONResponse(own | self.discovery)

    def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.grants[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 302)

    async def give_tokens(self, request: Request) -> Response:
        form = await request.form()
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}":
            return JSONResponse({"error": "invalid_client"}, 401)
        granted = self.grants.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if granted is None or granted["code_challenge"] != challenge or granted["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        access_token = secrets.token_urlsafe(16)
        tokens = {
            "access_token": access_token,
            "refresh_token": "refresh-" + access_token,
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": self.id_token(granted["nonce"], access_token),
        }
        return JSONResponse(tokens)

    def publish_keys(self, _: Request) -> Response:
        return JSONResponse(KeySet(self.published).as_dict(private=False))

    def tell_more(self, request: Request) -> Response:
        assert request.headers["authorization"].startswith("Bearer ")
        return JSONResponse(self.told_by_userinfo)

    def application(self) -> Starlette:
        def listed(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
            async def handle(request: Request) -> Response:
                self.asked.append(request.url.path)
                if self.answer is not None:
                    return self.answer(request)
                response = handler(request)
                return await response if asyncio.iscoroutine(response) else response

            return handle

        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", listed(self.discover)),
                Route("/authorize", listed(self.authorize)),
                Route("/token", listed(self.give_tokens), methods=["POST"]),
                Route("/jwks", listed(self.publish_keys)),
                Route("/userinfo", listed(self.tell_more)),
            ]
        )


def signed(key: RSAKey, claims: Claims, **header: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key)


@asynccontextmanager
async def start_stand_in(**person: Any) -> AsyncIterator[StandIn]:
    """`person`: the claims of whoever is signed in there."""
    port = free_port()
    stand_in = StandIn(f"http://127.0.0.1:{port}", person)
    config = uvicorn.Config(stand_in.application(), "127.0.0.1", port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(PATIENCE):
            while not server.started:
                await asyncio.sleep(0.01)
        yield stand_in
    finally:
        server.should_exit = True
        await serving
