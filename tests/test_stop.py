"""Stop means stop: by a person, by the program's end, and with a tool that does not want to."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from assurebot.demo.model import Ask, Call, Turn
from tests.doubles import CallingTool
from tests.scripts import LIMIT_SECONDS, Gate, by_words, slow
from tests.world import World, quick, running

ENDLESS = slow("word-", count=2_000)


async def hang(_arguments: str) -> str:
    """Never come back, but for a cancel."""
    await asyncio.sleep(600)
    return "awake"


def acting(ask: Ask) -> Turn:
    """Call the tool `act`, then report what it gave."""
    if ask.tool_results:
        return Turn(text=f"It gave: {ask.tool_results[-1]}")
    return Turn(calls=(Call(name="act"),))


async def shown(world: World) -> int:
    """Wait until a draft shows; return its id."""
    draft = await world.meanwhile(world.telegram.wait_for_draft(42, contains="word-0"))
    return draft.draft_id


@pytest.mark.parametrize("way", ["command", "button"])
async def test_stop_ends_a_streaming_turn_and_keeps_what_was_said(tmp_path: Path, way: str) -> None:
    """/stop, or the button of the draft, ends the turn within 2 s; the partial text is kept."""
    async with running(tmp_path, by_words({"talk": ENDLESS})) as world:
        world.owner.say("talk")
        draft = await shown(world)
        began = time.monotonic()
        if way == "command":
            world.owner.say("/stop")
        else:
            world.owner.stop_draft(draft)
        answer = await world.answer(contains="⏹ Stopped.")
        assert time.monotonic() - began < 2
        async with asyncio.timeout(2):
            await world.model.gone.wait()
        said, _, note = answer.text.rpartition("\n\n")
        assert (said[:14], note) == ("word-0 word-1 ", "⏹ Stopped.")
        await world.ask("and?", "and?")
        assert world.texts() == [answer.text, "and?"]
        kept = str(world.model.requests[-1].raw["messages"])
        assert "word-0 word-1" in kept
        assert "Stopped." in kept


async def test_stop_ends_a_model_that_loops(tmp_path: Path) -> None:
    """A model that calls tools for ever is ended within 2 s, and is asked no more."""

    def looping(ask: Ask) -> Turn:
        arguments = json.dumps({"id": ask.n})
        return Turn(calls=(Call(name="recall", arguments=arguments),), delay_seconds=0.01)

    gate = Gate(looping)
    async with running(tmp_path, gate, MAX_STEPS="200") as world:
        world.owner.say("go")
        for _ in range(5):
            await gate.wait()
        began = time.monotonic()
        await world.ask("/stop", "⏹ Stopped.")
        assert time.monotonic() - began < 2
        asked = len(world.model.requests)
        world.model.script = by_words({})
        await world.ask("next", "next")
        assert len(world.model.requests) == asked + 1


async def test_stop_ends_one_turn_and_not_those_that_wait(tmp_path: Path) -> None:
    """/stop ends what runs, says how many messages wait, and those are worked next."""
    gate = Gate(by_words({"talk": Turn(delay_seconds=60)}))
    async with running(tmp_path, gate) as world:
        world.owner.say("talk")
        await gate.wait()
        world.owner.say("next one")
        await world.taken()
        world.owner.say("/stop")
        await world.answer(contains="1 more of your messages wait.")
        await world.answer(contains="next one")
        assert sorted(world.texts()) == sorted(
            ["⏹ Stopped.", "1 more of your messages wait.", "next one"]
        )


async def test_stop_in_one_chat_leaves_the_others_alone(tmp_path: Path) -> None:
    """/stop of one person does not end the turn of another."""
    gate = Gate(by_words({"slow": Turn(text="done", delay_seconds=0.5)}))
    async with running(tmp_path, gate) as world:
        world.owner.say("slow")
        await gate.wait()
        await world.ask("/stop", "Nothing is running here.", by=world.user)
        assert (await world.answer()).text == "done"


async def test_panic_ends_running_turns(tmp_path: Path) -> None:
    """/panic of anyone on the list ends every turn within 2 s and says how many."""
    gate = Gate(by_words({"talk": Turn(delay_seconds=60)}))
    async with running(tmp_path, gate) as world:
        world.owner.say("talk")
        await gate.wait()
        began = time.monotonic()
        await world.ask("/panic", "1 running turns were stopped", by=world.user)
        await world.answer(contains="⏹ Stopped. (/panic)")
        assert time.monotonic() - began < 2


async def test_tool_that_ignores_the_stop_is_left_behind(tmp_path: Path) -> None:
    """The chat goes on within 2 s; when the tool comes back, its turn does nothing more."""
    release = asyncio.Event()

    async def stubborn(_arguments: str) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    tool = CallingTool(stubborn)
    script = by_words({"act": acting})
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        world.owner.say("act")
        async with asyncio.timeout(LIMIT_SECONDS):
            await tool.begun.wait()
        began = time.monotonic()
        await world.ask("/stop", "⏹ Stopped.")
        assert time.monotonic() - began < 2
        await world.ask("next", "next")
        release.set()
        await world.ask("after", "after")
        await world.stop()
        assert world.texts() == ["⏹ Stopped.", "next", "after"]
        assert [ask.last_user_text for ask in world.model.requests] == ["act", "next", "after"]
        assert [line.get("result") for line in world.audit(type="tool")] == [None, "ok"]
        assert [line["result"] for line in world.audit(type="message", turn=1)] == ["done"]


async def test_stop_after_a_restart_comes_before_what_it_was_to_stop(tmp_path: Path) -> None:
    """A turn that was under way when the program went down is stopped, not resumed."""
    gate = Gate(by_words({"talk": Turn(delay_seconds=60)}))
    async with running(tmp_path, gate, parts=quick(grace_seconds=0.05)) as world:
        world.owner.say("talk")
        await gate.wait()
        await world.fall()
        world.rows("UPDATE inbox SET starts = 1 WHERE id = 1")  # as after a kill
        world.owner.say("/stop")
        await world.start(polls=False)
        # The turn is resumed at the start; the stop arrives with the first poll.
        await world.answer(contains="⏹ Stopped.")
        assert world.texts() == ["⏹ Stopped."]


async def test_program_puts_a_running_turn_off_and_finishes_it_later(tmp_path: Path) -> None:
    """A turn that outlasts the grace time is put off, not lost, and not counted as a start."""
    gate = Gate(by_words({"talk": Turn(delay_seconds=60)}))
    async with running(tmp_path, gate, parts=quick(grace_seconds=0.2)) as world:
        world.owner.say("talk")
        await gate.wait()
        assert await world.stop() < 3
        assert world.rows("SELECT state, starts, errors FROM inbox") == [("open", 0, 0)]
        assert world.texts() == []
        world.model.script = by_words({})
        await world.start(polls=False)
        assert (await world.answer()).text == "talk"
        await world.stop()
        model = [(line["phase"], line.get("result")) for line in world.audit(type="model")]
        assert model == [
            *(("intent", None), ("result", "cancelled")),
            *(("intent", None), ("result", "ok")),
        ]


async def test_turn_that_ends_in_the_grace_time_is_delivered(tmp_path: Path) -> None:
    """A stop waits for a turn that is nearly done, and sends its answer."""
    gate = Gate(by_words({"talk": Turn(text="done", delay_seconds=0.3)}))
    async with running(tmp_path, gate) as world:
        world.owner.say("talk")
        await gate.wait()
        assert await world.stop() < 3
        assert world.texts() == ["done"]


@pytest.mark.parametrize("repeatable", [False, True])
async def test_tool_that_was_cut_off_is_repeated_only_if_it_may(
    tmp_path: Path, *, repeatable: bool
) -> None:
    """After a restart an unfinished call is closed as unknown and told, unless it is repeatable."""
    tool = CallingTool(hang, repeatable=repeatable)
    script = by_words({"act": acting})
    parts = quick(tools=[tool], grace_seconds=0.05)
    async with running(tmp_path, script, parts=parts) as world:
        world.owner.say("act")
        async with asyncio.timeout(LIMIT_SECONDS):
            await tool.begun.wait()
        await world.fall()

        async def done(_arguments: str) -> str:
            return "fine"

        again = CallingTool(done, repeatable=repeatable)
        world.parts = quick(tools=[again])
        await world.start(polls=False)
        answer = await world.answer(contains="It gave")
        if repeatable:
            assert (answer.text, again.calls) == ("It gave: fine", ["{}"])
        else:
            assert again.calls == []
            assert answer.text == (
                "⚠️ act was interrupted. Whether it took effect is unknown; "
                "it was not run again.\n\n"
                "It gave: Interrupted; the outcome is unknown. It was not run again."
            )
