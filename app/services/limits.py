"""Who may do how much in which time: rates by setting, by role and by API key, and what is charged to whom."""

import asyncio
import ipaddress
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog
from limits import RateLimitItem
from sqlalchemy.exc import SQLAlchemyError

from app.errors import InvalidInput
from app.models import AuditAction, RoleLimit
from app.observability import origin
from app.permissions import Principal, Role
from app.rates import OF_CALLERS, Budget, is_within, parse_rate, written
from app.realtime.limits import Allowance, ConnectionLimit, Counting, RateLimits, Use
from app.realtime.proven_keys import ProvenKeys
from app.repositories import OpenUnitOfWork
from app.schemas.limits import CallersBudget, LimitsRead, RoleLimitRead
from app.services.audit import record
from app.settings import RateLimitSettings

log = structlog.get_logger(__name__)

REMEMBERED_FOR: Final = timedelta(seconds=2)  # until other processes go by the new rates of a role
LOAD_PATIENCE: Final = 1.0  # seconds
NETWORK_BITS: Final = 64  # of an IPv6 address: whoever has one has all that begin alike

Rates = Mapping[tuple[str, str], RateLimitItem | None]
"""By role and budget."""


def caller_key(caller: Principal | None, address: str) -> str:
    """API key, else user, else address."""
    if caller is None:
        return address_key(address)
    return f"key:{caller.key_id}" if caller.key_id else user_key(caller)


def user_key(caller: Principal) -> str:
    return f"user:{caller.user_id}"


def address_key(host: str) -> str:
    """An IPv4 address, or an IPv6 network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket has no address
        return f"address:{host}"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return f"address:{ipaddress.IPv6Network((int(address), NETWORK_BITS), strict=False)}"
        address = address.ipv4_mapped
    return f"address:{address}"


class LimitService:
    def __init__(
        self, uow: OpenUnitOfWork, settings: RateLimitSettings, *, counts: RateLimits, proven: ProvenKeys
    ) -> None:
        self.is_enabled = settings.enabled
        self._uow = uow
        self._counts = counts
        self._proven = proven
        self._defaults = {budget: parse_rate(getattr(settings, budget)) for budget in Budget}
        self._of_roles: Rates = {}
        self._loading: asyncio.Task[None] | None = None
        self._load_from = 0.0  # reading of time.monotonic

    async def take(self, wanted: Sequence[tuple[Budget, str]], caller: Principal | None = None) -> Allowance | None:
        """Count one use of every budget by whom it is wanted for, or of none if one of them is used up.

        `caller` is whose rates count. None where nothing is limited.
        """
        if not self.is_enabled:
            return None
        rates = await self._rates()
        limited = [(budget, self._rate_of(budget, caller, rates), who) for budget, who in wanted]
        uses = [Use(budget, rate, who) for budget, rate, who in limited if rate is not None]
        return await self._counts.take(uses) if uses else None

    async def take_one(self, budget: Budget, caller: Principal) -> None:
        """Raises RateLimited: the caller has used up the budget."""
        allowance = await self.take([(budget, caller_key(caller, ""))], caller)
        if allowance is not None:
            allowance.require()

    def of_connection(self) -> ConnectionLimit | None:
        """For a WebSocket that was just opened; None where nothing is limited."""
        rate = self._defaults[Budget.FRAMES]
        return ConnectionLimit(rate) if self.is_enabled and rate is not None else None

    async def require_tokens(self, asker: Principal) -> None:
        """Raises RateLimited: the asker, or the asker's key, has no tokens of the language model left."""
        uses = await self._token_uses(asker, 1)
        if uses:
            (await self._counts.take(uses, Counting.LOOK)).require()

    async def charge_tokens(self, asker: Principal, amount: int) -> None:
        """Count what an answer has cost, even where there was less left."""
        uses = await self._token_uses(asker, amount)
        if uses and amount > 0:
            await self._counts.take(uses, Counting.CHARGE)

    async def require_trust(self, digest: bytes) -> None:
        """Before an unknown API key is looked up, since each costs a question to the database.

        Raises RateLimited: too many bad credentials came from this address, and this key was not good lately.
        """
        rate, address = self._defaults[Budget.FAILURES], origin.get().address
        if not self.is_enabled or rate is None or not address:
            return
        allowance = await self._counts.take([Use(Budget.FAILURES, rate, address_key(address))], Counting.LOOK)
        if allowance.is_refused and not await self._proven.has(digest):
            allowance.require()

    async def trust(self, digest: bytes) -> None:
        """The key with this digest is good."""
        if self.is_enabled:
            await self._proven.add(digest)

    async def require_within(self, actor: Principal, limits: Mapping[CallersBudget, str]) -> None:
        """Raises InvalidInput: rates above those of the actor."""
        rates = await self._rates()
        for budget, text in limits.items():
            bound = self._rate_of(budget, actor, rates)
            if not is_within(parse_rate(text), bound):
                raise InvalidInput(
                    f"A key cannot have more than its owner: {written(bound)} {budget}.", field=f"limits.{budget}"
                )

    async def list(self) -> LimitsRead:
        """The settings' rates, and those of roles that have others."""
        async with self._uow(is_reading=True) as uow:
            rows = await uow.role_limits.list()
        return LimitsRead(
            defaults={budget: written(rate) for budget, rate in self._defaults.items()},
            roles=[RoleLimitRead.model_validate(row) for row in rows],
        )

    async def set(self, actor: Principal, role: Role, budget: Budget, rate: str | None) -> LimitsRead:
        """Give a role another rate, or with None the setting's again; in other processes within two seconds.

        Raises:
            InvalidInput: nobody of the role could make a request any more.
        """
        parsed = None if rate is None else parse_rate(rate)
        if budget is Budget.REQUESTS and parsed is not None and parsed.amount == 0:
            raise InvalidInput("Nobody of the role could make a request: disable accounts instead.", field="rate")
        async with self._uow() as uow:
            if rate is None:
                await uow.role_limits.delete(role, budget)
            else:
                await uow.role_limits.put(RoleLimit(role=role, budget=budget, rate=written(parsed)))
            record(
                uow,
                AuditAction.LIMITS_CHANGED,
                actor_id=actor.user_id,
                key_id=actor.key_id,
                role=role.value,
                budget=budget.value,
                rate=None if rate is None else written(parsed),
            )
        self._load_from = 0.0
        return await self.list()

    async def _token_uses(self, asker: Principal, cost: int) -> Sequence[Use]:
        """Of the person, whatever key was used, since tokens cost money; and of the key, where it has its own rate."""
        if not self.is_enabled:
            return []
        rates = await self._rates()
        of_role = rates.get((asker.role, Budget.TOKENS), self._defaults[Budget.TOKENS])
        uses = [] if of_role is None else [Use(Budget.TOKENS, of_role, user_key(asker), cost)]
        own = self._rate_of(Budget.TOKENS, asker, rates)
        if asker.key_id and Budget.TOKENS in asker.limits and own is not None:
            uses.append(Use(Budget.TOKENS, own, caller_key(asker, ""), cost))
        return uses

    def _rate_of(self, budget: Budget, caller: Principal | None, rates: Rates) -> RateLimitItem | None:
        """The key's, else the role's, else the setting's; a key's that has become more than its owner's is not."""
        rate = self._defaults[budget]
        if caller is None or budget not in OF_CALLERS:
            return rate
        rate = rates.get((caller.role, budget), rate)
        text = caller.limits.get(budget)
        own = rate if text is None else parse_rate(text)
        return own if is_within(own, rate) else rate

    async def _rates(self) -> Rates:
        """Of roles, as they were a moment ago: one call asks the database, and the others go on with what is known."""
        if time.monotonic() >= self._load_from and (self._loading is None or self._loading.done()):
            self._load_from = time.monotonic() + REMEMBERED_FOR.total_seconds()
            self._loading = asyncio.create_task(self._load())
            await asyncio.wait([self._loading], timeout=LOAD_PATIENCE)
        return self._of_roles

    async def _load(self) -> None:
        try:
            async with self._uow() as uow:
                rows = await uow.role_limits.list()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("limits.roles_not_read", error=repr(error))
            return
        self._of_roles = {(row.role, row.budget): parse_rate(row.rate) for row in rows}
