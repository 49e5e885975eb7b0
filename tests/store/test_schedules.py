"""Jobs and runs in the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from assurebot.ports import Ending, Incoming
from assurebot.store.database import SqlStore
from assurebot.values import Job, JobRun, Person, Piece, Place, StoredEvent, Trace
from tests.store.making import HERE, NOW, THERE, SetClock, event, store

HOUR = timedelta(hours=1)
DUE = NOW + HOUR
JOB = Job(
    place=HERE,
    actor=Person(user_id=42),
    kind="brief",
    text="x",
    when="every: 1h",
    zone="UTC",
    anchor=NOW,
    window_seconds=60,
    next_at=DUE,
)


async def kept(opened: SqlStore, job: Job = JOB) -> Job:
    """Keep a job."""
    found = await opened.add_job(job, 9)
    assert found is not None
    return found


async def claimed(opened: SqlStore, job: Job, key: str = "1") -> tuple[str, StoredEvent | None]:
    """Claim a run of a job, which moves on by an hour."""
    made = replace(event(key, job.place), source="schedule", kind="job", job=job.id)
    item = Incoming(source="schedule", key=key, event=made, raw="", received_at=NOW)
    later = None if job.next_at is None else job.next_at + HOUR
    run = JobRun(due_at=job.next_at or NOW, at=NOW, state="running")
    return await opened.claim(job, later, run, item) or ("nothing", None)


async def test_numbers_count_in_each_chat_and_never_twice(tmp_path: Path) -> None:
    """A number that was given names nothing else later, also over a restart."""
    async with store(tmp_path) as opened:
        first, second = await kept(opened), await kept(opened)
        other = await kept(opened, replace(JOB, place=THERE))
        assert [job.number for job in (first, second, other)] == [1, 2, 1]
        await opened.delete_job(second.id)
    async with store(tmp_path) as opened:
        assert (await kept(opened)).number == 3
        assert [job.number for job in await opened.jobs(HERE.chat_id)] == [1, 3]
        assert await opened.jobs(THERE.chat_id) == (other,)
        assert await opened.add_job(JOB, 2) is None
        assert await opened.job(first.id) == first
        assert await opened.job(second.id) is None


async def test_a_run_is_claimed_once(tmp_path: Path) -> None:
    """Of two that take the same moment one does; the job, its run and the event are one commit."""
    async with store(tmp_path) as opened:
        job = await kept(opened)
        assert await opened.due(DUE - timedelta(seconds=1), 9) == ()
        assert await opened.due(DUE, 9) == (job,)
        state, run = await claimed(opened, job)
        assert (state, run and run.event.job) == ("running", job.id)
        assert await claimed(opened, job) == ("nothing", None)
        assert (await opened.next_due(), await opened.due(DUE, 9)) == (DUE + HOUR, ())
        assert await opened.unfinished() == (run,)
        assert await opened.job_runs(job.id, 9) == (JobRun(due_at=DUE, at=NOW, state="running"),)


async def test_a_run_that_is_known_moves_the_job_on(tmp_path: Path) -> None:
    """A moment that ran before is not run again, and does not stay due."""
    async with store(tmp_path) as opened:
        job = await kept(opened)
        _, run = await claimed(opened, job)
        assert run is not None
        await opened.finish(run.id, Ending(place=HERE, trace=Trace()))
        await opened.hold_job(job.id, DUE)
        assert await claimed(opened, job) == ("nothing", None)
        assert await opened.next_due() == DUE + HOUR


async def test_a_run_that_has_not_ended_keeps_the_next_from_starting(tmp_path: Path) -> None:
    """Only its end lets another start, and what is due meanwhile is written down."""
    async with store(tmp_path) as opened:
        job = await kept(opened)
        _, run = await claimed(opened, job)
        later = replace(job, next_at=DUE + HOUR)
        assert await claimed(opened, later, "2") == ("overlapped", None)
        assert run is not None
        await opened.finish(run.id, Ending(place=HERE, trace=Trace()))
        again = replace(job, next_at=DUE + 2 * HOUR)
        assert (await claimed(opened, again, "3"))[0] == "running"
        states = [each.state for each in await opened.job_runs(job.id, 9)]
        assert states == ["running", "overlapped", "quiet"]


@pytest.mark.parametrize(
    ("ending", "state", "note", "failures"),
    [
        (Ending(place=HERE, trace=Trace(), pieces=(Piece(text="x"),), seen="new"), "done", "", 0),
        (Ending(place=HERE, trace=Trace(), seen="new"), "quiet", "", 0),
        (Ending(place=HERE, trace=Trace(), failure="no box", seen="new"), "failed", "no box", 3),
        (Ending(place=HERE, trace=Trace(), error="5 starts"), "failed", "5 starts", 3),
    ],
)
async def test_what_a_run_came_to_is_kept(
    tmp_path: Path, ending: Ending, state: str, note: str, failures: int
) -> None:
    """With the ending of its event: its state, what it saw, and the failures in a row."""
    async with store(tmp_path) as opened:
        job = await kept(opened, replace(JOB, failures=2, seen="old"))
        _, run = await claimed(opened, job)
        assert run is not None
        await opened.finish(run.id, ending)
        (found,) = await opened.job_runs(job.id, 9)
        assert (found.state, found.note) == (state, note)
        now = await opened.job(job.id)
        assert now == replace(
            job, next_at=DUE + HOUR, failures=failures, seen="old" if ending.error else "new"
        )


async def test_a_job_without_a_next_time_is_over(tmp_path: Path) -> None:
    """It is listed no more, can be found for its last run, and is dropped after a week."""
    async with store(tmp_path) as opened:
        job = await kept(opened)
        made = replace(event("1"), source="schedule", kind="job", job=job.id)
        item = Incoming(source="schedule", key="1", event=made, raw="", received_at=NOW)
        await opened.claim(job, None, JobRun(due_at=DUE, at=NOW, state="running"), item)
        assert await opened.jobs(HERE.chat_id) == ()
        assert await opened.job(job.id) == replace(job, next_at=None)
        assert await opened.next_due() is None
        await opened.begin_with("bot")
        assert await opened.job(job.id) is not None
    async with SqlStore(tmp_path / "test.db", SetClock(NOW + timedelta(days=8))) as opened:
        await opened.begin_with("bot")
        assert (await opened.job(job.id), await opened.job_runs(job.id, 9)) == (None, ())


async def test_named_jobs_are_what_they_are_named(tmp_path: Path) -> None:
    """New ones are made, changed ones begin anew, others stand as they stood, the rest rests."""
    async with store(tmp_path) as opened:
        own = await kept(opened, replace(JOB, place=Place(chat_id=7)))
        a, b = replace(JOB, name="a"), replace(JOB, name="b")
        await opened.name_jobs([a, b])
        first, second = await opened.jobs(HERE.chat_id)
        await claimed(opened, first)
        await opened.hold_job(second.id, None)
        await opened.name_jobs(
            [replace(a, anchor=DUE, next_at=DUE + 9 * HOUR), replace(b, text="y")]
        )
        found = {job.name: job for job in await opened.jobs(HERE.chat_id)}
        assert found["a"] == replace(first, next_at=DUE + HOUR)
        assert found["b"] == replace(second, text="y")
        await opened.name_jobs([b])
        assert [job.name for job in await opened.jobs(HERE.chat_id)] == ["b"]
        assert await opened.next_due() == DUE
        await opened.name_jobs([a, b])
        assert (await opened.job_runs(first.id, 9))[0].state == "running"
        assert (await opened.jobs(HERE.chat_id))[0].number == 1
        assert await opened.jobs(7) == (own,)


async def test_named_jobs_move_to_another_owner(tmp_path: Path) -> None:
    """They get a number in the new chat, and begin anew; the old one has nothing of them."""
    async with store(tmp_path) as opened:
        await opened.name_jobs([replace(JOB, name="a")])
        (job,) = await opened.jobs(HERE.chat_id)
        await opened.hold_job(job.id, None)
        place = Place(chat_id=7)
        other = await kept(opened, replace(JOB, place=place))
        await opened.name_jobs([replace(JOB, name="a", place=place, actor=Person(user_id=7))])
        assert await opened.jobs(HERE.chat_id) == ()
        moved = replace(job, place=place, actor=Person(user_id=7), number=2)
        assert await opened.jobs(7) == (moved, other)


async def test_a_run_that_has_not_ended_is_kept_however_old(tmp_path: Path) -> None:
    """It keeps the next from starting, though more were due meanwhile than are kept."""
    async with store(tmp_path) as opened:
        job = await kept(opened)
        states = [
            (await claimed(opened, replace(job, next_at=DUE + n * HOUR), str(n)))[0]
            for n in range(30)
        ]
        assert states == ["running"] + ["overlapped"] * 29
        states = [run.state for run in await opened.job_runs(job.id, 99)]
        assert states == ["overlapped"] * 20 + ["running"]


async def test_only_the_latest_runs_are_kept(tmp_path: Path) -> None:
    """However often a job runs, what is stored of it does not grow."""
    async with store(tmp_path) as opened:
        job = await kept(opened)
        for n in range(30):
            _, run = await claimed(opened, replace(job, next_at=DUE + n * HOUR), str(n))
            assert run is not None
            await opened.finish(run.id, Ending(place=HERE, trace=Trace()))
        runs = await opened.job_runs(job.id, 99)
        assert [run.due_at for run in runs] == [DUE + n * HOUR for n in range(29, 9, -1)]
    with closing(sqlite3.connect(tmp_path / "test.db")) as connection:
        assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (20,)
