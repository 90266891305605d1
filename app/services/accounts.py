"""Who is calling: accounts, signing in, and what the credentials of a call stand for."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.errors import Conflict, InvalidCredentials, InvalidInput, NotAuthenticated, PermissionDenied, TokenExpired
from app.events import utc_now
from app.models import APIKey, Project, RefreshToken, User
from app.permissions import Principal, Role, Scope
from app.realtime.state import TICKET_LIFE, Tickets
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.auth import UserCreate, normalize_email
from app.security import (
    Claims,
    Passwords,
    SecretKind,
    Tokens,
    TokenType,
    digest_of,
    is_secret,
    make_secret,
)
from app.services.known_callers import KnownCallers, KnownKey, Person
from app.services.projects import add_project
from app.settings import Settings

USE_NOTED_EVERY: Final = timedelta(minutes=1)
LONGEST_TICKET: Final = 128
DEFAULT_PROJECT: Final = "My project"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`expires_in`: seconds the access token is good for."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - not a secret


@dataclass(frozen=True, slots=True)
class Ticket:
    """Good for one WebSocket, within `expires_in` seconds."""

    ticket: str
    expires_in: int


class AccountService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        settings: Settings,
        *,
        passwords: Passwords,
        tokens: Tokens,
        tickets: Tickets,
        known: KnownCallers,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._passwords = passwords
        self._tokens = tokens
        self._tickets = tickets
        self._known = known

    # --- accounts and signing in ------------------------------------------------------------------------------------

    async def register(self, data: UserCreate) -> User:
        """Make an account with its default project; the first one ever is the admin's.

        Raises:
            PermissionDenied: registration is not open.
            Conflict: the address has an account.
            InvalidInput: the password is too short.
        """
        password = data.password.get_secret_value()
        if len(password) < self._settings.password.min_length:
            raise InvalidInput(f"Needs {self._settings.password.min_length} characters at least.", field="password")
        async with self._uow() as uow:
            self._require_open_registration(is_first=not await uow.users.has_accounts())
        password_hash = await self._passwords.hash(password)
        user = User(id=uuid7(), email=data.email, name=data.name, password_hash=password_hash)
        try:
            async with self._uow() as uow:
                await self._add_account(uow, user)
        except IntegrityError as error:
            raise Conflict("This e-mail address has an account already.", email=data.email) from error
        return user

    async def login(self, email: str, password: str) -> SignedIn:
        """Raises InvalidCredentials: for a wrong password, an unknown address and a disabled account alike."""
        user = await self._find(email)
        may_enter = user is not None and user.is_active
        verdict = await self._passwords.verify(password, user.password_hash if user and may_enter else None)
        if user is None or not verdict.is_right:
            raise InvalidCredentials("The e-mail address or the password is wrong.")
        async with self._uow() as uow:
            if verdict.new_hash:
                await uow.users.set_password_hash(user.id, old=user.password_hash, new=verdict.new_hash)
            return self._sign_in(uow, user.id, family_id=uuid7())

    async def refresh(self, refresh_token: str) -> SignedIn:
        """Exchange a refresh token for new tokens; using one twice revokes all that came of the same log-in.

        Raises:
            InvalidCredentials, TokenExpired
        """
        digest = _digest(SecretKind.REFRESH_TOKEN, refresh_token)
        async with self._uow() as uow:
            used = await uow.refresh_tokens.use(digest)
            user = await uow.users.get(used.user_id) if used else None
            if used and user and user.is_active:
                return self._sign_in(uow, user.id, family_id=used.family_id)
            refused = await uow.refresh_tokens.get(digest)
            if refused and refused.used_at:
                await uow.refresh_tokens.revoke_family(refused.family_id)
        if refused and refused.used_at is None and refused.revoked_at is None:
            raise TokenExpired("The refresh token has expired.")
        raise InvalidCredentials("The refresh token is not valid.")

    async def logout(self, actor: Principal, refresh_token: str | None) -> None:
        """Revoke what came of the log-in that this refresh token belongs to; somebody else's is left alone."""
        if refresh_token is None or not is_secret(SecretKind.REFRESH_TOKEN, refresh_token):
            return
        async with self._uow() as uow:
            token = await uow.refresh_tokens.get(digest_of(refresh_token))
            if token is not None and token.user_id == actor.user_id:
                await uow.refresh_tokens.revoke_family(token.family_id)

    # --- what credentials stand for ---------------------------------------------------------------------------------

    async def principal(
        self, *, bearer: str | None = None, api_key: str | None = None, ticket: str | None = None
    ) -> Principal:
        """Whoever calls with these credentials; a bearer is an access token, a guest's token or an API key.

        Raises:
            NotAuthenticated: nothing is given.
            InvalidCredentials, TokenExpired: what is given is not good.
        """
        if bearer:
            is_key = bearer.startswith(SecretKind.API_KEY)
            return await (self.authenticate_key(bearer) if is_key else self.authenticate(bearer))
        if api_key:
            return await self.authenticate_key(api_key)
        if ticket:
            return await self.redeem_ticket(ticket)
        raise NotAuthenticated("Sign in, or send an API key.")

    async def authenticate(self, token: str) -> Principal:
        """The caller behind an access token, or a guest's token. Raises InvalidCredentials, TokenExpired."""
        claims = self._tokens.read(token)
        person = await self._person(claims.user_id)
        if claims.token_type is TokenType.GUEST:
            name, scopes = claims.name or person.name, frozenset({Scope.READ, Scope.WRITE})
            return Principal(claims.user_id, name, Role.GUEST, scopes, room_id=claims.room_id)
        return Principal(claims.user_id, person.name, person.role)

    async def authenticate_key(self, key: str) -> Principal:
        """The caller behind an API key, with the key's scopes. Raises InvalidCredentials, TokenExpired.

        It is looked up by its digest, so the time of the look-up tells nothing about any key.
        """
        digest = _digest(SecretKind.API_KEY, key)
        known = self._known.keys.get(digest)
        if known is None:
            known = await self._look_up_key(digest)
            self._known.keys.put(digest, known)
        if known.expires_at is not None and known.expires_at <= utc_now():
            raise TokenExpired("The API key has expired.")
        return known.principal

    async def issue_ticket(self, actor: Principal) -> Ticket:
        return Ticket(await self._tickets.issue(actor), int(TICKET_LIFE.total_seconds()))

    async def redeem_ticket(self, ticket: str) -> Principal:
        """Raises InvalidCredentials: used, expired, never issued, or its owner was disabled meanwhile."""
        principal = await self._tickets.redeem(ticket) if len(ticket) <= LONGEST_TICKET else None
        if principal is None:
            raise InvalidCredentials("The ticket is not valid; each is good for one connection within 30 seconds.")
        await self._person(principal.user_id)
        return principal

    def guest_token(self, user_id: UUID, name: str, session_id: UUID) -> tuple[str, int]:
        """A token for one room alone, and the seconds it is good for."""
        lifetime = self._settings.jwt.guest_ttl
        claims = Claims(TokenType.GUEST, user_id, room_id=session_id, name=name)
        return self._tokens.issue(claims, lifetime), int(lifetime.total_seconds())

    # --- parts ------------------------------------------------------------------------------------------------------

    def _require_open_registration(self, *, is_first: bool) -> None:
        if self._settings.registration != "open" and not is_first:
            raise PermissionDenied("Registration is not open here.", registration=self._settings.registration)

    async def _add_account(self, uow: UnitOfWork, user: User) -> None:
        if not await uow.users.has_accounts():
            await uow.users.lock_registration()
            is_first = not await uow.users.has_accounts()  # somebody else may have been the first while we waited
            self._require_open_registration(is_first=is_first)
            user.role = Role.ADMIN if is_first else Role.USER
        uow.users.add(user)
        await uow.flush()
        uow.events.open(user.id)
        await add_project(uow, Project(owner_id=user.id, name=DEFAULT_PROJECT, is_default=True))

    async def _find(self, email: str) -> User | None:
        try:
            address = normalize_email(email)
        except ValueError:
            return None
        async with self._uow() as uow:
            return await uow.users.get_by_email(address)

    def _sign_in(self, uow: UnitOfWork, user_id: UUID, *, family_id: UUID) -> SignedIn:
        refresh_token = make_secret(SecretKind.REFRESH_TOKEN)
        lifetimes = self._settings.jwt
        uow.refresh_tokens.add(
            RefreshToken(
                user_id=user_id,
                family_id=family_id,
                digest=digest_of(refresh_token),
                expires_at=utc_now() + lifetimes.refresh_ttl,
            )
        )
        access_token = self._tokens.issue(Claims(TokenType.ACCESS, user_id), lifetimes.access_ttl)
        return SignedIn(access_token, refresh_token, int(lifetimes.access_ttl.total_seconds()))

    async def _person(self, user_id: UUID) -> Person:
        """Raises InvalidCredentials: the account is gone or disabled."""
        person = self._known.people.get(user_id)
        if person is None:
            async with self._uow() as uow:
                user = await uow.users.get(user_id)
            if user is None or not user.is_active:
                raise InvalidCredentials("This account is not active.")
            person = Person(user.name, Role(user.role))
            self._known.people.put(user_id, person)
        return person

    async def _look_up_key(self, digest: bytes) -> KnownKey:
        async with self._uow() as uow:
            found = await uow.api_keys.get_with_user(digest)
            if found is None or not found[1].is_active:
                raise InvalidCredentials("The API key is not valid.")
            key, user = found
            if _is_to_be_noted(key):
                await uow.api_keys.touch(key.id, at_most_every=USE_NOTED_EVERY)
        scopes = frozenset(Scope(scope) for scope in key.scopes)
        principal = Principal(user.id, user.name, Role(user.role), scopes, key_id=key.id)
        return KnownKey(principal, key.expires_at)


def _is_to_be_noted(key: APIKey) -> bool:
    now = utc_now()
    is_good = key.expires_at is None or key.expires_at > now
    return is_good and (key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY)


def _digest(kind: SecretKind, secret: str) -> bytes:
    if not is_secret(kind, secret):
        raise InvalidCredentials("The credentials are not valid.")
    return digest_of(secret)
