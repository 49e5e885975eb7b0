"""Whose tasks are, what they may do and cost, and those of the environment; from the outside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assurebot.app import serve
from assurebot.demo.model import Turn
from assurebot.errors import ConfigError
from tests.asking import becomes, data_of, forge, lapse, press
from tests.obeying import Pages, do, obeying, outcome, question, seen, with_pages
from tests.scheduling import REMINDER, fires, pressed, reminders, runs
from tests.world import GROUP, OWNER, USER, running

# --- whose they are


async def test_buttons_pause_show_and_delete(tmp_path: Path) -> None:
    """A paused task is not due; its runs are shown; a deleted one is gone, for its buttons too."""
    async with running(tmp_path) as world:
        await world.ask("/remind every 2h call Bob", "Task 1")
        listed = await world.ask("/tasks", "[1]")
        assert await press(world, listed, "⏸ Pause 1") == "Paused."
        assert world.rows("SELECT paused, next_at FROM jobs") == [(1, None)]
        assert await press(world, listed, "⚡ Run now 1") == "Started."
        await world.answer(contains=REMINDER)
        assert world.rows("SELECT paused, next_at FROM jobs") == [(1, None)]
        assert await press(world, listed, "📜 History 1") == "Its last runs."
        assert "done" in (await world.answer(contains=": call Bob\n")).text
        assert await press(world, listed, "🗑 Delete 1") == "Task 1 is deleted."
        assert await press(world, listed, "⚡ Run now 1") == "This task is gone."
        assert (world.rows("SELECT * FROM jobs"), world.rows("SELECT * FROM runs")) == ([], [])
        await world.ask("/remind 20m call Bob", "Task 2")


@pytest.mark.parametrize("other", ["user", "owner"])
async def test_nobody_learns_of_the_tasks_of_another(tmp_path: Path, other: str) -> None:
    """No command, button, number or tool of one person shows or changes a task of another."""
    async with running(tmp_path, obeying) as world:
        one, two = (world.owner, world.user) if other == "user" else (world.user, world.owner)
        for n in (1, 2):
            await world.ask("/remind 20m call Bob", f"Task {n}", by=one)
        listed = await world.ask("/tasks", "[1]", by=one)
        before = world.rows("SELECT * FROM jobs")
        for command, contains in (
            ("/tasks", "There are no tasks here."),
            ("/tasks 1", "There is no task 1 here."),
            ("/deltask 1", "There is no such task here."),
            ("/approvals", "Nothing waits"),
        ):
            await world.ask(command, contains, by=two)
        for label in ("⚡ Run now 1", "⏸ Pause 1", "🗑 Delete 1", "📜 History 1"):
            note = await forge(world, listed, data_of(listed, label), two)
            assert note == "This button is no longer in use."
        assert world.rows("SELECT * FROM jobs") == before
        said = two.say(do("schedule", when="at: 20m", kind="remind", text="mine"))
        # Numbers begin anew for each: how many others have is not seen in one's own.
        assert (await outcome(world, said, two.user_id)).startswith("⏰ Task 1: Once, at ")
        await world.ask("/deltask 1", "Task 1 is deleted.", by=two)
        await fires(world)
        await world.answer(one.user_id, REMINDER)
        assert await runs(world, 2) == ["done", "done"]
        assert [text for text in world.texts(two.user_id) if "Bob" in text] == []


async def test_a_group_has_its_own_tasks(tmp_path: Path) -> None:
    """What is made in a group belongs to it: its members see it there, and nobody in private."""
    async with running(tmp_path, ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        said = world.owner.say("/remind@stand_in_bot 20m call Bob", GROUP)
        await world.answer(GROUP, "Task 1", after=said)
        await world.ask("/tasks", "There are no tasks here.")
        said = world.user.say("/tasks@stand_in_bot", GROUP)
        await world.answer(GROUP, "[1]", after=said)
        await fires(world)
        await world.answer(GROUP, REMINDER)
        assert reminders(world) == []


async def test_tasks_of_who_is_not_allowed_any_more_rest(tmp_path: Path) -> None:
    """Whoever is taken off the list has nothing run, and the others' tasks go on."""
    async with running(tmp_path) as world:
        await world.ask("/remind 20m call Bob", "Task 1", by=world.user)
        await world.ask("/remind 20m call Bob", "Task 1")
        world.environ["ALLOWED_USERS"] = str(OWNER)
        await fires(world)
        await world.answer(contains=REMINDER)
        assert world.rows("SELECT chat_id, paused FROM jobs") == [(USER, 1), (OWNER, 0)]
        assert reminders(world, USER) == []


# --- taint and money


async def test_a_task_made_in_a_tainted_turn_stays_tainted(tmp_path: Path) -> None:
    """To make it needs a press; when it runs, a call that changes something asks its owner."""
    note = do("remember", text="milk")
    made = do("schedule", when="every: 1d", kind="brief", text=note)
    async with running(tmp_path, obeying) as world:
        asked = await question(world, world.user.forward(made), USER)
        await press(world, asked, "✅ Approve", world.user)
        await world.answer(USER, "It gave: ⏰ Task 1", after=asked.message_id)
        await world.ask("/new", "A fresh start", by=world.user)
        listed = await world.ask("/tasks", "⚠ from outside", by=world.user)
        await fires(world)
        asked = await question(world, listed.message_id, USER)
        assert "For Ben (id 43): run remember?" in asked.text
        assert (" schedule>>>\n" in seen(world), note in seen(world)) == (True, True)
        assert world.rows("SELECT state FROM runs") == [("running",)]
        await press(world, asked, "❌ Deny", world.user)
        await world.answer(USER, "It gave: ", after=asked.message_id)
        assert (await runs(world, 1), world.rows("SELECT * FROM memory")) == (["done"], [])


async def test_a_task_whose_question_expires_says_what_was_not_done(tmp_path: Path) -> None:
    """Nobody presses: the run ends with what it has, and its next time is not kept back."""
    made = do("schedule", when="every: 1d", kind="brief", text=do("remember", text="milk"))
    async with running(tmp_path, obeying) as world:
        asked = await question(world, world.owner.forward(made))
        await press(world, asked, "✅ Approve")
        await world.answer(contains="It gave: ⏰ Task 1", after=asked.message_id)
        await world.ask("/new", "A fresh start")
        since = (await world.ask("/tasks", "[1]")).message_id
        await fires(world)
        asked = await question(world, since)
        await world.stop()
        lapse(world)
        await world.start()
        assert "was not approved" in (await becomes(world, asked, "⌛")).text
        await world.answer(contains="It gave: ", after=since)
        assert (await runs(world, 1), world.rows("SELECT * FROM memory")) == (["done"], [])
        assert await pressed(world, "⚡ Run now 1") == "Started."


async def test_a_task_that_the_owner_wrote_is_the_owners_words(tmp_path: Path) -> None:
    """Its calls need no press in a turn without content from outside."""
    async with running(tmp_path, obeying) as world:
        await world.ask(f"/schedule every: 1d | {do('remember', text='milk')}", "Task 1")
        await fires(world)
        await world.answer(contains="It gave: noted as 1")


async def test_a_page_that_the_operator_denies_is_not_watched(tmp_path: Path) -> None:
    """POLICY_DENY refuses it when it is asked for, and again before each look."""
    pages = Pages()
    task = "/schedule every: 1h | watch: https://a.example/x"
    async with running(tmp_path, parts=with_pages(pages)) as world:
        await world.ask(task, "Task 1")
        world.environ["POLICY_DENY"] = "fetch_url:*://a.example/*"
        await world.restart()
        await world.ask(task, "I cannot keep that: POLICY_DENY rules this page out")
        await pressed(world, "⚡ Run now 1")
        await world.answer(contains="https://a.example/x is ruled out by POLICY_DENY.")
        assert (await runs(world, 1), pages.fetched) == (["failed"], [])
        await world.stop()
        (line,) = world.audit(type="schedule", action="fetch")
        assert (line["decision"], line["rule"]) == ("deny", "deny:fetch_url:*://a.example/*")


async def test_the_budget_of_a_task_holds(tmp_path: Path) -> None:
    """A run that does not fit is not made, over restarts; other tasks and words go on."""
    async with running(
        tmp_path,
        lambda ask: Turn(text=f"Done: {ask.last_user_text}", output_tokens=1024),
        AI_PRICE="0,1000",
        MAX_OUTPUT_TOKENS="1024",
        BUDGET_DAILY_USD="50",
        BUDGET_JOB_USD="1.5",
    ) as world:
        await world.ask("/schedule every: 1d | one", "Task 1")
        await world.ask("/schedule every: 1d | two", "Task 2")
        await pressed(world, "⚡ Run now 1")
        assert await runs(world, 1) == ["done"]
        await world.restart()
        await pressed(world, "⚡ Run now 1")
        met = "the budget of $1.5 a day for each scheduled task (BUDGET_JOB_USD)"
        await world.answer(contains=f"⏱ I stopped at {met}")
        await pressed(world, "⚡ Run now 2")
        assert await runs(world, 3) == ["done", "failed", "done"]
        await world.ask("and I?", "Done: and I?")
        assert world.rows("SELECT job_id, count(*) FROM spend GROUP BY 1 ORDER BY 1") == [
            (None, 1),
            (1, 1),
            (2, 1),
        ]
        assert len([text for text in world.texts() if text.startswith("💸")]) == 1


# --- from the environment


async def test_the_environment_makes_changes_and_removes_tasks(tmp_path: Path) -> None:
    """A task of the environment is the owner's; it goes on as it stood, and keeps its history."""
    async with running(tmp_path, SCHEDULE_NEWS="every: 1d | remind: call Bob") as world:
        await world.ask("/tasks", "[1] remind, Every 1d")
        await world.ask("/deltask 1", "Task 1 is set by SCHEDULE_NEWS")
        await fires(world)
        await world.answer(contains=REMINDER)
        assert await pressed(world, "⏸ Pause 1") == "Paused."
        await world.restart()
        await world.ask("/tasks", "paused")
        world.environ["SCHEDULE_NEWS"] = "every: 2d | remind: call Bob"
        world.environ["SCHEDULE_OLD"] = "at: 2020-01-01T00:00 | remind: long ago"
        await world.restart()
        await world.ask("/tasks 1", "[1] remind, Every 2d")
        del world.environ["SCHEDULE_NEWS"]
        await world.restart()
        await world.ask("/tasks", "There are no tasks here.")
        world.environ["SCHEDULE_NEWS"] = "every: 2d | remind: call Bob"
        await world.restart()
        assert "done" in (await world.ask("/tasks 1", "[1] remind, Every 2d")).text
        assert len(reminders(world)) == 1


async def test_tasks_of_the_environment_follow_the_owner(tmp_path: Path) -> None:
    """Who is first in ALLOWED_USERS has them, in that chat, and who was has nothing of them."""
    async with running(tmp_path, SCHEDULE_NEWS="every: 1d | remind: call Bob") as world:
        await world.ask("/tasks", "[1] remind, Every 1d")
        world.environ["ALLOWED_USERS"] = f"{USER},{OWNER}"
        await world.restart()
        await world.ask("/tasks", "There are no tasks here.")
        await world.ask("/tasks", "[1] remind, Every 1d", by=world.user)
        await fires(world)
        await world.answer(USER, REMINDER)
        assert reminders(world) == []


async def test_mistakes_in_the_environment_stop_the_start(tmp_path: Path) -> None:
    """Each is told by name; a moment that has passed is none."""
    async with running(
        tmp_path,
        started=False,
        SCHEDULE_A="cron: 0 25 * * * | x",
        SCHEDULE_B="every: 1d",
        SCHEDULE_C="every: 1d | zone: Berlin | x",
        SCHEDULE_D="at: 2020-01-01T00:00 | x",
    ) as world:
        with pytest.raises(ConfigError) as caught:
            await serve(world.settings, asyncio.Event(), world.parts)
        a, b, c = caught.value.problems
        assert a == "SCHEDULE_A: cron: the hour must be 0-23"
        assert b.startswith("SCHEDULE_B: write `/schedule WHEN | WHAT`")
        assert c == "SCHEDULE_C: no such time zone: write an IANA name such as Europe/Berlin"


async def test_schedules_can_be_switched_off(tmp_path: Path) -> None:
    """Without them nothing is due, no tool is offered, and the commands say so."""
    async with running(
        tmp_path, SCHEDULER_ENABLED="false", SCHEDULE_A="every: 1d | remind: x"
    ) as world:
        for command in ("/schedule", "/remind 1m x", "/tasks", "/deltask 1"):
            await world.ask(command, "Schedules are switched off here (SCHEDULER_ENABLED).")
        await world.ask("hello", "hello")
        tools = [tool["name"] for tool in world.model.requests[-1].raw["tools"]]
        assert "schedule" not in tools
        assert world.rows("SELECT * FROM jobs") == []
