"""Finished exchanges by conversation."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, false, select
from sqlalchemy.dialects.sqlite import insert

from assurebot.store import facts
from assurebot.store.codec import EXCHANGE, TRACE, dump, readable
from assurebot.store.schema import history, outbox
from assurebot.values import Exchange, Place

FALSE = false()


def keep(connection: Connection, place: Place, exchange: Exchange, *, aside: bool = False) -> None:
    """Add an exchange to the conversation, or aside of it."""
    where = _aside(place) if aside else place.key
    connection.execute(
        insert(history).values(place=where, id=exchange.id, body=dump(EXCHANGE, exchange))
    )


def start_afresh(connection: Connection, place: Place, event_id: int) -> None:
    """Hide everything up to an event from the conversation."""
    facts.put(connection, f"fresh:{place.key}", str(event_id))


def latest(connection: Connection, place: Place, limit: int) -> tuple[Exchange, ...]:
    """Return the newest exchanges since the fresh start that can be read, oldest first."""
    query = (
        select(history.c.body)
        .where(history.c.place == place.key, history.c.id > _floor(connection, place))
        .order_by(history.c.id.desc())
        .limit(limit)
    )
    rows = connection.execute(query).scalars().all()
    return readable(reversed(rows), EXCHANGE.validate_json)


def one(connection: Connection, place: Place, exchange_id: int) -> Exchange | None:
    """Return the exchange with this id or the last before it, since the fresh start."""
    return _newest(connection, place, history.c.id <= exchange_id)


def replied(connection: Connection, place: Place, message_id: int) -> Exchange | None:
    """Return the exchange of the turn that a message was sent by, since the fresh start.

    One that stands aside is not touched by that.
    """
    query = select(outbox.c.trace).where(
        outbox.c.chat_id == place.chat_id, outbox.c.message_id == message_id
    )
    traces = readable(connection.execute(query).scalars(), TRACE.validate_json)
    which = history.c.id.in_({trace.turn for trace in traces} - {None})
    return _newest(connection, place, which, history.c.place == _aside(place))


def _newest(
    connection: Connection,
    place: Place,
    which: ColumnElement[bool],
    beside: ColumnElement[bool] = FALSE,
) -> Exchange | None:
    """Return the newest such exchange of the conversation, or of what stands beside it."""
    since = (history.c.place == place.key) & (history.c.id > _floor(connection, place))
    query = (
        select(history.c.body).where(which, since | beside).order_by(history.c.id.desc()).limit(1)
    )
    body = connection.execute(query).scalar_one_or_none()
    return None if body is None else EXCHANGE.validate_json(body)


def _aside(place: Place) -> str:
    return f"aside:{place.key}"


def _floor(connection: Connection, place: Place) -> int:
    return int(facts.get(connection, f"fresh:{place.key}") or 0)
