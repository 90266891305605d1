"""Where people sign in who have an account elsewhere."""

import contextlib
import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from app.settings import OIDCSettings


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in: `state` comes back with the browser, `nonce` in the ID token, `verifier` proves that we began it."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """Who somebody is at the provider. `subject` never changes and is never given to somebody else; all else may."""

    issuer: str
    subject: str
    email: str | None
    is_email_verified: bool | None
    """None where the provider does not say."""
    name: str | None
    access_token: str
    refresh_token: str | None


class OpenIDProvider(Protocol):
    """Every method raises ServiceUnavailable where the provider is down, or does not speak the protocol."""

    @property
    def issuer(self) -> str: ...

    @property
    def name(self) -> str: ...

    async def check(self) -> None: ...

    async def authorization_url(self, attempt: Attempt) -> str:
        """Where the browser goes to sign in."""
        ...

    async def require_from_here(self, issuer: str | None) -> None:
        """Raises InvalidCredentials: the browser comes from another provider than it was sent to (RFC 9207)."""
        ...

    async def redeem(self, code: str, attempt: Attempt) -> ProviderAccount:
        """Who signed in. Raises InvalidCredentials: the code is not good, or the ID token is not to be believed."""
        ...


@contextlib.asynccontextmanager
async def open_provider(settings: OIDCSettings) -> AsyncIterator[OpenIDProvider | None]:
    """The provider that is configured, None where there is none; nothing is asked of it yet.

    The libraries that speak with it cost a quarter of a second and 20 MB, so they are loaded only where they are used.
    """
    if not settings.issuer:
        yield None
        return
    async with importlib.import_module("app.adapters.oidc").connect(settings) as provider:
        yield provider
