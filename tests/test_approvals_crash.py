"""Approvals over restarts, crashes, stops, other turns: done once, or not at all, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.audit.log import JsonlAudit
from assurebot.demo.model import Turn, always
from assurebot.store.database import SqlStore
from assurebot.values import AuditEntry, Step, ToolStep
from tests.asking import (
    APPROVE,
    STORED,
    asked,
    becomes,
    data_of,
    ends,
    finds,
    forge,
    poster,
    press,
    question,
    toast,
    told,
    wanting,
)
from tests.doubles import CallingTool
from tests.scripts import LIMIT_SECONDS
from tests.world import OWNER, quick, running

UNKNOWN = "Interrupted; the outcome is unknown. It was not run again."


async def test_press_after_a_restart_counts(tmp_path: Path) -> None:
    """What waits survives, buttons included, and is done once; its message tells so."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await world.restart()
        assert await press(world, shown, APPROVE) == "Approved."
        await world.answer(contains="It gave: posted")
        await becomes(world, shown, "Done.")
        await world.restart()
        await world.ask("next", "Echo: next")
        assert tool.calls == [STORED]


class _Hanging(SqlStore):
    """Stops for good at a moment of the life of an approved call.

    Attributes:
        moment: Where: `decided`, `begun`, or nowhere.
        reached: Set there.
    """

    moment: ClassVar[str] = ""
    reached: ClassVar[asyncio.Event]

    async def begin(self, event_id: int, first: Step | None = None) -> tuple[Step, ...]:
        """Begin to work on an event, the first time and again."""
        if await self.approvals(event_id):
            await self._hang("decided")
        return await super().begin(event_id, first)

    async def note(self, event_id: int, steps: Sequence[Step]) -> None:
        """Commit that a call has begun."""
        await super().note(event_id, steps)
        if any(isinstance(step, ToolStep) and step.result is None for step in steps):
            await self._hang("begun")

    async def _hang(self, moment: str) -> None:
        if type(self).moment == moment:
            self.reached.set()
            await asyncio.sleep(600)


async def _hang(_arguments: str) -> str:
    await asyncio.sleep(600)
    return "never"


@pytest.mark.parametrize("moment", ["decided", "begun", "running"])
async def test_crash_between_press_and_result(tmp_path: Path, moment: str) -> None:
    """Before the call has begun it is done at the next start; after that never again, and told."""
    _Hanging.moment, _Hanging.reached = moment, asyncio.Event()
    first = CallingTool(_hang, name="post", effect="outward", destinations=("url",))
    reached = first.begun if moment == "running" else _Hanging.reached
    parts = quick(tools=[first], store=_Hanging, grace_seconds=0.05)
    async with running(tmp_path, wanting(), parts=parts) as world:
        shown = await asked(world)
        world.owner.press(shown.message_id, APPROVE)
        async with asyncio.timeout(LIMIT_SECONDS):
            await reached.wait()
        await world.fall()
        _Hanging.moment = ""
        tool = poster()
        world.parts = quick(tools=[tool], store=_Hanging)
        await world.start(polls=False)
        answer = await world.answer(contains="It gave: ")
        if moment == "decided":
            assert (answer.text, tool.calls) == ("It gave: posted\n\n🌐", [STORED])
            await becomes(world, shown, "Done.")
        else:
            assert answer.text.startswith("⚠️ post was interrupted.")
            assert (f"It gave: {UNKNOWN}" in answer.text, tool.calls) == (True, [])
            await becomes(world, shown, "It was cut off; whether it took effect is unknown.")
        again = await forge(world, shown, data_of(shown, APPROVE), world.owner)
        assert again == "It was executed before by Ann (id 42)."


class _Mute(JsonlAudit):
    """Never records how a press ended.

    Attributes:
        reached: Set where it should.
    """

    reached: ClassVar[asyncio.Event]

    async def record(self, entry: AuditEntry) -> int:
        """Record anything else."""
        if (entry.type, entry.phase) == ("approval", "result"):
            self.reached.set()
            await asyncio.sleep(600)
        return await super().record(entry)


@pytest.mark.parametrize("held", [False, True])
async def test_crash_between_a_decision_and_its_record(tmp_path: Path, *, held: bool) -> None:
    """The press counts, once, and is on record as what it was, whether its call has run or not."""
    _Mute.reached, tool = asyncio.Event(), poster()
    parts = quick(tools=[tool], audit=_Mute, grace_seconds=0.05)
    async with running(tmp_path, wanting(), parts=parts) as world:
        shown = await asked(world)
        if held:
            await world.ask("/panic", "Everything is held")
        query = world.owner.press(shown.message_id, APPROVE)
        async with asyncio.timeout(LIMIT_SECONDS):
            await _Mute.reached.wait()
        if not held:
            await world.answer(contains="It gave: posted")
        await world.fall()
        assert tool.calls == ([] if held else [STORED])
        world.parts = quick(tools=[tool])
        await world.start(polls=False)
        assert await toast(world, query) == ("Approved." if held else "Executed.")
        if held:
            await world.ask("/resume", "Going on.")
        await world.answer(contains="It gave: posted")
        await becomes(world, shown, "Done.")
        await world.ask("next", "Echo: next")
        assert tool.calls == [STORED]
        await world.stop()
        assert told(world, "approved") == [("#1.1 post", OWNER)]
        assert ends(world, "approved") == [("recovered", "unknown")]
        assert told(world, "refused") == []


TORN = "CREATE TRIGGER torn BEFORE INSERT ON buttons BEGIN SELECT RAISE(ABORT, 'torn'); END"


async def test_message_and_its_buttons_are_one_commit(tmp_path: Path) -> None:
    """Where the buttons cannot be stored no message shows them; those of the list work for good."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        world.rows(TORN)
        after = world.owner.say("/approvals")
        await finds(world, "SELECT max(errors) > 0 FROM inbox", (1,))
        world.rows("DROP TRIGGER torn")
        listed = await question(world, after=after)
        await world.answer(contains="This waits for a press.", after=after)
        await world.restart()
        assert await press(world, listed, APPROVE) == "Approved."
        await world.answer(contains="It gave: posted")
        for message in (shown, listed):
            await becomes(world, message, "Done.")
        await world.ask("next", "Echo: next")  # behind whatever had been left unsent
        assert ["🔐" in text for text in world.texts()].count(True) == 2
        assert tool.calls == [STORED]


async def test_panic_holds_what_was_approved(tmp_path: Path) -> None:
    """The press is taken, but nothing is done before /resume, over a restart."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await world.ask("/panic", "Everything is held")
        assert await press(world, shown, APPROVE) == "Approved."
        await becomes(world, shown, "was approved by Ann (id 42)")
        await world.restart()
        await world.ask("/status", "Held: by Ann")
        assert tool.calls == []
        await world.ask("/resume", "Going on.")
        await world.answer(contains="It gave: posted")
        assert tool.calls == [STORED]


async def test_press_waits_for_no_pace(tmp_path: Path) -> None:
    """A turn that goes on is no new message: it does not wait for its turn in the minute."""
    tool = poster()
    async with running(
        tmp_path, wanting(), parts=quick(tools=[tool]), RATE_USER_PER_MINUTE="1"
    ) as world:
        await press(world, await asked(world), APPROVE)
        await world.answer(contains="It gave: posted")
        assert len(world.texts()) == 2


async def test_approved_call_is_not_repeated_by_another_try(tmp_path: Path) -> None:
    """Where the model fails after it, *Try again* goes on behind it."""
    tool, script = poster(), wanting()
    async with running(tmp_path, script, parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        world.model.script = always(Turn(status=529, retry_after="120"))
        await press(world, shown, APPROVE)
        failed = await world.answer(contains="The model cannot be reached")
        await becomes(world, shown, "Done.")
        world.model.script = script
        assert await press(world, failed, "🔁 Try again") == "Running it again."
        await world.answer(contains="It gave: posted")
        assert tool.calls == [STORED]
