"""Only you: whoever is not on the list reaches nothing, by no kind of update, anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assurebot.demo.telegram_faults import Refuse
from assurebot.demo.telegram_kinds import every_kind
from tests.world import GROUP, OTHER_GROUP, OWNER, STRANGER, USER, World, running

MARK = "CANARY-7341-of-a-stranger"

SILENT = {"getMe", "deleteWebhook", "setMyCommands", "getUpdates"}
NO_USER = {
    *("channel_post", "edited_channel_post", "deleted_business_messages"),
    *("chat_boost", "removed_chat_boost", "message_reaction_count", "poll"),
}


def kinds(world: World) -> list[str]:
    """Every kind of update there is."""
    return [next(iter(update)) for update in every_kind(world.stranger.wire, {})]


def told(world: World, user_id: int = STRANGER) -> int:
    """How often the owner was told of a stranger."""
    return sum(f"id {user_id} " in text for text in world.texts())


async def test_stranger_in_private_reaches_nothing(tmp_path: Path) -> None:
    """Every kind of update of a stranger costs one `denied` line, and nothing leaves for them."""
    async with running(tmp_path) as world:
        count = world.stranger.do_everything(text=MARK, unasked=True)
        await world.taken()
        await world.answer(contains="A stranger knocked")
        await world.stop()
        assert count == len(kinds(world)) == 26
        assert world.calls_about(STRANGER) == []
        assert {call.method for call in world.telegram.requests} - SILENT == {
            "sendMessage",  # to the owner
            "leaveChat",  # the channel, where it is not
        }
        assert (len(world.model.requests), world.telegram.messages(STRANGER)) == (0, ())
        assert [line["action"] for line in world.audit(type="denied")] == kinds(world)
        assert told(world) == 1
        assert MARK.encode() not in world.stored_bytes()


async def test_what_is_denied_is_recorded_with_the_id(tmp_path: Path) -> None:
    """A `denied` line says who, where, what and by which rule."""
    async with running(tmp_path) as world:
        world.stranger.say(MARK)
        await world.taken()
        await world.stop()
        (line,) = world.audit(type="denied")
        assert {name: line[name] for name in line if name not in ("seq", "ts", "prev", "mac")} == {
            "type": "denied",
            "event": f"message:{STRANGER}:1",
            "actor": "stranger",
            "user": STRANGER,
            "action": "message",
            "target": f"chat:{STRANGER}",
            "decision": "deny",
            "rule": "user:not-listed",
        }


async def test_owner_is_told_once_for_each_stranger_even_after_a_restart(tmp_path: Path) -> None:
    """However often a stranger comes, before and after a restart, the owner reads of it once."""
    async with running(tmp_path) as world:
        world.stranger.say("one")
        await world.answer(contains="A stranger knocked")
        world.stranger.say("two")
        await world.taken()
        await world.restart()
        world.stranger.say("three")
        world.telegram.person(667, "Mal\nlory").say("hello")
        await world.answer(contains="Mal lory, id 667 ")
        await world.ask("still here")
        assert (told(world), told(world, 667)) == (1, 1)


async def test_press_of_a_stranger_is_not_answered(tmp_path: Path) -> None:
    """A forged press gets no answer, not even the end of its waiting state."""
    async with running(tmp_path) as world:
        query = world.stranger.press_data(1, "anything")
        await world.taken()
        await world.stop()
        assert (world.telegram.toast(query), world.telegram.calls("answerCallbackQuery")) == (
            None,
            (),
        )


async def test_group_that_could_not_be_left_is_not_called_left(tmp_path: Path) -> None:
    """The owner reads what happened, not what was meant to."""
    async with running(tmp_path) as world:
        down = Refuse(status=502, description="Bad Gateway")
        world.telegram.faults.add("leaveChat", 1, down)
        group = world.telegram.group(OTHER_GROUP)
        group.add_bot(world.stranger)
        await world.answer(contains="I could not leave chat")
        assert group.bot_is_in


@pytest.mark.parametrize("who", ["stranger", "owner"])
async def test_group_that_is_not_listed_is_left(tmp_path: Path, who: str) -> None:
    """In a group that is not in ALLOWED_CHATS nobody is answered, and the bot leaves it."""
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP)) as world:
        group = world.telegram.group(OTHER_GROUP)
        person = world.owner if who == "owner" else world.stranger
        group.add_bot(person)
        await world.meanwhile(world.telegram.wait_for("leaveChat"))
        assert "it is not in ALLOWED_CHATS" in (await world.answer(contains="I left chat")).text
        person.say(f"@stand_in_bot {MARK}", OTHER_GROUP)
        await world.taken()
        await world.stop()
        assert (group.bot_is_in, world.calls_about(OTHER_GROUP)) == (False, ["leaveChat"])
        assert {line["rule"] for line in world.audit(type="denied")} == {"chat:not-listed"}
        leaving = world.audit(type="send", target=f"chat:{OTHER_GROUP}")
        assert [(line["phase"], line.get("result")) for line in leaving] == [
            ("intent", None),
            ("result", "ok"),
        ]
        assert (len(world.model.requests), MARK.encode() in world.stored_bytes()) == (0, False)


async def test_stranger_in_a_listed_group_reaches_nothing(tmp_path: Path) -> None:
    """In a listed group every kind of update of a stranger is denied and gets no reaction."""
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP)) as world:
        group = world.telegram.group(GROUP)
        count = world.stranger.do_everything(GROUP, text=f"@stand_in_bot {MARK}", unasked=True)
        await world.taken()
        await world.answer(contains="A stranger knocked")
        await world.stop()
        assert (len(world.audit(type="denied")), count) == (26, 26)
        assert (world.calls_about(GROUP), group.bot_is_in) == ([], True)
        assert (len(world.model.requests), world.texts(GROUP)) == (0, [])
        assert [text for text in world.texts() if "knocked" in text] == [world.texts()[0]]
        assert MARK.encode() not in world.stored_bytes()


async def test_in_a_listed_group_only_addressed_messages_are_read(tmp_path: Path) -> None:
    """Listed people are answered when they address the bot; the rest of the talk is not kept."""
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        world.user.say(f"just talk {MARK}", GROUP)
        world.user.say(f"/help@another_bot {MARK}", GROUP)
        first = world.user.say("@stand_in_bot what is up?", GROUP)
        answer = await world.answer(GROUP, "what is up?")
        assert (answer.text, answer.reply_to) == ("what is up?", first)
        second = world.owner.say("and now?", GROUP, reply_to=answer.message_id)
        assert (await world.answer(GROUP, "and now?")).reply_to == second
        world.user.say("/whoami@stand_in_bot", GROUP)
        await world.answer(GROUP, "an allowed user")
        await world.stop()
        assert MARK.encode() not in world.stored_bytes()
        assert world.audit(type="denied") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"sender_chat": {"id": GROUP, "type": "supergroup", "title": "Group"}},
        {"from": {"id": 1_087_968_824, "is_bot": True, "first_name": "Group"}},
        {"from": None},
    ],
)
async def test_anonymous_senders_are_nobody(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Who speaks as a chat, or has no id, is denied, and the owner is not told of a stranger."""
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        world.user.say("@stand_in_bot hello", GROUP, **fields)
        await world.taken()
        await world.ask("well?")
        await world.stop()
        assert [line["rule"] for line in world.audit(type="denied")] == ["no-sender"]
        assert (world.calls_about(GROUP), world.texts()) == ([], ["well?"])


async def test_users_see_nothing_of_each_other(tmp_path: Path) -> None:
    """What one user says is in no request that another one causes."""
    async with running(tmp_path) as world:
        await world.ask(f"my secret is {MARK}")
        await asyncio.gather(world.ask("what did Ann say?", by=world.user), world.ask("thanks"))
        by_ben = [ask for ask in world.model.requests if ask.last_user_text.startswith("what did")]
        assert [MARK in str(ask.raw) for ask in by_ben] == [False]
        assert {call.chat_id for call in world.telegram.calls("sendMessage")} == {OWNER, USER}


async def test_flood_of_strangers_does_not_flood_the_owner(tmp_path: Path) -> None:
    """No more than ten strangers in an hour are told; all of them are in the audit."""
    async with running(tmp_path) as world:
        for number in range(15):
            world.telegram.person(1_000 + number).say("hello")
        await world.taken()
        await world.ask("well?")
        await world.stop()
        assert sum("knocked" in text for text in world.texts()) == 10
        assert len(world.audit(type="denied")) == 15
