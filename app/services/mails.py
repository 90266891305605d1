"""Mails: queued with the change that they tell of, and sent by workers until somebody has taken them."""

import asyncio
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from app.adapters.letters import Letter, LetterWriter
from app.adapters.mail import Mail, MailNotSent, MailRefused, MailSender, MailServerAway
from app.errors import PermissionDenied
from app.events import Wanted, utc_now
from app.models import MailPurpose, MailToken, OutgoingMail, User
from app.models.encrypted import MAIL_CONTENT
from app.permissions import Principal
from app.rates import Budget, parse_rate
from app.realtime.limits import Allowance, RateLimits, Use
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.security import Cipher, SecretKind, Undecryptable, digest_of, make_secret
from app.settings import Settings

log = structlog.get_logger(__name__)

RESET_LIFE: Final = timedelta(hours=1)
VERIFICATION_LIFE: Final = timedelta(days=3)
IN_WORDS: Final = {RESET_LIFE: "an hour", VERIFICATION_LIFE: "three days"}
SENT_AT_ONCE: Final = 4  # by one worker, so that one slow recipient's server does not hold up the others
GIVEN_UP_AFTER: Final = timedelta(days=1)
LONGEST_DELAY: Final = timedelta(hours=1)
MOST_DOUBLINGS: Final = 20
AWAY_DELAY: Final = timedelta(seconds=3)  # so that mails go out at once when their server is back
MARGIN: Final = timedelta(seconds=10)  # beside the sending itself


class Order(BaseModel):
    """A letter that is to be written to `email`, about the account `user_id` or whichever has this address then."""

    letter: Letter
    email: str
    user_id: UUID | None = None
    secret: str | None = None
    new_email: str = ""
    about: str = ""


class MailService:
    def __init__(
        self, uow: OpenUnitOfWork, settings: Settings, *, sender: MailSender | None, cipher: Cipher, counts: RateLimits
    ) -> None:
        self._uow = uow
        self._smtp = settings.smtp
        self._base = settings.links_to
        self._rate = parse_rate(settings.rate_limit.mails)
        self._sender = sender
        self._cipher = cipher
        self._counts = counts
        self._writer = LetterWriter(base=settings.links_to)

    # --- queueing ---------------------------------------------------------------------------------------------------

    def require(self) -> None:
        """Raises PermissionDenied: this server sends no mail."""
        if self._sender is None:
            raise PermissionDenied("This server sends no mail: please ask its admin.", mail=False)

    async def admits(self, email: str) -> bool:
        """Count a mail to `email`; false when it got as many as anybody may have it sent."""
        allowance = await self._count(f"to:{digest_of(email).hex()}")
        return allowance is None or not allowance.is_refused

    async def require_few(self, actor: Principal) -> None:
        """Count a mail that `actor` asks for. Raises RateLimited: there were too many."""
        allowance = await self._count(f"by:{actor.user_id}")
        if allowance is not None:
            allowance.require()

    def queue(self, uow: UnitOfWork, order: Order) -> None:
        """Have it sent once this transaction is committed; nothing at all where no mail is sent."""
        if self._sender is None:
            return
        mail_id = uuid7()
        content = self._cipher.encrypt(order.model_dump_json().encode(), place=MAIL_CONTENT.place(mail_id))
        uow.mails.add(OutgoingMail(id=mail_id, content=content))
        uow.events.wake_workers(Wanted.MAILS)

    def queue_verification(self, uow: UnitOfWork, user_id: UUID, email: str) -> None:
        """Ask whoever reads `email` to confirm that it is the account's address, or shall be."""
        if self._sender is not None:
            secret = _add_token(uow, user_id, MailPurpose.VERIFY_EMAIL, email, VERIFICATION_LIFE)
            self.queue(uow, Order(letter=Letter.VERIFY_EMAIL, email=email, user_id=user_id, secret=secret))

    async def _count(self, who: str) -> Allowance | None:
        """Also where requests are not limited: a gateway knows nothing of mails."""
        return None if self._rate is None else await self._counts.take([Use(Budget.MAILS, self._rate, who)])

    # --- sending ----------------------------------------------------------------------------------------------------

    async def send_due(self) -> None:
        """Send what waits, several at once, until nothing is due."""
        if self._sender is not None and await self._send_next():
            await asyncio.gather(*(self._send_all() for _ in range(SENT_AT_ONCE)))

    async def sweep(self) -> None:
        """Remove secrets whose time is over."""
        async with self._uow() as uow:
            await uow.mails.delete_expired_tokens()

    async def _send_all(self) -> None:
        while await self._send_next():
            pass

    async def _send_next(self) -> bool:
        """Whether there was one to send."""
        async with self._uow() as uow:
            waiting = await uow.mails.take_due(hold=self._smtp.timeout + MARGIN)
        if waiting is None:
            return False
        try:
            await self._send(waiting)
        except MailRefused as error:
            log.warning("mail.refused", mail_id=str(waiting.id), reason=str(error))
        except MailServerAway as error:
            await self._postpone(waiting, error, AWAY_DELAY)
            return False  # the others need not try
        except (MailNotSent, Undecryptable) as error:
            delay = min(self._smtp.retry_delay * 2 ** min(waiting.attempts - 1, MOST_DOUBLINGS), LONGEST_DELAY)
            await self._postpone(waiting, error, delay)
            return True
        async with self._uow() as uow:
            await uow.mails.delete(waiting.id)
        return True

    async def _send(self, waiting: OutgoingMail) -> None:
        assert self._sender is not None
        content = self._cipher.decrypt(waiting.content, place=MAIL_CONTENT.place(waiting.id))
        async with self._uow() as uow:
            mail = await self._write(uow, waiting.id, Order.model_validate_json(content))
        if mail is not None:
            await self._sender.send(mail)

    async def _postpone(self, waiting: OutgoingMail, error: Exception, delay: timedelta) -> None:
        is_over = utc_now() + delay > waiting.created_at + GIVEN_UP_AFTER
        async with self._uow() as uow:
            await (uow.mails.delete(waiting.id) if is_over else uow.mails.postpone(waiting.id, delay))
        outcome = "mail.given_up" if is_over else "mail.postponed"
        log.warning(outcome, mail_id=str(waiting.id), attempts=waiting.attempts, reason=str(error))

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _write(self, uow: UnitOfWork, mail_id: UUID, order: Order) -> Mail | None:
        """None when there is nobody to write to, or nothing to say any more."""
        letter, link, lifetime = order.letter, "", RESET_LIFE
        user = await _addressee(uow, order)
        if letter is Letter.VERIFY_EMAIL:
            owner = await uow.users.get_by_email(order.email)
            if user is None or order.secret is None:
                return None
            if owner is not None and owner.id != user.id:
                letter, user = Letter.ADDRESS_TAKEN, owner
            link, lifetime = f"{self._base}/verify-email#token={order.secret}", VERIFICATION_LIFE
        elif letter in (Letter.RESET_PASSWORD, Letter.ACCOUNT_EXISTS):
            if user is None or not user.is_active:
                return None
            secret = _add_token(uow, user.id, MailPurpose.RESET_PASSWORD, order.email, RESET_LIFE)
            link = f"{self._base}/reset-password#token={secret}"
        elif letter is Letter.WEBHOOK_DISABLED:
            link = order.about
        elif letter is Letter.INVITED:
            link = f"{self._base}/register#invite={order.secret}"
        name = user.name if user and user.email == order.email and user.email_verified_at else None
        values = {"link": link, "lifetime": IN_WORDS[lifetime], "new_email": order.new_email}
        written = self._writer.write(letter, name=name, **values)
        return Mail(str(mail_id), order.email, written.subject, written.text, written.html)


async def _addressee(uow: UnitOfWork, order: Order) -> User | None:
    if order.user_id is None:
        return await uow.users.get_by_email(order.email)
    return await uow.users.get(order.user_id)


def _add_token(uow: UnitOfWork, user_id: UUID, purpose: MailPurpose, email: str, lifetime: timedelta) -> str:
    secret = make_secret(SecretKind.MAIL_TOKEN)
    expires_at = utc_now() + lifetime
    token = MailToken(user_id=user_id, purpose=purpose, email=email, digest=digest_of(secret), expires_at=expires_at)
    uow.mails.add_token(token)
    return secret
