"""Events and their steps: what was accepted, and how far the work on it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, String, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from assurebot.errors import AlreadyEnded
from assurebot.ports import Incoming, Spent
from assurebot.store import facts
from assurebot.store.codec import EVENT, STEP, dump, readable
from assurebot.store.schema import blobs, buttons, inbox, spend, steps
from assurebot.values import ModelStep, Step, StoredEvent

NANO = 1_000_000_000


def add(connection: Connection, batch: Sequence[Incoming]) -> tuple[StoredEvent, ...]:
    """Insert what is new and return the readable part of it."""
    added = []
    for item in batch:
        row_id = connection.execute(
            insert(inbox)
            .values(
                source=item.source,
                key=item.key,
                state="quarantined" if item.event is None else "open",
                event=None if item.event is None else dump(EVENT, item.event),
                raw=item.raw,
                user_id=None if item.event is None else item.event.actor.user_id,
                received_at=item.received_at,
            )
            .on_conflict_do_nothing()
            .returning(inbox.c.id)
        ).scalar_one_or_none()
        if row_id is None or item.event is None:
            continue
        if item.continues is not None:
            for table in (steps, blobs):
                taken_over = update(table).where(table.c.event_id == item.continues)
                connection.execute(taken_over.values(event_id=row_id))
        added.append(StoredEvent(id=row_id, event=item.event))
    return tuple(added)


def begin_with(connection: Connection, bot: str) -> None:
    """Note which bot the updates are of; another one counts its updates and messages anew.

    Else its first messages would pass for those that the former bot had, and be lost.
    """
    former = facts.get(connection, "bot")
    facts.put(connection, "bot", bot)
    if former is None or former == bot:
        return
    facts.put(connection, "offset", None)
    counted = update(inbox).where(inbox.c.source == "telegram", inbox.c.key.not_like("again:%"))
    connection.execute(counted.values(key=inbox.c.id.cast(String) + ":" + inbox.c.key))


def expire(connection: Connection, before: datetime) -> None:
    """Drop the buttons that nobody pressed in time, and the steps that were kept for them."""
    old = select(inbox.c.id).where(inbox.c.state != "open", inbox.c.received_at < before)
    for table in (buttons, steps):
        connection.execute(delete(table).where(table.c.event_id.in_(old)))


def stored_event(row: RowMapping) -> StoredEvent:
    """Read a row of the inbox."""
    return StoredEvent(
        id=row["id"],
        event=EVENT.validate_json(row["event"]),
        starts=row["starts"],
        errors=row["errors"],
    )


def unfinished(connection: Connection) -> tuple[StoredEvent, ...]:
    """Return the open events in order of arrival; what cannot be read is put into quarantine."""

    def quarantine(row: RowMapping) -> None:
        damaged = update(inbox).where(inbox.c.id == row["id"])
        connection.execute(damaged.values(state="quarantined"))

    query = select(inbox).where(inbox.c.state == "open").order_by(inbox.c.id)
    return readable(connection.execute(query).mappings().all(), stored_event, quarantine)


def begin(connection: Connection, event_id: int, first: Step | None) -> tuple[Step, ...]:
    """Count a start; return the known steps, or store the first."""
    connection.execute(
        update(inbox).where(inbox.c.id == event_id).values(starts=inbox.c.starts + 1)
    )
    if first is not None:
        # The count does not tell whether there are steps: a start may have been taken back.
        statement = insert(steps).values(event_id=event_id, n=first.n, body=dump(STEP, first))
        if connection.execute(statement.on_conflict_do_nothing()).rowcount:
            return (first,)
    query = select(steps.c.body).where(steps.c.event_id == event_id).order_by(steps.c.n)
    return tuple(STEP.validate_json(body) for body in connection.execute(query).scalars())


def release(connection: Connection, event_id: int) -> None:
    """Take a start back, if one was counted."""
    counted = update(inbox).where(inbox.c.id == event_id, inbox.c.starts > 0)
    connection.execute(counted.values(starts=inbox.c.starts - 1))


def note(connection: Connection, event_id: int, new: Sequence[Step], now: datetime) -> None:
    """Insert or replace steps and book what their model calls cost."""
    for step in new:
        connection.execute(
            insert(steps)
            .values(event_id=event_id, n=step.n, body=dump(STEP, step))
            .on_conflict_do_update(
                index_elements=["event_id", "n"], set_={"body": dump(STEP, step)}
            )
        )
    book(connection, event_id, new, now)


def book(connection: Connection, event_id: int, new: Sequence[Step], now: datetime) -> None:
    """Write the cost of each answered model step, once."""
    user_id = select(inbox.c.user_id).where(inbox.c.id == event_id).scalar_subquery()
    for step in new:
        if not isinstance(step, ModelStep) or step.reply is None:
            continue
        usage = step.reply.usage
        connection.execute(
            insert(spend)
            .values(
                event_id=event_id,
                n=step.n,
                at=now,
                user_id=user_id,
                model=str(step.reply.model),
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_nano_usd=int(usage.cost_usd * NANO),
            )
            .on_conflict_do_nothing()
        )


def spent(connection: Connection, since: datetime, user_id: int | None) -> Spent:
    """Sum up model use."""
    query = select(
        func.count(),
        func.coalesce(func.sum(spend.c.input_tokens), 0),
        func.coalesce(func.sum(spend.c.output_tokens), 0),
        func.coalesce(func.sum(spend.c.cost_nano_usd), 0),
    ).where(spend.c.at >= since)
    if user_id is not None:
        query = query.where(spend.c.user_id == user_id)
    calls, given, made, nano = connection.execute(query).one()
    return Spent(calls=calls, input_tokens=given, output_tokens=made, cost_usd=f"{nano / NANO:.4f}")


def failed(connection: Connection, event_id: int, error: str) -> int:
    """Count an error."""
    count: int = connection.execute(
        update(inbox)
        .where(inbox.c.id == event_id)
        .values(errors=inbox.c.errors + 1, error=error)
        .returning(inbox.c.errors)
    ).scalar_one()
    return count


def end(
    connection: Connection, event_id: int, error: str | None, *, keep_steps: bool = False
) -> None:
    """Close an event and drop its steps, where what they came to is in the history.

    Raises:
        AlreadyEnded: It was closed before; nothing must be said twice.
    """
    closed = connection.execute(
        update(inbox)
        .where(inbox.c.id == event_id, inbox.c.state == "open")
        .values(state="done" if error is None else "dead", error=error)
        .returning(inbox.c.id)
    ).scalar_one_or_none()
    if closed is None:
        raise AlreadyEnded(f"event {event_id} was ended before")
    if not keep_steps:
        connection.execute(delete(steps).where(steps.c.event_id == event_id))


def by_id(connection: Connection, event_id: int) -> StoredEvent:
    """Return one event."""
    query = select(inbox).where(inbox.c.id == event_id)
    return stored_event(connection.execute(query).mappings().one())
