"""What people make, see and delete their tasks with."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from assurebot.agent.report import code_block
from assurebot.guard.tasks import Order, ordered
from assurebot.guard.triggers import remind
from assurebot.ports import Store
from assurebot.turns.schedules import HISTORY, Schedules
from assurebot.turns.worker import Reply
from assurebot.values import Button, Event, Job, StoredEvent

COMMANDS: tuple[tuple[str, str], ...] = (
    ("schedule", "Have something done at times: /schedule WHEN | WHAT"),
    ("remind", "Be reminded: /remind 20m call Bob"),
    ("tasks", "What is scheduled here"),
    ("deltask", "Delete a task: /deltask NUMBER"),
)

HOW_TO_DELETE = "`/deltask 3` deletes task 3; /tasks shows the numbers."
WITH_BUTTONS, SHOWN = 5, 25
"""So many tasks have buttons in a list, and so many are in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleCommands:
    """Answers the four commands; each chat has only its own tasks.

    Attributes:
        end_job: Ends the run of a deleted task; tells whether there was one.
    """

    schedules: Schedules
    store: Store
    end_job: Callable[[int], Awaitable[bool]]
    enabled: bool

    async def answer(self, stored: StoredEvent) -> Reply:
        """Carry one of them out."""
        if not self.enabled:
            return Reply(text="Schedules are switched off here (SCHEDULER_ENABLED).")
        match stored.event.command:
            case "tasks":
                return await self._tasks(stored)
            case "deltask":
                return Reply(text=await self._delete(stored))
            case _:
                return Reply(text=await self._add(stored.event))

    async def _add(self, event: Event) -> str:
        """Make a task of `WHEN | WHAT`, or of a time and what to remind of."""
        try:
            if event.command == "remind":
                when, text = remind(event.text)
                order = Order(kind="remind", when=when, text=text)
            else:
                order = ordered(event.text)
            return await self.schedules.add(order, event.place, event.actor)
        except ValueError as error:
            return f"I cannot keep that: {error}"

    async def _tasks(self, stored: StoredEvent) -> Reply:
        """List the tasks of a chat, or show the one whose number stands behind the command."""
        chat, number = stored.event.place.chat_id, stored.event.text.strip()
        jobs = await self.store.jobs(chat)
        found = [job for job in jobs if not number or f"{job.number}" == number]
        if not found:
            none = f"There is no task {number} here." if number else "There are no tasks here."
            return Reply(text=f"{none} /schedule and /remind make them.")
        if number:
            runs = await self.store.job_runs(found[0].id, HISTORY)
            text = self.schedules.history(found[0], runs)
        else:
            text = "\n".join(map(self.schedules.line, found[:SHOWN]))
        more = f"\n{len(found) - SHOWN} more." if len(found) > SHOWN else ""
        more += f"\n`/tasks {found[-1].number}` shows one." if len(found) > WITH_BUTTONS else ""
        buttons = [each for job in found[:WITH_BUTTONS] for each in _buttons(job)]
        return Reply(text=f"{code_block(text)}{more}", buttons=tuple(buttons))

    async def _delete(self, stored: StoredEvent) -> str:
        """Delete the task whose number stands behind the command."""
        number = stored.event.text.strip()
        if not number:
            return HOW_TO_DELETE
        job = await self.schedules.find(stored.event.place.chat_id, number)
        if job is None:
            return f"There is no such task here. {HOW_TO_DELETE}"
        answer = await self.schedules.delete(job)
        ended = not job.name and await self.end_job(job.id)
        return f"{answer} It was at work, which was ended." if ended else answer


def _buttons(job: Job) -> list[tuple[Button, str]]:
    pause = ("▶️ Resume", "resume") if job.paused else ("⏸ Pause", "pause")
    shown = (("⚡ Run now", "run"), pause, ("🗑 Delete", "delete"), ("📜 History", "history"))
    return [
        (
            Button(label=f"{label} {job.number}", id=secrets.token_urlsafe(12)),
            f"job:{verb}:{job.number}",
        )
        for label, verb in shown
    ]
