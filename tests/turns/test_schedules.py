"""Starting what is due: the clock is a fake that leaps, the store is the real one."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from assurebot.guard.rules import Rules
from assurebot.guard.tasks import ordered
from assurebot.ports import Ending, Store
from assurebot.store.database import SqlStore
from assurebot.turns.schedules import BATCH, Schedules
from assurebot.values import Person, Place, StoredEvent, Trace
from tests.doubles import ListAudit
from tests.store.making import HERE, NOW, SetClock, store

ANN = Person(user_id=42)
HOUR = timedelta(hours=1)
FORBIDDEN = 666


class Stage:
    """Schedules with all around them.

    Attributes:
        submitted: The events of runs, in order.
        told: What was said.
        held: Everything is held.
    """

    def __init__(self, kept: SqlStore) -> None:
        self.clock = SetClock()
        self.store = kept
        self.audit = ListAudit()
        self.submitted: list[StoredEvent] = []
        self.told: list[tuple[str, str]] = []
        self.held = False
        self.schedules = Schedules(
            store=kept,
            audit=self.audit,
            clock=self.clock,
            submit=self.submitted.append,
            held=lambda: self.held,
            allowed=lambda job: job.place.chat_id != FORBIDDEN,
            tell=self._tell,
            changed=lambda: None,
            zone="UTC",
            rules=Rules(),
        )

    async def _tell(self, place: Place, text: str, once: str) -> None:
        del place
        self.told.append((text, once))

    async def make(self, line: str, place: Place = HERE) -> None:
        """Make a job."""
        await self.schedules.add(ordered(line), place, ANN)

    async def pass_to(self, hours: float) -> list[str]:
        """Set the clock so many hours after the start, and fire if anything is due.

        Return the keys of the runs that this started, and end them.
        """
        self.clock.at = NOW + hours * HOUR
        before = len(self.submitted)
        due = await self.schedules.next_due()
        if due is not None and due <= self.clock.at:
            await self.schedules.fire(self.clock.at)
        for run in self.submitted[before:]:
            await self.store.finish(run.id, Ending(place=HERE, trace=Trace()))
        return [run.event.key for run in self.submitted[before:]]

    async def states(self, job: int = 1) -> list[str]:
        """Return what came of the runs of a job, newest first."""
        return [run.state for run in await self.store.job_runs(job, 99)]


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Open a stage."""
    async with store(folder) as opened:
        yield Stage(opened)


def schedules(kept: Store, clock: SetClock) -> Schedules:
    """Return schedules of a store, which start nothing."""

    async def tell(place: Place, text: str, once: str) -> None:
        del place, text, once

    return Schedules(
        store=kept,
        audit=ListAudit(),
        clock=clock,
        submit=lambda _: None,
        held=lambda: False,
        allowed=lambda _: True,
        tell=tell,
        changed=lambda: None,
        zone="UTC",
        rules=Rules(),
    )


async def test_a_leap_forward_starts_one_run(tmp_path: Path) -> None:
    """However many times were passed over, it runs once, and next at the first one to come."""
    async with staged(tmp_path) as stage:
        await stage.make("every: 1h | x")
        assert await stage.pass_to(0.99) == []
        assert await stage.pass_to(7.5) == [f"1:{NOW + HOUR}"]
        assert await stage.pass_to(7.6) == []
        assert await stage.store.next_due() == NOW + 8 * HOUR
        assert await stage.pass_to(8) == [f"1:{NOW + 8 * HOUR}"]


async def test_a_leap_back_repeats_nothing(tmp_path: Path) -> None:
    """What ran is not due before the time after it, whatever the clock says, nor is it resumed."""
    async with staged(tmp_path) as stage:
        await stage.make("every: 1h | x")
        assert await stage.pass_to(1) == [f"1:{NOW + HOUR}"]
        assert await stage.pass_to(-24) == []
        assert await stage.pass_to(1.5) == []
        (job,) = await stage.store.jobs(HERE.chat_id)
        await stage.schedules.press("pause", job, "")
        stage.clock.at = NOW
        (job,) = await stage.store.jobs(HERE.chat_id)
        assert await stage.schedules.press("resume", job, "") == (
            "Goes on: Wed 2026-05-06 08:08.",
            "",
        )
        assert await stage.pass_to(1) == []  # it is the run of before
        assert await stage.pass_to(2) == [f"1:{NOW + 2 * HOUR}"]
        assert await stage.states() == ["quiet", "quiet"]


@pytest.mark.parametrize(
    ("late", "state"), [(0, "quiet"), (60, "quiet"), (61, "missed"), (86_400, "missed")]
)
async def test_what_may_not_be_late_is_missed(tmp_path: Path, late: int, state: str) -> None:
    """With `missed: skip` a minute is forgiven, for no clock is exact; then it is not run."""
    async with staged(tmp_path) as stage:
        await stage.make("at: 1h | missed: skip | x")
        started = await stage.pass_to(1 + late / 3600)
        assert len(started) == (state == "quiet")
        assert await stage.states() == [state]
        assert [text for text, _ in stage.told] == (
            ["⌛ Task 1 was due Wed 2026-05-06 08:08, and was missed: x"] * (state == "missed")
        )
        assert await stage.store.next_due() is None
        assert [(e.type, e.job, e.result) for e in stage.audit.entries] == [
            ("schedule", "1", "running" if started else "missed")
        ]


async def test_nothing_is_due_while_all_is_held(tmp_path: Path) -> None:
    """Neither while the runner says so, nor while only the store knows it, right after a start."""
    async with staged(tmp_path) as stage:
        await stage.make("every: 1h | x")
        stage.held = True
        assert await stage.pass_to(1) == []
        await stage.schedules.fire(stage.clock.at)
        stage.held = False
        await stage.store.set_fact("held", "since then")
        assert await stage.pass_to(1) == []
        await stage.store.set_fact("held", None)
        assert await stage.pass_to(1) == [f"1:{NOW + HOUR}"]


async def test_a_job_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    """It is paused; so is one whose chat is not allowed any more; its person is told of both."""
    async with staged(tmp_path) as stage:
        await stage.make("every: 1h | x")
        await stage.make("every: 1h | x", Place(chat_id=FORBIDDEN))
        await stage.make("every: 1h | x")
        with closing(sqlite3.connect(tmp_path / "test.db")) as connection, connection:
            connection.execute("UPDATE jobs SET body = json_set(body, '$.when', 'x') WHERE id = 1")
        assert await stage.pass_to(1) == [f"3:{NOW + HOUR}"]
        found = [await stage.store.job(n) for n in (1, 2, 3)]
        assert [job.paused for job in found if job] == [True, True, False]
        gone = "its chat, or whose it is, is not allowed any more"
        whys = ["its time cannot be read", gone]
        assert [text for text, _ in stage.told] == [f"⏸ Task 1 is paused: {why}." for why in whys]
        lines = [(e.type, e.job, e.result, e.error) for e in stage.audit.entries]
        assert lines == [
            *(("schedule", str(n), "paused", why) for n, why in enumerate(whys, 1)),
            ("schedule", "3", "running", None),
        ]


async def test_many_that_are_due_at_once_all_start(tmp_path: Path) -> None:
    """A batch is followed by the next at once, as of the same moment, each job once."""
    async with staged(tmp_path) as stage:
        for n in range(BATCH + 50):
            await stage.make("every: 1h | x", Place(chat_id=n % 2))
        keys = [await stage.pass_to(1) for _ in range(2)]
        assert [len(set(each)) for each in keys] == [BATCH + 50, 0]


async def test_a_leap_far_ahead_and_back_puts_nothing_off(tmp_path: Path) -> None:
    """What recurs is due at its next time by the clock as it is now, also after a restart."""
    async with staged(tmp_path) as stage:
        await stage.make("every: 1h | x")
        for started_again in (False, True):
            far = 24 * 365 * (1 + started_again)
            assert await stage.pass_to(far) == []
            assert await stage.store.next_due() == NOW + (far + 1) * HOUR
            if started_again:
                stage.schedules = replace(stage.schedules)
            assert await stage.pass_to(0.5) == []
            assert await stage.store.next_due() == NOW + HOUR
        assert await stage.pass_to(1) == [f"1:{NOW + HOUR}"]
        assert await stage.states() == ["quiet", "missed", "missed"]
