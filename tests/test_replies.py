"""Which message an answer replies to: the right one where others stand around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assurebot.demo.model import Turn
from tests.scripts import Gate, by_words, slow
from tests.world import GROUP, OWNER, World, running

HELD = by_words({"talk": Turn(text="Talked.", delay_seconds=60)})


def replies(world: World, chat_id: int = OWNER) -> Iterator[tuple[str, int | None]]:
    """The answers in a chat, and what each replies to."""
    return ((message.text, message.reply_to) for message in world.telegram.messages(chat_id))


async def test_answers_name_their_message_where_another_came_after(tmp_path: Path) -> None:
    """In private only then: to a lone message the answer stands right below it."""
    gate = Gate(HELD)
    async with running(tmp_path, gate) as world:
        alone = await world.ask("alone", "alone")
        assert alone.reply_to is None
        await gate.wait()
        talk = world.owner.say("talk")
        await gate.wait()
        second = world.owner.say("second")
        third = world.owner.say("third")
        await world.taken()
        await world.ask("/stop", "2 more of your messages wait")
        await world.answer(contains="third")
        expected = {("⏹ Stopped.", talk), ("second", second), ("third", third)}
        assert expected <= set(replies(world)), "/stop came after all of them"
        last = await world.ask("last", "last")
        assert last.reply_to is None


async def test_a_deleted_message_gets_its_answer(tmp_path: Path) -> None:
    """An answer to a message that is gone arrives all the same, as a reply to none."""
    gate = Gate(HELD)
    async with running(tmp_path, gate, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        talk = world.owner.say("@stand_in_bot talk", GROUP)
        await gate.wait()
        other = world.user.say("@stand_in_bot other", GROUP)
        await world.taken()
        for person, message_id in ((world.owner, talk), (world.user, other)):
            person.delete(message_id, GROUP)
        world.owner.say("/stop@stand_in_bot", GROUP)
        await world.answer(GROUP, "other")
        assert {("⏹ Stopped.", None), ("other", None)} <= set(replies(world, GROUP))
        assert not any(status == 400 for _, status in world.telegram.statuses)


async def test_the_growing_answer_in_a_group_replies_from_the_start(tmp_path: Path) -> None:
    """The message that is edited until it is the answer replies to the right one of two people."""
    script = by_words({"word": slow("word-", count=30)})
    async with running(tmp_path, script, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        world.owner.say("@stand_in_bot hello", GROUP)
        said = world.user.say("@stand_in_bot words", GROUP)
        first = await world.answer(GROUP, "word-0")
        await world.answer(GROUP, "word-29")
        assert (first.reply_to, [reply for _, reply in replies(world, GROUP)]) == (said, [1, said])
        assert list(world.telegram.violations) == []
