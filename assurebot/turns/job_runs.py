"""One run of a job to its ending: a reminder, a turn, a program, or a look at a page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assurebot.agent.history import INTERRUPTED
from assurebot.agent.jobs import Jobs
from assurebot.agent.report import code_block, for_person
from assurebot.errors import FetchError, FetchRefused, SandboxError
from assurebot.guard.tasks import watched
from assurebot.ports import AuditLog, Fetcher, Redact, Store
from assurebot.turns.effects import effect
from assurebot.turns.endings import Endings, trace_of
from assurebot.turns.model_turns import ModelTurns
from assurebot.turns.preview import Preview
from assurebot.turns.programs import ProgramRuns
from assurebot.turns.schedules import LATE_SECONDS, Schedules
from assurebot.values import OWNER, AuditEntry, Job, Program, RunResult, StoredEvent

PAGE_CHARS, NEWS_CHARS = 20_000, 700
"""So much of a page is compared, and so much of what is new in it is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRuns:
    """Works the events of jobs."""

    schedules: Schedules
    turns: ModelTurns
    programs: ProgramRuns
    jobs: Jobs
    fetcher: Fetcher
    store: Store
    audit: AuditLog
    endings: Endings
    redact: Redact
    owner: int

    async def work(
        self, stored: StoredEvent, preview: Preview, program: Program | None, cut: str | None
    ) -> None:
        """Work a run; `cut` ends it at once with this note, because it was stopped."""
        job = await self.store.job(stored.event.job or 0)
        if job is not None and job.place != stored.event.place:
            job = None  # one of the environment, whose owner is another now
        if job is None or (cut is not None and job.kind != "brief"):
            await self.store.begin(stored.id)
            gone = "This task was deleted; the rest of it was not done." if stored.starts else ""
            await self.endings.end(stored, cut or gone)
        elif stored.event.command == "brief" and cut is not None:
            await self.turns.cut_short(stored, preview, cut)
        elif stored.event.command == "brief":
            await self.turns.work(stored, preview)
        elif program is not None:
            await self._run(stored, job, program)
        elif stored.event.command == "watch":
            await self._watch(stored, job)
        else:
            await self._remind(stored, job)
        if job is not None:
            await self.schedules.settle(job.id)

    async def _remind(self, stored: StoredEvent, job: Job) -> None:
        await self.store.begin(stored.id)
        event, text = stored.event, f"⏰ {stored.event.text}"
        if event.due_at and (event.received_at - event.due_at).total_seconds() > LATE_SECONDS:
            text += f"\n\n(It was due {self.schedules.time(event.due_at)}; I was down.)"
        await self.endings.end(stored, text, links=None if job.label == OWNER else frozenset())

    async def _run(self, stored: StoredEvent, job: Job, program: Program) -> None:
        if not await self.programs.begin(stored, program):
            await self.endings.end(stored, f"⚠️ {INTERRUPTED}", failure=INTERRUPTED)
            return
        try:
            result = await self.jobs.run(program, trace_of(stored, self.owner))
        except SandboxError as error:
            await self._end(stored, job, f"error {error}", f"📦 {error}", failure=str(error))
            return
        text, files = for_person(result, program.language, network=self.jobs.standing.network)
        seen = "" if not job.seen and _is_silent(result) else _digest(result)
        if seen == job.seen:
            await self._end(stored, job, seen, "")
        else:
            text = f"📦 Task {job.number}\n{text}"
            await self.programs.end(stored, text, files, label=job.label, seen=seen)

    async def _watch(self, stored: StoredEvent, job: Job) -> None:
        await self.store.begin(stored.id)
        url, words = watched(job.text)
        head, body, failure = await self._look(stored, url, words)
        was, _, former = job.seen.partition("\n")
        if head != was:
            usual = not was and head == _head(200, words, found=False)
            text = "" if usual else f"🔔 `{url}` {head}." + f" Before, it {was}." * bool(was)
        else:
            text = f"🔔 The text of `{url}` changed:\n{code_block(_news(former, body))}"
        await self._end(stored, job, f"{head}\n{body}", text, failure=failure)

    async def _look(self, stored: StoredEvent, url: str, words: str) -> tuple[str, str, str]:
        """Return what a page is like, in our words; its text, where that matters; a failure."""
        entry = AuditEntry(
            type="schedule",
            trace=trace_of(stored, self.owner),
            action="fetch",
            target=url,
            job=f"{stored.event.job}",
        )
        if rule := self.schedules.rule_against(url):
            await self.audit.record(replace(entry, decision="deny", rule=rule))
            return "is ruled out by POLICY_DENY", "", f"POLICY_DENY rules it out ({rule})"
        try:
            async with effect(self.audit, entry):
                page = await self.fetcher.read(url, PAGE_CHARS)
        except FetchError as error:
            # One that does not answer may be what is watched for; one that is refused never will.
            refused = f"{error}" if isinstance(error, FetchRefused) else ""
            return f"could not be fetched: {error}", "", refused
        text = self.redact(page.text)
        found = words.casefold() in text.casefold()
        return _head(page.status, words, found=found), "" if words else text, ""

    async def _end(
        self, stored: StoredEvent, job: Job, seen: str, text: str, failure: str = ""
    ) -> None:
        """End a run, which speaks only if it saw something new."""
        said = "" if seen == job.seen else text
        await self.endings.end(stored, said, seen=seen, failure=failure)


def _head(status: int, words: str, *, found: bool) -> str:
    contains = f" and {'contains' if found else 'does not contain'} “{words}”" if words else ""
    return f"answers {status}{contains}"


def _is_silent(result: RunResult) -> bool:
    return result.outcome == "ok" and not (result.stdout.strip() or result.stderr or result.files)


def _digest(result: RunResult) -> str:
    """Name what a program gave, whatever time and box it took."""
    same = replace(result, seconds=0.0, backend="", grade="C", served="cold")
    return hashlib.sha256(repr(same).encode("utf-8", "replace")).hexdigest()


def _news(old: str, new: str) -> str:
    """Return lines that are new, or tell that some are gone."""
    known = set(old.splitlines())
    lines: Sequence[str] = [line for line in new.splitlines() if line not in known]
    return "\n".join(lines)[:NEWS_CHARS] or "(some of it is gone, or stands elsewhere)"
