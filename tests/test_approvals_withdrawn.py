"""Approvals and /stop, /new: what was asked for and has not begun is not done any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assurebot.demo.model import Ask, Call, Script, Turn, always
from assurebot.demo.telegram_chats import SentMessage
from tests.asking import (
    APPROVE,
    POST,
    STORED,
    URL,
    asked,
    becomes,
    data_of,
    forge,
    poster,
    press,
    told,
    wanting,
)
from tests.doubles import CallingTool
from tests.scripts import LIMIT_SECONDS, Gate, by_words
from tests.world import USER, World, quick, running

STOPPED, GIVEN_UP = "⏹ Stopped.", "⏹ Not done: you began afresh."
UNDONE = "⌛ #1.1 post was not approved"


@pytest.mark.parametrize(
    ("command", "note"),
    [("/stop", STOPPED), ("/new", GIVEN_UP)],
)
async def test_command_ends_what_waits(tmp_path: Path, command: str, note: str) -> None:
    """/stop and /new end it without asking the model; a later press is refused."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        asks = len(world.model.requests)
        theirs = await asked(world, world.user)
        world.owner.say(command)
        await world.answer(contains=note)
        await becomes(world, shown, UNDONE)
        late = await forge(world, shown, data_of(shown, APPROVE), world.owner)
        assert late == "That was too late: it has expired."
        assert (len(world.model.requests), tool.calls) == (asks + 1, [])
        assert await press(world, theirs, APPROVE, world.user) == "Approved."
        await world.answer(USER, "It gave: posted")
        await world.ask("next", "Echo: next")
        assert ("please" in str(world.model.requests[-1].raw)) is (command == "/stop")
        await world.stop()
        assert told(world, "expired") == told(world, "refused") == [("#1.1 post", None)]


class Busy:
    """A tool that keeps its turn running until it is let go; "talk" has the model call it."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.tool = CallingTool(self._run, name="talk", effect="pure", result_label="owner")

    async def _run(self, _arguments: str) -> str:
        await self.let_go.wait()
        return "talked"

    async def begun(self) -> None:
        """Wait until it runs."""
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.tool.begun.wait()

    @property
    def script(self) -> Script:
        """Make the model call it, and do what `wanting` says else."""

        def talk(ask: Ask) -> Turn:
            if ask.tool_results:
                return Turn(text=f"It gave: {ask.tool_results[-1]}")
            return Turn(calls=(Call(name="talk"),))

        return by_words({"talk": talk, "": wanting()})


async def approved_behind(world: World, busy: Busy) -> SentMessage:
    """Have a call approved while another turn of its chat runs."""
    shown = await asked(world)
    world.owner.say("talk")
    await busy.begun()
    assert await press(world, shown, APPROVE) == "Approved."
    return shown


async def test_approved_turn_waits_for_its_lane(tmp_path: Path) -> None:
    """It goes on behind the one that runs in its chat."""
    tool, busy = poster(), Busy()
    async with running(tmp_path, busy.script, parts=quick(tools=[tool, busy.tool])) as world:
        shown = await approved_behind(world, busy)
        await becomes(world, shown, "was approved by Ann (id 42)")
        assert tool.calls == []
        busy.let_go.set()
        await world.answer(contains="It gave: posted")
        gave = [text.split("\n")[0] for text in world.texts() if "It gave" in text]
        assert (gave, tool.calls) == (["It gave: talked", "It gave: posted"], [STORED])


async def test_stop_ends_what_is_approved_and_has_not_begun(tmp_path: Path) -> None:
    """/stop right after the press ends both, the turn that runs and the one that would go on."""
    tool, busy = poster(), Busy()
    async with running(tmp_path, busy.script, parts=quick(tools=[tool, busy.tool])) as world:
        shown = await approved_behind(world, busy)
        asks = len(world.model.requests)
        world.owner.say("/stop")
        await becomes(world, shown, UNDONE)
        await world.ask("next", "Echo: next")
        assert [text for text in world.texts() if text == STOPPED] == [STOPPED] * 2
        assert not [text for text in world.texts() if "wait" in text]
        assert (len(world.model.requests), tool.calls) == (asks + 1, [])
        await world.stop()
        assert told(world, "expired") == [("#1.1 post", None)]


async def test_fresh_start_ends_what_was_approved_behind_it(tmp_path: Path) -> None:
    """Approved while /new waits for its turn: /new comes first, and nothing is done after it."""
    tool, busy = poster(), Busy()
    async with running(tmp_path, busy.script, parts=quick(tools=[tool, busy.tool])) as world:
        shown = await asked(world)
        world.owner.say("talk")
        await busy.begun()
        world.owner.say("/new")
        await world.taken()
        assert await press(world, shown, APPROVE) == "Approved."
        asks = len(world.model.requests)
        busy.let_go.set()
        await becomes(world, shown, UNDONE)
        await world.answer(contains=GIVEN_UP)
        await world.ask("next", "Echo: next")
        assert (len(world.model.requests), tool.calls) == (asks + 2, [])
        assert "please" not in str(world.model.requests[-1].raw)


@pytest.mark.parametrize("calls", [1, 2])
async def test_stop_holds_over_a_restart_while_all_is_held(tmp_path: Path, calls: int) -> None:
    """What /stop ended under /panic, approved or in part, is not taken up by /resume."""
    tool, other = poster(), Call(name="post", arguments=f'{{"url": "{URL}", "body": "other"}}')
    script = wanting(*(POST, other)[:calls])
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        asks = len(world.model.requests)
        await world.ask("/panic", "Everything is held")
        note = await press(world, shown, APPROVE if calls == 1 else f"{APPROVE} #1.1")
        assert note == ("Approved." if calls == 1 else "Approved. 1 more to decide.")
        world.owner.say("/stop")
        await becomes(world, shown, UNDONE)
        await world.restart()
        await world.ask("/resume", "Going on.")
        await world.answer(contains=STOPPED)
        await world.ask("next", "Echo: next")
        assert (len(world.model.requests), tool.calls) == (asks + 1, [])
        assert world.rows("SELECT state FROM approvals") == [("expired",)] * calls


async def test_stop_holds_over_a_restart_where_all_slots_are_taken(tmp_path: Path) -> None:
    """An approved turn that only waits for a slot is ended by /stop, though it could not say so."""
    tool, busy = poster(), Busy()
    parts = quick(tools=[tool, busy.tool], grace_seconds=0.05)
    async with running(tmp_path, busy.script, parts=parts, MAX_TURNS="1") as world:
        shown = await asked(world)
        world.user.say("talk")
        await busy.begun()
        assert await press(world, shown, APPROVE) == "Approved."
        asks = len(world.model.requests)
        world.owner.say("/stop")
        await becomes(world, shown, UNDONE)
        assert STOPPED not in world.texts()
        await world.restart()
        await world.answer(contains=STOPPED)
        await world.answer(USER, "It gave: Interrupted")
        await world.ask("next", "Echo: next")
        assert (len(world.model.requests), tool.calls) == (asks + 2, [])


async def _hang(_arguments: str) -> str:
    await asyncio.sleep(600)
    return "never"


async def test_stop_in_the_middle_of_an_approved_call(tmp_path: Path) -> None:
    """Its question shows that it was cut off, and is not to be pressed any more."""
    tool = CallingTool(_hang, name="post", effect="outward", destinations=("url",))
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        world.owner.press(shown.message_id, APPROVE)
        async with asyncio.timeout(LIMIT_SECONDS):
            await tool.begun.wait()
        world.owner.say("/stop")
        await becomes(world, shown, "It was cut off; whether it took effect is unknown.")
        await world.answer(contains=STOPPED)
        assert tool.calls == [STORED]


async def test_stop_after_an_approved_call(tmp_path: Path) -> None:
    """While the model has not yet answered to it, its question shows that it was done."""
    tool, gate = poster(), Gate(always(Turn(delay_seconds=60)))
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        world.model.script = gate
        world.owner.press(shown.message_id, APPROVE)
        await gate.wait()
        world.owner.say("/stop")
        await becomes(world, shown, "Done.")
        await world.answer(contains=STOPPED)
        assert tool.calls == [STORED]
