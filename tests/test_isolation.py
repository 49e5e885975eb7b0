"""People apart: nothing of one user reaches another, by no command, tool, button or prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.telegram_people import Person
from tests.obeying import ASKS, do, frames, obeying, outcome, question
from tests.scripts import LIMIT_SECONDS
from tests.world import GROUP, OWNER, USER, World, running

NOTE, SAID, WAITING = "NOTE-OF-A", "WORDS-OF-A", "WAITING-OF-A"
MARKS = (NOTE, SAID, WAITING, "haiku")
"""Of what A noted, said and forwarded, of what waits for a press of A's, and of A's model."""


def pair(world: World, other: str) -> tuple[Person, Person]:
    """Return A, and B who is to learn nothing."""
    return (world.owner, world.user) if other == "user" else (world.user, world.owner)


async def live(world: World, person: Person) -> SentMessage:
    """Have a person use everything that is kept; return the question that waits in the end."""
    chat = person.user_id
    await world.ask("/model claude-haiku-5-5", "from now on", by=person)
    said = person.say(do("remember", text=NOTE))
    assert await outcome(world, said, chat) == "noted as 1"
    await world.ask(SAID, "Noted.", by=person)
    said = person.forward(do("remember", text=WAITING))
    return await question(world, said, chat)


def leaks(world: World, chat_id: int, since: int) -> list[str]:
    """Name the marks that a chat, or the model in a request after the first so many, has seen."""
    requests = [json.dumps(ask.raw) for ask in list(world.model.requests)[since:]]
    shown = [*world.texts(chat_id), *requests]
    return [mark for mark in MARKS if any(mark in text for text in shown)]


@pytest.mark.parametrize("other", ["user", "owner"])
async def test_no_command_shows_another_what_is_somebodys_own(tmp_path: Path, other: str) -> None:
    """Memory, approvals, use and model of one are not there for the other, and cannot be ended."""
    async with running(tmp_path, obeying) as world:
        one, two = pair(world, other)
        asked = await live(world, one)
        since = len(world.model.requests)
        for command, contains in (
            ("/memory", "Nothing is noted here."),
            ("/forget 1", "There is no note 1 here."),
            ("/approvals", "Nothing waits for a press."),
            ("/usage", "You\nToday: $0.0000\nThis month: $0.0000"),
            ("/status", "You today: 0 model calls, 0 tokens in, 0 out, $0.0000"),
            ("/model", "This chat uses anthropic:claude-sonnet-5-5."),
            ("/stop", "Nothing is running here."),
            ("/new", "A fresh start"),
        ):
            await world.ask(command, contains, by=two)
        # The owner pays for all, and so sees what all cost by model; nobody else does.
        found = leaks(world, two.user_id, since)
        assert found == (["haiku"] if other == "owner" else [])
        (shown,) = [m for m in world.telegram.messages(one.user_id) if m == asked]
        assert [button.label for button in shown.buttons] == ["✅ Approve", "❌ Deny"]
        assert world.rows("SELECT text FROM memory") == [(NOTE,)]


@pytest.mark.parametrize("other", ["user", "owner"])
async def test_no_tool_reads_or_changes_what_is_another_ones(tmp_path: Path, other: str) -> None:
    """Every number of an exchange or a note that is not one's own is unknown."""
    async with running(tmp_path, obeying) as world:
        one, two = pair(world, other)
        await live(world, one)
        since, chat = len(world.model.requests), two.user_id
        for number in range(1, 5):
            said = two.say(do("recall", id=number))
            text = f"this conversation has no exchange {number} or before it"
            assert await outcome(world, said, chat) == text
            await world.ask("/new", "A fresh start", by=two)
        said = two.say(do("recall", note=1))
        assert await outcome(world, said, chat) == "there is no note 1"
        said = two.say(do("forget", id=1))
        asked = await question(world, said, chat)
        two.press(asked.message_id, "✅ Approve")
        await world.answer(chat, "It gave: there is no note 1", after=asked.message_id)
        assert world.rows("SELECT text FROM memory") == [(NOTE,)]
        assert leaks(world, chat, since) == []


@pytest.mark.parametrize("other", ["user", "owner"])
async def test_the_model_sees_nothing_of_another_person(tmp_path: Path, other: str) -> None:
    """Words, notes and waiting turns of one are in no prompt of the other."""
    async with running(tmp_path, obeying) as world:
        one, two = pair(world, other)
        await live(world, one)
        since = len(world.model.requests)
        await world.ask("What do you know?", "Noted.", by=two)
        assert (frames(world), leaks(world, two.user_id, since)) == ([], [])
        assert "What you were asked" not in world.model.requests[-1].system
        assert world.model.requests[-1].user_texts == ("What do you know?",)


async def test_a_reply_reaches_the_answers_of_its_own_chat_alone(tmp_path: Path) -> None:
    """Numbers of messages count anew in each chat: one that another's answer has brings nothing."""
    async with running(tmp_path, obeying) as world:
        await world.answer(after=world.owner.forward(SAID))
        answer = await world.ask("hello", "Noted.", by=world.user)
        assert answer.message_id == world.telegram.messages(OWNER)[0].message_id
        said = world.user.say("And this?", reply_to=answer.message_id)
        await world.answer(USER, "Noted.", after=said)
        assert (frames(world), leaks(world, USER, 1)) == ([], [])


@pytest.mark.parametrize("label", ["✅ Approve", "❌ Deny", "🧹 Without earlier content"])
async def test_the_buttons_of_another_are_refused(tmp_path: Path, label: str) -> None:
    """Who sends the data of somebody else's button changes nothing, and learns nothing."""
    async with running(tmp_path, obeying) as world:
        await world.answer(after=world.owner.forward(SAID))
        asked = await question(world, world.owner.say(do("remember", text=WAITING)))
        (data,) = [button.id for button in asked.buttons if button.label == label]
        query = world.user.press_data(1, data)
        await world.meanwhile(
            world.telegram.wait_for("answerCallbackQuery", timeout_seconds=LIMIT_SECONDS)
        )
        afresh = label.startswith("🧹")
        assert world.telegram.toast(query) == (
            "This button is no longer in use."
            if afresh
            else "Only those who were asked may decide this."
        )
        await world.stop()
        assert world.rows("SELECT state FROM approvals") == [("pending",)]
        assert (world.texts(USER), world.rows("SELECT * FROM memory")) == ([], [])
        refused = world.audit(type="approval", action="refused")
        assert [line["user"] for line in refused] == ([] if afresh else [USER])


async def test_what_is_private_stays_out_of_a_group(tmp_path: Path) -> None:
    """In a group nobody sees what its members have in private, and it has an own conversation."""
    async with running(tmp_path, obeying, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        await live(world, world.owner)
        since = len(world.model.requests)
        for person in (world.user, world.owner):
            for command, contains in (
                ("/memory", "Nothing is noted here."),
                ("/approvals", "Nothing waits for a press."),
                ("/model", "This chat uses anthropic:claude-sonnet-5-5."),
            ):
                said = person.say(f"{command}@stand_in_bot", GROUP)
                await world.answer(GROUP, contains, after=said)
            said = person.say(f"@stand_in_bot {do('recall', id=3)}", GROUP)
            assert "this conversation has no exchange" in await outcome(world, said, GROUP)
            await world.answer(GROUP, "fresh", after=person.say("/new@stand_in_bot", GROUP))
        assert leaks(world, GROUP, since) == []


async def test_in_a_group_only_the_one_who_asked_may_press(tmp_path: Path) -> None:
    """The question stands where all can read it; a press of another member is refused."""
    async with running(tmp_path, obeying, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        said = world.owner.forward(f"@stand_in_bot {do('remember', text=NOTE)}", GROUP)
        assert await outcome(world, said, GROUP) == ASKS
        asked = await question(world, said, GROUP)
        query = world.user.press(asked.message_id, "✅ Approve", GROUP)
        await world.meanwhile(
            world.telegram.wait_for("answerCallbackQuery", timeout_seconds=LIMIT_SECONDS)
        )
        assert world.telegram.toast(query) == "Only those who were asked may decide this."
        world.owner.press(asked.message_id, "✅ Approve", GROUP)
        await world.answer(GROUP, "It gave: noted as 1", after=said)
        assert world.rows("SELECT chat_id FROM memory") == [(GROUP,)]
        assert world.texts(OWNER) == []
