"""Turns that wait for presses: how they fall asleep, what decides them, and how they go on."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from assurebot.errors import AlreadyEnded
from assurebot.ports import Counts, Decided, Notice, Pressed
from assurebot.store.database import KEPT_FOR_BUTTONS, SqlStore
from assurebot.values import (
    Approval,
    ApprovalState,
    BoxFile,
    ModelStep,
    OutboxRow,
    Person,
    Piece,
    Place,
    StoredEvent,
    Trace,
)
from tests.store.making import (
    HERE,
    NOW,
    THERE,
    SetClock,
    acted,
    added,
    asked,
    ending,
    incoming,
    paid,
    sleep,
    store,
)

ANN, BOB = Person(user_id=42, name="Ann"), Person(user_id=43, name="Bob")
PRIVATE = Place(chat_id=43)


def decided(approval: Approval, state: ApprovalState, by: Person | None) -> Approval:
    """The approval as it is after a decision."""
    return replace(approval, state=state, decided_by=by, decided_at=NOW)


async def test_falling_asleep_is_one_commit(tmp_path: Path) -> None:
    """Steps, their cost, approvals, buttons, messages and state become true together."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.begin(stored.id, ModelStep(n=0))
        await opened.failed(stored.id, "bad")
        before = opened.commits
        one, two, three, four = (Piece(text=text) for text in ("one", "two", "three", "four"))
        rows = await opened.sleep(
            stored.id,
            replace(
                sleep(stored.id, 1, 3),
                pieces=(one,),
                notices=((HERE, (two, three)), (PRIVATE, (four,)), (THERE, ())),
                steps=(paid(0, "0.25"), acted(2)),
                buttons=(("b1", "approve:1"),),
            ),
        )
        assert opened.commits == before + 1
        assert rows == tuple(
            OutboxRow(id=n, place=place, piece=piece, trace=Trace(turn=1))
            for n, (place, piece) in enumerate(
                ((HERE, one), (HERE, two), (HERE, three), (PRIVATE, four)), start=1
            )
        )
        await opened.sent(rows[2].id, 77)
    async with store(tmp_path) as opened:
        assert (await opened.unfinished(), await opened.counts()) == (
            (),
            Counts(waiting=0, dead=0, quarantined=0, unsent=3),
        )
        assert await opened.sleeping(HERE) == (stored,)
        assert await opened.sleeping(THERE) == ()
        assert await opened.approvals(stored.id) == (asked(1, 1), asked(1, 3))
        assert await opened.button("b1") == Pressed(kind="approve:1", event=stored)
        assert (await opened.spent(NOW)).cost_usd == "0.2500"
        assert (await opened.decide(stored.id, (), "denied", ANN)).notices == (
            Notice(n=1, place=HERE, message_id=77),
            Notice(n=1, place=PRIVATE, message_id=None),
        )


async def test_only_an_open_event_sleeps_and_only_an_open_one_works(tmp_path: Path) -> None:
    """What waits or is over does not fall asleep, begin or end; nothing of it is kept."""
    async with store(tmp_path) as opened:
        waits, over = await added(opened, "a"), await added(opened, "b")
        await opened.sleep(waits.id, sleep(waits.id, 1))
        await opened.finish(over.id, ending())
        for stored in (waits, over):
            with pytest.raises(AlreadyEnded):
                await opened.sleep(stored.id, sleep(stored.id, 2))
            with pytest.raises(AlreadyEnded):
                await opened.begin(stored.id, ModelStep(n=0))
            with pytest.raises(AlreadyEnded):
                await opened.finish(stored.id, ending(HERE, "one"))
        assert await opened.pending() == (asked(1, 1),)
        assert await opened.unsent() == ()
        assert await opened.sleeping(HERE) == (waits,)


async def test_last_decision_opens_the_event(tmp_path: Path) -> None:
    """Each call is decided alone; with the last one the turn goes on from its steps."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.begin(stored.id, ModelStep(n=0))
        await opened.sleep(stored.id, sleep(stored.id, 1, 2))
        yes, no = decided(asked(1, 1), "approved", BOB), decided(asked(1, 2), "expired", None)
        assert await opened.decide(stored.id, [1], "approved", BOB) == Decided(
            event=stored, changed=(yes,), approvals=(yes, asked(1, 2)), notices=()
        )
        assert await opened.unfinished() == ()
        assert await opened.decide(stored.id, [1, 2], "expired", None) == Decided(
            event=stored, changed=(no,), approvals=(yes, no), notices=(), resumed=True
        )
    async with store(tmp_path) as opened:
        assert await opened.unfinished() == (stored,)
        assert await opened.approvals(stored.id) == (yes, no)
        assert await opened.begin(stored.id, ModelStep(n=0)) == (ModelStep(n=0),)
        assert (await opened.pending(), await opened.sleeping(HERE)) == ((), ())


async def test_second_decision_changes_nothing(tmp_path: Path) -> None:
    """Of presses at one time the first counts; later ones, and those for unknown calls, do not."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.sleep(stored.id, sleep(stored.id, 1))
        yes = decided(asked(1, 1), "approved", ANN)
        came = await asyncio.gather(
            opened.decide(stored.id, [7], "denied", BOB),
            opened.decide(stored.id, [1], "approved", ANN),
            opened.decide(stored.id, [1], "denied", BOB),
        )
        assert [(each.changed, each.resumed) for each in came] == [
            ((), False),
            ((yes,), True),
            ((), False),
        ]
        await opened.finish(stored.id, ending())
        late = await opened.decide(stored.id, [1], "denied", BOB)
        assert late == Decided(event=stored, changed=(), approvals=(yes,), notices=())
        assert await opened.unfinished() == ()


@pytest.mark.parametrize("known", [False, True])
async def test_approval_is_used_up_with_the_step(tmp_path: Path, *, known: bool) -> None:
    """A stored step of an approved call, with a result or without, leaves it executed."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.sleep(stored.id, sleep(stored.id, 1, 2, 3, 4))
        await opened.decide(stored.id, [1, 2, 4], "approved", ANN)
        await opened.decide(stored.id, [3], "denied", ANN)
        before = opened.commits
        await opened.note(stored.id, [acted(1, known=known), acted(3, known=known), paid(4, "0")])
        assert opened.commits == before + 1
        states = [each.state for each in await opened.approvals(stored.id)]
        assert states == ["executed", "approved", "denied", "approved"]
    async with store(tmp_path) as opened:
        await opened.finish(stored.id, replace(ending(), steps=(acted(2, known=known),)))
        assert await opened.approvals(stored.id) == (
            decided(asked(1, 1), "executed", ANN),
            decided(asked(1, 2), "executed", ANN),
            decided(asked(1, 3), "denied", ANN),
            decided(asked(1, 4), "approved", ANN),
        )


async def test_turn_may_sleep_again(tmp_path: Path) -> None:
    """What was decided before stays decided; only the new calls are waited for."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.sleep(stored.id, sleep(stored.id, 1))
        await opened.decide(stored.id, [1], "approved", ANN)
        await opened.note(stored.id, [acted(1)])
        await opened.sleep(stored.id, sleep(stored.id, 3))
        assert await opened.pending() == (asked(1, 3),)
        assert (await opened.decide(stored.id, [1, 3], "denied", BOB)).approvals == (
            decided(asked(1, 1), "executed", ANN),
            decided(asked(1, 3), "denied", BOB),
        )


async def test_pending_approvals_are_listed(tmp_path: Path) -> None:
    """All of them or those of one place, oldest first."""
    async with store(tmp_path) as opened:
        assert await opened.pending() == ()
        for number, (place, minutes) in enumerate(((HERE, 9), (THERE, 5), (HERE, 7)), start=1):
            stored = await added(opened, str(number), place)
            calls = sleep(stored.id, 2, 1, place=place, minutes=minutes)
            await opened.sleep(stored.id, calls)
        mine = [asked(turn, n, minutes=left) for turn, left in ((1, 9), (3, 7)) for n in (1, 2)]
        assert await opened.pending(HERE) == tuple(mine)
        named = [each.name for each in await opened.pending()]
        assert named == ["#1.1", "#1.2", "#2.1", "#2.2", "#3.1", "#3.2"]
        assert [each.id for each in await opened.sleeping(HERE)] == [1, 3]


async def test_withdrawn_turns_are_open_cut_and_do_nothing_more(tmp_path: Path) -> None:
    """What is pending, or approved and not executed, expires; what was executed stays."""
    async with store(tmp_path) as opened:
        waits, partly, woken, acts, later = [await added(opened, name) for name in "abcde"]
        for each, steps in (
            (waits, [1]),
            (partly, [1, 3]),
            (woken, [1]),
            (acts, [1]),
            (later, [1]),
        ):
            await opened.sleep(each.id, sleep(each.id, *steps))
        for each in (partly, woken, acts):
            await opened.decide(each.id, [1], "approved", ANN, "press:1")
        await opened.note(acts.id, [acted(1)])
        found, again = await opened.withdraw(HERE, "stopped", before=later.id)
        assert again is None
        assert [(each.event.id, each.resumed) for each in found] == [
            (waits.id, True),
            (partly.id, True),
            (woken.id, False),
        ]
        assert [[a.n for a in each.changed] for each in found] == [[1], [1, 3], [1]]
        states = [[a.state for a in each.approvals] for each in found]
        assert states == [["expired"], ["expired", "expired"], ["expired"]]
        cut = {each.id: each.cut for each in await opened.unfinished()}
        assert cut == {
            waits.id: "stopped",
            partly.id: "stopped",
            woken.id: "stopped",
            acts.id: None,
        }
        assert [each.id for each in await opened.sleeping(HERE)] == [later.id]
        assert await opened.withdraw(THERE, "stopped") == ((), None)


async def test_turn_is_replaced_only_while_it_waits(tmp_path: Path) -> None:
    """The event that is to be worked instead is stored with the withdrawal, or not at all."""
    async with store(tmp_path) as opened:
        stored = await added(opened, "a")
        await opened.sleep(stored.id, sleep(stored.id, 1))
        instead = incoming("b")
        assert instead.event is not None
        found, again = await opened.withdraw(HERE, "note", turn=stored.id, again=instead)
        assert ([each.event.id for each in found], again) == (
            [stored.id],
            StoredEvent(id=stored.id + 1, event=instead.event),
        )
        other = await added(opened, "c")
        await opened.sleep(other.id, sleep(other.id, 1))
        await opened.decide(other.id, [1], "approved", ANN)
        late = await opened.withdraw(HERE, "note", turn=other.id, again=incoming("d"))
        assert late == ((), None)
        assert [a.state for a in await opened.approvals(other.id)] == ["approved"]


async def test_more_messages_can_be_about_a_turn(tmp_path: Path) -> None:
    """A message that was noted later is told with the others, once; its buttons work."""
    async with store(tmp_path) as opened:
        stored, other = await added(opened, "a"), await added(opened, "b")
        await opened.sleep(stored.id, sleep(stored.id, 1))
        await opened.sleep(other.id, sleep(other.id, 1))
        before, about = opened.commits, [asked(stored.id, 1)]
        pieces = [Piece(text="a file"), Piece(text="again")]
        file, again = await opened.notify(about, THERE, pieces, [("b2", "approve:1")])
        assert (file.piece, again.piece) == tuple(pieces)
        assert opened.commits == before + 1
        await opened.notify(about, THERE, [Piece(text="over", replaces=78)], [])
        rows = [again]
        assert await opened.button("b2") == Pressed(kind="approve:1", event=stored)
        await opened.sent(rows[0].id, 78)
        told = (await opened.decide(stored.id, [], "denied", ANN)).notices
        assert told == (Notice(n=1, place=THERE, message_id=78),)
        assert (await opened.decide(other.id, [], "denied", ANN)).notices == ()


async def test_files_outlive_the_wait(tmp_path: Path) -> None:
    """What a turn has made is there when it goes on, however long that takes."""
    async with store(tmp_path) as opened:
        stored, other = await added(opened, "a"), await added(opened, "b")
        (blob,) = await opened.keep(stored.id, [BoxFile(name="x", data=b"x")])
        await opened.sleep(stored.id, sleep(stored.id, 1))
        await opened.finish(other.id, ending())
        assert await opened.unsent() == ()
        assert await opened.blobs([blob]) == (b"x",)


async def test_only_what_is_over_expires(tmp_path: Path) -> None:
    """After a week approvals and notices of an ended turn go; those of one that waits stay."""
    async with store(tmp_path) as opened:
        for key in ("over", "waits"):
            stored = await added(opened, key)
            await opened.begin(stored.id, ModelStep(n=0))
            notices = ((HERE, (Piece(text="?"),)),)
            buttons = ((key, "approve:1"),)
            asleep = replace(sleep(stored.id, 1), notices=notices, buttons=buttons)
            await opened.sleep(stored.id, asleep)
        await opened.decide(1, [1], "denied", ANN)
        await opened.finish(1, ending())
    later = SetClock(at=NOW + KEPT_FOR_BUTTONS + timedelta(seconds=1))
    async with SqlStore(tmp_path / "test.db", later) as opened:
        await opened.begin_with("bot")
        assert (await opened.approvals(1), await opened.button("over")) == ((), None)
        assert await opened.pending() == (asked(2, 1),)
        assert await opened.button("waits") is not None
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        for query in ("SELECT event_id FROM notices", "SELECT event_id FROM steps"):
            assert connection.execute(query).fetchall() == [(2,)]
