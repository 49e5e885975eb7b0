"""The contract of the store: what each method keeps, and what it refuses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from assurebot.errors import AlreadyEnded, StoreError
from assurebot.ports import Counts, Pressed, Spent
from assurebot.values import (
    Entity,
    ModelStep,
    OutboxRow,
    Piece,
    Place,
    StoredEvent,
    Trace,
)
from tests.store.making import (
    HERE,
    NOW,
    THERE,
    acted,
    added,
    ending,
    event,
    exchange,
    incoming,
    paid,
    store,
)


async def test_event_is_added_once(tmp_path: Path) -> None:
    """A known key changes nothing, in the same batch, in a later one and after a restart."""
    async with store(tmp_path) as opened:
        first = await opened.add([incoming("a"), incoming("a"), incoming("b")])
        assert first == (
            StoredEvent(id=1, event=event("a")),
            StoredEvent(id=first[1].id, event=event("b")),
        )
        assert await opened.add([incoming("b")]) == ()
    async with store(tmp_path) as opened:
        assert await opened.add([incoming("a")]) == ()
        assert await opened.unfinished() == first


async def test_offset_comes_with_the_events(tmp_path: Path) -> None:
    """The poll offset is kept in the commit of the events, and alone."""
    async with store(tmp_path) as opened:
        assert await opened.offset() is None
        await opened.add([incoming("a")], offset=7)
        await opened.add([], offset=9)
    async with store(tmp_path) as opened:
        assert (await opened.offset(), len(await opened.unfinished())) == (9, 1)


async def test_unreadable_is_quarantined(tmp_path: Path) -> None:
    """What could not be read is kept and counted, and is no work."""
    async with store(tmp_path) as opened:
        assert await opened.add([incoming("bad", readable=False), incoming("a")]) == (
            StoredEvent(id=2, event=event("a")),
        )
        assert await opened.counts() == Counts(waiting=1, dead=0, quarantined=1, unsent=0)


async def test_starts_and_errors_are_counted(tmp_path: Path) -> None:
    """A start counts until it is released; an error counts for good."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.begin(stored.id)
        await opened.begin(stored.id)
        await opened.release(stored.id)
        assert [await opened.failed(stored.id, "bad") for _ in range(2)] == [1, 2]
        assert await opened.unfinished() == (replace(stored, starts=1, errors=2),)


async def test_ended_event_is_not_begun(tmp_path: Path) -> None:
    """A start of what is over, or was never there, is refused and not counted."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.finish(stored.id, replace(ending(), buttons=(("b", "again"),)))
        for event_id in (stored.id, 99):
            with pytest.raises(AlreadyEnded):
                await opened.begin(event_id, ModelStep(n=0))
        assert await opened.button("b") == Pressed(kind="again", event=stored)


async def test_steps_are_kept_by_number(tmp_path: Path) -> None:
    """`begin` stores the first step only if there is none; `note` writes over the same number."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        assert await opened.begin(stored.id, ModelStep(n=0)) == (ModelStep(n=0),)
        await opened.note(stored.id, [paid(0, "0.5"), acted(1, known=False)])
        await opened.note(stored.id, [acted(1)])
    async with store(tmp_path) as opened:
        assert await opened.begin(stored.id, ModelStep(n=0)) == (paid(0, "0.5"), acted(1))


async def test_finish_is_one_commit(tmp_path: Path) -> None:
    """State, answer, history, buttons and the cost of the last step become true together."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.begin(stored.id, ModelStep(n=0))
        before = opened.commits
        pieces = (
            Piece(text="one", entities=(Entity(type="bold", offset=0, length=3),), reply_to=5),
            Piece(text="two"),
        )
        rows = await opened.finish(
            stored.id,
            replace(
                ending(kept=exchange(stored.id)),
                pieces=pieces,
                steps=(paid(0, "0.25"),),
                buttons=(("b1", "again"),),
                trace=Trace(event="a", turn=stored.id),
            ),
        )
        assert opened.commits == before + 1
    async with store(tmp_path) as opened:
        assert rows == tuple(
            OutboxRow(id=n, place=HERE, piece=piece, trace=Trace(event="a", turn=1))
            for n, piece in enumerate(pieces, start=1)
        )
        assert await opened.unsent() == rows
        assert await opened.unfinished() == ()
        assert await opened.exchanges(HERE, 9) == (exchange(1),)
        assert await opened.button("b1") == Pressed(kind="again", event=replace(stored, starts=1))
        assert await opened.button("b2") is None
        assert await opened.spent(NOW) == Spent(
            calls=1, input_tokens=10, output_tokens=5, cost_usd="0.2500"
        )


async def test_second_ending_is_refused_whole(tmp_path: Path) -> None:
    """An event ends once; nothing of a second ending is kept."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        rows = await opened.finish(stored.id, ending(HERE, "one"))
        with pytest.raises(AlreadyEnded):
            await opened.finish(stored.id, ending(HERE, "two", kept=exchange(stored.id)))
        assert await opened.unsent() == rows
        assert await opened.exchanges(HERE, 9) == ()
        assert opened.problem() is None


async def test_dead_event_is_counted_and_no_work(tmp_path: Path) -> None:
    """An ending with an error makes the event dead."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.finish(stored.id, replace(ending(), error="why"))
        assert await opened.unfinished() == ()
        assert await opened.counts() == Counts(waiting=0, dead=1, quarantined=0, unsent=0)


async def test_history_belongs_to_one_place(tmp_path: Path) -> None:
    """Each place has its own exchanges, the newest up to the limit, oldest first."""
    async with store(tmp_path) as opened:
        for number in range(1, 6):
            place = THERE if number == 3 else HERE
            stored = await added(opened, str(number), place)
            await opened.finish(stored.id, ending(place, kept=exchange(stored.id)))
        assert await opened.exchanges(HERE, 3) == (exchange(2), exchange(4), exchange(5))
        assert await opened.exchanges(THERE, 9) == (exchange(3),)
        assert await opened.exchanges(Place(chat_id=-1001, private=False), 9) == ()
        assert await opened.exchange(HERE, 3) == exchange(2)
        assert await opened.exchange(HERE, 999) == exchange(5)
        assert await opened.exchange(THERE, 2) is None


async def test_fresh_start_hides_what_was_before(tmp_path: Path) -> None:
    """After a fresh start neither way of reading finds what lies before it, in this place only."""
    async with store(tmp_path) as opened:
        for number, place in ((1, HERE), (2, THERE)):
            stored = await added(opened, str(number), place)
            await opened.finish(stored.id, ending(place, kept=exchange(stored.id)))
        new = await added(opened, "new")
        await opened.finish(new.id, replace(ending(), fresh_start=True))
        assert (await opened.exchanges(HERE, 9), await opened.exchange(HERE, 1)) == ((), None)
        assert await opened.exchanges(THERE, 9) == (exchange(2),)


async def test_reply_finds_the_exchange_of_its_message(tmp_path: Path) -> None:
    """Any message of an answer leads to its exchange, in its own chat, until a fresh start."""
    async with store(tmp_path) as opened:
        for number in (1, 2):
            stored = await added(opened, str(number))
            said = ending(HERE, "one", "two", kept=exchange(stored.id))
            rows = await opened.finish(stored.id, replace(said, trace=Trace(turn=stored.id)))
            for n, row in enumerate(rows):
                await opened.sent(row.id, 10 * number + n)
        (row,) = await opened.say(HERE, [Piece(text="psst")], Trace())
        await opened.sent(row.id, 99)
        (row,) = await opened.say(HERE, [Piece(text="of a turn not in history")], Trace(turn=9))
        await opened.sent(row.id, 90)
        asked = (10, 11, 21, 99, 90, 7)
        found = [await opened.replied(HERE, message) for message in asked]
        assert found == [exchange(1), exchange(1), exchange(2), None, None, None]
        assert await opened.replied(THERE, 10) is None
        assert await opened.replied(replace(HERE, thread_id=3), 10) is None
        new = await added(opened, "new")
        await opened.finish(new.id, replace(ending(), fresh_start=True))
        assert await opened.replied(HERE, 21) is None


async def test_outbox_rows_change_state(tmp_path: Path) -> None:
    """Rows are sent, postponed, rewritten and dropped; only open ones are unsent, in order."""
    async with store(tmp_path) as opened:
        pieces = [Piece(text=text) for text in ("one", "two", "three", "four")]
        one, two, three, four = await opened.say(THERE, pieces, Trace())
        await opened.sent(one.id, 77)
        await opened.postpone(two.id, tries=3, not_before=NOW + timedelta(seconds=149))
        plain = [Piece(text="thr", fallback=True), Piece(text="ee", fallback=True)]
        rewritten = await opened.rewrite(three.id, plain)
        await opened.drop(four.id, "refused")
    async with store(tmp_path) as opened:
        assert [row.piece for row in rewritten] == plain
        assert await opened.unsent() == (
            replace(two, tries=3, not_before=NOW + timedelta(seconds=149)),
            replace(three, piece=plain[0]),
            replace(three, id=rewritten[1].id, piece=plain[1]),
        )


async def test_notice_is_said_once(tmp_path: Path) -> None:
    """A named notice is committed the first time only, over restarts."""
    async with store(tmp_path) as opened:
        assert len(await opened.say(HERE, [Piece(text="psst")], Trace(), once="n")) == 1
    async with store(tmp_path) as opened:
        assert await opened.say(HERE, [Piece(text="psst")], Trace(), once="n") == ()
        assert len(await opened.say(HERE, [Piece(text="psst")], Trace(), once="m")) == 1


async def test_facts_are_kept_and_removed(tmp_path: Path) -> None:
    """A fact is what was stored last, `None` once it is removed."""
    async with store(tmp_path) as opened:
        for value in ("a", "b", None):
            await opened.set_fact("x", value)
            assert await opened.fact("x") == value


async def test_adds_that_wait_share_a_commit(tmp_path: Path) -> None:
    """Many arrivals at one time cost a few commits, and each caller gets its own events."""
    async with store(tmp_path) as opened:
        before = opened.commits
        found = await asyncio.gather(*(added(opened, str(n)) for n in range(100)))
        assert [stored.event.key for stored in found] == [str(n) for n in range(100)]
        assert opened.commits - before <= 5


async def test_transaction_of_a_caller_that_left_is_kept(tmp_path: Path) -> None:
    """A cancelled caller does not undo what it asked for."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        finishing = asyncio.create_task(opened.finish(stored.id, ending(HERE, "one")))
        await asyncio.sleep(0)
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        await opened.set_fact("after", "it")
        assert [row.piece.text for row in await opened.unsent()] == ["one"]


@pytest.mark.parametrize("chat_id", [2**63, -(2**70)])
async def test_what_cannot_be_stored_is_an_error_and_not_the_end(
    tmp_path: Path, chat_id: int
) -> None:
    """A value that the database does not take fails its own call; the next one works."""
    async with store(tmp_path) as opened:
        with pytest.raises(StoreError):
            async with asyncio.timeout(5):
                await opened.say(Place(chat_id=chat_id), [Piece(text="x")], Trace())
        async with asyncio.timeout(5):
            await opened.set_fact("still", "here")
        assert opened.problem() is None


async def test_closed_store_takes_nothing(tmp_path: Path) -> None:
    """After the end a call is an error, not a wait without end."""
    async with store(tmp_path) as opened:
        pass
    with pytest.raises(StoreError):
        async with asyncio.timeout(5):
            await opened.set_fact("too", "late")
