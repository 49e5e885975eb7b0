"""Events and their steps: what was accepted, and how far the work on it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, Select, String, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from assurebot.errors import AlreadyEnded
from assurebot.ports import Incoming
from assurebot.store import facts, files, spend
from assurebot.store.codec import EVENT, STEP, dump, readable
from assurebot.store.schema import UNENDED, approvals, blobs, buttons, inbox, notices, steps
from assurebot.values import Event, Place, Step, StoredEvent, ToolStep


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
            files.follow(connection, item.continues, row_id)
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
    """Drop what old events that are over had: buttons, steps kept for them, approvals."""
    over = inbox.c.state.not_in(UNENDED)
    strip(connection, select(inbox.c.id).where(over, inbox.c.received_at < before))


def strip(connection: Connection, ended: Select[int]) -> None:
    """Drop what events had beside themselves."""
    for table in (buttons, steps, approvals, notices):
        connection.execute(delete(table).where(table.c.event_id.in_(ended)))


def stored_event(row: RowMapping) -> StoredEvent:
    """Read a row of the inbox."""
    return StoredEvent(
        id=row["id"],
        event=EVENT.validate_json(row["event"]),
        starts=row["starts"],
        errors=row["errors"],
        cut=row["cut"],
    )


def unfinished(connection: Connection) -> tuple[StoredEvent, ...]:
    """Return the open events in order of arrival; what cannot be read is put into quarantine."""

    def quarantine(row: RowMapping) -> None:
        damaged = update(inbox).where(inbox.c.id == row["id"])
        connection.execute(damaged.values(state="quarantined"))

    light = [column for column in inbox.c if column is not inbox.c.raw]  # all posts may be 256 MiB
    query = select(*light).where(inbox.c.state == "open").order_by(inbox.c.id)
    return readable(connection.execute(query).mappings().all(), stored_event, quarantine)


def begin(connection: Connection, event_id: int, first: Step | None) -> tuple[Step, ...]:
    """Count a start; return the known steps, or store the first.

    Raises:
        AlreadyEnded: It is not open.
    """
    _change_open(connection, event_id, starts=inbox.c.starts + 1)
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
    """Insert or replace steps, and account for them."""
    for step in new:
        connection.execute(
            insert(steps)
            .values(event_id=event_id, n=step.n, body=dump(STEP, step))
            .on_conflict_do_update(
                index_elements=["event_id", "n"], set_={"body": dump(STEP, step)}
            )
        )
    account(connection, event_id, new, now)


def account(connection: Connection, event_id: int, new: Sequence[Step], now: datetime) -> None:
    """Book what model calls cost, and use up the approvals of tool calls.

    A call with a step has begun: if nothing more is known of it, it must not be run again.
    """
    spend.book(connection, event_id, new, now)
    begun = approvals.c.n.in_([step.n for step in new if isinstance(step, ToolStep)])
    used = (approvals.c.event_id == event_id) & begun & (approvals.c.state == "approved")
    connection.execute(update(approvals).where(used).values(state="executed"))


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
    _change_open(connection, event_id, state="done" if error is None else "dead", error=error)
    if not keep_steps:
        connection.execute(delete(steps).where(steps.c.event_id == event_id))


def sleep(connection: Connection, event_id: int) -> None:
    """Let an event wait; its starts and errors count anew.

    Raises:
        AlreadyEnded: It is not open.
    """
    _change_open(connection, event_id, state="waiting", starts=0, errors=0, error=None)


def wake(connection: Connection, event_id: int) -> bool:
    """Open an event that waits; false if it does not."""
    waiting = update(inbox).where(inbox.c.id == event_id, inbox.c.state == "waiting")
    return bool(connection.execute(waiting.values(state="open")).rowcount)


def cut(connection: Connection, event_id: int, note: str, *, waiting: bool) -> bool:
    """Note that an event shall end at once; false if it is over, or does not wait."""
    states = ("waiting",) if waiting else UNENDED
    unended = update(inbox).where(inbox.c.id == event_id, inbox.c.state.in_(states))
    return bool(connection.execute(unended.values(cut=note)).rowcount)


def sleeping(connection: Connection, place: Place) -> tuple[StoredEvent, ...]:
    """Return the events of a place that wait and can be read, oldest first."""
    query = select(inbox).where(inbox.c.state == "waiting").order_by(inbox.c.id)
    found = readable(connection.execute(query).mappings(), stored_event)
    return tuple(each for each in found if each.event.place.key == place.key)


def merge(connection: Connection, event: StoredEvent, others: Sequence[int]) -> None:
    """Let an event hold several, the others being done; its own former row is done beside it.

    Raises:
        AlreadyEnded: One of them was begun, or is over.
    """
    row = connection.execute(select(inbox).where(inbox.c.id == event.id)).mappings().one()
    if row["key"] != event.event.key:
        connection.execute(update(inbox).where(inbox.c.id == event.id).values(key=event.event.key))
        alone = {name: value for name, value in row.items() if name != "id"} | {"state": "done"}
        connection.execute(insert(inbox).values(alone))
    body = dump(EVENT, event.event)
    held = _change_untouched(connection, [event.id], event=body)
    if held + _change_untouched(connection, others, state="done") != 1 + len(others):
        raise AlreadyEnded(f"of event {event.id} and {len(others)} others one was begun")


def amend(connection: Connection, key: str, event: Event) -> tuple[StoredEvent | None, bool]:
    """Put a new form in the place of an event that was not begun, unless one is a command."""
    known = (inbox.c.source == event.source) & (inbox.c.key == key) & inbox.c.event.is_not(None)
    found = readable(connection.execute(select(inbox).where(known)).mappings(), stored_event)
    if not found or "command" in {event.kind, found[0].event.kind}:
        return next(iter(found), None), False
    changed = _change_untouched(connection, [found[0].id], event=dump(EVENT, event))
    return found[0], bool(changed)


def _change_untouched(connection: Connection, ids: Sequence[int], **values: object) -> int:
    """Change events that no work was ever begun on: a start may have been taken back."""
    begun = select(steps.c.event_id).where(steps.c.event_id == inbox.c.id).exists()
    waiting = (inbox.c.state == "open") & (inbox.c.starts == 0) & ~begun
    rows = update(inbox).where(inbox.c.id.in_(ids), waiting)
    return connection.execute(rows.values(**values)).rowcount


def _change_open(connection: Connection, event_id: int, **values: object) -> None:
    its_row = update(inbox).where(inbox.c.id == event_id, inbox.c.state == "open")
    if not connection.execute(its_row.values(**values)).rowcount:
        raise AlreadyEnded(f"event {event_id} is not open")


def by_id(connection: Connection, event_id: int) -> StoredEvent:
    """Return one event."""
    query = select(inbox).where(inbox.c.id == event_id)
    return stored_event(connection.execute(query).mappings().one())
