"""Passwords and addresses that change: by those who know the password, and by those who read the mail."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.adapters.letters import Letter
from app.errors import Conflict, InvalidCredentials, InvalidInput, NotFound, TokenExpired
from app.events import utc_now
from app.models import AuditAction, MailPurpose, MailToken, User
from app.permissions import Principal
from app.realtime.lockouts import Lockouts
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.recovery import EmailChange, PasswordChange
from app.security import PasswordPolicy, Passwords, SecretKind, digest_of, is_secret
from app.services.audit import record, record_by
from app.services.logins import LoginService, account_of
from app.services.mails import MailService, Order

NOT_GOOD = "This link is not good any more: each is good once. Please ask for a new one."


class RecoveryService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        *,
        passwords: Passwords,
        policy: PasswordPolicy,
        logins: LoginService,
        mails: MailService,
        lockouts: Lockouts,
    ) -> None:
        self._uow = uow
        self._passwords = passwords
        self._policy = policy
        self._logins = logins
        self._mails = mails
        self._lockouts = lockouts

    # --- with a mail ------------------------------------------------------------------------------------------------

    async def forgot(self, email: str) -> None:
        """Have a link mailed for choosing a new password, if `email` has an account: workers find out whether it has.

        Raises:
            PermissionDenied: this server sends no mail.
        """
        self._mails.require()
        if await self._mails.admits(email):
            async with self._uow() as uow:
                self._mails.queue(uow, Order(letter=Letter.RESET_PASSWORD, email=email))

    async def reset(self, secret: str, password: str) -> None:
        """Give the account a new password, and end all of its log-ins; API keys stay where the address was confirmed.

        Raises:
            InvalidCredentials, TokenExpired: the link is not good.
            InvalidInput: the password is not good enough; the link stays good.
        """
        async with self._uow() as uow:
            token = await _find(uow, MailPurpose.RESET_PASSWORD, secret)
            owner = _owner_of(token, await uow.users.get(token.user_id))
        await self._policy.require(password, email=owner.email, name=owner.name, field="password")
        password_hash = await self._passwords.hash(password)
        async with self._uow() as uow:
            token, user = await _use(uow, MailPurpose.RESET_PASSWORD, secret)
            _owner_of(token, user)
            if user.email_verified_at is None:  # whoever made the account, and left a way in, may be somebody else
                await uow.identities.delete_all(user.id)
                await uow.api_keys.delete_all(user.id)
            user.email_verified_at = user.email_verified_at or utc_now()  # whoever has the token reads the mail
            record(uow, AuditAction.PASSWORD_RESET, actor_id=user.id, target_type="user", target_id=user.id)
            ended = await self._set_password(uow, user, password_hash)
        await self._logins.forget(user.id, ended)
        await self._lockouts.clear(account_of(token.email))

    async def verify_email(self, secret: str) -> None:
        """The account's address is confirmed, or becomes the one that was.

        Raises:
            InvalidCredentials, TokenExpired: the link is not good.
            Conflict: the address belongs to another account by now.
        """
        try:
            async with self._uow() as uow:
                token, user = await _use(uow, MailPurpose.VERIFY_EMAIL, secret)
                is_new = user.email != token.email
                user.email, user.email_verified_at = token.email, utc_now()
                await uow.flush()
                if is_new:
                    await uow.mails.discard_tokens(user.id, email=user.email)
                record(
                    uow,
                    AuditAction.EMAIL_VERIFIED,
                    actor_id=user.id,
                    target_type="user",
                    target_id=user.id,
                    is_new=is_new,
                )
        except IntegrityError as error:
            raise Conflict("This address has another account by now.") from error

    # --- signed in --------------------------------------------------------------------------------------------------

    async def ask_verification(self, actor: Principal) -> None:
        """Mail the link that confirms the actor's address again; nothing happens when it is confirmed.

        Raises:
            PermissionDenied: this server sends no mail.
            RateLimited: the actor asked too often.
        """
        self._mails.require()
        await self._mails.require_few(actor)
        async with self._uow() as uow:
            user = await uow.users.get(actor.user_id)
        if user and user.email and user.email_verified_at is None and await self._mails.admits(user.email):
            async with self._uow() as uow:
                self._mails.queue_verification(uow, user.id, user.email)

    async def change_password(self, actor: Principal, change: PasswordChange) -> None:
        """A new password; all other log-ins of the actor end, API keys stay.

        Raises:
            InvalidInput: the current password is wrong, or the new one is not good enough.
            RateLimited: too many wrong passwords.
            Conflict: the password was changed at the same moment.
        """
        password = change.new_password.get_secret_value()
        known = await self._require_password(actor, change.current_password.get_secret_value())
        await self._policy.require(password, email=known.email, name=known.name, field="new_password")
        password_hash = await self._passwords.hash(password)
        async with self._uow() as uow:
            user = await _unchanged(uow, known)
            record_by(uow, actor, AuditAction.PASSWORD_CHANGED, target_type="user", target_id=user.id)
            ended = await self._set_password(uow, user, password_hash, besides=actor.login_id)
        await self._logins.forget(user.id, ended)

    async def change_email(self, actor: Principal, change: EmailChange) -> None:
        """Ask the new address to confirm, and tell the old one. Whether the new one is taken, only its owner learns.

        Raises:
            PermissionDenied: this server sends no mail.
            InvalidInput: the current password is wrong.
            RateLimited: too many wrong passwords, or mails.
        """
        self._mails.require()
        known = await self._require_password(actor, change.current_password.get_secret_value())
        await self._mails.require_few(actor)
        may_write = await self._mails.admits(change.email)
        async with self._uow() as uow:
            user = await _unchanged(uow, known)
            if may_write:
                self._mails.queue_verification(uow, user.id, change.email)
            if user.email and user.email != change.email:
                notice = Order(letter=Letter.EMAIL_CHANGING, email=user.email, user_id=user.id, new_email=change.email)
                self._mails.queue(uow, notice)

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _require_password(self, actor: Principal, password: str) -> User:
        """The actor's account.

        Raises:
            InvalidInput: wrong, or there is none.
            RateLimited: too many wrong passwords.
        """
        async with self._uow() as uow:
            user = await uow.users.get(actor.user_id)
        if user is None:
            raise NotFound("User not found")
        if user.password_hash is None:
            raise InvalidInput("You have no password yet: ask for a new one by mail.", field="current_password")
        if not await self._logins.is_password_of(user, password):
            raise InvalidInput("This is not your password.", field="current_password")
        return user

    async def _set_password(
        self, uow: UnitOfWork, user: User, password_hash: str, *, besides: UUID | None = None
    ) -> list[UUID]:
        """What the old password could do ends: log-ins, and links that were mailed while it was good."""
        user.password_hash = password_hash
        await uow.mails.discard_tokens(user.id, email=user.email)
        if user.email:
            self._mails.queue(uow, Order(letter=Letter.PASSWORD_CHANGED, email=user.email, user_id=user.id))
        return list(await self._logins.end_all(uow, user.id, besides=besides))


async def _find(uow: UnitOfWork, purpose: MailPurpose, secret: str) -> MailToken:
    """Raises InvalidCredentials, TokenExpired."""
    token = None
    if is_secret(SecretKind.MAIL_TOKEN, secret):
        token = await uow.mails.get_token(purpose, digest_of(secret))
    if token is None or token.used_at is not None:
        raise InvalidCredentials(NOT_GOOD)
    if token.expires_at <= utc_now():
        raise TokenExpired("This link is too old. Please ask for a new one.")
    return token


async def _use(uow: UnitOfWork, purpose: MailPurpose, secret: str) -> tuple[MailToken, User]:
    """The same, and nobody can use it again; with its account, which does not change until the transaction ends."""
    found = await _find(uow, purpose, secret)
    user = await uow.users.lock(found.user_id)  # before the token, as those do who discard tokens
    token = await uow.mails.use_token(purpose, found.digest)
    if token is None or user is None or not user.is_active:
        raise InvalidCredentials(NOT_GOOD)
    return token, user


def _owner_of(token: MailToken, user: User | None) -> User:
    """Raises InvalidCredentials: the account is gone or disabled, or has another address by now."""
    if user is None or not user.is_active or user.email != token.email:
        raise InvalidCredentials(NOT_GOOD)
    return user


async def _unchanged(uow: UnitOfWork, known: User) -> User:
    """Raises Conflict: the password was changed since it was looked at."""
    user = await uow.users.lock(known.id)
    if user is None or user.password_hash != known.password_hash:
        raise Conflict("Your password was just changed. Please try again.")
    return user
