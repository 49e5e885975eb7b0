"""Commands: each is answered, registered, and does what it says, over restarts too."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from assurebot.demo.telegram_chats import SentFile
from assurebot.telegram.help import TOPICS
from assurebot.turns.approvals import NO_LONGER
from assurebot.values import BoxFile, RunResult
from tests.doubles import FakeSandbox
from tests.pictures import png
from tests.world import GROUP, quick, running


@pytest.mark.parametrize(
    ("command", "contains"),
    [
        ("/start", "Hello Ann, I am AssureBot."),
        ("/help", "/whoami - Your name, id and role"),
        ("/help Voice", "has me speak my answers"),
        ("/help unheard", "I have no help on that. More: /help files, /help voice"),
        ("/voice", "Answers here are not spoken."),
        ("/new", "A fresh start"),
        ("/clear", "A fresh start"),
        ("/stop", "Nothing is running here."),
        ("/panic", "Everything is held; 0 running turns were stopped."),
        ("/resume", "Nothing was held."),
        ("/status", "Health: all well"),
        ("/status", "Turns: 0 running, 0 waiting, 0 to be sent"),
        ("/approvals", "Nothing waits for a press."),
        ("/memory", "Nothing is noted here."),
        ("/forget 1", "There is no note 1 here."),
        ("/usage", "Today: $0.0000"),
        ("/files", "I keep no files here."),
        ("/files remove 1", "There is no file 1 here."),
        ("/files remove all", "/files remove 3 removes file 3"),
        ("/model", "This chat uses anthropic:claude-sonnet-5-5."),
        ("/schedule", "I cannot keep that: write /schedule WHEN | WHAT"),
        ("/remind 20m call Bob", "Task 1: Once, at "),
        ("/tasks", "There are no tasks here."),
        ("/deltask 1", "There is no such task here."),
        ("/whoami", "You are Ann, id 42, the owner."),
        ("/WhoAmI@Stand_In_Bot", "You are Ann, id 42, the owner."),
        ("/unheard_of", "I do not know this command. /help shows what I can do."),
    ],
)
async def test_every_command_is_answered(tmp_path: Path, command: str, contains: str) -> None:
    """No command meets silence, and none reaches the model."""
    async with running(tmp_path) as world:
        await world.ask(command, contains)
        assert len(world.model.requests) == 0


async def test_commands_are_registered(tmp_path: Path) -> None:
    """Clients show the list of commands; what changes at Telegram is on record before it does."""
    async with running(tmp_path) as world:
        (commands,) = world.telegram.world.commands.values()
        assert [each["command"] for each in commands] == [
            *("start", "help", "new", "clear", "stop", "panic", "resume", "status"),
            *("approvals", "memory", "forget", "files", "usage", "model", "voice"),
            *("run", "python", "js", "ts", "bash"),
            *("schedule", "remind", "tasks", "deltask", "hooks", "whoami"),
        ]
        await world.stop()
        lines = world.audit(type="send", action="prepare")
        assert [(line["phase"], line.get("result")) for line in lines] == [
            ("intent", None),
            ("result", "ok"),
        ]


async def test_model_is_chosen_per_chat_and_kept(tmp_path: Path) -> None:
    """/model changes what this chat asks, over restarts, and leaves the others alone."""
    async with running(tmp_path) as world:
        await world.ask("/model claude-haiku-5-5", "anthropic:claude-haiku-5-5 from now on")
        await world.ask("/model openai:gpt-6.1-sol", "openai has no key here")
        await world.restart()
        await world.ask("hello")
        await world.ask("hello", by=world.user)
        await world.ask("/model default", "again")
        await world.ask("bye")
        assert [ask.model for ask in world.model.requests] == [
            "claude-haiku-5-5",
            "claude-sonnet-5-5",
            "claude-sonnet-5-5",
        ]


async def test_model_is_chosen_by_a_button(tmp_path: Path) -> None:
    """Those of the settings and those used here before are offered; a press chooses one."""
    async with running(
        tmp_path,
        OPENAI_API_KEY="sk-also-made-up-0123456789",
        AI_FALLBACK_MODEL="claude-opus-5-5",
    ) as world:
        await world.ask("/model claude-haiku-5-5", "claude-haiku-5-5 from now on")
        shown = await world.ask("/model", "This chat uses anthropic:claude-haiku-5-5.")
        labels = [button.label for button in shown.buttons]
        assert labels == [
            "anthropic:claude-sonnet-5-5",
            "anthropic:claude-opus-5-5",
            "openai:gpt-6.1-sol",
        ]
        world.owner.press(shown.message_id, "anthropic:claude-opus-5-5")
        await world.answer(contains="uses anthropic:claude-opus-5-5 from now on.")
        await world.ask("hello", "hello")
        assert world.model.requests[-1].model == "claude-opus-5-5"
        await world.restart()
        shown = await world.ask("/model", "This chat uses anthropic:claude-opus-5-5.")
        assert [button.label for button in shown.buttons] == [
            "anthropic:claude-sonnet-5-5",
            "openai:gpt-6.1-sol",
            "anthropic:claude-haiku-5-5",
        ]
        other = await world.ask("/model", "uses anthropic:claude-sonnet-5-5", by=world.user)
        assert "haiku" not in str(other.buttons)


async def test_model_without_a_price_is_refused_by_a_button_too(tmp_path: Path) -> None:
    """What can no longer be paid for is not chosen by a button from before."""
    async with running(tmp_path) as world:
        await world.ask("/model claude-unheard-of", "from now on")
        await world.ask("/model default", "again")
        shown = await world.ask("/model", "This chat uses")
        world.environ["AI_PRICE"] = ""
        await world.restart()
        world.owner.press(shown.message_id, "anthropic:claude-unheard-of")
        await world.answer(contains="I cannot use that model")
        await world.ask("/model", "This chat uses anthropic:claude-sonnet-5-5.")


async def test_buttons_of_commands_are_for_whoever_asked(tmp_path: Path) -> None:
    """In a group another person's press of such a button changes nothing."""
    async with running(
        tmp_path, ALLOWED_CHATS=f"{GROUP}", AI_FALLBACK_MODEL="claude-opus-5-5"
    ) as world:
        room = world.telegram.group(GROUP)
        room.add(world.owner)
        room.add(world.user)
        world.owner.say("/model", GROUP)
        shown = await world.answer(GROUP, "This chat uses")
        query = world.user.press(shown.message_id, "anthropic:claude-opus-5-5", GROUP)
        await world.taken()
        world.owner.say("/model@stand_in_bot", GROUP)
        await world.answer(GROUP, "claude-sonnet-5-5", after=shown.message_id + 1)
        await world.stop()
        assert world.telegram.toast(query) == NO_LONGER
        assert not any("from now on" in text for text in world.texts(GROUP))


async def test_help_has_topics_behind_buttons(tmp_path: Path) -> None:
    """/help is short and offers its topics; each button and each word shows one."""
    async with running(tmp_path) as world:
        shown = await world.ask("/help", "/whoami - Your name, id and role")
        assert len(shown.text) < 3_000
        assert [button.label for button in shown.buttons] == list(TOPICS)
        for topic in TOPICS:
            said = world.owner.press(shown.message_id, topic)
            words = TOPICS[topic].replace("`", "")[:40]
            pressed = await world.answer(contains=words, after=shown.message_id)
            asked = await world.ask(f"/help {topic}", words)
            assert pressed.text == asked.text
            assert said
        assert len(world.model.requests) == 0
        assert world.telegram.violations == []


async def test_usage_picture_is_a_photo(tmp_path: Path) -> None:
    """The chart that the box draws comes as a photo after the text."""
    picture = png(600, 240)
    drawn = RunResult(
        outcome="ok", exit_code=0, grade="A", files=(BoxFile(name="usage.png", data=picture),)
    )
    box = FakeSandbox(lambda _: drawn)
    async with running(tmp_path, parts=quick(box=lambda *_, **__: nullcontext(box))) as world:
        await world.ask("hello", "hello")
        said = await world.ask("/usage", "The last 30 days")
        photo = await world.answer(after=said.message_id)
        assert photo.file == SentFile(kind="photo", name="usage.png", content=picture)


async def test_panic_holds_turns_until_the_owner_resumes(tmp_path: Path) -> None:
    """Over a restart nothing runs, each chat is told once, and only the owner's /resume ends it."""
    async with running(tmp_path) as world:
        await world.ask("/panic", "Everything is held", by=world.user)
        await world.ask("first", "held by Ben")
        world.owner.say("second")
        await world.ask("theirs", "held by Ben", by=world.user)
        await world.restart()
        world.owner.say("third")
        await world.ask("/resume", "Only the owner can /resume.", by=world.user)
        assert "Held: by Ben" in (await world.ask("/status", "Held")).text
        assert len(world.model.requests) == 0
        await world.ask("/resume", "Going on.")
        await world.answer(contains="third")
        await world.answer(43, "theirs")
        texts = world.texts()
        assert sum("held by Ben" in text for text in texts) == 1
        assert [text for text in texts if text in ("first", "second", "third")] == [
            *("first", "second", "third")
        ]
