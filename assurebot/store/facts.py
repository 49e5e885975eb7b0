"""Small named facts: poll offset, pause, fresh starts, notices given."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from assurebot.ports import Counts
from assurebot.store.schema import facts, inbox, outbox


def get(connection: Connection, name: str) -> str | None:
    """Return a fact."""
    return connection.execute(
        select(facts.c.value).where(facts.c.name == name)
    ).scalar_one_or_none()


def put(connection: Connection, name: str, value: str | None) -> None:
    """Store or remove a fact."""
    if value is None:
        connection.execute(delete(facts).where(facts.c.name == name))
        return
    connection.execute(
        insert(facts)
        .values(name=name, value=value)
        .on_conflict_do_update(index_elements=["name"], set_={"value": value})
    )


def first_time(connection: Connection, name: str) -> bool:
    """Store a name; false if it stood there before."""
    statement = insert(facts).values(name=name, value="1").on_conflict_do_nothing()
    return connection.execute(statement.returning(facts.c.name)).scalar_one_or_none() is not None


def counts(connection: Connection) -> Counts:
    """Count what is not done, by the indexes on state."""
    query = (
        select(inbox.c.state, func.count())
        .where(inbox.c.state.in_(("open", "dead", "quarantined")))
        .group_by(inbox.c.state)
    )
    events: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    unsent = connection.execute(
        select(func.count()).select_from(outbox).where(outbox.c.state == "open")
    ).scalar_one()
    return Counts(
        waiting=events.get("open", 0),
        dead=events.get("dead", 0),
        quarantined=events.get("quarantined", 0),
        unsent=unsent,
    )
