"""Schedules through the running program: people write, time passes, the bot speaks once.

The clock of the program is not exchanged: for a job to be due, its moment is moved in the database
while the program is down.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assurebot.demo.model import Turn
from assurebot.errors import FetchFailed
from assurebot.turns.pace import Rate, Rates
from assurebot.values import BoxStanding, Page, Program, RunResult
from tests.doubles import FakeSandbox
from tests.obeying import Pages, with_pages
from tests.scheduling import REMINDER, due, fires, pressed, reminders, runs
from tests.scripts import LIMIT_SECONDS, Gate
from tests.world import OWNER, World, quick, running


class Seen(Pages):
    """Pages that are as they are set.

    Attributes:
        page: The text, the status, or the error of all of them.
    """

    def __init__(self, page: str | int | Exception = "") -> None:
        super().__init__()
        self.page = page

    async def read(self, url: str, chars: int) -> Page:
        """Give the page as it is now."""
        page = await super().read(url, chars)
        if isinstance(self.page, Exception):
            raise self.page
        status = self.page if isinstance(self.page, int) else 200
        return replace(page, status=status, text=str(self.page))


@pytest.mark.parametrize("late", [-1, 0, 13, 3 * 3600])
async def test_a_reminder_comes_once_over_a_restart(tmp_path: Path, late: int) -> None:
    """Started again 1 s before it is due, at the moment, 13 s or 3 h later: it is said once."""
    async with running(tmp_path) as world:
        kept = await world.ask("/remind 20m call Bob", "Task 1")
        assert kept.text.startswith("⏰ Task 1: Once, at ")
        await world.stop()
        due(world, late)
        await world.start()
        said = await world.answer(contains=REMINDER)
        assert ("I was down" in said.text) == (late > 60)
        await world.restart()
        await world.ask("/tasks", "There are no tasks here.")
        assert len(reminders(world)) == 1
        assert len(world.model.requests) == 0
        assert world.rows("SELECT state FROM runs") == [("done",)]
        await world.stop()
        (line,) = world.audit(type="schedule")
        assert (line["action"], line["job"], line["result"]) == ("remind", "1", "running")


async def test_the_alarm_rings_while_it_runs(tmp_path: Path) -> None:
    """Without a restart it comes when it is due, not before, though tasks are added meanwhile."""
    async with running(tmp_path) as world:
        await world.ask("/remind 20m call Bob", "Task 1")
        at = datetime.now(UTC) + timedelta(seconds=1.5)
        due(world, -1.5)
        await world.ask("/remind 9h poke", "Task 2")
        assert reminders(world) == []
        await world.answer(contains=REMINDER)
        assert 0 <= (datetime.now(UTC) - at).total_seconds() < 5
        assert (await world.health())[0] == 200


# --- the four kinds


async def test_a_briefing_is_a_turn_with_the_prompt(tmp_path: Path) -> None:
    """The model is asked with the words of the task; what it answers is in the conversation."""
    async with running(tmp_path, TIMEZONE="Europe/Berlin") as world:
        kept = await world.ask("/schedule cron: 0 8 * * 1-5 | Brief me", "Task 1")
        assert "Monday through Friday" in kept.text
        assert kept.text.count(" 08:00") == 1 + 3
        await fires(world)
        await world.answer(contains="Brief me")
        await world.ask("And then?", "And then?")
        assert world.model.requests[-1].user_texts == ("Brief me", "And then?")
        assert await runs(world, 1) == ["done"]


async def test_a_program_speaks_when_its_output_changed(tmp_path: Path) -> None:
    """The first output is told and each other one after it, but never the same again."""
    outputs = ["one", "one", "two"]

    def printing(_program: Program) -> RunResult:
        return RunResult(outcome="ok", exit_code=0, stdout=outputs.pop(0), grade="A")

    parts = quick(box=lambda *_, **__: nullcontext(FakeSandbox(printing)))
    async with running(tmp_path, parts=parts) as world:
        await world.ask("/schedule every: 1h | run: python print(open('x'))", "Task 1")
        states = ["done", "quiet", "done"]
        for n in range(1, 4):
            assert await pressed(world, "⚡ Run now 1") == "Started."
            assert await runs(world, n) == states[:n]
        await world.answer(contains="two")
        told = [text for text in world.texts() if text.startswith("📦")]
        assert [text.split()[:4] for text in told] == [
            ["📦", "Task", "1", "one"],
            ["📦", "Task", "1", "two"],
        ]


async def test_a_watched_page_speaks_when_it_changed(tmp_path: Path) -> None:
    """The first sight is quiet; a new text, status or failure is told once, and its end."""
    pages = Seen()
    async with running(tmp_path, parts=with_pages(pages)) as world:
        await world.ask("/schedule every: 1h | watch: https://a.example/x", "Task 1")
        expected = []
        for page, said in (
            ("old", ""),
            ("old", ""),
            ("old\nnew http://evil.example", "🔔 The text of https://a.example/x changed:"),
            (500, "🔔 https://a.example/x answers 500. Before, it answers 200."),
            (FetchFailed("timed out"), "could not be fetched: timed out. Before, it answers 500."),
            (FetchFailed("timed out"), ""),
            ("old", "answers 200. Before, it could not be fetched: timed out."),
        ):
            pages.page = page
            expected.append("done" if said else "quiet")
            before = world.texts()
            assert await pressed(world, "⚡ Run now 1") == "Started."
            assert await runs(world, len(expected)) == expected
            if said:
                await world.answer(contains=said)
            assert len(world.texts()) - len(before) == 1 + bool(said)
        assert set(pages.fetched) == {"https://a.example/x"}
        assert len(world.model.requests) == 0
        (news,) = [m for m in world.telegram.messages(OWNER) if "evil" in m.text]
        assert {entity.type for entity in news.entities} <= {"code", "pre"}
        await world.stop()
        lines = world.audit(type="schedule", action="fetch")
        assert [line["phase"] for line in lines] == ["intent", "result"] * 7


async def test_words_on_a_page_are_told_when_they_come_and_go(tmp_path: Path) -> None:
    """With `contains` nothing but these words and the status counts, and they count at once."""
    pages = Seen("In Stock: 3")
    async with running(tmp_path, parts=with_pages(pages)) as world:
        await world.ask(
            "/schedule every: 1h | watch: https://a.example contains in stock", "Task 1"
        )
        for n, (page, state) in enumerate(
            [("In Stock: 3", "done"), ("in stock: 2", "quiet"), ("none left", "done")], 1
        ):
            pages.page = page
            await pressed(world, "⚡ Run now 1")
            assert (await runs(world, n))[-1] == state
        await world.answer(contains="answers 200 and does not contain “in stock”. Before, it")


# --- once


async def test_a_fall_in_the_midst_of_a_briefing_repeats_nothing(tmp_path: Path) -> None:
    """A run that was cut off goes on after the restart as the same run, and answers once."""
    gate = Gate(lambda ask: Turn(text="Good morning.", delay_seconds=60 * (ask.n == 1)))
    async with running(tmp_path, gate, parts=quick(grace_seconds=0.05)) as world:
        await world.ask("/schedule every: 1d | Brief me", "Task 1")
        await fires(world)
        await gate.wait()
        await world.fall()
        await world.start(polls=False)
        await world.answer(contains="Good morning.")
        assert await runs(world, 1) == ["done"]
        assert world.texts().count("Good morning.") == 1


async def test_what_was_missed_is_skipped_where_the_task_says_so(tmp_path: Path) -> None:
    """A run that is too late is not made up for: it is *missed*, and a last one is told."""
    async with running(tmp_path) as world:
        await world.ask("/schedule every: 1h | missed: skip | Brief me", "Task 1")
        await world.ask("/schedule at: 20m | missed: 1h | remind: call Bob", "Task 2")
        await fires(world, late=3 * 3600)
        assert await runs(world, 2) == ["missed", "missed"]
        assert (await world.answer(contains="⌛")).text.endswith("was missed: call Bob")
        shown = await world.ask("/tasks 1", "missed")
        assert shown.text.startswith("[1] brief, Every 1h; next ")
        assert (len(world.model.requests), reminders(world)) == (0, [])


async def test_a_task_that_still_runs_is_not_started_again(tmp_path: Path) -> None:
    """What is due meanwhile is noted as overlapped; a press is told."""
    gate = Gate(lambda _ask: Turn(text="Done.", delay_seconds=60))
    async with running(tmp_path, gate, parts=quick(grace_seconds=0.05)) as world:
        await world.ask("/schedule every: 1d | Brief me", "Task 1")
        assert await pressed(world, "⚡ Run now 1") == "Started."
        await gate.wait()
        assert await pressed(world, "⚡ Run now 1") == "It is still running."
        await fires(world)
        await gate.wait()
        states = world.rows("SELECT state FROM runs ORDER BY id")
        assert states == [("running",), ("overlapped",), ("overlapped",)]


async def test_a_task_whose_runs_raise_is_paused_too(tmp_path: Path) -> None:
    """A run that is given up counts as any other that failed."""
    pages = Seen(RuntimeError("boom"))
    async with running(tmp_path, parts=with_pages(pages)) as world:
        await world.ask("/schedule every: 1h | watch: https://a.example/x", "Task 1")
        world.rows("UPDATE jobs SET failures = 4")
        await pressed(world, "⚡ Run now 1")
        await world.answer(contains="⏸ Task 1 failed 5 times and is paused.")
        assert await runs(world, 1) == ["failed"]


async def test_a_task_that_fails_and_fails_is_paused(tmp_path: Path) -> None:
    """Five failures in a row pause it, told once, though each is told once; to resume forgets."""
    box = FakeSandbox(standing=BoxStanding(reason="no box here"))
    parts = quick(box=lambda *_, **__: nullcontext(box))
    async with running(tmp_path, parts=parts) as world:
        await world.ask("/schedule every: 1h | run: python 1", "Task 1")
        for n in range(1, 6):
            await pressed(world, "⚡ Run now 1")
            assert await runs(world, n) == ["failed"] * n
        paused = await world.answer(contains="⏸")
        assert paused.text == "⏸ Task 1 failed 5 times and is paused. /tasks shows it."
        assert [text for text in world.texts() if text.startswith("📦")] == ["📦 no box here"]
        await world.restart()  # until then it may not have been paused yet
        assert world.rows("SELECT paused, next_at FROM jobs") == [(1, None)]
        assert "paused" in (await world.ask("/tasks", "[1]")).text
        assert (await pressed(world, "▶️ Resume 1") or "").startswith("Goes on: ")
        assert world.rows("SELECT paused, failures, next_at > 0 FROM jobs") == [(0, 0, 1)]


async def test_panic_holds_schedules_over_restarts(tmp_path: Path) -> None:
    """What is due while everything is held waits for `/resume`."""
    async with running(tmp_path) as world:
        await world.ask("/remind 20m call Bob", "Task 1")
        await world.ask("/panic", "Everything is held", by=world.user)
        await fires(world)
        await world.ask("/tasks", "[1]")
        await asyncio.sleep(0.5)
        assert (world.rows("SELECT * FROM runs"), reminders(world)) == ([], [])
        assert (await world.health())[0] == 200
        await world.ask("/resume", "Going on.")
        await world.answer(contains=REMINDER)


# --- falls


async def test_what_is_due_is_said_however_often_the_program_falls(tmp_path: Path) -> None:
    """Of forty reminders that are due while it falls again and again each runs once."""
    slow = Rate(seconds=0.02, burst=1)
    rates = Rates(private=slow, group=slow, overall=slow)
    async with running(tmp_path, parts=quick(grace_seconds=0.001, rates=rates)) as world:
        for n in range(40):
            await world.ask(f"/remind 20m call Bob {n}.", f"Task {n + 1}:")
        await world.stop()
        due(world)
        started = []
        for n in (1, 12, 25, 36):
            await world.start(polls=False)
            await world.meanwhile(more_runs(world, n))
            await world.fall()
            started.append((*world.rows("SELECT count(*) FROM runs")[0], len(reminders(world))))
        assert started[0] < started[1] < (40, 40)  # it fell while they were begun, and sent
        await world.start(polls=False)
        for n in range(40):
            await world.answer(contains=f"{REMINDER} {n}.")
        assert await runs(world, 40) == ["done"] * 40
        assert world.rows("SELECT count(*) FROM inbox WHERE source = 'schedule'") == [(40,)]
        assert len(reminders(world)) <= 40 + 4  # a send that a fall cut off may come twice


async def more_runs(world: World, count: int) -> None:
    """Wait until so many runs were begun; nothing tells of it by itself."""
    async with asyncio.timeout(LIMIT_SECONDS):
        for _ in iter(lambda: world.rows("SELECT count(*) FROM runs")[0][0] >= count, True):
            await asyncio.sleep(0.001)
