"""Every kind of message: from a listed person none is dropped in silence, from others all are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assurebot.demo.telegram_kinds import every_kind
from assurebot.demo.telegram_people import Person
from tests.pictures import png
from tests.scripts import LIMIT_SECONDS
from tests.telegram.shapes import EDITS, SAID, SERVICE, SHAPES, cast, store_files
from tests.world import GROUP, OWNER, STRANGER, World, quick, running

SILENT = {
    *("channel_post", "edited_channel_post", "business_connection", "business_message"),
    *("edited_business_message", "inline_query", "chosen_inline_result", "message_reaction"),
    *("my_chat_member", "chat_member", "chat_join_request", "poll_answer"),
}
"""Kinds of updates that say nothing to the bot."""

ADDRESSED = {
    *("command", "command with words", "unknown command"),
    *("reply to the bot", "reply with quote", "voice as a reply"),
}


def post(world: World, name: str, person: Person, chat_id: int) -> int:
    """Send a recorded shape and return the id of its message."""
    room = world.telegram.world.rooms[chat_id]
    message_id = room.next_id()
    world.telegram.raw_update(cast(name, person.wire, room.wire, message_id))
    return message_id


async def outcome(world: World, key: str) -> str:
    """Wait until an event is worked; tell what became of it, and whether that was said."""
    said = "SELECT count(*) FROM outbox WHERE json_extract(trace, '$.turn') = inbox.id"
    query = f"SELECT state, ({said}) FROM inbox WHERE key = ?"  # noqa: S608 - constant
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            state, pieces = [*world.rows(query, key), ("not kept", 0)][0]
            if state != "open":  # and if it is done, what it says was stored in the same commit
                return f"{state}, {'answered' if pieces else 'silent'}"
            await asyncio.sleep(0.02)


async def test_no_message_of_the_owner_is_dropped_in_silence(tmp_path: Path) -> None:
    """Each recorded message gets an answer; service messages are not even kept."""
    async with running(tmp_path, RATE_USER_PER_MINUTE="1000") as world:
        store_files(world.telegram)
        outcomes: dict[str, str] = {}
        for name in SAID:
            said = post(world, name, world.owner, OWNER)
            await world.taken()
            outcomes[name] = await outcome(world, f"message:{OWNER}:{said}")
        for name in SERVICE:
            post(world, name, world.owner, OWNER)
        await world.taken()
        await world.ask("still here?", "still here?")
        assert outcomes == dict.fromkeys(SAID, "done, answered")
        assert world.rows("SELECT count(*) FROM inbox") == [(len(SAID) + 1,)]
        assert world.telegram.violations == []


async def test_kinds_of_updates_that_say_nothing_are_silent(tmp_path: Path) -> None:
    """Of the kinds of updates that are asked for, all but the listed ones are worked."""
    async with running(tmp_path) as world:
        kinds = [next(iter(update)) for update in every_kind(world.owner.wire, {})]
        count = world.owner.do_everything(text="hello")
        await world.taken()
        await world.ask("still here?", "still here?")
        rows = world.rows("SELECT raw FROM inbox")
        worked = {kind for kind in kinds if any(f'"{kind}":{{' in row[0] for row in rows)}
        talk = {"message", "edited_message", "callback_query", "stopped_message_generation"}
        assert worked | {"edited_message"} == talk  # an edit may stand in the place of the message
        assert count == len(SILENT | talk)


@pytest.mark.parametrize("chat_id", [STRANGER, GROUP])
async def test_no_message_of_a_stranger_causes_a_request(tmp_path: Path, chat_id: int) -> None:
    """Whatever kind it is: no file is asked for, no model, nothing is sent; each is recorded."""
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        store_files(world.telegram)
        for name in SHAPES:
            post(world, name, world.stranger, chat_id)
        await world.taken()
        await world.answer(contains="A stranger knocked")
        await world.stop()
        denied = world.audit(type="denied", user=STRANGER, target=f"chat:{chat_id}")
        assert len(denied) == len(SHAPES)
        assert (world.telegram.calls("getFile"), world.telegram.calls("file")) == ((), ())
        assert (world.calls_about(STRANGER, GROUP), len(world.model.requests)) == ([], 0)
        assert world.rows("SELECT count(*) FROM inbox") == [(0,)]


async def test_in_a_group_nothing_else_is_kept(tmp_path: Path) -> None:
    """Of a listed person's messages in a group only those that address the bot are stored."""
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP), RATE_USER_PER_MINUTE="1000") as world:
        world.telegram.group(GROUP)
        store_files(world.telegram)
        posted = {
            f"message:{GROUP}:{post(world, name, world.owner, GROUP)}": name
            for name in (*SAID, *SERVICE)
        }
        await world.taken()
        kept = world.rows("SELECT key FROM inbox")
        assert {posted[key] for (key,) in kept} == ADDRESSED


async def test_all_of_an_album_is_for_us_if_its_caption_is(tmp_path: Path) -> None:
    """In a group the mention is on one message of an album only; other albums are not kept."""
    items = [("photo", b"1"), ("photo", b"2"), ("document", b"3")]
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        world.owner.album(items, GROUP, caption="just for you")
        ours = world.owner.album(items, GROUP, caption="@stand_in_bot look")
        world.owner.album(items, GROUP)
        await world.taken()
        kept = world.rows("SELECT key FROM inbox ORDER BY id")
        assert kept == [(f"message:{GROUP}:{said}",) for said in ours]


async def test_an_album_in_a_group_is_for_us_over_a_restart(tmp_path: Path) -> None:
    """The rest of an album comes after a restart, and the message that mentioned us before it."""
    parts = quick(gather_seconds=5)
    async with running(tmp_path, parts=parts, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        for n in range(1, 4):
            caption = "@stand_in_bot look" if n == 1 else ""
            world.owner.attach("photo", png(), GROUP, media_group_id="a1", caption=caption)
            await world.taken()
            if n == 2:
                await world.restart()
        await world.answer(GROUP, "look")
        assert len(world.model.requests[0].last_user_text.split("[file ")) == 4


def test_shapes_are_enough() -> None:
    """The record holds every kind of message and edit that the Bot API has."""
    assert (len(SHAPES), len(SAID), len(SERVICE), len(EDITS)) == (132, 75, 49, 8)
