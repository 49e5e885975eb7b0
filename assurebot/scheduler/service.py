"""Keeps time: one alarm for the earliest moment that the store names, and nothing else.

APScheduler holds that alarm in memory; which schedules there are, what is due and what was missed
stands in the store alone. So a restart, a leap of the clock or a late wake-up loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from assurebot.ports import Clock

log = structlog.get_logger(__name__)

LATE_SECONDS = 60.0
"""A schedule that is due for longer is a problem of this part."""

REST_SECONDS = 1.0
"""The least time between two fires, whatever the store says."""


class Timekeeper:
    """Has everything fired that is due, at the moment it is due.

    Args:
        next_due: Asks the store when the earliest schedule is due, if there is any.
        fire: Works all that is due at that moment; it moves what it took on in the store.
        check_seconds: How often the store is asked in any case: an alarm alone would not notice
            that the clock was set, or that the machine slept.
        retry_seconds: The pause after an error.
    """

    def __init__(
        self,
        *,
        next_due: Callable[[], Awaitable[datetime | None]],
        fire: Callable[[datetime], Awaitable[None]],
        clock: Clock,
        check_seconds: float = 30.0,
        retry_seconds: float = 5.0,
    ) -> None:
        self._next_due = next_due
        self._fire = fire
        self._clock = clock
        self._check_seconds = check_seconds
        self._retry_seconds = retry_seconds
        self._due: datetime | None = None
        self._wake = asyncio.Event()

    def changed(self) -> None:
        """Take note that schedules were added, changed or removed in the store."""
        self._wake.set()

    def problem(self) -> str | None:
        """Say that a schedule is late."""
        late = (self._clock.now() - self._due).total_seconds() if self._due else 0.0
        return f"a schedule is late by {late:.0f} s" if late > LATE_SECONDS else None

    async def run(self) -> None:
        """Keep time until cancelled; errors of the store and of `fire` are logged and retried."""
        alarm = AsyncIOScheduler(timezone=UTC)
        alarm.start()
        try:
            while True:
                try:
                    await self._look(alarm)
                except Exception:  # the scheduled job: no error of one may end them all
                    log.exception("schedules could not be run; trying again")
                    await asyncio.sleep(self._retry_seconds)
        finally:
            alarm.shutdown(wait=False)
            await asyncio.sleep(0)  # it closes in the loop's next round

    async def _look(self, alarm: AsyncIOScheduler) -> None:
        """Fire what is due, or wait until something may be."""
        self._wake.clear()
        self._due, now = await self._next_due(), self._clock.now()
        if self._due is not None and self._due <= now:
            await self._fire(now)
            self._due = await self._next_due()
            await asyncio.sleep(REST_SECONDS)
            return
        if self._due is not None:
            # The alarm goes by the machine's own clock, so it is set by what is left.
            at = DateTrigger(datetime.now(UTC) + (self._due - now), UTC)
            alarm.add_job(self._ring, at, id="due", replace_existing=True, misfire_grace_time=None)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._check_seconds):
                await self._wake.wait()

    async def _ring(self) -> None:
        self._wake.set()
