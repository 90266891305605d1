"""Signing in with an account of somewhere else (OpenID Connect), and linking it to the one that is here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.adapters.identity_provider import Attempt, OpenIDProvider, ProviderAccount
from app.errors import (
    BadRequest,
    Conflict,
    CSRFFailed,
    InvalidCredentials,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    ServiceUnavailable,
)
from app.events import utc_now
from app.models import AuditAction, Identity, User
from app.models.encrypted import IDENTITY_ACCESS_TOKEN, IDENTITY_REFRESH_TOKEN
from app.permissions import Principal
from app.realtime.identities import PendingSignIn, PendingSignIns
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.auth import normalize_email
from app.schemas.users import Name
from app.security import Cipher, SecretKind, digest_of, is_same_secret, make_secret
from app.services.accounts import AccountService
from app.services.audit import record
from app.services.logins import CookieLogin, LoginService
from app.services.own_addresses import require_own_address
from app.settings import Settings

DOWN_THERE: Final = frozenset({"server_error", "temporarily_unavailable"})
KEEPS_TOKENS: Final = "offline_access"
BEGIN_AGAIN: Final = "Please begin again."

_name: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class Departure:
    """`url` is the provider's; `browser` goes into a cookie, and has to be there on the return."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What the browser brings back."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """`login` is None when an account was linked: whoever did that is signed in already."""

    redirect_to: str
    login: CookieLogin | None


class IdentityService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        settings: Settings,
        *,
        provider: OpenIDProvider | None,
        pending: PendingSignIns,
        accounts: AccountService,
        logins: LoginService,
        cipher: Cipher,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._provider = provider
        self._pending = pending
        self._accounts = accounts
        self._logins = logins
        self._cipher = cipher

    # --- there and back ---------------------------------------------------------------------------------------------

    async def begin(self, redirect_to: str, *, callback: str, linking: Principal | None = None) -> Departure:
        """Send a browser to the provider; for `linking`, to give that person's account another way in.

        Raises:
            NotFound: no provider is set up.
            InvalidInput: `redirect_to` is not an address of ours.
            ServiceUnavailable: the provider is down.
        """
        provider = self._require_provider()
        require_own_address(redirect_to, self._settings.cors_origins)
        state, nonce, verifier, browser = (make_secret(SecretKind.SIGN_IN) for _ in range(4))
        attempt = Attempt(state, nonce, verifier, self._settings.oidc.redirect_uri or callback)
        url = await provider.authorization_url(attempt)
        pending = PendingSignIn(
            nonce=nonce,
            verifier=verifier,
            redirect_uri=attempt.redirect_uri,
            redirect_to=redirect_to,
            browser=digest_of(browser).hex(),
            linking_login_id=linking.login_id if linking else None,
        )
        await self._pending.put(state, pending)
        return Departure(url, browser)

    async def finish(self, answer: ProviderAnswer, *, browser: str | None, instead_of: str | None) -> Arrival:
        """Take somebody in who comes back. `browser` and `instead_of` are the cookies: `begin`'s, and the session's.

        Raises:
            CSRFFailed, InvalidCredentials: not begun here, or not to be believed; each `state` is good once.
            PermissionDenied: the person refused, or may not have an account here.
            Conflict: the address or the provider's account belongs to an account here that is not linked.
            ServiceUnavailable: the provider is down.
        """
        provider = self._require_provider()
        pending = await self._take(answer.state, browser)
        account = await _redeem(provider, answer, pending)
        try:
            if pending.linking_login_id is not None:
                await self._link(account, pending.linking_login_id)
                return Arrival(pending.redirect_to, None)
            user = await self._find_or_make(account)
        except IntegrityError as error:  # at the same moment, the same account or address
            raise Conflict("This account was just taken in by another sign-in. Please try again.") from error
        return Arrival(pending.redirect_to, await self._logins.begin_cookie(user, instead_of=instead_of))

    # --- one's own --------------------------------------------------------------------------------------------------

    async def list(self, actor: Principal) -> Sequence[Identity]:
        """The newest first; there are few."""
        async with self._uow() as uow:
            return await uow.identities.list_of(actor.user_id)

    async def delete(self, actor: Principal, identity_id: UUID) -> None:
        """Raises NotFound; Conflict: it is the last way in."""
        async with self._uow() as uow:
            user = await uow.users.lock(actor.user_id)  # of two deletions at once, one sees the other
            identity = await uow.identities.get_own(actor.user_id, identity_id)
            if user is None or identity is None:
                raise NotFound("There is no such identity.", identity_id=str(identity_id))
            if user.password_hash is None and not await uow.identities.has_another(user.id, besides=identity_id):
                raise Conflict("This is the only way into your account: have a link mailed to choose a password first.")
            await uow.identities.delete(identity_id)
            _note(uow, AuditAction.IDENTITY_REMOVED, identity)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _require_provider(self) -> OpenIDProvider:
        if self._provider is None:
            raise NotFound("Signing in with another provider is not set up here.")
        return self._provider

    async def _take(self, state: str, browser: str | None) -> PendingSignIn:
        pending = await self._pending.take(state)
        if pending is None:
            raise InvalidCredentials(f"This sign-in was not begun here, took too long, or was used. {BEGIN_AGAIN}")
        if browser is None or not is_same_secret(digest_of(browser).hex(), pending.browser):
            raise CSRFFailed(f"This sign-in was begun in another browser or window. {BEGIN_AGAIN}")
        return pending

    async def _find_or_make(self, account: ProviderAccount) -> User:
        async with self._uow() as uow:
            found = await uow.identities.get_with_user(account.issuer, account.subject)
            user = found[1] if found else await self._match(uow, account) or await self._make(uow, account)
            if not user.is_active:
                raise InvalidCredentials("This account is not active.")
            if self._settings.require_verified_email and user.email_verified_at is None:
                raise PermissionDenied("Please confirm your address first: the link was mailed to you.")
            self._keep(account, found[0] if found else _add_identity(uow, account, user))
        return user

    async def _match(self, uow: UnitOfWork, account: ProviderAccount) -> User | None:
        """The account with the same address, when both sides have verified it: else one could take over another's."""
        user = await uow.users.get_by_email(self._verified_email(account))
        if user is not None and user.email_verified_at is None:
            raise Conflict(
                f"Your address has an account here, where it is not verified. Sign in to it and link {self._name}."
            )
        return user

    async def _make(self, uow: UnitOfWork, account: ProviderAccount) -> User:
        email = self._verified_email(account)
        domains = [domain.lower() for domain in self._settings.oidc.email_domains]
        if domains and email.rpartition("@")[2] not in domains:
            raise PermissionDenied("Addresses of this domain get no account here.")
        name = _usable_name(account.name) or _usable_name(email.partition("@")[0]) or self._name
        user = User(id=uuid7(), email=email, name=name, email_verified_at=utc_now())
        await self._accounts.add(uow, user)
        return user

    def _verified_email(self, account: ProviderAccount) -> str:
        """Raises PermissionDenied: alike, whether anybody has the address here or not."""
        is_verified = account.is_email_verified
        if is_verified is None:
            is_verified = self._settings.oidc.trust_emails
        try:
            email = normalize_email(account.email or "")
        except ValueError:
            is_verified = False
        if not is_verified:
            advice = f"Verify it there, or sign in here and link {self._name}."
            raise PermissionDenied(f"{self._name} tells no verified address of yours. {advice}")
        return email

    async def _link(self, account: ProviderAccount, login_id: UUID) -> None:
        async with self._uow() as uow:
            opened = await uow.logins.get_open_with_user(login_id)
            if opened is None:
                raise NotAuthenticated(f"You were signed out meanwhile. {BEGIN_AGAIN}")
            user = opened[1]
            found = await uow.identities.get_with_user(account.issuer, account.subject)
            if found is not None and found[1].id != user.id:
                raise Conflict(f"This account of {self._name} is linked to another account here.")
            self._keep(account, found[0] if found else _add_identity(uow, account, user))

    def _keep(self, account: ProviderAccount, identity: Identity) -> None:
        """The provider's tokens only where they are wanted: what is not there cannot be stolen."""
        identity.email = account.email[:320] if account.email and account.email.isprintable() else None
        if KEEPS_TOKENS not in self._settings.oidc.scopes.split():
            identity.access_token = identity.refresh_token = None
            return
        place = IDENTITY_ACCESS_TOKEN.place(identity.id)
        identity.access_token = self._cipher.encrypt(account.access_token.encode(), place=place)
        if account.refresh_token is not None:  # some give one at the first sign-in alone
            place = IDENTITY_REFRESH_TOKEN.place(identity.id)
            identity.refresh_token = self._cipher.encrypt(account.refresh_token.encode(), place=place)

    @property
    def _name(self) -> str:
        return self._settings.oidc.name


async def _redeem(provider: OpenIDProvider, answer: ProviderAnswer, pending: PendingSignIn) -> ProviderAccount:
    await provider.require_from_here(answer.issuer)
    if answer.error in DOWN_THERE:
        raise ServiceUnavailable(f"{provider.name} cannot sign anybody in at the moment.")
    if answer.error == "access_denied":
        raise PermissionDenied(f"You were not signed in: {provider.name} says that this was refused.")
    if answer.error is not None or not answer.code:
        raise BadRequest(f"{provider.name} did not sign you in. {BEGIN_AGAIN}", provider_error=answer.error)
    attempt = Attempt(answer.state, pending.nonce, pending.verifier, pending.redirect_uri)
    return await provider.redeem(answer.code, attempt)


def _add_identity(uow: UnitOfWork, account: ProviderAccount, user: User) -> Identity:
    identity = Identity(id=uuid7(), user_id=user.id, issuer=account.issuer, subject=account.subject)
    uow.identities.add(identity)
    _note(uow, AuditAction.IDENTITY_LINKED, identity)
    return identity


def _note(uow: UnitOfWork, action: AuditAction, identity: Identity) -> None:
    record(
        uow, action, actor_id=identity.user_id, target_type="identity", target_id=identity.id, issuer=identity.issuer
    )


def _usable_name(name: str | None) -> str | None:
    try:
        return _name.validate_python((name or "")[:100])
    except ValidationError:
        return None
