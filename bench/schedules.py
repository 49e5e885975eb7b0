"""Whether a scheduled task costs the same however many there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import perf_counter

from assurebot.guard.rules import Rules
from assurebot.guard.tasks import Order, job_of
from assurebot.ports import Ending
from assurebot.store.database import SqlStore
from assurebot.turns.schedules import MAX_JOBS, Schedules
from assurebot.values import AuditEntry, Person, Place, StoredEvent, Trace
from bench.stage import FIRST_USER
from bench.table import milliseconds, percentile, ratio, show

SIZES = (10, 10_000)
AIM = "flat: about 1x"
START = datetime(2030, 1, 1, tzinfo=UTC)
HERE, ACTOR = Place(chat_id=FIRST_USER), Person(user_id=FIRST_USER)
ORDER = Order(kind="remind", when="cron: 0 8 * * 1-5", text="water the plants " * 5)


@dataclass(slots=True)
class _SetClock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at


class _NoAudit:
    """The audit has a bench of its own, and does not know how many tasks there are."""

    async def intent(self, entry: AuditEntry) -> int:
        del entry
        return 0

    async def record(self, entry: AuditEntry) -> int:
        del entry
        return 0

    def problem(self) -> str | None:
        return None


@dataclass(kw_only=True)
class _Kept:
    """A store with so many tasks, each chat with ten; one task is in turn added, listed, fired."""

    store: SqlStore
    clock: _SetClock
    times: dict[str, list[float]] = field(default_factory=dict)
    started: list[StoredEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.schedules = Schedules(
            store=self.store,
            audit=_NoAudit(),
            clock=self.clock,
            submit=self.started.append,
            held=lambda: False,
            allowed=lambda _: True,
            tell=self._tell,
            changed=lambda: None,
            zone="UTC",
            rules=Rules(),
        )

    async def _tell(self, place: Place, text: str, once: str) -> None:
        raise AssertionError((place, text, once))

    async def fill(self, size: int) -> None:
        """Keep so many tasks, all due much later."""
        later = START + timedelta(days=365)
        for n in range(size):
            place = Place(chat_id=FIRST_USER + 1 + n // 10)
            job = job_of(ORDER, zone="UTC", now=later, place=place, actor=ACTOR)
            await self.store.add_job(job, MAX_JOBS)
        await self.schedules.next_due()  # the first look is at all of them

    async def timed(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Take the time of a piece of work."""
        began = perf_counter()
        await work()
        self.times.setdefault(name, []).append(perf_counter() - began)

    async def round(self, number: int) -> None:
        """Add a task, ask for the next, list its chat, fire it, delete it."""
        await self.timed("add", lambda: self.schedules.add(ORDER, HERE, ACTOR))
        await self.timed("ask for the next", self.schedules.next_due)
        await self.timed("list a chat", lambda: self.store.jobs(HERE.chat_id + 1))
        (job,) = await self.store.jobs(HERE.chat_id)
        due = START + timedelta(seconds=number)
        await self.store.hold_job(job.id, due)
        await self.timed("fire", lambda: self.schedules.fire(due))
        run = self.started.pop()
        await self.store.finish(run.id, Ending(place=HERE, trace=Trace()))
        await self.timed("delete", lambda: self.store.delete_job(job.id))


async def schedules(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure the time of each operation among 10 and among 10,000 tasks."""
    del model_url
    kept: dict[int, _Kept] = {}
    numbers = count(1)
    async with AsyncExitStack() as stack:
        for size in SIZES:
            clock = _SetClock()
            store = await stack.enter_async_context(SqlStore(folder / f"{size}.db", clock))
            kept[size] = _Kept(store=store, clock=clock)
            await kept[size].fill(size)
        for _ in range(50 if quick else 300):
            number = next(numbers)
            for each in kept.values():
                await each.round(number)
    few, many = (kept[size].times for size in SIZES)
    rows = [
        (
            name,
            *(
                milliseconds(percentile(times[name], share))
                for times in (few, many)
                for share in (0.5, 0.99)
            ),
            ratio(percentile(many[name], 0.5), percentile(few[name], 0.5)),
            ratio(percentile(many[name], 0.99), percentile(few[name], 0.99)),
            AIM,
        )
        for name in few
    ]
    show(
        f"Schedules: {SIZES[1]:,} tasks against {SIZES[0]} (ms)",
        ("", "10: p50", "p99", "10,000: p50", "p99", "p50 ratio", "p99 ratio", "aim"),
        rows,
    )
