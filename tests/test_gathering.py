"""What people send as one is one turn: albums, bursts of forwards, pasted texts; over crashes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.demo.model import Turn
from assurebot.demo.telegram_people import Person
from assurebot.errors import AlreadyEnded, StoreError, StoreUnwell
from assurebot.store.database import SqlStore
from assurebot.values import StoredEvent
from tests.pictures import png
from tests.scripts import LIMIT_SECONDS, Gate, by_words
from tests.world import API_KEY, GROUP, OWNER, World, quick, running

TALK = by_words({"talk": Turn(text="Talked.", delay_seconds=60)})
ANSWERED = by_words({})
PATIENT = 5.0
"""Seconds to wait for the rest where a whole start of the program has to fit in."""


def album(person: Person, numbers: Sequence[int], chat: int | None = None) -> None:
    """Send photos of one album, each with a caption."""
    for n in numbers:
        caption = f"@stand_in_bot item {n}"
        person.attach("photo", png(), chat, media_group_id="a1", caption=caption)


def items(world: World, request: int = 0) -> list[int]:
    """The numbers of the items in what the model was asked, in order."""
    text = world.model.requests[request].last_user_text
    return [int(n) for n in re.findall(r"item (\d+)", text)]


async def test_an_album_is_one_turn(tmp_path: Path) -> None:
    """Ten photos are one question with all of them in order, one answer, one turn of the rate."""
    async with running(tmp_path, ANSWERED, RATE_USER_PER_MINUTE="2") as world:
        album(world.owner, range(1, 11))
        answer = await world.answer(contains="item 10")
        await world.ask("next", "next")
        assert (items(world), len(world.model.requests)) == ([*range(1, 11)], 2)
        assert (answer.reply_to, len(world.texts())) == (None, 2)
        await world.stop()
        assert {state for (state,) in world.rows("SELECT state FROM inbox")} == {"done"}
        line, _ = world.audit(type="message")
        assert len(re.findall(r"item \d+", line["text"])) == 10


async def test_an_album_over_a_restart_is_one_turn(tmp_path: Path) -> None:
    """A program that ends in the midst of an album's arrival waits for the rest when it is back."""
    parts = quick(gather_seconds=PATIENT)
    async with running(tmp_path, ANSWERED, parts=parts) as world:
        album(world.owner, range(1, 6))
        await world.taken()
        await world.stop()
        album(world.owner, range(6, 11))
        await world.start()
        await world.answer(contains="item 10")
        assert (items(world), len(world.model.requests)) == ([*range(1, 11)], 1)


class _Hanging(SqlStore):
    """Stops for good before or after messages are joined.

    Attributes:
        moment: When; empty: never.
        reached: Set there.
    """

    moment: ClassVar[str] = ""
    reached: ClassVar[asyncio.Event]

    async def merge(self, event: StoredEvent, others: Sequence[int]) -> None:
        """Join them, or not."""
        if self.moment != "before":
            await super().merge(event, others)
        if self.moment:
            self.reached.set()
            await asyncio.sleep(600)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_around_the_joining_loses_and_doubles_nothing(
    tmp_path: Path, moment: str
) -> None:
    """Whether the messages were joined yet or not: the next start works all of them, once."""
    _Hanging.moment, _Hanging.reached = moment, asyncio.Event()
    async with running(tmp_path, ANSWERED, parts=quick(store=_Hanging)) as world:
        album(world.owner, range(1, 11))
        async with asyncio.timeout(LIMIT_SECONDS * 3):
            await _Hanging.reached.wait()
        await world.fall()
        assert world.rows("SELECT count(*) FROM inbox WHERE state = 'open'") == [
            (10 if moment == "before" else 1,)
        ]
        _Hanging.moment = ""
        await world.start()
        await world.answer(contains="item 10")
        await world.ask("next", "next")
        assert (items(world), len(world.model.requests)) == ([*range(1, 11)], 2)


class _Refusing(SqlStore):
    """Refuses to join messages, or to change one, for a while.

    Attributes:
        errors: What is still raised, in this order.
    """

    errors: ClassVar[list[StoreError]]

    async def merge(self, event: StoredEvent, others: Sequence[int]) -> None:
        """Refuse, or join them."""
        if self.errors:
            raise self.errors.pop()
        await super().merge(event, others)


async def test_joining_waits_for_the_disk(tmp_path: Path) -> None:
    """A disk that is ill for a while delays an album and does not take it apart."""
    _Refusing.errors = [StoreUnwell("ill"), StoreUnwell("ill")]
    async with running(tmp_path, ANSWERED, parts=quick(store=_Refusing)) as world:
        album(world.owner, [1, 2])
        await world.answer(contains="item 2")
        assert (items(world), _Refusing.errors) == ([1, 2], [])


async def test_what_cannot_be_joined_is_worked_one_by_one(tmp_path: Path) -> None:
    """Nothing is lost where other hands had begun one of the messages."""
    _Refusing.errors = [AlreadyEnded("begun")]
    async with running(tmp_path, ANSWERED, parts=quick(store=_Refusing)) as world:
        album(world.owner, [1, 2])
        await world.answer(contains="item 2")
        assert [items(world, n) for n in range(2)] == [[1], [2]]


async def test_words_and_the_forwards_behind_them_are_one_turn(tmp_path: Path) -> None:
    """A comment and the twelve messages that were forwarded with it are one question."""
    async with running(tmp_path, ANSWERED) as world:
        world.owner.say("Sum this up:")
        for n in range(1, 13):
            world.owner.forward(f"item {n}")
        await world.answer(contains="item 12")
        text = world.model.requests[0].last_user_text
        assert (text.startswith("Sum this up:"), items(world)) == (True, [*range(1, 13)])
        await world.ask("next", "next")
        assert len(world.model.requests) == 2


async def test_a_pasted_text_is_whole_again(tmp_path: Path) -> None:
    """Of a text that the client has cut, the model sees what was pasted, to the letter."""
    text = "".join(f"line {n}: ünder 🜁\n" for n in range(1_200)).strip()
    assert len(text) > 20_000
    async with running(tmp_path, lambda _: Turn(text="Read.")) as world:
        assert len(world.owner.paste(text)) > 5
        await world.answer(contains="Read.")
        assert [ask.last_user_text for ask in world.model.requests] == [text]


async def test_a_paste_in_a_group_is_ours_to_its_end(tmp_path: Path) -> None:
    """Only its first piece names us; what is said later, or by others, is still not for us."""
    text = "@stand_in_bot " + "".join(f"line {n}\n" for n in range(1_000)).strip()
    async with running(tmp_path, lambda _: Turn(text="Read."), ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        assert len(world.owner.paste(text, GROUP)) == 3
        world.user.say("to nobody", GROUP)
        world.owner.say("to nobody either", GROUP)
        await world.answer(GROUP, "Read.")
        await world.taken()
        seen = [ask.last_user_text for ask in world.model.requests]
        assert seen == [text.removeprefix("@stand_in_bot ")]
        assert world.rows("SELECT count(*) FROM inbox WHERE raw LIKE '%to nobody%'") == [(0,)]


async def test_a_secret_cut_in_two_is_found(tmp_path: Path) -> None:
    """A configured secret that a client has cut does not reach the model in one piece."""
    text = "x" * 4_090 + f" {API_KEY} what is this?"
    async with running(tmp_path, lambda _: Turn(text="Read.")) as world:
        assert len(world.owner.paste(text)) == 2
        await world.answer(contains="Read.")
        seen = world.model.requests[0].last_user_text
        assert (API_KEY in seen, seen.endswith(" what is this?")) == (False, True)
        await world.stop()
        assert API_KEY.encode() not in world.stored_bytes()


async def test_two_people_at_once_are_two_turns(tmp_path: Path) -> None:
    """In a group each one's forwards are their own, however they are mixed."""
    async with running(tmp_path, ANSWERED, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        for n in range(1, 5):
            world.owner.forward(f"@stand_in_bot item {n}", GROUP)
            world.user.forward(f"@stand_in_bot item {n + 10}", GROUP)
        await world.answer(GROUP, "item 4")
        await world.answer(GROUP, "item 14")
        assert [items(world, n) for n in range(2)] == [[1, 2, 3, 4], [11, 12, 13, 14]]
        replies = [message.reply_to for message in world.telegram.messages(GROUP)]
        assert replies == [1, 2]


async def test_an_album_with_a_text_in_between(tmp_path: Path) -> None:
    """An album is found behind another message, which has its own turn after it."""
    async with running(tmp_path, ANSWERED) as world:
        album(world.owner, [1])
        world.owner.say("aside")
        album(world.owner, [2, 3])
        await world.answer(contains="aside")
        assert (items(world), world.model.requests[1].last_user_text) == ([1, 2, 3], "aside")
        assert len(world.model.requests) == 2


async def test_stop_ends_what_still_gathers(tmp_path: Path) -> None:
    """/stop while the rest of an album is waited for ends all of it at once; nothing is asked."""
    async with running(tmp_path, ANSWERED, parts=quick(gather_seconds=60)) as world:
        album(world.owner, [1, 2])
        await world.taken()
        began = time.monotonic()
        world.owner.say("/stop")
        await world.answer(contains="⏹ Stopped.")
        assert time.monotonic() - began < 9  # and not the ten that it would have been waited
        await world.ask("next", "next")
        assert (world.texts(), len(world.model.requests)) == (["⏹ Stopped.", "next"], 1)


async def test_what_comes_after_a_stop_is_answered(tmp_path: Path) -> None:
    """A forward after /stop is no part of the one before it that was stopped."""
    async with running(tmp_path, ANSWERED, parts=quick(gather_seconds=2)) as world:
        world.owner.forward("item 1")
        await world.taken()
        world.owner.say("/stop")
        world.owner.forward("item 2")
        await world.answer(contains="⏹ Stopped.")
        await world.answer(contains="item 2")
        assert (items(world), len(world.model.requests)) == ([2], 1)


async def test_nothing_else_waits(tmp_path: Path) -> None:
    """A message that can be no part of another is worked at once; an album waits in no slot."""
    parts = quick(gather_seconds=60)
    async with running(tmp_path, ANSWERED, parts=parts, MAX_TURNS="1") as world:
        album(world.owner, [1, 2])
        await world.taken()
        began = time.monotonic()
        await world.ask("hello", "hello", by=world.user)
        assert time.monotonic() - began < 8
        await world.answer(contains="item 2")
        assert time.monotonic() - began >= 8, "it was not waited for"


async def test_what_waits_behind_a_turn_is_joined_without_a_wait(tmp_path: Path) -> None:
    """Forwards that are there when their turn comes are one; those of another hour are not."""
    gate = Gate(TALK)
    async with running(tmp_path, gate, parts=quick(gather_seconds=0.5)) as world:
        world.owner.say("talk")
        await gate.wait()
        world.owner.forward("item 1")
        world.owner.forward("item 2")
        await world.taken()
        await asyncio.sleep(0.6)  # the pause itself is what is tested
        world.owner.forward("item 3")
        await world.taken()
        await world.ask("/stop", "3 more of your messages wait")
        await world.answer(contains="item 3")
        assert [items(world, n) for n in (1, 2)] == [[1, 2], [3]]


async def test_panic_while_an_album_gathers(tmp_path: Path) -> None:
    """Nothing of it is begun until /resume; then it is one turn."""
    async with running(tmp_path, ANSWERED, parts=quick(gather_seconds=60)) as world:
        album(world.owner, [1, 2])
        await world.taken()
        await world.ask("/panic", "Everything is held")
        await world.restart()
        album(world.owner, [3])
        await world.answer(contains="waits for /resume")
        assert len(world.model.requests) == 0
        await world.ask("/resume", "Going on.")
        await world.answer(OWNER, "item 3")
        assert (items(world), len(world.model.requests)) == ([1, 2, 3], 1)
