"""Who is calling: what the credentials of a call stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.errors import InvalidCredentials, NotAuthenticated, TokenExpired
from app.events import utc_now
from app.gathering import AT_THE_DOOR, Gathering
from app.models import APIKey, Login, LoginKind
from app.permissions import Principal, Role, Scope
from app.realtime.logins import CookieSessions
from app.realtime.state import TICKET_LIFE, Tickets
from app.repositories import OpenUnitOfWork
from app.security import Claims, SecretKind, Tokens, TokenType, digest_of, is_secret
from app.services.known_callers import KnownCallers, KnownKey, Person
from app.services.limits import LimitService
from app.settings import Settings

USE_NOTED_EVERY: Final = timedelta(minutes=1)
LONGEST_TICKET: Final = 128
MOST_TOGETHER: Final = 1000
GUEST_SCOPES: Final = frozenset({Scope.READ, Scope.WRITE})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request or a socket brought along, unjudged."""

    bearer: str | None = None
    """An access token, a guest's token or an API key."""
    api_key: str | None = None
    ticket: str | None = None
    cookie: str | None = None
    is_at_the_door: bool = False
    """A WebSocket is to be opened, as many others may be at this moment: they are looked up together."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Good for one WebSocket, within `expires_in` seconds."""

    ticket: str
    expires_in: int


class Askers:
    """Those who wait until their account is looked up; with a pause, more of them gather when many come at once."""

    def __init__(self, service: "CallerService", *, longest_pause: float) -> None:
        self.logins = Gathering(service.look_up_logins, most=MOST_TOGETHER, longest_pause=longest_pause)
        self.guests = Gathering(service.look_up_guests, most=MOST_TOGETHER, longest_pause=longest_pause)


class CallerService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        settings: Settings,
        *,
        tokens: Tokens,
        tickets: Tickets,
        cookies: CookieSessions,
        known: KnownCallers,
        limits: LimitService,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._tokens = tokens
        self._tickets = tickets
        self._cookies = cookies
        self._known = known
        self._limits = limits
        self._requests = Askers(self, longest_pause=0.0)
        self._sockets = Askers(self, longest_pause=AT_THE_DOOR)

    async def identify(self, credentials: Credentials) -> Principal:
        """Whoever calls with these credentials; of several, the first of bearer, key, ticket, cookie counts.

        Raises:
            NotAuthenticated: nothing is given.
            InvalidCredentials, TokenExpired: what is given is not good.
            RateLimited: too much that is not good came from this address to look at an unknown key.
        """
        askers = self._sockets if credentials.is_at_the_door else self._requests
        match credentials:
            case Credentials(bearer=str(bearer)) if bearer:
                is_key = bearer.startswith(SecretKind.API_KEY)
                return await (self._by_key(bearer) if is_key else self._by_token(bearer, askers))
            case Credentials(api_key=str(key)) if key:
                return await self._by_key(key)
            case Credentials(ticket=str(ticket)) if ticket:
                return await self._by_ticket(ticket, askers)
            case Credentials(cookie=str(cookie)) if cookie:
                return await self._by_cookie(cookie, askers)
        raise NotAuthenticated("Sign in, or send an API key.")

    async def issue_ticket(self, actor: Principal) -> Ticket:
        return Ticket(await self._tickets.issue(actor), int(TICKET_LIFE.total_seconds()))

    def guest_token(self, user_id: UUID, name: str, session_id: UUID) -> tuple[str, int]:
        """A token for one room alone, and the seconds it is good for."""
        lifetime = self._settings.jwt.guest_ttl
        claims = Claims(TokenType.GUEST, user_id, room_id=session_id, name=name)
        return self._tokens.issue(claims, lifetime), int(lifetime.total_seconds())

    async def _by_token(self, token: str, askers: Askers) -> Principal:
        claims = self._tokens.read(token)
        if claims.login_id is not None:
            return await self._by_login(claims.login_id, askers)
        person = await self._guest(claims.user_id, askers)
        return Principal(
            claims.user_id,
            claims.name or person.name,
            Role.GUEST,
            GUEST_SCOPES,
            room_id=claims.room_id,
            expires_at=claims.expires_at,
        )

    async def _by_key(self, key: str) -> Principal:
        """It is looked up by its digest, so the time of the look-up tells nothing about any key."""
        if not is_secret(SecretKind.API_KEY, key):
            raise InvalidCredentials("The API key is not valid.")
        digest = digest_of(key)
        known = self._known.keys.get(digest)
        if known is None:
            await self._limits.require_trust(digest)
            known = await self._look_up_key(digest)
            self._known.keys.put(digest, known)
            await self._limits.trust(digest)
        if known.expires_at is not None and known.expires_at <= utc_now():
            raise TokenExpired("The API key has expired.")
        return known.principal

    async def _by_ticket(self, ticket: str, askers: Askers) -> Principal:
        principal = await self._tickets.redeem(ticket) if len(ticket) <= LONGEST_TICKET else None
        if principal is None:
            raise InvalidCredentials("The ticket is not valid; each is good for one connection within 30 seconds.")
        if principal.login_id is not None:  # it may have ended meanwhile
            return await self._by_login(principal.login_id, askers)
        if principal.key_id is not None:
            await self._require_key(principal.key_id)
        if principal.is_guest:
            await self._guest(principal.user_id, askers)
        return principal

    async def _by_cookie(self, cookie: str, askers: Askers) -> Principal:
        login_id = await self._cookies.find(cookie)
        if login_id is None:
            raise InvalidCredentials("The session has ended: please sign in again.")
        return await self._by_login(login_id, askers)

    async def _by_login(self, login_id: UUID, askers: Askers) -> Principal:
        """Raises InvalidCredentials: the log-in has ended, or the account is gone or disabled."""
        person = self._known.people.get(login_id)
        if person is None:
            person = await askers.logins.ask(login_id)
            if person is None:
                raise InvalidCredentials("This log-in has ended, or the account is not active.")
            self._known.people.put(login_id, person)
        return Principal(person.user_id, person.name, person.role, login_id=login_id, expires_at=person.expires_at)

    async def look_up_logins(self, login_ids: Sequence[UUID]) -> Sequence[Person | None]:
        """None for a log-in that has ended, or whose account is gone or disabled."""
        async with self._uow() as uow:
            found = await uow.logins.list_open_with_users(set(login_ids))
            long_ago = utc_now() - USE_NOTED_EVERY
            in_use = {login.id: self._end_of(login) for login, _ in found if login.last_used_at < long_ago}
            if in_use:
                await uow.logins.touch(in_use, at_most_every=USE_NOTED_EVERY)
        people = {login.id: Person(user.id, user.name, Role(user.role), login.expires_at) for login, user in found}
        return [people.get(login_id) for login_id in login_ids]

    def _end_of(self, login: Login) -> datetime:
        """Of a log-in that is in use now: a cookie's moves on with its use."""
        if login.kind != LoginKind.COOKIE:
            return login.expires_at
        settings = self._settings.cookie
        return min(login.created_at + settings.longest, utc_now() + settings.ttl + USE_NOTED_EVERY)

    async def _require_key(self, key_id: UUID) -> None:
        """Raises InvalidCredentials."""
        async with self._uow() as uow:
            is_good = await uow.api_keys.is_good(key_id)
        if not is_good:
            raise InvalidCredentials("The API key is not good any more.")

    async def _guest(self, user_id: UUID, askers: Askers) -> Person:
        """Raises InvalidCredentials: the account is gone or disabled."""
        person = self._known.people.get(user_id)
        if person is None:
            person = await askers.guests.ask(user_id)
            if person is None:
                raise InvalidCredentials("This account is not active.")
            self._known.people.put(user_id, person)
        return person

    async def look_up_guests(self, user_ids: Sequence[UUID]) -> Sequence[Person | None]:
        async with self._uow(is_reading=True) as uow:
            users = await uow.users.list_active(set(user_ids))
        people = {user.id: Person(user.id, user.name, Role(user.role)) for user in users}
        return [people.get(user_id) for user_id in user_ids]

    async def _look_up_key(self, digest: bytes) -> KnownKey:
        async with self._uow() as uow:
            found = await uow.api_keys.get_with_user(digest)
            if found is None or not found[1].is_active:
                raise InvalidCredentials("The API key is not valid.")
            key, user = found
            if _is_to_be_noted(key):
                await uow.api_keys.touch(key.id, at_most_every=USE_NOTED_EVERY)
        scopes = frozenset(Scope(scope) for scope in key.scopes)
        principal = Principal(
            user.id, user.name, Role(user.role), scopes, key_id=key.id, expires_at=key.expires_at, limits=key.limits
        )
        return KnownKey(principal, key.expires_at)


def _is_to_be_noted(key: APIKey) -> bool:
    now = utc_now()
    is_good = key.expires_at is None or key.expires_at > now
    return is_good and (key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY)
