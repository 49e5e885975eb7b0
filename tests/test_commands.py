"""Commands: each is answered, registered, and does what it says, over restarts too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import running


@pytest.mark.parametrize(
    ("command", "contains"),
    [
        ("/start", "Hello Ann, I am AssureBot."),
        ("/help", "/whoami - Your name, id and role"),
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
            *("approvals", "memory", "forget", "usage", "model"),
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
