"""Jobs: kept, started when they are due, each time once, and shown to those whose they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from zoneinfo import ZoneInfo

import structlog

from assurebot.agent.report import code_block
from assurebot.agent.tools.fetch_url import FetchUrl
from assurebot.guard.policy import Policy, Situation
from assurebot.guard.rules import Rules
from assurebot.guard.tasks import Order, job_of, trigger_of, watched
from assurebot.guard.visible import visible
from assurebot.ports import AuditLog, Clock, Incoming, Store
from assurebot.values import (
    OWNER,
    AuditEntry,
    Event,
    Job,
    JobRun,
    Person,
    Place,
    StoredEvent,
    TextPart,
    ToolCall,
    is_untrusted,
)

log = structlog.get_logger(__name__)

MAX_JOBS = 100
"""So many a chat may have."""

BATCH = 100
LATE_SECONDS = 60.0
"""A start that is later than this was missed."""

HISTORY = 10
"""So many runs are shown."""

MAX_FAILURES = 5
"""After so many failed runs in a row a job is paused."""

NOTED = "A task that was noted from content of others. Do as it says, as far as it harms nobody:"


@dataclass(slots=True, kw_only=True)
class Schedules:
    """Keeps jobs and starts their runs.

    Attributes:
        submit: Takes the event of a run.
        held: Tells whether everything is held.
        allowed: Tells whether a job's person and chat are still allowed.
        tell: Says a text to a place, once for each name that it is given with it.
        changed: Told that something else may be due next.
        zone: In which times are shown.
        rules: Of the operator; what they deny to `fetch_url` is not watched either.
    """

    store: Store
    audit: AuditLog
    clock: Clock
    submit: Callable[[StoredEvent], None]
    held: Callable[[], bool]
    allowed: Callable[[Job], bool]
    tell: Callable[[Place, str, str], Awaitable[None]]
    changed: Callable[[], None]
    zone: str
    rules: Rules
    _looked: tuple[datetime, float] | None = field(default=None, init=False)

    # --- time

    async def next_due(self) -> datetime | None:
        """Return when the first job is due; never while everything is held."""
        await self._follow_clock()
        # At a start the store knows it before the runner does.
        if self.held() or await self.store.fact("held") is not None:
            return None
        return await self.store.next_due()

    async def _follow_clock(self) -> None:
        """Bring back what was put off by a clock that was far ahead, at a start or now."""
        now, tick = self.clock.now(), monotonic()
        was, ticked = self._looked or (now, float("-inf"))
        if (tick - ticked) - (now - was).total_seconds() > LATE_SECONDS:
            ahead = await self.store.due(datetime.max.replace(tzinfo=UTC), -1)
            for job, next_at in await asyncio.to_thread(_sooner, ahead, now):
                await self.store.move_job(job, next_at)
        self._looked = now, tick

    async def fire(self, now: datetime) -> None:
        """Start all that is due, or note that it was missed."""
        former: tuple[Job, ...] = ()
        while (batch := await self.store.due(now, BATCH)) != former:
            for job in batch:
                if self.held():
                    return
                await self._fire(job, now)
            former = batch

    async def _fire(self, job: Job, now: datetime) -> None:
        if not self.allowed(job):
            await self._pause(job, "its chat, or whose it is, is not allowed any more")
            return
        try:
            next_at = trigger_of(job).next_after(now)
        except Exception:  # the scheduled job: what one of them holds must not stop the others
            log.exception("a job cannot be read and is paused", job=job.id)
            await self._pause(job, "its time cannot be read")
        else:
            await self._start(job, next_at, now, f"{job.id}:{job.next_at}")

    async def _pause(self, job: Job, why: str) -> None:
        """Pause a job, and tell its chat, or else its person, if that is still allowed."""
        key = f"{job.id}:{job.next_at}"
        await self.audit.record(replace(_line(job, key, "paused"), error=why))
        for place in (job.place, Place(chat_id=job.actor.user_id)):
            if self.allowed(replace(job, place=place)):
                await self.tell(place, f"⏸ Task {job.number} is paused: {why}.", f"paused:{key}")
                break
        await self.store.hold_job(job.id, None)

    async def _start(self, job: Job, next_at: datetime | None, now: datetime, key: str) -> str:
        """Start a run, unless it was missed or the last one has not ended; tell which."""
        due_at = now if next_at == job.next_at or job.next_at is None else job.next_at
        late = (now - due_at).total_seconds()
        run = JobRun(
            due_at=due_at,
            at=now,
            state="missed" if late > max(job.window_seconds, LATE_SECONDS) else "running",
        )
        event = Event(
            source="schedule",
            key=key,
            kind="job",
            actor=job.actor,
            place=job.place,
            received_at=now,
            command=job.kind,
            parts=_parts(job),
            job=job.id,
            due_at=due_at,
        )
        incoming = Incoming(source="schedule", key=key, event=event, raw="", received_at=now)
        came: list[str] = []

        async def claim() -> None:
            claimed = await self.store.claim(job, next_at, run, incoming)
            if claimed is None:
                return
            came.append(claimed[0])
            try:
                await self.audit.record(_line(job, key, *came))
            finally:
                if claimed[1] is not None:
                    self.submit(claimed[1])

        if run.state == "missed" and next_at is None:  # it leaves no task that would show it
            text = f"⌛ Task {job.number} was due {self.time(due_at)}, and was missed: {job.text}"
            await self.tell(job.place, text, f"missed:{key}")
        task = asyncio.create_task(claim())
        try:
            await asyncio.shield(task)
        finally:  # a stop comes before it or after it, and is not forgotten
            await asyncio.wait({task})
        return "".join(came)

    # --- people

    async def add(
        self, order: Order, place: Place, actor: Person, label: str = OWNER, *, quoted: bool = False
    ) -> str:
        """Keep a job, whose text has this label; tell its number and its next times.

        Raises:
            ValueError: It cannot be; the text tells the user what to fix.
        """
        job = job_of(order, zone=self.zone, now=self.clock.now(), place=place, actor=actor)
        if job.kind == "watch" and self.rule_against(watched(job.text)[0]):
            raise ValueError("POLICY_DENY rules this page out")
        kept = await self.store.add_job(replace(job, label=label, quoted=quoted), MAX_JOBS)
        if kept is None:
            return f"There are {MAX_JOBS} tasks here, and no room for more: delete one first."
        self.changed()
        return f"⏰ Task {kept.number}: {self.times(kept, 3)}."

    def rule_against(self, url: str) -> str:
        """Name the rule of POLICY_DENY against fetching a page; empty if there is none."""
        call = ToolCall(id="", name=FetchUrl.spec.name, arguments=json.dumps({"url": url}))
        decision = Policy(rules=self.rules).decide(call, FetchUrl.spec, Situation(tainted=False))
        return decision.rule if decision.verdict == "deny" else ""

    async def find(self, chat_id: int, number: str) -> Job | None:
        """Return a job of a chat by the number that people know."""
        return next((j for j in await self.store.jobs(chat_id) if f"{j.number}" == number), None)

    async def press(self, verb: str, job: Job | None, press: str) -> tuple[str, str]:
        """Do what a button under a job stands for; return a note, and a text if there is one."""
        if job is None:
            return "This task is gone.", ""
        if verb == "history":
            runs = await self.store.job_runs(job.id, HISTORY)
            return "Its last runs.", code_block(self.history(job, runs))
        if verb == "run":
            came = await self._start(job, job.next_at, self.clock.now(), f"{job.id}:{press}")
            notes = {"running": "Started.", "overlapped": "It is still running."}
            return notes.get(came, "It was changed just now: see /tasks."), ""
        if verb == "delete":
            return await self.delete(job), ""
        next_at = None if verb == "pause" else trigger_of(job).next_after(self.clock.now())
        if verb != "pause" and next_at is None:
            return "Its time is over.", ""
        await self.store.hold_job(job.id, next_at)
        self.changed()
        return (f"Goes on: {self.time(next_at)}." if next_at else "Paused."), ""

    async def delete(self, job: Job) -> str:
        """Delete a job, if it is not the operator's."""
        if job.name:
            return (
                f"Task {job.number} is set by SCHEDULE_{job.name.upper()}: pause it, or unset that."
            )
        await self.store.delete_job(job.id)
        self.changed()
        return f"Task {job.number} is deleted."

    async def settle(self, job_id: int) -> None:
        """Pause a job that fails and fails, and say so."""
        job = await self.store.job(job_id)
        if job is not None and job.failures >= MAX_FAILURES and not job.paused:
            text = (
                f"⏸ Task {job.number} failed {job.failures} times and is paused. /tasks shows it."
            )
            run = (await self.store.job_runs(job_id, 1))[0]
            await self.tell(job.place, text, f"paused:{job_id}:{run.due_at}")
            await self.store.hold_job(job_id, None)

    def line(self, job: Job) -> str:
        """Describe a job in one line."""
        text = " ".join(visible(job.text).split())
        outside = " ⚠ from outside" * is_untrusted(job.label)
        when = "paused" if job.paused else self.times(job, 1)
        return f"[{job.number}] {job.kind}{outside}, {when}: {text[:200]}"

    def history(self, job: Job, runs: Sequence[JobRun]) -> str:
        """Describe the runs of a job, newest first."""
        lines = [f"{self.time(run.due_at)}: {run.state} {visible(run.note)[:200]}" for run in runs]
        return "\n".join([self.line(job), *(lines or ["It has not run yet."])])

    def times(self, job: Job, count: int) -> str:
        """Say when a job fires, and when next."""
        trigger, now = trigger_of(job), self.clock.now()
        following = ", ".join(map(self.time, trigger.upcoming(now, count)))
        return f"{trigger.explained()}; next {following}" if following else "is due now"

    def time(self, moment: datetime) -> str:
        """Show a moment."""
        return f"{moment.astimezone(ZoneInfo(self.zone)):%a %Y-%m-%d %H:%M}"


def _sooner(jobs: Sequence[Job], now: datetime) -> list[tuple[Job, datetime]]:
    """Return which of these recur before they are due, and when; that takes its time."""
    found: list[tuple[Job, datetime]] = []
    for job in jobs:
        with suppress(Exception):  # what cannot be read is paused when it is due
            trigger = trigger_of(job)
            next_at = None if trigger.kind == "at" else trigger.next_after(now)
            if next_at and job.next_at and next_at < job.next_at:
                found.append((job, next_at))
    return found


def _parts(job: Job) -> tuple[TextPart, ...]:
    part = TextPart(text=job.text, label=job.label, quoted=job.quoted)
    return (
        (TextPart(text=NOTED), part) if job.kind == "brief" and is_untrusted(job.label) else (part,)
    )


def _line(job: Job, key: str, came: str) -> AuditEntry:
    return AuditEntry(type="schedule", action=job.kind, job=f"{job.id}", target=key, result=came)
