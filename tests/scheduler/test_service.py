"""Tests of keeping time; the fakes keep dates, the alarm is the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from assurebot.scheduler.service import Timekeeper

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIMEOUT = 10


@dataclass
class LeapingClock:
    """A clock that goes on by itself, and can be set.

    Attributes:
        ahead: How far it is from where it began, beside the time that passed.
    """

    ahead: timedelta = timedelta(0)
    begun: float = field(default_factory=monotonic)

    def now(self) -> datetime:
        """Return the moment."""
        return NOON + self.ahead + timedelta(seconds=monotonic() - self.begun)


@dataclass
class ListedDue:
    """A store of due moments that keeps each until it was fired, and tells what was.

    Attributes:
        due: What is to come.
        fired: How late each was, in seconds, by the clock.
        faults: How many calls of `fire` fail first.
        asked: How often the earliest was asked for.
        every: What is fired comes again after this.
        stuck: What is fired stays due.
        more: Set at each fire.
    """

    clock: LeapingClock
    due: list[datetime]
    fired: list[float] = field(default_factory=list)
    faults: int = 0
    asked: int = 0
    every: timedelta | None = None
    stuck: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def next_due(self) -> datetime | None:
        """Return the earliest."""
        self.asked += 1
        return min(self.due, default=None)

    async def fire(self, now: datetime) -> None:
        """Take all that is due; what comes `every` so often moves on from now."""
        if self.faults:
            self.faults -= 1
            raise RuntimeError("made up")
        taken = [each for each in self.due if each <= now]
        self.fired += [(now - each).total_seconds() for each in taken]
        self.more.set()
        if not self.stuck:
            self.due = [each for each in self.due if each > now]
            self.due += [now + self.every for _ in taken if self.every]

    async def until(self, count: int) -> None:
        """Wait until so many were fired."""
        async with asyncio.timeout(TIMEOUT):
            while len(self.fired) < count:
                self.more.clear()
                await self.more.wait()


@asynccontextmanager
async def keeping(store: ListedDue, check_seconds: float = 60.0) -> AsyncIterator[Timekeeper]:
    """Keep time while the block lasts; without a short check only the alarm can wake it."""
    keeper = Timekeeper(
        next_due=store.next_due,
        fire=store.fire,
        clock=store.clock,
        check_seconds=check_seconds,
        retry_seconds=0.05,
    )
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=TIMEOUT)
        assert task.cancelled()


def listed(*seconds: float) -> ListedDue:
    """Return a store with moments so many seconds from now."""
    clock = LeapingClock()
    return ListedDue(clock, [clock.now() + timedelta(seconds=each) for each in seconds])


async def test_it_fires_at_the_moment() -> None:
    """What is due fires then, not before, and little later; what comes later waits for its turn."""
    store = listed(3600, 0.3, 1.5)
    async with keeping(store):
        await store.until(2)
    assert all(0 <= late < 5 for late in store.fired)
    assert len(store.due) == 1


async def test_what_was_missed_fires_at_the_start() -> None:
    """Whatever became due while nothing ran is fired at once, in one go."""
    store = listed(-3600, -13, 0)
    async with keeping(store):
        await store.until(3)
    assert store.fired == pytest.approx([3600, 13, 0], abs=5)


@pytest.mark.parametrize("others", [(), (3600,)])
async def test_a_change_sets_the_alarm_anew(others: tuple[float, ...]) -> None:
    """A moment that is added while it waits, for nothing or for a later one, fires in time."""
    store = listed(*others)
    async with keeping(store) as keeper:
        await asyncio.sleep(0.1)
        store.due.append(store.clock.now() + timedelta(seconds=0.2))
        keeper.changed()
        await store.until(1)
    assert all(0 <= late < 5 for late in store.fired)


async def test_what_was_removed_does_not_fire() -> None:
    """The alarm alone fires nothing: the store is asked again when it rings."""
    store = listed(0.2)
    async with keeping(store):
        await asyncio.sleep(0.05)
        store.due.clear()
        await asyncio.sleep(0.4)
    assert store.fired == []
    assert store.asked == 2


async def test_a_fire_that_fails_is_tried_again() -> None:
    """An error of the store ends nothing: after a pause it is tried until it goes well."""
    store = listed(0)
    store.faults = 3
    async with keeping(store):
        await store.until(1)
    assert len(store.fired) == 1
    assert 0.15 <= store.fired[0] < 5


async def test_a_clock_that_leaps_forward_fires_what_became_due() -> None:
    """When the clock is set forward, or the machine slept, it is noticed at the next check."""
    store = listed(3600)
    async with keeping(store, check_seconds=0.05):
        await asyncio.sleep(0.15)
        assert store.fired == []
        store.clock.ahead = 2 * HOUR
        await store.until(1)
    assert store.fired == pytest.approx([3600], abs=5)


async def test_a_clock_that_leaps_back_fires_nothing_twice() -> None:
    """After a leap back what was fired is not due before the moment that the store set for it."""
    store = listed(0)
    store.every = 2 * HOUR
    async with keeping(store, check_seconds=0.05):
        await store.until(1)
        store.clock.ahead = -HOUR
        await asyncio.sleep(1.3)
        assert len(store.fired) == 1
        store.clock.ahead = 2 * HOUR
        await store.until(2)
    assert len(store.fired) == 2


async def test_an_alarm_that_rings_before_its_time_is_set_again() -> None:
    """A clock that is set back while it waits puts the fire off until that clock says so."""
    store = listed(0.5)
    async with keeping(store):
        await asyncio.sleep(0.05)
        store.clock.ahead = timedelta(seconds=-0.5)
        await store.until(1)
        await asyncio.sleep(0.05)
    assert 0 <= store.fired[0] < 5
    assert store.asked == 4  # at the start, at the early ring, at the right one, after the fire


async def test_a_store_that_moves_nothing_does_not_spin() -> None:
    """What stays due after a fire, as while everything is stopped, is tried once a second."""
    store = listed(0)
    store.stuck = True
    async with keeping(store) as keeper:
        begun = monotonic()
        for _ in range(25):
            keeper.changed()
            await asyncio.sleep(0.1)
    assert 2 <= len(store.fired) <= 1 + (monotonic() - begun)


async def test_health_tells_of_a_schedule_that_is_late() -> None:
    """A schedule that is due for more than a minute is a problem, until it is fired."""
    store = listed(0)
    store.stuck = True
    async with keeping(store, check_seconds=0.05) as keeper:
        assert keeper.problem() is None
        await store.until(1)
        store.clock.ahead = timedelta(seconds=50)
        assert keeper.problem() is None
        store.clock.ahead = timedelta(seconds=90)
        assert keeper.problem() in {f"a schedule is late by {n} s" for n in range(90, 95)}
        store.stuck = False
        await store.until(2)
        await asyncio.sleep(0.05)
        assert keeper.problem() is None


async def test_a_stop_leaves_nothing_behind() -> None:
    """Once it is cancelled no task and no timer of it is left, whether it waited or rested."""
    for seconds in (3600.0, -1.0):
        store = listed(seconds)
        async with keeping(store):
            await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        loop = asyncio.get_running_loop()
        assert [each for each in vars(loop)["_scheduled"] if not each.cancelled()] == []
