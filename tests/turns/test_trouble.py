"""Telegram or the disk fails in the midst of a turn: nothing is lost, repeated or paid twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.demo.model import Turn
from assurebot.demo.telegram_faults import Delay, Hang, Refuse
from assurebot.errors import StoreUnwell
from assurebot.ports import Ending
from assurebot.store.database import SqlStore
from assurebot.values import Exchange, OutboxRow, Place
from tests.scripts import Gate, by_words, slow
from tests.world import GROUP, World, quick, running

TALK = slow("word-number-", count=40, seconds=0.01)


class _Unwell(SqlStore):
    """Its disk fails so often at one kind of call."""

    left: ClassVar[dict[str, int]]

    def _fail(self, name: str) -> None:
        if self.left.get(name, 0) > 0:
            self.left[name] -= 1
            raise StoreUnwell("the disk is ill on purpose")

    async def exchanges(self, place: Place, limit: int) -> tuple[Exchange, ...]:
        """Read, or fail."""
        self._fail("exchanges")
        return await super().exchanges(place, limit)

    async def finish(self, event_id: int, ending: Ending) -> tuple[OutboxRow, ...]:
        """Commit, or fail."""
        self._fail("finish")
        return await super().finish(event_id, ending)

    async def set_fact(self, name: str, value: str | None) -> None:
        """Store, or fail."""
        self._fail("set_fact")
        await super().set_fact(name, value)


@pytest.mark.parametrize(
    ("status", "description"),
    [(401, "Unauthorized"), (404, "Not Found"), (409, "Conflict: terminated by other")],
)
async def test_answer_outlives_a_refused_token(
    tmp_path: Path, status: int, description: str
) -> None:
    """An answer that meets a token that is refused for a while is kept and sent later."""
    async with running(tmp_path) as world:
        world.telegram.faults.add("sendMessage", 1, Refuse(status=status, description=description))
        assert (await world.ask("hello", "hello")).text == "hello"
        assert world.texts() == ["hello"]


async def test_answer_that_waits_for_the_disk_is_not_asked_for_again(tmp_path: Path) -> None:
    """What the model said is kept until the disk takes it; the model is asked once."""
    _Unwell.left = {"finish": 4}
    async with running(tmp_path, parts=quick(store=_Unwell)) as world:
        assert (await world.ask("hello", "hello")).text == "hello"
        assert (_Unwell.left, len(world.model.requests)) == ({"finish": 0}, 1)


async def test_disk_that_cannot_be_read_is_no_fault_of_the_event(tmp_path: Path) -> None:
    """An event is not given up because the disk failed more than three times."""
    _Unwell.left = {"exchanges": 4}
    async with running(tmp_path, parts=quick(store=_Unwell)) as world:
        assert (await world.ask("hello")).text == "hello"
        await world.stop()
        assert world.rows("SELECT state, starts, errors FROM inbox") == [("done", 1, 0)]


async def test_panic_works_before_it_is_stored(tmp_path: Path) -> None:
    """On a disk that takes nothing /panic ends and holds turns at once, and is stored later."""
    _Unwell.left = {"set_fact": 3}
    gate = Gate(by_words({"talk": Turn(delay_seconds=60)}))
    async with running(tmp_path, gate, parts=quick(store=_Unwell, disk_seconds=0.5)) as world:
        world.owner.say("talk")
        await gate.wait()
        began = time.monotonic()
        world.user.say("/panic")
        await world.answer(contains="⏹ Stopped. (/panic)")
        assert time.monotonic() - began < 2
        assert _Unwell.left["set_fact"] > 0
        await world.ask("wait", "Everything is held by Ben")
        await world.answer(world.user.user_id, "Everything is held")
        await world.restart()
        await world.ask("/status", "Held: by Ben")


@pytest.mark.parametrize("after_effect", [True, False])
async def test_preview_on_its_way_becomes_the_answer(tmp_path: Path, *, after_effect: bool) -> None:
    """The first message of a preview that is slow to arrive is not left beside the answer."""
    async with running(tmp_path, by_words({"talk": TALK}), ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        late = Delay(seconds=0.6, after_effect=after_effect)
        world.telegram.faults.add("sendMessage", 1, late, chat_id=GROUP)
        world.owner.say("@stand_in_bot talk", GROUP)
        await world.answer(GROUP, "word-number-39")
        await world.stop()
        assert len(world.texts(GROUP)) == 1


async def test_preview_of_an_answer_that_broke_off_is_replaced(tmp_path: Path) -> None:
    """In a group nothing of an answer that never came whole stays beside the apology."""
    cut = Turn(chunks=TALK.chunks, chunk_seconds=0.01, fault="cut")
    async with running(tmp_path, by_words({"talk": cut}), ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        world.owner.say("@stand_in_bot talk", GROUP)
        await world.answer(GROUP, "did not answer")
        await world.stop()
        assert len(world.texts(GROUP)) == 1


async def test_draft_that_hangs_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    """/stop ends a turn within 2 s while its draft does not come back."""
    endless = slow("word-number-", count=2_000, seconds=0.01)
    async with running(tmp_path, by_words({"talk": endless})) as world:
        world.telegram.faults.add("sendMessageDraft", None, Hang())
        world.owner.say("talk")
        await world.meanwhile(world.telegram.wait_for("sendMessageDraft"))
        began = time.monotonic()
        await world.ask("/stop", "⏹ Stopped.")
        assert time.monotonic() - began < 2


DAMAGED = '{"id": 1}'


async def _damaged(world: World, statement: str) -> None:
    await world.ask("one", "one")
    await world.stop()
    world.rows(statement, DAMAGED)
    async with asyncio.timeout(10):
        await world.start()


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("UPDATE history SET body = ?", "SELECT body FROM history WHERE id = 1"),
        (
            "UPDATE inbox SET state = 'open', event = ?",
            "SELECT event FROM inbox WHERE state = 'quarantined'",
        ),
        (
            "UPDATE outbox SET state = 'open', piece = ?",
            "SELECT piece FROM outbox WHERE state = 'dead'",
        ),
    ],
    ids=["history", "inbox", "outbox"],
)
async def test_damaged_row_holds_nothing_up(tmp_path: Path, statement: str, left: str) -> None:
    """A stored value that cannot be read stays as it is, and all else goes on."""
    async with running(tmp_path) as world:
        await _damaged(world, statement)
        assert (await world.ask("two", "two")).text == "two"
        assert world.rows(left) == [(DAMAGED,)]
