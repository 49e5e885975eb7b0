"""Posts to webhooks: each is taken once, waits in the inbox, and is forgotten when it was told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal

from sqlalchemy import Connection, bindparam, delete, func, select, update

from assurebot.ports import Incoming, Posts, Taken
from assurebot.store.codec import EVENT, dump
from assurebot.store.schema import inbox, seen
from assurebot.values import StoredEvent

MAX_WAITING, MAX_BYTES = 50_000, 256 << 20
"""So many posts, and so much of what they say, wait at most."""

_PREFIX = "webhook:"
_OURS = inbox.c.source.between(_PREFIX, "webhook;")  # the sign after the colon

# A few statements for all posts of a commit: with each one by itself, the thread that writes and
# the one that answers wait for each other, and a post took six times as long (`bench/`).
_WAITING = (
    "SELECT count(*), coalesce(sum(length(raw)), 0) FROM inbox WHERE state = 'open' "
    "AND source BETWEEN 'webhook:' AND 'webhook;'"
)
_KNOWN = (
    "SELECT seen.scope, seen.key FROM json_each(?) AS given JOIN seen "
    "ON seen.scope = given.value ->> 0 AND seen.key = given.value ->> 1 "
    "WHERE until IS NULL OR until > ?"
)
_SEE = (
    "INSERT OR REPLACE INTO seen (scope, key, until) "
    "SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)"
)
_ADD = (
    "INSERT INTO inbox (source, key, event, raw, user_id, received_at, state, starts, errors) "
    "SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, 'open', "
    "0, 0 FROM json_each(?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A post on its way in, as `Store.take_post` has it."""

    incoming: Incoming
    scope: str
    keys: Sequence[str]
    window_seconds: float | None

    def seen(self) -> list[tuple[str, str, str | None]]:
        """Return its keys with their scope and how long they count."""
        seconds, until = self.window_seconds, None
        if seconds is not None:
            until = _text(self.incoming.received_at + timedelta(seconds=seconds))
        return [(self.scope, key, until) for key in self.keys]


class Door:
    """Lets posts in, each once, while not too many wait.

    Attributes:
        stale: There may be more room than is known: it is counted anew where there is too little.
            Counting reads all that waits, so it is not done for each post that is turned away.
    """

    def __init__(self) -> None:
        self.stale = True
        self._room = self._bytes = 0

    def take(self, connection: Connection, posts: Sequence[Post]) -> list[Taken]:
        """Store those whose keys are all new, to the database and among themselves."""
        cursor = connection.connection.cursor()
        given = json.dumps([pair for post in posts for pair in post.seen()])
        cursor.execute(_KNOWN, (given, _text(posts[0].incoming.received_at)))
        known = set(cursor.fetchall())
        states: list[Literal["new", "known", "full"]] = []
        for post in posts:
            pairs = {(post.scope, key) for key in post.keys}
            if pairs & known:
                states.append("known")
            elif self._has_room(connection, len(post.incoming.raw)):
                states.append("new")
                known |= pairs
            else:
                states.append("full")
        fresh = [post for post, state in zip(posts, states, strict=True) if state == "new"]
        cursor.execute(_SEE, (json.dumps([pair for post in fresh for pair in post.seen()]),))
        cursor.execute(_ADD, (json.dumps([_row(post.incoming) for post in fresh]),))
        ids = count((cursor.lastrowid or 0) - len(fresh) + 1)
        return [_taken(post, state, ids) for post, state in zip(posts, states, strict=True)]

    def _has_room(self, connection: Connection, size: int) -> bool:
        """Take one place of this size, if there is one."""
        if self.stale and (self._room < 1 or self._bytes < size):
            waiting, taken = connection.exec_driver_sql(_WAITING).one()
            self._room, self._bytes = MAX_WAITING - waiting, MAX_BYTES - taken
            self.stale = False
        if self._room < 1 or self._bytes < size:
            return False
        self._room -= 1
        self._bytes -= size
        return True


def _taken(post: Post, state: Literal["new", "known", "full"], ids: Iterator[int]) -> Taken:
    event = post.incoming.event
    if state != "new" or event is None:
        return Taken(state=state)
    return Taken(state="new", event=StoredEvent(id=next(ids), event=event))


def _text(moment: datetime) -> str:
    """Write a time as the tables have it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _row(incoming: Incoming) -> tuple[str | int, ...]:
    event = incoming.event
    assert event is not None
    at = _text(incoming.received_at)
    return (
        *(incoming.source, incoming.key, dump(EVENT, event), incoming.raw),
        *(event.actor.user_id, at),
    )


def waiting(connection: Connection, hook: str, limit: int) -> tuple[int, ...]:
    """Return the ids of the first open posts of a source."""
    mine = inbox.c.state == "open", inbox.c.source == _PREFIX + hook
    query = select(inbox.c.id).where(*mine).order_by(inbox.c.id).limit(limit)
    return tuple(connection.execute(query).scalars())


def raw(connection: Connection, event_id: int) -> str:
    """Return what an event was made from."""
    kept: str = connection.execute(select(inbox.c.raw).where(inbox.c.id == event_id)).scalar_one()
    return kept


def end(connection: Connection, first: int, also: Sequence[int], now: datetime) -> None:
    """Close the posts that were told with the first, forget what they said, and old keys."""
    mine = update(inbox).where(inbox.c.id == bindparam("one"))
    connection.execute(mine.values(state="done", raw=""), [{"one": n} for n in (first, *also)])
    connection.execute(delete(seen).where(seen.c.until <= now))


def counts(connection: Connection, last: int) -> tuple[Posts, ...]:
    """Count the posts by source."""
    rows = connection.execute(
        select(
            inbox.c.source,
            func.count(),
            func.count().filter(inbox.c.state == "open"),
        )
        .where(_OURS)
        .group_by(inbox.c.source)
    ).all()
    times = select(inbox.c.received_at).order_by(inbox.c.id.desc()).limit(last)
    return tuple(
        Posts(
            hook=source.removeprefix(_PREFIX),
            taken=taken,
            waiting=open_,
            last=tuple(connection.execute(times.where(inbox.c.source == source)).scalars()),
        )
        for source, taken, open_ in rows
    )
