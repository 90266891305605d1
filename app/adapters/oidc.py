"""An OpenID provider: where people sign in who have an account there (OpenID Connect Core 1.0, Discovery 1.0).

Its address is the operator's setting, so it may stand in a private network; what it answers is still not trusted
further than it has to be: every call has a timeout, answers are bounded, and no redirect is followed.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2
import structlog
from authlib.integrations.httpx_client import AsyncOAuth2Client

from app.adapters.identity_provider import Attempt, ProviderAccount
from app.errors import InvalidCredentials, ServiceUnavailable
from app.security.id_tokens import Expected, NotBelieved, PublicKeys, UnknownKey, import_keys, read_id_token
from app.settings import OIDCSettings

log = structlog.get_logger(__name__)

LARGEST_ANSWER: Final = 262_144  # bytes
KEPT_FOR: Final = timedelta(hours=1)  # discovery document and keys
DEFAULT_ALGORITHMS: Final = ("RS256",)
DEFAULT_CLIENT_AUTHENTICATION: Final = ("client_secret_basic",)
FAILURES: Final = (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError, ValueError, RecursionError)
NOT_UNDERSTOOD: Final = "The sign-in provider gave an answer that cannot be used."


class Unusable(ValueError):
    """An answer that is no JSON object, is too large, or contradicts the settings."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the provider says about itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: tuple[str, ...]
    client_authentication: tuple[str, ...]
    names_itself: bool
    """Whether the browser always brings `iss` back (RFC 9207)."""

    @classmethod
    def of(cls, document: Mapping[str, Any], issuer: str) -> Self:
        """Raises Unusable: of another issuer, or an address is missing or less safe than the issuer's."""
        if document.get("issuer") != issuer:
            raise Unusable(f"the discovery document is of {document.get('issuer')!r}, OIDC_ISSUER says {issuer!r}")
        userinfo = document.get("userinfo_endpoint")
        return cls(
            _address(document.get("authorization_endpoint"), issuer),
            _address(document.get("token_endpoint"), issuer),
            _address(document.get("jwks_uri"), issuer),
            None if userinfo is None else _address(userinfo, issuer),
            _names(document.get("id_token_signing_alg_values_supported"), DEFAULT_ALGORITHMS),
            _names(document.get("token_endpoint_auth_methods_supported"), DEFAULT_CLIENT_AUTHENTICATION),
            document.get("authorization_response_iss_parameter_supported") is True,
        )


class Provider:
    def __init__(self, client: AsyncOAuth2Client, settings: OIDCSettings) -> None:
        self._client = client
        self._settings = settings
        self._discovered: tuple[float, Discovered] | None = None
        self._keys: tuple[float, PublicKeys] | None = None

    @property
    def issuer(self) -> str:
        return self._settings.issuer

    @property
    def name(self) -> str:
        return self._settings.name

    async def check(self) -> None:
        """Raises ServiceUnavailable: it is down, or not the one that is meant."""
        await self._discover()

    async def authorization_url(self, attempt: Attempt) -> str:
        """Where the browser goes to sign in. Raises ServiceUnavailable."""
        discovered = await self._discover()
        url, _ = self._client.create_authorization_url(
            discovered.authorization_endpoint,
            state=attempt.state,
            nonce=attempt.nonce,
            code_verifier=attempt.verifier,
            redirect_uri=attempt.redirect_uri,
        )
        return str(url)

    async def require_from_here(self, issuer: str | None) -> None:
        """Raises InvalidCredentials: the browser comes from another provider than it was sent to (RFC 9207)."""
        discovered = await self._discover()
        if issuer != self.issuer and (issuer is not None or discovered.names_itself):
            raise InvalidCredentials("This answer is not from the sign-in provider that was asked.")

    async def redeem(self, code: str, attempt: Attempt) -> ProviderAccount:
        """Who signed in.

        Raises:
            InvalidCredentials: the code is not good, or the ID token is not to be believed.
            ServiceUnavailable: the provider is down, or does not speak the protocol.
        """
        discovered = await self._discover()
        tokens = await self._exchange(discovered, code, attempt)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise ServiceUnavailable(NOT_UNDERSTOOD)
        expected = Expected(
            self.issuer, self._settings.client_id, attempt.nonce, access_token, algorithms=discovered.algorithms
        )
        claims = await self._read(id_token, discovered, expected)
        if claims.get("email") is None and discovered.userinfo_endpoint is not None:
            claims = await self._ask_for_more(discovered.userinfo_endpoint, access_token, claims) | claims
        return ProviderAccount(
            issuer=self.issuer,
            subject=claims["sub"],
            email=_text(claims.get("email")),
            is_email_verified=_truth(claims.get("email_verified")),
            name=_text(claims.get("name")) or _text(claims.get("preferred_username")),
            access_token=access_token,
            refresh_token=_text(tokens.get("refresh_token")),
        )

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _discover(self) -> Discovered:
        if self._discovered is not None and _is_fresh(self._discovered[0]):
            return self._discovered[1]
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._get(url)
        try:
            discovered = Discovered.of(document, self.issuer)
        except Unusable as error:
            raise _unusable(url, error) from error
        self._discovered = (time.monotonic(), discovered)
        return discovered

    async def _exchange(self, discovered: Discovered, code: str, attempt: Attempt) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        how = self._client.client_auth(self._client_authentication(discovered))
        status, answer = await self._ask("POST", discovered.token_endpoint, data=form, auth=how)
        if status == 200:
            return answer
        log.warning("oidc.code_refused", status=status, reason=str(answer.get("error"))[:100])
        if answer.get("error") == "invalid_grant":
            raise InvalidCredentials("This sign-in is not good any more. Please begin again.")
        raise ServiceUnavailable("The sign-in provider refuses this server. Please tell whoever runs it.")

    def _client_authentication(self, discovered: Discovered) -> str:
        if not self._settings.client_secret.get_secret_value():
            return "none"
        basic, post = "client_secret_basic", "client_secret_post"
        return basic if basic in discovered.client_authentication else post

    async def _read(self, id_token: str, discovered: Discovered, expected: Expected) -> dict[str, Any]:
        """The claims; the keys are fetched again, once, when the token names one that is not known."""
        try:
            try:
                return read_id_token(id_token, await self._known_keys(discovered), expected)
            except UnknownKey:
                self._keys = None
                return read_id_token(id_token, await self._known_keys(discovered), expected)
        except (NotBelieved, UnknownKey) as error:
            log.warning("oidc.token_not_believed", reason=str(error) or "signed with a key that the provider has not")
            raise InvalidCredentials("The sign-in provider's answer is not to be believed.") from error

    async def _known_keys(self, discovered: Discovered) -> PublicKeys:
        if self._keys is None or not _is_fresh(self._keys[0]):
            documents = (await self._get(discovered.jwks_uri)).get("keys")
            self._keys = (time.monotonic(), import_keys(documents if isinstance(documents, list) else []))
        return self._keys[1]

    async def _ask_for_more(self, url: str, access_token: str, claims: Mapping[str, Any]) -> dict[str, Any]:
        """What the ID token leaves out. It counts only for the same subject, since this answer is not signed."""
        more = await self._get(url, Authorization=f"Bearer {access_token}")
        return more if more.get("sub") == claims["sub"] else {}

    async def _get(self, url: str, **headers: str) -> dict[str, Any]:
        status, answer = await self._ask("GET", url, headers=headers)
        if status != 200:
            raise _unusable(url, Unusable(f"status {status}"))
        return answer

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON object. Raises ServiceUnavailable."""
        options["headers"] = {"Accept": "application/json", "Accept-Encoding": "identity"} | options.get("headers", {})
        try:
            async with (
                asyncio.timeout(self._settings.timeout.total_seconds()),
                self._client.stream(method, url, withhold_token=True, follow_redirects=False, **options) as response,
            ):
                if response.status_code >= 500 or response.is_redirect:
                    raise Unusable(f"status {response.status_code}")
                return response.status_code, await _read_object(response)
        except FAILURES as error:
            raise _unusable(url, error) from error


@contextlib.asynccontextmanager
async def connect(settings: OIDCSettings) -> AsyncIterator[Provider]:
    """The provider that is configured; nothing is asked of it yet."""
    client = AsyncOAuth2Client(
        settings.client_id,
        settings.client_secret.get_secret_value() or None,
        scope=settings.scopes,
        code_challenge_method="S256",
        timeout=settings.timeout.total_seconds(),
    )
    async with client:
        yield Provider(client, settings)


async def _read_object(response: httpx2.Response) -> dict[str, Any]:
    """Raises Unusable, ValueError, RecursionError: too large, or no JSON object."""
    body = b""
    async for piece in response.aiter_raw():  # as it came: we asked for no compression
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise Unusable("the answer is too large")
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise Unusable("the answer is no object")
    return answer


def _unusable(url: str, error: Exception) -> ServiceUnavailable:
    """In words for the person who signs in; the reason is for the log."""
    log.warning("oidc.failed", url=url, error=repr(error))
    if isinstance(error, ValueError | RecursionError):
        return ServiceUnavailable(NOT_UNDERSTOOD)
    return ServiceUnavailable("The sign-in provider does not answer. Please try again in a moment.")


def _address(value: Any, issuer: str) -> str:
    """Raises Unusable: no address, or an https issuer's that is not https."""
    parts = urlsplit(value if isinstance(value, str) else "")
    if parts.netloc and parts.scheme in {"https", urlsplit(issuer).scheme}:
        return str(value)
    raise Unusable(f"not an address to use: {value!r}")


def _names(value: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else default


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _truth(value: Any) -> bool | None:
    return None if value is None else value in (True, "true")  # some send it as text


def _is_fresh(fetched_at: float) -> bool:
    return time.monotonic() - fetched_at < KEPT_FOR.total_seconds()
