"""Money: set aside before a paid call, settled after it, and summed up.

A reservation that is never settled counts in full: nobody knows what its call cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal

from sqlalchemy import ColumnElement, Connection, func, select, update
from sqlalchemy.dialects.sqlite import insert

from assurebot.ports import Cap, Charge, Reserved, Spent, UsageRow
from assurebot.store.schema import inbox, spend
from assurebot.values import ModelStep, Step, Usage

NANO = 1_000_000_000
SUMS = tuple(
    func.coalesce(func.sum(column), 0)
    for column in (spend.c.input_tokens, spend.c.output_tokens, spend.c.cost_nano_usd)
)
CALLED = spend.c.input_tokens + spend.c.output_tokens + spend.c.cost_nano_usd > 0
"""What was given back is a row of zeros, and no call."""


def _nano(usd: Decimal) -> int:
    return int((usd * NANO).to_integral_value(ROUND_CEILING))


def _since(since: datetime, user_id: int | None, job: int | None = None) -> ColumnElement[bool]:
    of = (spend.c.at >= since) & (True if user_id is None else spend.c.user_id == user_id)
    return of & (True if job is None else spend.c.job_id == job)


def reserve(connection: Connection, charge: Charge, caps: Sequence[Cap]) -> Reserved:
    """Insert the most that a call may cost, if it fits under every cap."""
    nano = _nano(charge.cost_usd)
    for cap in caps:
        query = select(SUMS[-1]).where(_since(cap.since, cap.user, cap.job))
        left = int(cap.limit_usd * NANO) - connection.execute(query).scalar_one()
        if nano > left:
            return Reserved(id=None, cap=cap, left_usd=Decimal(max(left, 0)) / NANO)
    row = insert(spend).values(event_id=charge.turn, user_id=charge.user, at=charge.at)
    row = row.values(
        kind=charge.kind,
        job_id=charge.job,
        model=charge.model,
        **_taken(Usage(cost_usd=charge.cost_usd)),
    )
    return Reserved(id=connection.execute(row.returning(spend.c.id)).scalar_one())


def _taken(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_nano_usd": _nano(usage.cost_usd),
    }


def settle(connection: Connection, reservation: int, usage: Usage) -> None:
    """Put what a call really took in the place of its reservation."""
    connection.execute(update(spend).where(spend.c.id == reservation).values(**_taken(usage)))


def book(connection: Connection, event_id: int, new: Sequence[Step], now: datetime) -> None:
    """Settle each answered model step; one that nothing was reserved for is written once."""
    user_id = select(inbox.c.user_id).where(inbox.c.id == event_id).scalar_subquery()
    for step in new:
        if not isinstance(step, ModelStep) or step.reply is None:
            continue
        usage = step.reply.usage
        if usage.reservation is not None:
            settle(connection, usage.reservation, usage)
            continue
        row = insert(spend).values(event_id=event_id, n=step.n, user_id=user_id, at=now)
        row = row.values(kind="model", model=str(step.reply.model), **_taken(usage))
        connection.execute(row.on_conflict_do_nothing())


def spent(connection: Connection, since: datetime, user_id: int | None) -> Spent:
    """Sum up all use."""
    query = select(func.count(), *SUMS).where(_since(since, user_id), CALLED)
    calls, given, made, nano = connection.execute(query).one()
    return Spent(calls=calls, input_tokens=given, output_tokens=made, cost_usd=f"{nano / NANO:.4f}")


def usage(connection: Connection, since: datetime, user_id: int | None) -> tuple[UsageRow, ...]:
    """Sum up use by day, kind and model, in that order."""
    group = (func.date(spend.c.at), spend.c.kind, spend.c.model)
    query = select(*group, func.count(), *SUMS).where(_since(since, user_id), CALLED)
    return tuple(
        UsageRow(
            day=date.fromisoformat(day),
            kind=kind,
            model=model,
            calls=calls,
            input_tokens=given,
            output_tokens=made,
            cost_usd=Decimal(nano) / NANO,
        )
        for day, kind, model, calls, given, made, nano in connection.execute(
            query.group_by(*group).order_by(*group)
        )
    )
