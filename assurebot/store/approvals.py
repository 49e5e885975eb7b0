"""Calls that wait for a press, and the messages about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, select
from sqlalchemy.dialects.sqlite import insert

from assurebot.ports import Decided, Notice
from assurebot.store import inbox
from assurebot.store.codec import APPROVAL, dump, readable
from assurebot.store.outbox import place_of
from assurebot.store.schema import approvals, notices, outbox
from assurebot.values import Approval, ApprovalState, OutboxRow, Person, Place

UNDONE: tuple[ApprovalState, ...] = ("pending", "approved")


def put(connection: Connection, new: Iterable[Approval]) -> None:
    """Insert or replace approvals."""
    for each in new:
        values = {"state": each.state, "body": dump(APPROVAL, each)}
        row = insert(approvals).values(event_id=each.event_id, n=each.n, **values)
        connection.execute(row.on_conflict_do_update(index_elements=["event_id", "n"], set_=values))


def of(connection: Connection, event_id: int) -> tuple[Approval, ...]:
    """Return the approvals of a turn, in order."""
    return _select(connection, approvals.c.event_id == event_id)


def pending(connection: Connection, place: Place | None = None) -> tuple[Approval, ...]:
    """Return the pending approvals, of the turns of one place or all, oldest first."""
    found = _select(connection, approvals.c.state == "pending")
    return tuple(each for each in found if place is None or each.place.key == place.key)


def _select(connection: Connection, which: ColumnElement[bool]) -> tuple[Approval, ...]:
    query = select(approvals).where(which).order_by(approvals.c.event_id, approvals.c.n)
    return readable(connection.execute(query), _approval)


def _approval(row: Row[tuple[int, int, ApprovalState, str]]) -> Approval:
    return replace(APPROVAL.validate_json(row.body), state=row.state)


def decide(
    connection: Connection,
    event_id: int,
    steps: Sequence[int],
    state: ApprovalState,
    by: Person | None,
    *,
    press: str = "",
    now: datetime,
    former: Sequence[ApprovalState] = ("pending",),
) -> Decided:
    """Bring pending approvals to a state; with the last of them the event is open again."""
    changed = tuple(
        replace(each, state=state, decided_by=by, decided_at=now, press=press)
        for each in of(connection, event_id)
        if each.state in former and each.n in steps
    )
    put(connection, changed)
    all_now = of(connection, event_id)
    resumed = all(each.state != "pending" for each in all_now) and inbox.wake(connection, event_id)
    its_own = notices.join(outbox, outbox.c.id == notices.c.outbox_id)
    query = select(outbox, notices.c.n).select_from(its_own).order_by(outbox.c.id)
    query = query.where(notices.c.event_id == event_id)
    return Decided(
        event=inbox.by_id(connection, event_id),
        changed=changed,
        approvals=all_now,
        notices=tuple(
            Notice(n=row["n"], place=place_of(row), message_id=row["message_id"])
            for row in connection.execute(query).mappings()
        ),
        resumed=resumed,
    )


def withdraw(
    connection: Connection,
    place: Place,
    note: str,
    *,
    before: int | None,
    turn: int | None,
    now: datetime,
) -> tuple[Decided, ...]:
    """Let approvals expire that are pending, or approved and not executed; cut their events."""
    turns: dict[int, list[int]] = {}
    for each in _select(connection, approvals.c.state.in_(UNDONE)):
        older = before is None or each.event_id < before
        if each.place.key == place.key and older and turn in {None, each.event_id}:
            turns.setdefault(each.event_id, []).append(each.n)
    return tuple(
        decide(connection, event_id, steps, "expired", None, now=now, former=UNDONE)
        for event_id, steps in turns.items()
        if inbox.cut(connection, event_id, note, waiting=turn is not None)
    )


def notice(connection: Connection, event_id: int, n: int, rows: Sequence[OutboxRow]) -> None:
    """Note which messages ask about the approvals of a turn from this step on."""
    for row in rows:
        known = insert(notices).values(event_id=event_id, outbox_id=row.id, n=n)
        connection.execute(known.on_conflict_do_nothing())
