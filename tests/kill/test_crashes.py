"""What happens to turns over several crashes in a row."""

from __future__ import annotations

import asyncio
from pathlib import Path

from assurebot.demo.model import Ask, Call, Turn, always
from tests.doubles import CallingTool
from tests.scripts import LIMIT_SECONDS, Gate, by_words
from tests.world import OWNER, USER, quick, running


async def hang(_arguments: str) -> str:
    """Never come back."""
    await asyncio.Event().wait()
    return ""


def acting(ask: Ask) -> Turn:
    """Call the tool `act`; with its result, think for a minute."""
    return Turn(delay_seconds=60) if ask.tool_results else Turn(calls=(Call(name="act"),))


async def test_unknown_outcome_is_told_after_a_second_crash_too(tmp_path: Path) -> None:
    """A crash after the call was closed as interrupted does not take the notice away."""
    tool = CallingTool(hang)
    gate = Gate(acting)
    async with running(tmp_path, gate, parts=quick(tools=[tool], grace_seconds=0.05)) as world:
        world.owner.say("act")
        async with asyncio.timeout(LIMIT_SECONDS):
            await tool.begun.wait()
        await world.fall()
        gate.asked.clear()
        await world.start(polls=False)
        await gate.wait()  # it was told to the model
        await world.fall()
        world.model.script = always(Turn(text="I see."))
        await world.start(polls=False)
        assert (await world.answer()).text == (
            "⚠️ act was interrupted. Whether it took effect is unknown; "
            "it was not run again.\n\nI see."
        )
        assert len(tool.calls) == 1


async def test_event_of_three_crashes_is_worked_alone_and_first(tmp_path: Path) -> None:
    """What may be the cause of the crashes takes no other turn down with it."""
    gate = Gate(always(Turn(delay_seconds=60)))
    async with running(tmp_path, gate, parts=quick(grace_seconds=0.05)) as world:
        for person in (world.owner, world.user):
            person.say("hello")
            await gate.wait()
        await world.fall()
        seen = len(world.audit(type="model", phase="intent"))
        world.rows("UPDATE inbox SET starts = 3 WHERE id = 2")  # as after kills
        world.rows("UPDATE inbox SET starts = 2 WHERE id = 1")
        world.model.script = by_words({"hello": Turn(text="hi", delay_seconds=0.1)})
        await world.start(polls=False)
        for chat_id in (USER, OWNER):
            assert (await world.answer(chat_id)).text == "hi"
        await world.stop()
        lines = [
            (line["type"], line["turn"])
            for line in world.audit()
            if line["type"] == "message" or (line["type"], line.get("phase")) == ("model", "intent")
        ]
        assert lines[seen:] == [("model", 2), ("message", 2), ("model", 1), ("message", 1)]
