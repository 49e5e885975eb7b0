"""Approvals and time: what nobody pressed in time is not done, whatever else goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.ports import Decided
from assurebot.store.database import SqlStore
from assurebot.values import ApprovalState, Person
from tests.asking import (
    APPROVE,
    asked,
    becomes,
    data_of,
    finds,
    forge,
    labels,
    lapse,
    poster,
    press,
    told,
    wanting,
)
from tests.scripts import COLD_SECONDS
from tests.world import USER, quick, running

TIMES = ("expires_at", "decided_at")


async def test_time_runs_out(tmp_path: Path) -> None:
    """What nobody pressed is not done: the model and the person are told; a late press is none."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        lapse(world)
        await asked(world, world.user)  # a new question makes the program look at the time
        await world.answer(contains="approval:expired): nobody approved it in time")
        done = await becomes(world, shown, "⌛ #1.1 post was not approved")
        assert labels(done) == []
        late = await forge(world, shown, data_of(shown, APPROVE), world.owner)
        assert (late, tool.calls) == ("That was too late: it has expired.", [])
        await world.stop()
        assert told(world, "expired") == told(world, "refused") == [("#1.1 post", None)]


async def test_press_in_the_last_moment_is_late(tmp_path: Path) -> None:
    """A press that is faster than the clock that ends the waiting is refused all the same."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        lapse(world)
        assert await press(world, shown, APPROVE) == "That was too late: it has expired."
        await asked(world, world.user)  # now the clock is looked at
        await world.answer(contains="nobody approved it in time")
        assert tool.calls == []
        await world.stop()
        assert told(world, "refused") == told(world, "expired") == [("#1.1 post", None)]


async def test_time_runs_out_over_a_restart(tmp_path: Path) -> None:
    """What expired while nothing ran is told at the start, before any press is taken."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await world.stop()
        lapse(world)
        query = world.owner.press(shown.message_id, APPROVE)
        await world.start()
        await world.answer(contains="nobody approved it in time")
        await becomes(world, shown, "⌛ #1.1 post was not approved")
        await world.taken()
        assert tool.calls == []
        await world.stop()
        assert world.telegram.toast(query) == "That was too late: it has expired."


@pytest.mark.slow
async def test_time_runs_out_by_the_clock(tmp_path: Path) -> None:
    """With nothing else going on, the shortest time there is ends by itself, and not before."""
    tool = poster()
    parts = quick(tools=[tool])
    async with running(tmp_path, wanting(), parts=parts, APPROVAL_TIMEOUT="10") as world:
        shown = await asked(world)
        await world.answer(contains="nobody approved it in time")
        await becomes(world, shown, "⌛ #1.1 post was not approved")
        ((state, body),) = world.rows("SELECT state, body FROM approvals")
        at = {name: datetime.fromisoformat(json.loads(body)[name]) for name in TIMES}
        assert at["expires_at"] <= at["decided_at"]
        assert (tool.calls, state) == ([], "expired")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE inbox SET event = '{' WHERE id = 1",
        "UPDATE approvals SET body = '{' WHERE event_id = 1",
    ],
)
async def test_damaged_row_holds_up_no_other(tmp_path: Path, damage: str) -> None:
    """Where one turn or approval cannot be read, the next one expires all the same, and is told."""
    tool = poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        await asked(world)
        shown = await asked(world, world.user)
        lapse(world)
        world.rows(damage)
        world.owner.forward("please")  # the new question makes the program look at the time
        await world.answer(USER, contains="nobody approved it in time")
        await becomes(world, shown, "⌛ #2.1 post was not approved")
        states = [("pending",), ("expired",), ("pending",)]
        await finds(world, "SELECT state FROM approvals ORDER BY event_id", *states)
        assert (await world.health())[0] == 200
        assert tool.calls == []


class _Slow(SqlStore):
    """Takes its time to let something expire; `reached` is set when that begins."""

    reached: ClassVar[asyncio.Event]

    async def decide(
        self,
        event_id: int,
        steps: Sequence[int],
        state: ApprovalState,
        by: Person | None,
        press: str = "",
    ) -> Decided:
        """Decide."""
        self.reached.set()
        await asyncio.sleep(1)
        return await super().decide(event_id, steps, state, by, press)


async def test_stop_while_time_runs_out(tmp_path: Path) -> None:
    """The program ends at SIGTERM in the middle of it, after what was begun, and goes on later."""
    _Slow.reached, tool = asyncio.Event(), poster()
    async with running(tmp_path, wanting(), parts=quick(tools=[tool])) as world:
        shown = await asked(world)
        await asked(world, world.user)
        await world.stop()
        lapse(world)
        world.parts = quick(tools=[tool], store=_Slow)
        await world.start(polls=False)
        async with asyncio.timeout(COLD_SECONDS):
            await _Slow.reached.wait()
        await world.stop()  # this has a limit
        states = world.rows("SELECT state FROM approvals ORDER BY event_id")
        assert states == [("expired",), ("pending",)]
        world.parts = quick(tools=[tool])
        await world.start()
        await world.answer(contains="nobody approved it in time")
        await world.answer(USER, contains="nobody approved it in time")
        await becomes(world, shown, "⌛ #1.1 post was not approved")
        assert tool.calls == []
