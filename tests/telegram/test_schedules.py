"""What the commands about tasks answer, with the store behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from assurebot.store.database import SqlStore
from assurebot.telegram.schedules import SHOWN, ScheduleCommands
from assurebot.turns.schedules import MAX_JOBS
from assurebot.turns.worker import Reply
from assurebot.values import Place, StoredEvent, TextPart
from tests.store.making import HERE, SetClock, event, store
from tests.turns.test_schedules import schedules


@asynccontextmanager
async def commands(folder: Path) -> AsyncIterator[tuple[ScheduleCommands, SqlStore]]:
    """Return the commands and their store."""
    async with store(folder) as opened:
        kept = schedules(opened, SetClock())
        yield ScheduleCommands(schedules=kept, store=opened, end_job=at_rest, enabled=True), opened


async def at_rest(_job_id: int) -> bool:
    """Find no run of any job."""
    return False


async def answer(asked: ScheduleCommands, line: str, place: Place = HERE) -> Reply:
    """Send a command."""
    command, _, text = line.removeprefix("/").partition(" ")
    made = replace(event("1", place), kind="command", command=command, parts=(TextPart(text=text),))
    return await asked.answer(StoredEvent(id=1, event=made))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/schedule", "I cannot keep that: write `/schedule WHEN | WHAT`"),
        ("/schedule every: 1s | x", "I cannot keep that: write a time from 1m to 365d"),
        ("/remind", "I cannot keep that: begin with the time, such as `20m call Bob`"),
        ("/remind at noon", "I cannot keep that: begin with the time, such as `20m call Bob`"),
        (
            "/remind 20m call Bob",
            "⏰ Task 1: Once, at 07:28 on 2026-05-06 (UTC); next Wed 2026-05-06 07:28.",
        ),
        ("/tasks", "There are no tasks here. /schedule and /remind make them."),
        ("/tasks 1", "There is no task 1 here. /schedule and /remind make them."),
        ("/deltask", "`/deltask 3` deletes task 3; /tasks shows the numbers."),
        ("/deltask all", "There is no such task here. `/deltask 3` deletes task 3"),
    ],
)
async def test_answers(tmp_path: Path, line: str, text: str) -> None:
    """Each says what was done, or how it is written."""
    async with commands(tmp_path) as (asked, _):
        assert (await answer(asked, line)).text.startswith(text)


async def test_a_list_shows_the_first_and_counts_the_rest(tmp_path: Path) -> None:
    """A chat has at most so many tasks; what is due first stands first, with its buttons."""
    async with commands(tmp_path) as (asked, opened):
        for n in range(MAX_JOBS):
            await answer(asked, f"/remind {MAX_JOBS - n}h number {n}")
        full = await answer(asked, "/remind 1h more")
        assert (
            full.text == f"There are {MAX_JOBS} tasks here, and no room for more: delete one first."
        )
        reply = await answer(asked, "/tasks")
        lines = reply.text.splitlines()
        assert lines[1].startswith(f"[{MAX_JOBS}] remind, Once, at ")
        assert lines[-2:] == [f"{MAX_JOBS - SHOWN} more.", "`/tasks 1` shows one."]
        kinds = [kind for _, kind in reply.buttons]
        assert kinds[:4] == [
            f"job:{verb}:{MAX_JOBS}" for verb in ("run", "pause", "delete", "history")
        ]
        assert len(kinds) == 4 * 5
        assert len({button.id for button, _ in reply.buttons}) == 4 * 5
        assert len(await opened.jobs(HERE.chat_id)) == MAX_JOBS


async def test_what_a_task_says_cannot_leave_its_block(tmp_path: Path) -> None:
    """Its words are shown as one line in which nothing hides and nothing is a link."""
    async with commands(tmp_path) as (asked, _):
        await answer(asked, "/remind 1h ```\n[x](http://evil.example) \u202eabc")
        text = (await answer(asked, "/tasks")).text
        assert text.startswith("````\n[1] remind")
        assert text.endswith("\n````")
        assert "\u202e" not in text
