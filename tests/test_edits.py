"""Edited messages: new words for what waits, an offer for what was worked, never a command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.demo.model import Script, Turn
from assurebot.store.database import SqlStore
from assurebot.turns.approvals import NO_LONGER
from assurebot.turns.edits import NOT_AGAIN, UNKNOWN, WORKED
from assurebot.values import Step
from tests.asking import APPROVE, STORED, poster, press, question, toast, wanting
from tests.pictures import png
from tests.scripts import LIMIT_SECONDS, Gate, by_words
from tests.world import GROUP, World, quick, running

AGAIN = "🔁 Run again with the edit"


def talking() -> tuple[Gate, asyncio.Event]:
    """A model that holds on at `talk` until it is let go, and repeats all else."""
    let_go = asyncio.Event()
    chunk = 0.05

    def talk(_ask: object) -> Turn:
        return Turn(chunks=("Talk",) if let_go.is_set() else ("Talk",) * 2_000, chunk_seconds=chunk)

    script: Script = by_words({"talk": talk})
    return Gate(script), let_go


def asked(world: World) -> list[str]:
    """All that the model was asked."""
    return [ask.last_user_text for ask in world.model.requests]


async def test_edit_of_a_queued_message_replaces_it(tmp_path: Path) -> None:
    """The last of several edits counts; the model sees it alone, in its place; nothing is said."""
    gate, _ = talking()
    async with running(tmp_path, gate) as world:
        world.owner.say("talk")
        await gate.wait()
        first, second = world.owner.say("one"), world.owner.say("two")
        await world.taken()
        for words in ("eins", "uno", "un"):
            world.owner.edit(first, words)
        await world.taken()
        await world.ask("/stop", "2 more of your messages wait")
        answer = await world.answer(contains="un")
        assert answer.reply_to == first
        assert (await world.answer(contains="two")).reply_to in (None, second)
        assert asked(world) == ["talk", "un", "two"]
        assert len(world.texts()) == 4  # with the end of the talk
        await world.stop()
        texts = [line["text"] for line in world.audit(type="message", action="edit: in time")]
        assert texts == ["eins", "uno", "un"]


async def test_edit_that_waits_behind_a_restart_counts(tmp_path: Path) -> None:
    """An edit that came while the program was down, all being held, is there at /resume."""
    async with running(tmp_path, by_words({})) as world:
        await world.ask("/panic", "Everything is held")
        said = world.owner.say("one")
        await world.answer(contains="waits for /resume")
        await world.stop()
        world.owner.edit(said, "two")
        await world.start()
        await world.taken()
        assert asked(world) == []
        await world.ask("/resume", "Going on.")
        await world.answer(contains="two")
        assert asked(world) == ["two"]


async def test_edit_of_a_running_message_is_offered(tmp_path: Path) -> None:
    """The turn goes on with the old words; the offer names its message, and is good once."""
    gate, let_go = talking()
    async with running(tmp_path, gate) as world:
        said = world.owner.say("talk")
        await gate.wait()
        world.owner.edit(said, "talk less")
        offer = await world.answer(contains=WORKED)
        assert (offer.reply_to, [button.label for button in offer.buttons]) == (said, [AGAIN])
        assert asked(world) == ["talk"]
        await world.ask("/stop")
        let_go.set()
        first = world.owner.press(offer.message_id, AGAIN)
        assert await toast(world, first) == "Running it again."
        answer = await world.answer(contains="Talk", after=offer.message_id + 2)
        assert (asked(world), answer.text) == (["talk", "talk less"], "Talk")
        second = world.owner.press(offer.message_id, AGAIN)
        assert await toast(world, second) == "It was run again already."
        await world.ask("next", "next")
        assert asked(world) == ["talk", "talk less", "next"]


async def test_edit_of_a_done_message_is_offered_over_restarts(tmp_path: Path) -> None:
    """The offer comes after a restart, and its button works after another; each has its words."""
    async with running(tmp_path, by_words({})) as world:
        said = world.owner.say("one")
        await world.answer(contains="one")
        await world.restart()
        world.owner.edit(said, "two")
        offer = await world.answer(contains=WORKED)
        world.owner.edit(said, "three")
        later = await world.answer(contains=WORKED, after=offer.message_id)
        await world.restart()
        world.owner.press(later.message_id, AGAIN)
        await world.answer(contains="three")
        world.owner.press(offer.message_id, AGAIN)
        await world.answer(contains="two")
        assert asked(world) == ["one", "three", "two"]


async def test_edit_without_a_change_is_no_edit(tmp_path: Path) -> None:
    """What only has another preview or reaction is nothing, before and after a real edit."""
    async with running(tmp_path, by_words({})) as world:
        said = world.owner.say("one")
        await world.answer(contains="one")
        world.owner.edit(said, "one")
        world.owner.edit(said, "two")
        world.owner.edit(said, "two")
        await world.answer(contains=WORKED)
        await world.ask("next", "next")
        assert world.texts() == ["one", WORKED, "next"]


@pytest.mark.parametrize(
    ("before", "after"), [("/status", "/panic"), ("one", "/panic"), ("/status", "one")]
)
async def test_edit_never_is_a_command(tmp_path: Path, before: str, after: str) -> None:
    """Neither the edit of a command nor one into a command is carried out, over restarts too."""
    async with running(tmp_path, by_words({})) as world:
        said = world.owner.say(before)
        await world.answer()
        world.owner.edit(said, after)
        answer = await world.answer(contains=NOT_AGAIN)
        assert (answer.buttons, answer.reply_to) == ((), said)
        await world.restart()
        await world.ask("next", "next")
        assert asked(world) == (["one", "next"] if before == "one" else ["next"])


async def test_command_that_waits_is_not_replaced(tmp_path: Path) -> None:
    """A queued /new stays what it is; a queued message does not become a command."""
    gate, _ = talking()
    async with running(tmp_path, gate) as world:
        world.owner.say("talk")
        await gate.wait()
        command, words = world.owner.say("/new"), world.owner.say("words")
        world.owner.edit(command, "/panic")
        world.owner.edit(words, "/panic")
        await world.answer(contains=NOT_AGAIN)
        await world.ask("/stop")
        await world.answer(contains="fresh start")
        await world.answer(contains="words")
        assert (asked(world), world.texts().count(NOT_AGAIN)) == (["talk", "words"], 2)


async def test_offer_is_for_whom_it_was_made(tmp_path: Path) -> None:
    """In a group nobody else can run what somebody has edited."""
    async with running(tmp_path, by_words({}), ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        said = world.owner.say("@stand_in_bot one", GROUP)
        await world.answer(GROUP, "one")
        world.owner.edit(said, "@stand_in_bot two", GROUP)
        offer = await world.answer(GROUP, WORKED)
        query = world.user.press(offer.message_id, AGAIN, GROUP)
        assert await toast(world, query) == NO_LONGER
        assert asked(world) == ["one"]
        world.owner.press(offer.message_id, AGAIN, GROUP)
        assert (await world.answer(GROUP, "two")).reply_to == said


async def test_edit_of_an_unknown_message_is_offered(tmp_path: Path) -> None:
    """In a group a message that names the bot only now is one that it never saw."""
    async with running(tmp_path, by_words({}), ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        said = world.owner.say("one", GROUP)
        world.owner.edit(said, "@stand_in_bot one", GROUP)
        offer = await world.answer(GROUP, UNKNOWN)
        world.owner.press(offer.message_id, AGAIN, GROUP)
        await world.answer(GROUP, "one", after=offer.message_id)
        assert asked(world) == ["one"]


async def test_edit_of_what_was_joined(tmp_path: Path) -> None:
    """A message that became part of another is worked: a new preview is nothing, new words are."""
    async with running(tmp_path, by_words({})) as world:
        ids = [world.owner.forward(f"item {n}") for n in range(3)]
        await world.answer(contains="item 2")
        for n, message_id in enumerate(ids):
            world.owner.edit(message_id, f"item {n}")
        world.owner.edit(ids[0], "item nought")
        offer = await world.answer(contains=WORKED)
        await world.ask("next", "next")
        assert (offer.reply_to, len(world.texts()), len(asked(world))) == (ids[0], 3, 2)


async def test_edit_of_one_that_waits_in_an_album(tmp_path: Path) -> None:
    """A caption that is edited before its album is complete is part of it."""
    async with running(tmp_path, by_words({}), parts=quick(gather_seconds=60)) as world:
        ids = [
            world.owner.attach("photo", png(), media_group_id="a1", caption=f"item {n}")
            for n in range(2)
        ]
        await world.taken()
        said = world.telegram.world.rooms[42].said[ids[1]]
        world.telegram.raw_update({"edited_message": {**said, "caption": "item x", "edit_date": 9}})
        await world.answer(contains="item x")
        (text,) = asked(world)
        assert ("item 0" in text, "item 1" in text) == (True, False)


class _Slow(SqlStore):
    """Begins the second event only when it is let go.

    Attributes:
        reached, let_go: Set when it is about to, and to let it.
    """

    reached: ClassVar[asyncio.Event]
    let_go: ClassVar[asyncio.Event]

    async def begin(self, event_id: int, first: Step | None = None) -> tuple[Step, ...]:
        """Begin to work on an event."""
        if event_id == 2:
            self.reached.set()
            await self.let_go.wait()
        return await super().begin(event_id, first)


async def test_edit_of_a_message_that_is_just_taken(tmp_path: Path) -> None:
    """From when its lane has taken it a message counts as running, begun or not."""
    _Slow.reached, _Slow.let_go = asyncio.Event(), asyncio.Event()
    async with running(tmp_path, by_words({}), parts=quick(store=_Slow)) as world:
        await world.ask("first", "first")
        said = world.owner.say("one")
        async with asyncio.timeout(LIMIT_SECONDS * 3):
            await _Slow.reached.wait()
        world.owner.edit(said, "two")
        await world.answer(contains=WORKED)
        _Slow.let_go.set()
        await world.answer(contains="one")
        assert asked(world) == ["first", "one"]
        await world.stop()
        assert world.rows("SELECT count(*) FROM history WHERE body LIKE '%two%'") == [(0,)]


async def test_edit_of_a_message_that_waits_for_a_press(tmp_path: Path) -> None:
    """What is asked for stays as it was asked; the edit is offered beside it."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        said = world.owner.forward("please")
        shown = await question(world)
        world.owner.edit(said, "please not")
        offer = await world.answer(contains=WORKED)
        assert (offer.reply_to, tool.calls) == (said, [])
        await press(world, shown, APPROVE)
        await world.answer(contains="It gave: posted")
        assert tool.calls == [STORED]


async def test_strangers_edit_is_nothing(tmp_path: Path) -> None:
    """An edit of somebody who is not on the list is refused as any message is."""
    async with running(tmp_path, by_words({})) as world:
        world.stranger.edit(world.stranger.say("one"), "two")
        await world.ask("next", "next")
        assert world.texts(world.stranger.user_id) == []
        assert asked(world) == ["next"]
