"""Bytes for a chat are kept as long as something may need them, and no longer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from assurebot.errors import BlobLost
from assurebot.ports import Ending, Incoming
from assurebot.values import (
    Attachment,
    BoxFile,
    ModelStep,
    Piece,
    StoredEvent,
    Trace,
)
from tests.store.making import HERE, NOW, added, ending, event, store

ONE, TWO, THREE = (BoxFile(name=f"{n}.bin", data=bytes([n]) * n) for n in (1, 2, 3))


def with_files(*blobs: int, text: str = "") -> Piece:
    """A piece that carries these blobs."""
    media = tuple(Attachment(blob=blob, name="x", size=1) for blob in blobs)
    return Piece(text=text, media=media)


def sending(*pieces: Piece, again: bool = False) -> Ending:
    """An ending with these pieces; `again` puts a button under it, which keeps the steps."""
    return replace(ending(), pieces=pieces, buttons=(("b", "again"),) if again else ())


def going_on(stored: StoredEvent) -> Incoming:
    """A press of *Try again*."""
    return Incoming(
        source="telegram",
        key="again:1",
        event=event("again:1"),
        raw="{}",
        received_at=NOW,
        continues=stored.id,
    )


def left(folder: Path) -> list[int]:
    """The ids of all blobs in the database, asked from the outside."""
    with closing(sqlite3.connect(folder / "test.db")) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM blobs ORDER BY id")]


async def test_blobs_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    """Bytes are returned as they were kept, over a restart; one that is not there is an error."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        assert await opened.keep(stored.id, [ONE, TWO]) == (1, 2)
        assert await opened.keep(stored.id, [THREE]) == (3,)
        assert await opened.keep(stored.id, []) == ()
    async with store(tmp_path) as opened:
        assert await opened.blobs([3, 1, 1]) == (THREE.data, ONE.data, ONE.data)
        assert await opened.blobs([]) == ()
        with pytest.raises(BlobLost, match="1 of 2 files"):
            await opened.blobs([1, 4])


async def test_ending_forgets_what_no_piece_names(tmp_path: Path) -> None:
    """What the answer carries stays until it is sent or dropped; nothing is left after that."""
    async with store(tmp_path) as opened:
        stored, other = await added(opened, "a"), await added(opened, "b")
        one, _, three = await opened.keep(stored.id, [ONE, TWO, THREE])
        (theirs,) = await opened.keep(other.id, [ONE])
        pieces = (Piece(text="hello"), with_files(one), with_files(three))
        hello, first, second = await opened.finish(stored.id, sending(*pieces))
        assert left(tmp_path) == [one, three, theirs]
        before = opened.commits
        await opened.sent(hello.id, 1)
        assert left(tmp_path) == [one, three, theirs]
        await opened.sent(first.id, 2)
        assert left(tmp_path) == [three, theirs]
        await opened.drop(second.id, "refused")
        assert (left(tmp_path), opened.commits - before) == ([theirs], 3)
        await opened.finish(other.id, replace(ending(), error="why"))
        assert left(tmp_path) == []


async def test_blob_of_two_messages_stays_for_the_second(tmp_path: Path) -> None:
    """Bytes that two pieces name are there until both have left; a rewritten row keeps them."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        (one,) = await opened.keep(stored.id, [ONE])
        first, second = await opened.finish(stored.id, sending(with_files(one), with_files(one)))
        (rewritten,) = await opened.rewrite(first.id, [replace(first.piece, fallback=True)])
        assert await opened.blobs([one]) == (ONE.data,)
        await opened.sent(rewritten.id, 1)
        assert await opened.blobs([one]) == (ONE.data,)
        await opened.sent(second.id, 2)
        assert left(tmp_path) == []


async def test_blobs_follow_the_steps(tmp_path: Path) -> None:
    """Kept steps keep their blobs, sent or not; who takes the steps over has the blobs too."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.begin(stored.id, ModelStep(n=0))
        one, two = await opened.keep(stored.id, [ONE, TWO])
        (row,) = await opened.finish(stored.id, sending(with_files(one), again=True))
        await opened.sent(row.id, 1)
        assert left(tmp_path) == [one, two]
        (resumed,) = await opened.add([going_on(stored)])
        assert await opened.begin(resumed.id) == (ModelStep(n=0),)
        (row,) = await opened.finish(resumed.id, sending(with_files(two)))
        assert left(tmp_path) == [two]
        await opened.sent(row.id, 2)
        assert left(tmp_path) == []


async def test_files_on_their_way_outlive_the_event_that_went_on(tmp_path: Path) -> None:
    """An answer that waits to be sent has its files, even where a second try left them out."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.begin(stored.id, ModelStep(n=0))
        (one,) = await opened.keep(stored.id, [ONE])
        (row,) = await opened.finish(stored.id, sending(with_files(one), again=True))
        (resumed,) = await opened.add([going_on(stored)])
        await opened.finish(resumed.id, ending())
        assert await opened.blobs([one]) == (ONE.data,)
        await opened.sent(row.id, 1)
        assert left(tmp_path) == []


@pytest.mark.parametrize("damage", ["UPDATE outbox SET piece = '{'", "UPDATE inbox SET event = ''"])
async def test_nothing_stays_behind_what_cannot_be_read(tmp_path: Path, damage: str) -> None:
    """Blobs of a damaged message or event, or of one that was over, go at the next start."""
    async with store(tmp_path) as opened:
        done, still_open = await added(opened, "a"), await added(opened, "b")
        (one,) = await opened.keep(done.id, [ONE])
        await opened.finish(done.id, sending(with_files(one)))
        await opened.keep(done.id, [TWO])
        await opened.keep(still_open.id, [THREE])
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection, connection:
        connection.execute(damage)
    async with store(tmp_path) as opened:
        is_open = bool(await opened.unfinished())
        sent = [row.id for row in await opened.unsent()]
        assert left(tmp_path) == ([3] if is_open else [one])
        for row_id in sent:
            await opened.sent(row_id, 1)
        if is_open:
            await opened.finish(still_open.id, ending())
        assert left(tmp_path) == []


async def test_files_that_are_said_are_kept_until_they_are_sent(tmp_path: Path) -> None:
    """They come in one commit with their message, once, though its event is over long since."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.finish(stored.id, sending())
        trace = Trace(turn=stored.id)
        before = opened.commits
        said = with_files(1, 0)
        (row,) = await opened.say(HERE, [said], trace, once="spoken:1", files=[ONE, TWO])
        assert opened.commits == before + 1
        assert await opened.say(HERE, [said], trace, once="spoken:1", files=[ONE, TWO]) == ()
        other = await added(opened, "b")
        await opened.finish(other.id, sending())  # forgets what nothing needs
    async with store(tmp_path) as opened:
        assert await opened.unsent() == (row,)
        blobs = [each.blob for each in row.piece.media]
        assert await opened.blobs(blobs) == (TWO.data, ONE.data)
        await opened.sent(row.id, 9)
        assert left(tmp_path) == []
