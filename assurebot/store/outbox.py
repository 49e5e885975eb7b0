"""Messages that are committed to be sent, and the buttons under them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select, update
from sqlalchemy.dialects.sqlite import insert

from assurebot.ports import Pressed
from assurebot.store import blobs, inbox
from assurebot.store.codec import PIECE, TRACE, dump, readable
from assurebot.store.schema import buttons, outbox
from assurebot.values import OutboxRow, Piece, Place, Trace


def add(
    connection: Connection, place: Place, pieces: Sequence[Piece], trace: Trace
) -> tuple[OutboxRow, ...]:
    """Insert messages in order."""
    rows = []
    for piece in pieces:
        row_id = connection.execute(
            insert(outbox)
            .values(
                chat_id=place.chat_id,
                thread_id=place.thread_id,
                private=place.private,
                piece=dump(PIECE, piece),
                trace=dump(TRACE, trace),
                state="open",
            )
            .returning(outbox.c.id)
        ).scalar_one()
        rows.append(OutboxRow(id=row_id, place=place, piece=piece, trace=trace))
    return tuple(rows)


def unsent(connection: Connection) -> tuple[OutboxRow, ...]:
    """Return the open rows in order; what cannot be read is dead."""
    query = select(outbox).where(outbox.c.state == "open").order_by(outbox.c.id)
    rows = connection.execute(query).mappings().all()
    found = readable(rows, _row, lambda row: drop(connection, row["id"], "it cannot be read"))
    blobs.forget(connection)
    return found


def place_of(row: RowMapping) -> Place:
    """Return where a message goes."""
    return Place(chat_id=row["chat_id"], thread_id=row["thread_id"], private=row["private"])


def _row(row: RowMapping) -> OutboxRow:
    return OutboxRow(
        id=row["id"],
        place=place_of(row),
        piece=PIECE.validate_json(row["piece"]),
        trace=TRACE.validate_json(row["trace"]),
        tries=row["tries"],
        not_before=row["not_before"],
    )


def sent(connection: Connection, row_id: int, message_id: int) -> None:
    """Mark a row as sent; its files need not be kept any longer."""
    _change(connection, row_id, state="sent", message_id=message_id)
    blobs.forget(connection)


def postpone(connection: Connection, row_id: int, tries: int, not_before: datetime) -> None:
    """Note a failed try."""
    _change(connection, row_id, tries=tries, not_before=not_before)


def rewrite(connection: Connection, row_id: int, pieces: Sequence[Piece]) -> tuple[OutboxRow, ...]:
    """Replace the message of a row, with more rows for the pieces after the first."""
    _change(connection, row_id, piece=dump(PIECE, pieces[0]))
    query = select(outbox).where(outbox.c.id == row_id)
    row = _row(connection.execute(query).mappings().one())
    return (row, *add(connection, row.place, pieces[1:], row.trace))


def drop(connection: Connection, row_id: int, error: str) -> None:
    """Mark a row as dead; its files need not be kept any longer."""
    _change(connection, row_id, state="dead", error=error)
    blobs.forget(connection)


def _change(connection: Connection, row_id: int, **values: object) -> None:
    connection.execute(update(outbox).where(outbox.c.id == row_id).values(**values))


def grant(connection: Connection, event_id: int, granted: Sequence[tuple[str, str]]) -> None:
    """Remember what the buttons under an answer mean."""
    for button_id, kind in granted:
        connection.execute(insert(buttons).values(id=button_id, event_id=event_id, kind=kind))


def button(connection: Connection, button_id: str) -> Pressed | None:
    """Return what a button stands for."""
    query = select(buttons).where(buttons.c.id == button_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return Pressed(kind=row["kind"], event=inbox.by_id(connection, row["event_id"]))
