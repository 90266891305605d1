"""Signing in and out: log-ins on devices, by tokens or by a cookie."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Self
from uuid import UUID

from uuid_utils.compat import uuid7

from app.errors import InvalidCredentials, NotFound, PermissionDenied, TokenExpired
from app.events import utc_now
from app.models import AuditAction, Login, LoginKind, RefreshToken, User
from app.observability import origin
from app.permissions import Principal
from app.realtime.lockouts import Guess, Lockouts
from app.realtime.logins import CookieSessions
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.auth import normalize_email
from app.security import Claims, Passwords, SecretKind, Tokens, TokenType, digest_of, is_secret, make_secret
from app.services.audit import record
from app.services.known_callers import KnownCallers
from app.services.limits import address_key
from app.settings import Settings

WRONG: Final = "The e-mail address or the password is wrong."
UNCONFIRMED: Final = (
    "The e-mail address or the password is wrong, or the address is not confirmed: follow the link in the mail, or "
    "choose a new password by mail."
)
LONGEST_USER_AGENT: Final = 300
FRESH: Final = timedelta(minutes=5)
ENDED_LOGINS_KEPT: Final = timedelta(days=7)  # so that the second use of a refresh token is still noticed


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`expires_in`: seconds the access token is good for."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - not a secret


@dataclass(frozen=True, slots=True)
class CookieLogin:
    """`cookie` goes into a cookie that scripts cannot read, and lives `longest` at most."""

    user: User
    cookie: str
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Device:
    """A log-in as its owner sees it."""

    id: UUID
    kind: str
    user_agent: str
    address: str
    is_current: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, login: Login, *, is_current: bool) -> Self:
        return cls(
            login.id,
            login.kind,
            login.user_agent,
            login.address,
            is_current,
            login.created_at,
            login.last_used_at,
            login.expires_at,
        )


class LoginService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        settings: Settings,
        *,
        passwords: Passwords,
        tokens: Tokens,
        cookies: CookieSessions,
        known: KnownCallers,
        lockouts: Lockouts,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._passwords = passwords
        self._tokens = tokens
        self._cookies = cookies
        self._known = known
        self._lockouts = lockouts

    # --- in ---------------------------------------------------------------------------------------------------------

    async def login(self, email: str, password: str) -> SignedIn:
        """Sign in with a password.

        Raises:
            InvalidCredentials: for a wrong password, an unknown address and a disabled account alike.
            RateLimited: after too many wrong passwords.
        """
        user = await self._authenticate(email, password)
        return await self.begin_tokens(user)

    async def login_with_cookie(self, email: str, password: str, *, instead_of: str | None) -> CookieLogin:
        """The same, for browsers; the log-in of the cookie that the browser had, `instead_of`, ends."""
        user = await self._authenticate(email, password)
        return await self.begin_cookie(user, instead_of=instead_of)

    async def begin_tokens(self, user: User) -> SignedIn:
        """For somebody who has proved to be `user`."""
        async with self._uow() as uow:
            login = _add_login(uow, user, LoginKind.TOKEN, self._settings.jwt.refresh_ttl)
            await uow.flush()
            return self._issue(uow, login)

    async def begin_cookie(self, user: User, *, instead_of: str | None) -> CookieLogin:
        """For somebody who has proved to be `user`: always a new cookie, whatever the browser had before."""
        longest, login_id = self._settings.cookie.longest, uuid7()
        replaced = await self._cookies.find(instead_of) if instead_of else None
        cookie = await self._cookies.begin(login_id)  # worth nothing until there is a row
        async with self._uow() as uow:
            _add_login(uow, user, LoginKind.COOKIE, min(self._settings.cookie.ttl, longest), login_id=login_id)
            if replaced is not None:
                await uow.logins.revoke_any(replaced)
        if replaced is not None:
            self._known.people.forget(replaced)
            await self._cookies.end([replaced])
        return CookieLogin(user, cookie, longest)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """Exchange a refresh token for new tokens; using one twice ends the log-in that it belongs to.

        Raises:
            InvalidCredentials, TokenExpired
        """
        if not is_secret(SecretKind.REFRESH_TOKEN, refresh_token):
            raise InvalidCredentials("The refresh token is not valid.")
        digest = digest_of(refresh_token)
        async with self._uow() as uow:
            used = await uow.logins.use_refresh_token(digest)
            if used is not None:
                login, _ = used
                login.expires_at = utc_now() + self._settings.jwt.refresh_ttl
                return self._issue(uow, login)
            refused = await uow.logins.get_by_refresh_token(digest)
            if refused and refused[0].used_at:
                await self._end_misused(uow, refused[1])
        if refused and refused[0].used_at is None and refused[1].revoked_at is None:
            raise TokenExpired("The refresh token has expired.")
        raise InvalidCredentials("The refresh token is not valid.")

    async def confirm(self, actor: Principal, password: str | None) -> None:
        """Make sure that the person is there, not somebody at their open device, before what cannot be undone.

        Raises:
            PermissionDenied: the password is wrong; or the account has none, and the log-in is not fresh.
            RateLimited: too many wrong passwords.
        """
        async with self._uow() as uow:
            user = await uow.users.get(actor.user_id)
            found = None if actor.login_id is None else await uow.logins.get_open_with_user(actor.login_id)
        if user is not None and user.password_hash is not None:
            if not await self.is_password_of(user, password or ""):
                raise PermissionDenied("Please confirm this with your password.")
        elif found is None or found[0].created_at < utc_now() - FRESH:
            raise PermissionDenied("Please sign in again, and repeat this within five minutes.")

    async def is_password_of(self, user: User, password: str) -> bool:
        """Of somebody who is signed in: whoever found an open browser does not guess the password, either.

        Raises:
            RateLimited: too many wrong passwords; this one was not looked at.
        """
        async with self._guess(f"own:{user.id}") as guess:
            verdict = await self._passwords.verify(password, user.password_hash)
        if verdict.is_right:
            await self._lockouts.succeed(guess)
        else:
            await self._note_failure(user, guess)
        return verdict.is_right

    # --- out --------------------------------------------------------------------------------------------------------

    async def logout(self, actor: Principal, refresh_token: str | None) -> None:
        """End the actor's log-in, and the one that this refresh token belongs to; somebody else's is left alone."""
        chosen = {actor.login_id}
        if refresh_token is not None and is_secret(SecretKind.REFRESH_TOKEN, refresh_token):
            async with self._uow() as uow:
                found = await uow.logins.get_by_refresh_token(digest_of(refresh_token))
            chosen.add(found[1].id if found else None)
        for login_id in chosen - {None}:
            await self._end(actor, only=login_id)

    async def list_devices(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[Device]:
        """The actor's log-ins that are open, the newest first."""
        async with self._uow(is_reading=True) as uow:
            logins = await uow.logins.list_open(actor.user_id, before=before, limit=limit)
        return [Device.of(login, is_current=login.id == actor.login_id) for login in logins]

    async def end_device(self, actor: Principal, login_id: UUID) -> None:
        """Sign out there. Raises NotFound."""
        if not await self._end(actor, only=login_id):
            raise NotFound("There is no such device.", device_id=str(login_id))

    async def end_other_devices(self, actor: Principal) -> None:
        """Sign out everywhere but here."""
        await self._end(actor, besides=actor.login_id)

    async def end_all(self, uow: UnitOfWork, user_id: UUID, *, besides: UUID | None = None) -> Sequence[UUID]:
        """Within a change that makes log-ins worthless, such as a new password; then call `forget`."""
        return await uow.logins.revoke(user_id, besides=besides)

    async def forget(self, user_id: UUID, ended: Sequence[UUID]) -> None:
        """What was ended is over: in this process at once, in others within two seconds."""
        self._known.forget_user(user_id)
        await self._cookies.end(ended)

    async def sweep(self) -> None:
        """Remove what ended long ago."""
        async with self._uow() as uow:
            await uow.logins.delete_ended(ended_for=ENDED_LOGINS_KEPT)

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _authenticate(self, email: str, password: str) -> User:
        """What is wrong takes as long and says the same, whether the address is known or not.

        Raises:
            InvalidCredentials
            RateLimited: too many wrong passwords; this one was not looked at.
        """
        address = _normalized(email)
        async with self._guess(account_of(address or email)) as guess:
            user = await self._find(address)
            verdict = await self._passwords.verify(password, user.password_hash if user and user.is_active else None)
        if user is None or not verdict.is_right or not self._is_confirmed(user):
            await self._note_failure(user, guess)
            raise InvalidCredentials(UNCONFIRMED if self._settings.require_verified_email else WRONG)
        await self._lockouts.succeed(guess)
        if verdict.new_hash:
            async with self._uow() as uow:
                await uow.users.set_password_hash(user.id, old=user.password_hash, new=verdict.new_hash)
        return user

    @asynccontextmanager
    async def _guess(self, account: str) -> AsyncIterator[Guess]:
        """Counts as a failure from its beginning; not at all when nobody was told anything. Raises RateLimited."""
        guess = await self._lockouts.begin(account, network=network())
        try:
            yield guess
        except BaseException:
            await self._lockouts.withdraw(guess)
            raise

    def _is_confirmed(self, user: User) -> bool:
        return user.email_verified_at is not None or not self._settings.require_verified_email

    async def _note_failure(self, user: User | None, guess: Guess) -> None:
        user_id = user.id if user else None
        async with self._uow() as uow:
            record(uow, AuditAction.LOGIN_FAILED, actor_id=None, target_type="user", target_id=user_id)
            if guess.pause:
                seconds = guess.pause.total_seconds()
                record(
                    uow, AuditAction.LOGIN_LOCKED, actor_id=None, target_type="user", target_id=user_id, seconds=seconds
                )

    async def _find(self, address: str | None) -> User | None:
        if address is None:
            return None
        async with self._uow() as uow:
            return await uow.users.get_by_email(address)

    async def _end(self, actor: Principal, *, only: UUID | None = None, besides: UUID | None = None) -> Sequence[UUID]:
        async with self._uow() as uow:
            ended = await uow.logins.revoke(actor.user_id, only=only, besides=besides)
            for login_id in ended:
                record(uow, AuditAction.LOGOUT, actor_id=actor.user_id, key_id=actor.key_id, login_id=str(login_id))
        await self.forget(actor.user_id, ended)
        return ended

    async def _end_misused(self, uow: UnitOfWork, login: Login) -> None:
        """Somebody used a refresh token again: the thief or the robbed, so neither goes on."""
        if await uow.logins.revoke(login.user_id, only=login.id):
            record(uow, AuditAction.REFRESH_REUSED, actor_id=login.user_id, login_id=str(login.id))
        self._known.forget_user(login.user_id)

    def _issue(self, uow: UnitOfWork, login: Login) -> SignedIn:
        refresh_token = make_secret(SecretKind.REFRESH_TOKEN)
        lifetimes = self._settings.jwt
        expires_at = utc_now() + lifetimes.refresh_ttl
        token = RefreshToken(login_id=login.id, digest=digest_of(refresh_token), expires_at=expires_at)
        uow.logins.add_refresh_token(token)
        claims = Claims(TokenType.ACCESS, login.user_id, login_id=login.id)
        access_token = self._tokens.issue(claims, lifetimes.access_ttl)
        return SignedIn(access_token, refresh_token, int(lifetimes.access_ttl.total_seconds()))


def _add_login(
    uow: UnitOfWork, user: User, kind: LoginKind, lifetime: timedelta, *, login_id: UUID | None = None
) -> Login:
    came_from = origin.get()
    login = Login(
        id=login_id or uuid7(),
        user_id=user.id,
        kind=kind,
        user_agent=came_from.user_agent[:LONGEST_USER_AGENT],
        address=came_from.address,
        expires_at=utc_now() + lifetime,
    )
    uow.logins.add(login)
    record(uow, AuditAction.LOGIN, actor_id=user.id, login_id=str(login.id), kind=kind)
    return login


def account_of(email: str) -> str:
    """What failures are counted by: the address, whether there is an account or not, and not to be read in Redis."""
    return digest_of(ascii(email)).hex()


def network() -> str:
    """Where the request comes from; empty when it comes from nowhere."""
    return address_key(origin.get().address) if origin.get().address else ""


def _normalized(email: str) -> str | None:
    """None when it is no address."""
    try:
        return normalize_email(email)
    except ValueError:
        return None
