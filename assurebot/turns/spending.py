"""The daily caps: the most that a call can cost is set aside before it, or it is not made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

import structlog

from assurebot.errors import AuditError, BudgetSpent, StoreError
from assurebot.guard.budget import input_bound, shrunk
from assurebot.ports import AuditLog, Cap, Charge, Clock, Sound, Store
from assurebot.values import (
    SEARCH_FEE_USD,
    WEBHOOKS,
    AuditEntry,
    ModelRef,
    ModelRequest,
    Trace,
    Usage,
)

log = structlog.get_logger(__name__)

TRIES = 4
"""How often a call is fitted to what is left, while other turns take of it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Implements `ports.Budget`; its days are those of UTC.

    Attributes:
        store: Keeps what is set aside and spent, over restarts.
        clock: Tells the day; what is set aside belongs to the day when that was done.
        most: The dearest that a call with so many input and output tokens can cost.
        daily_usd: Cap for all together; webhooks may take half of it.
        user_daily_usd: Cap for each person.
        audit: Takes a line for each call that was shrunk, refused, or dearer than set aside.
        tell: Says a text to the owner, once for each name that it is given with it.
        job_usd: Cap for each job.
    """

    store: Store
    clock: Clock
    most: Callable[[ModelRef, int, int], Awaitable[Decimal]]
    daily_usd: Decimal
    user_daily_usd: Decimal | None
    audit: AuditLog
    tell: Callable[[str, str], Awaitable[None]]
    job_usd: Decimal | None = None

    async def reserve(self, request: ModelRequest) -> tuple[int, ModelRequest]:
        """See `Budget.reserve`."""
        now, bound, tried = self.clock.now(), input_bound(request), request
        caps = self._caps(now, request.trace)
        met, cost = caps[0], await self._price(request, bound)
        model = str(request.model)
        for _ in range(TRIES):
            # What costs nothing is never refused, not even after an overdraft.
            charge = _charge("search" if request.search else "model", model, tried.trace, now, cost)
            reserved = await self.store.reserve(charge, caps if cost else ())
            if reserved.id is not None:
                if tried is not request:
                    line = _line(model, tried.trace, "reserve", "shrunk", cost)
                    await self._tell_shrunk(reserved.id, self._met(met, line, now))
                return reserved.id, tried
            met = reserved.cap or met
            output = shrunk(
                tried.max_output_tokens,
                least_usd=await self._price(replace(tried, max_output_tokens=0), bound),
                most_usd=cost,
                left_usd=reserved.left_usd,
            )
            if output is None:
                break
            tried = replace(tried, max_output_tokens=output)
            cost = await self._price(tried, bound)
        await self._met(met, _line(model, tried.trace, "reserve", "refused", cost), now)
        raise BudgetSpent(_words(met))

    async def reserve_other(self, kind: Sound, model: str, cost_usd: Decimal, trace: Trace) -> int:
        """See `Budget.reserve_other`."""
        now = self.clock.now()
        charge = _charge(kind, model, trace, now, cost_usd)
        caps = self._caps(now, trace)
        reserved = await self.store.reserve(charge, caps if cost_usd else ())
        if reserved.id is None:
            met = reserved.cap or caps[0]
            await self._met(met, _line(model, trace, "reserve", "refused", cost_usd), now)
            raise BudgetSpent(_words(met))
        return reserved.id

    async def settle(self, reservation: int, usage: Usage) -> None:
        """See `Budget.settle`."""
        with suppress(StoreError):  # it then counts at its most, and the answer is not lost
            await self.store.settle(reservation, usage)

    async def release(self, reservation: int) -> None:
        """See `Budget.release`."""
        await self.settle(reservation, Usage())

    async def settled(self, reservation: int, request: ModelRequest, usage: Usage) -> None:
        """See `Budget.settled`."""
        if request.search:
            await self.settle(reservation, usage)
        most = await self._price(request, input_bound(request))
        if usage.cost_usd > most:
            await _afterwards(self._overdrawn(request, usage.cost_usd, most))

    async def _price(self, request: ModelRequest, input_tokens: int) -> Decimal:
        fee = SEARCH_FEE_USD if request.search else 0
        return fee + await self.most(request.model, input_tokens, request.max_output_tokens)

    def _caps(self, now: datetime, whom: Trace) -> tuple[Cap, ...]:
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        caps = [Cap(limit_usd=self.daily_usd, since=today)]
        if whom.user == WEBHOOKS:
            caps.append(Cap(limit_usd=self.daily_usd / 2, since=today, user=WEBHOOKS))
        elif self.user_daily_usd is not None and whom.user is not None:
            caps.append(Cap(limit_usd=self.user_daily_usd, since=today, user=whom.user))
        if self.job_usd is not None and whom.job is not None:
            caps.append(Cap(limit_usd=self.job_usd, since=today, job=whom.job))
        return tuple(caps)

    async def _met(self, cap: Cap, line: AuditEntry, now: datetime) -> None:
        await self.audit.record(line)
        result = line.result
        all_met, one_met = (
            ("are near", "is near") if result == "shrunk" else ("have met", "has met")
        )
        who = f"All together {all_met}" if cap.user is None else f"User {cap.user} {one_met}"
        who = who if cap.user != WEBHOOKS else f"Webhooks together {all_met}"
        who = who if cap.job is None else f"A task of user {line.trace.user} {one_met}"
        shorter = " Until then answers may be cut shorter." if result == "shrunk" else ""
        once = f"budget:{result}:{cap.user}:{now.date()}" + (f":job {cap.job}" if cap.job else "")
        await self.tell(f"💸 {who} {_words(cap)}.{shorter}", once)

    async def _tell_shrunk(self, reservation: int, notice: Awaitable[None]) -> None:
        try:
            await _afterwards(notice)
        except BaseException:
            await self.release(reservation)
            raise

    async def _overdrawn(self, request: ModelRequest, cost: Decimal, most: Decimal) -> None:
        model = str(request.model)
        await self.audit.record(_line(model, request.trace, "settle", "overdraft", cost))
        text = f"💸 A call of {model} cost ${cost:.4f}; at most ${most:.4f}"
        once = f"overdraft:{model}:{self.clock.now().date()}"
        await self.tell(f"{text} had been set aside for it.", once)


async def _afterwards(notice: Awaitable[None]) -> None:
    """Record and tell what is committed already: the call does not fail of it."""
    try:
        await notice
    except (AuditError, StoreError) as error:
        log.warning("a notice of the budget was lost", reason=str(error))


def _words(cap: Cap) -> str:
    """Name a cap and what lifts it, as what a turn was stopped at."""
    whom, name = ("all", "DAILY") if cap.user is None else ("each person", "USER_DAILY")
    whom, name = (whom, name) if cap.job is None else ("each scheduled task", "JOB")
    if cap.user == WEBHOOKS:
        whom, name = "webhooks, half of that for all", "DAILY"
    variable = f"BUDGET_{name}_USD"
    lifts = f"it lifts at 00:00 UTC, or when {variable} is raised"
    return f"the budget of ${cap.limit_usd} a day for {whom} ({variable}); {lifts}"


def _charge(
    kind: Sound | Literal["model", "search"], model: str, whom: Trace, now: datetime, cost: Decimal
) -> Charge:
    charge = Charge(at=now, turn=whom.turn, user=whom.user, kind=kind, model=model, cost_usd=cost)
    return replace(charge, job=whom.job)


def _line(model: str, trace: Trace, action: str, result: str, cost: Decimal) -> AuditEntry:
    return AuditEntry(
        type="budget",
        action=action,
        result=result,
        target=model,
        cost_usd=str(cost),
        trace=trace,
    )
