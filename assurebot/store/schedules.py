"""Jobs, when they are due next, and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, update

from assurebot.ports import Ending, Incoming
from assurebot.store import facts, inbox
from assurebot.store.codec import JOB, dump, readable
from assurebot.store.schema import UNENDED, jobs, runs
from assurebot.store.schema import inbox as events
from assurebot.values import Job, JobRun, RunState, StoredEvent

COLUMNS = (jobs.c.id, jobs.c.number, jobs.c.paused, jobs.c.next_at, jobs.c.failures, jobs.c.seen)
KEPT_RUNS = 20
"""So many of each job are kept."""

DEFINITION = ("place", "actor", "kind", "text", "when", "zone", "window_seconds")


def add(connection: Connection, job: Job, limit: int) -> Job | None:
    """Insert a job under the next number of its chat; `None` if the chat has so many."""
    chat = job.place.chat_id
    count = select(func.count()).where(jobs.c.chat_id == chat, jobs.c.state == "on")
    if connection.execute(count).scalar_one() >= limit:
        return None
    row = insert(jobs).values(name=job.name, **_numbered(connection, chat), **_changing(job))
    made = connection.execute(row.returning(*COLUMNS)).mappings().one()
    return replace(job, **made)


def _numbered(connection: Connection, chat: int) -> dict[str, int]:
    counter = f"jobs:{chat}"
    number = int(facts.get(connection, counter) or 0) + 1
    facts.put(connection, counter, str(number))
    return {"chat_id": chat, "number": number}


def _changing(job: Job) -> dict[str, object]:
    state = "on" if job.next_at or job.paused else "over"
    values = {"state": state, "paused": job.paused, "next_at": job.next_at, "seen": job.seen}
    return {**values, "failures": job.failures, "body": dump(JOB, job)}


def name(connection: Connection, named: Sequence[Job]) -> None:
    """Make the named jobs these; one that is as it was goes on, and each keeps its runs."""
    query = select(jobs.c.name, jobs.c.state, jobs.c.body, *COLUMNS).where(jobs.c.name != "")
    known = {row["name"]: row for row in connection.execute(query).mappings().all()}
    gone = update(jobs).where(jobs.c.name.in_(known.keys() - {job.name for job in named}))
    connection.execute(gone.values(state="gone", next_at=None))
    for job in named:
        row = known.get(job.name)
        if row is None:
            add(connection, job, 1 << 31)
            continue
        former = JOB.validate_json(row["body"])
        same = all(getattr(job, part) == getattr(former, part) for part in DEFINITION)
        if not same or row["state"] == "gone":
            chat = job.place.chat_id
            moved = _numbered(connection, chat) if job.place != former.place else {}
            its_row = update(jobs).where(jobs.c.id == row["id"])
            connection.execute(its_row.values(**_changing(job), **moved))


def _found(connection: Connection, *where: ColumnElement[bool], limit: int = -1) -> tuple[Job, ...]:
    query = select(jobs.c.body, *COLUMNS).where(*where).order_by(jobs.c.next_at, jobs.c.id)
    rows = connection.execute(query.limit(limit)).mappings()
    return readable(
        rows,
        lambda row: replace(JOB.validate_json(row["body"]), **{c.name: row[c] for c in COLUMNS}),
    )


def of(connection: Connection, chat_id: int) -> tuple[Job, ...]:
    """Return the jobs of a chat that are not over, those that are due first before others."""
    return _found(connection, jobs.c.chat_id == chat_id, jobs.c.state == "on")


def by_id(connection: Connection, job_id: int) -> Job | None:
    """Return a job, be it over."""
    return next(iter(_found(connection, jobs.c.id == job_id)), None)


def due(connection: Connection, now: datetime, limit: int) -> tuple[Job, ...]:
    """Return what is due, the longest first."""
    return _found(connection, jobs.c.next_at <= now, limit=limit)


def next_due(connection: Connection) -> datetime | None:
    """Return when the first job is due."""
    found: datetime | None = connection.execute(select(func.min(jobs.c.next_at))).scalar_one()
    return found


def claim(
    connection: Connection, job: Job, next_at: datetime | None, run: JobRun, incoming: Incoming
) -> tuple[RunState, StoredEvent | None] | None:
    """Move a job on and write down its run; see `Store.claim`."""
    over = next_at is None and not job.paused
    moved = update(jobs).where(
        jobs.c.id == job.id, jobs.c.next_at.is_not_distinct_from(job.next_at)
    )
    moved = moved.values(next_at=next_at, state="over" if over else "on")
    if not connection.execute(moved).rowcount:
        return None
    state = run.state
    if state == "running" and _is_open(connection, job.id):
        state = "overlapped"
    added = inbox.add(connection, [incoming]) if state == "running" else ()
    if state == "running" and not added:
        return None
    row = insert(runs).values(job_id=job.id, due_at=run.due_at, at=run.at, state=state)
    connection.execute(row.values(event_id=added[0].id if added else None, note=run.note))
    kept = select(runs.c.id).where(runs.c.job_id == job.id).order_by(runs.c.id.desc())
    kept = kept.limit(KEPT_RUNS)
    open_ = exists().where(events.c.id == runs.c.event_id, events.c.state.in_(UNENDED))
    # What still runs keeps the next from starting, however many were due meanwhile.
    old = runs.c.job_id == job.id, runs.c.id.not_in(kept), ~open_
    # A job that looks every minute would fill the inbox for ever.
    ended = select(events.c.id).where(
        events.c.id.in_(select(runs.c.event_id).where(*old)), events.c.state == "done"
    )
    inbox.strip(connection, ended)
    connection.execute(delete(events).where(events.c.id.in_(ended)))
    connection.execute(delete(runs).where(*old))
    return state, added[0] if added else None


def _is_open(connection: Connection, job_id: int) -> bool:
    its_events = select(runs.c.event_id).where(runs.c.job_id == job_id, runs.c.state == "running")
    unended = exists().where(events.c.id.in_(its_events), events.c.state.in_(UNENDED))
    return bool(connection.execute(select(unended)).scalar_one())


def end(connection: Connection, event_id: int, ending: Ending) -> None:
    """Write down what came of the run that this event is, if it is one."""
    note = ending.error or ending.failure
    state = "failed" if note else "done" if ending.pieces else "quiet"
    ended = update(runs).where(runs.c.event_id == event_id).values(state=state, note=note)
    job_id = connection.execute(ended.returning(runs.c.job_id)).scalar_one_or_none()
    if job_id is None:
        return
    its_row = update(jobs).where(jobs.c.id == job_id)
    connection.execute(its_row.values(failures=jobs.c.failures + 1 if note else 0))
    if ending.seen is not None:
        connection.execute(its_row.values(seen=ending.seen))


def hold(connection: Connection, job_id: int, next_at: datetime | None) -> None:
    """Pause a job, or let it go on at this moment, with all failures forgotten."""
    its_row = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "on")
    paused = next_at is None
    connection.execute(its_row.values(paused=paused, next_at=next_at, failures=0))


def move(connection: Connection, job: Job, next_at: datetime) -> None:
    """See `Store.move_job`."""
    same = jobs.c.id == job.id, jobs.c.next_at == job.next_at
    connection.execute(update(jobs).where(*same).values(next_at=next_at))


def drop(connection: Connection, job_id: int) -> None:
    """Delete a job and its runs."""
    connection.execute(delete(runs).where(runs.c.job_id == job_id))
    connection.execute(delete(jobs).where(jobs.c.id == job_id))


def expire(connection: Connection, before: datetime) -> None:
    """Drop jobs that were over long ago."""
    recent = select(runs.c.job_id).where(runs.c.at >= before)
    over = select(jobs.c.id).where(jobs.c.state == "over", jobs.c.name == "")
    for job_id in connection.execute(over.where(jobs.c.id.not_in(recent))).scalars().all():
        drop(connection, job_id)


def history(connection: Connection, job_id: int, limit: int) -> tuple[JobRun, ...]:
    """Return the latest runs of a job, newest first."""
    query = select(runs.c.due_at, runs.c.at, runs.c.state, runs.c.note)
    query = query.where(runs.c.job_id == job_id).order_by(runs.c.id.desc()).limit(limit)
    return tuple(JobRun(**row) for row in connection.execute(query).mappings())
