"""Posts to webhooks in the store: each once, for as long as its keys count, and not too many."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from assurebot.ports import Ending, Incoming, Posts, Taken
from assurebot.store.database import SqlStore
from assurebot.store.posts import MAX_BYTES, MAX_WAITING
from assurebot.values import Event, Person, Piece, StoredEvent, Trace
from tests.store.making import HERE, NOW, exchange, store

FILL = """\
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO inbox (source, key, state, event, raw, received_at, starts, errors)
SELECT 'webhook:old', 'old-' || i, 'open', '{}', '', '2026-05-06 07:08:09.000000', 0, 0 FROM n"""


def post(key: str, hook: str = "github", seconds: float = 0.0) -> Incoming:
    """Make a post that comes so many seconds later."""
    at = NOW + timedelta(seconds=seconds)
    event = Event(
        source="webhook",
        key=key,
        kind="webhook",
        actor=Person(user_id=0, name=hook),
        place=HERE,
        received_at=at,
        hook=hook,
    )
    return Incoming(
        source=f"webhook:{hook}", key=key, event=event, raw=f'"{key}\\ud800\u00e9"', received_at=at
    )


async def take(
    opened: SqlStore,
    key: str,
    *keys: str,
    scope: str = "s",
    window: float | None = 10.0,
    seconds: float = 0.0,
) -> str:
    """Take a post with these keys; return what became of it."""
    taken = await opened.take_post(post(key, seconds=seconds), scope, keys, window)
    assert (taken.event is not None) == (taken.state == "new")
    return taken.state


async def test_a_post_is_taken_once(tmp_path: Path) -> None:
    """One known key is enough; a known post stores none of its keys; scopes are apart."""
    async with store(tmp_path) as opened:
        assert await take(opened, "1", "body", "id") == "new"
        assert await take(opened, "2", "body", "other id") == "known"
        assert await take(opened, "3", "other body", "id") == "known"
        assert await take(opened, "4", "other body", "other id") == "new"
        assert await take(opened, "5", "body", "id", scope="t") == "new"
    async with store(tmp_path) as opened:
        assert await take(opened, "6", "body") == "known"
        assert await opened.open_posts("github", 2) == (1, 2)
        assert await opened.open_posts("other", 2) == ()


async def test_keys_count_for_their_time(tmp_path: Path) -> None:
    """After its window a key is as good as new; one without a window counts for ever."""
    async with store(tmp_path) as opened:
        assert await take(opened, "1", "a") == "new"
        assert await take(opened, "2", "b", window=None) == "new"
        assert await take(opened, "3", "a", seconds=9.9) == "known"
        assert await take(opened, "4", "a", seconds=10.1) == "new"
        assert await take(opened, "5", "a", seconds=20.0) == "known"
        assert await take(opened, "6", "b", window=None, seconds=1e9) == "known"


async def test_the_same_post_many_times_at_once(tmp_path: Path) -> None:
    """In one commit or several: exactly one of them is new, and all know what they are."""
    async with store(tmp_path) as opened:
        given = [(f"{n}-{key}", key) for n in range(50) for key in ("a", "b", "c")]
        taken = await asyncio.gather(
            *(opened.take_post(post(name), "s", [key], None) for name, key in given)
        )
        new = [each.event for each in taken if each.event is not None]
        assert [each.event.key for each in new] == ["0-a", "0-b", "0-c"]
        assert [each.id for each in new] == [1, 2, 3]
        assert await opened.unfinished() == tuple(new)
        assert opened.commits < 20


async def test_what_was_posted_comes_back_as_it_was(tmp_path: Path) -> None:
    """Event and original are those that were given, odd characters too."""
    async with store(tmp_path) as opened:
        given = post("k")
        assert given.event is not None
        stored = StoredEvent(id=1, event=given.event)
        assert await opened.take_post(given, "s", ["k"], None) == Taken(state="new", event=stored)
        assert await opened.unfinished() == (stored,)
        assert await opened.raw(1) == given.raw


async def test_no_more_than_so_many_wait(tmp_path: Path) -> None:
    """At the cap a post is turned away and leaves no key; once others are told it is taken."""
    async with store(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection, connection:
        connection.execute(FILL, (MAX_WAITING - 1,))
    async with store(tmp_path) as opened:
        assert await take(opened, "1", "a") == "new"
        assert await take(opened, "2", "b") == "full"
        assert await take(opened, "3", "a") == "known"
        first, *also = await opened.open_posts("old", 10)
        await opened.finish(first, Ending(place=HERE, trace=Trace(), aside=True, also=tuple(also)))
        states = [await take(opened, f"{n}", f"c{n}") for n in range(4, 15)]
        assert states == ["new"] * 10 + ["full"]
        assert await take(opened, "15", "b") == "full"


async def test_no_more_than_so_many_bytes_wait(tmp_path: Path) -> None:
    """They are known right after a restart; a restart reads none of them; a told one is room."""
    async with store(tmp_path) as opened:
        for key in ("1", "2"):
            assert await take(opened, key, key) == "new"
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection, connection:
        fill = "UPDATE inbox SET raw = printf('%.*c', ?, 'x') WHERE id = ?"
        connection.execute(fill, (MAX_BYTES // 2, 1))
        connection.execute(fill, (MAX_BYTES // 2 - 20, 2))
    async with store(tmp_path) as opened:
        tracemalloc.start()
        try:
            assert [each.id for each in await opened.unfinished()] == [1, 2]
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        states = [await take(opened, f"{n}", f"{n}") for n in range(3, 9)]
        assert (states[0], states[-1]) == ("new", "full")
        await opened.finish(1, Ending(place=HERE, trace=Trace(), aside=True))
        assert await take(opened, "9", "9") == "new"


async def test_an_ending_closes_all_that_it_tells_of(tmp_path: Path) -> None:
    """They are done and forgotten; the exchange is found by the message alone, over /new too."""
    async with store(tmp_path) as opened:
        for n in range(3):
            await take(opened, f"{n}", f"{n}")
        (row,) = await opened.finish(
            1,
            Ending(
                place=HERE,
                trace=Trace(turn=1),
                pieces=(Piece(text="told"),),
                exchange=exchange(1),
                aside=True,
                also=(2,),
            ),
        )
        await opened.sent(row.id, 77)
        assert [await opened.raw(n) for n in (1, 2)] == ["", ""]
        assert await opened.open_posts("github", 10) == (3,)
        assert await opened.exchanges(HERE, 10) == ()
        assert await opened.exchange(HERE, 10) is None
        await opened.finish(3, Ending(place=HERE, trace=Trace(), fresh_start=True))
        assert await opened.replied(HERE, 77) == exchange(1)
        assert await opened.posts(2) == (Posts(hook="github", taken=3, waiting=0, last=(NOW, NOW)),)
