"""The real program in a child process that kills itself at the moment it was told to."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anthropic  # noqa: F401 - the program imports it late; children start with it imported
import structlog

from assurebot.app import Parts, serve
from assurebot.guard.rates import ToolRates
from assurebot.ports import Ending, Incoming, ToolContext, ToolOutput
from assurebot.settings import load_settings
from assurebot.store.database import SqlStore
from assurebot.turns.pace import Rate, Rates
from assurebot.turns.preview import PreviewTimes
from assurebot.values import OutboxRow, Step, StoredEvent, ToolSpec, ToolStep
from tests.kill.points import DONE, EFFECT, INTAKE, INTENT, RESULT, Trigger
from tests.kill.story import TOOL

EFFECTS, MARKED = "KILL_EFFECTS", "KILL_MARKED"
"""Variables: the file that the tool counts in, and the file of sends that are marked as sent."""


class CountingTool:
    """A tool that must not run twice: its effect is a durable line in a file outside our store."""

    spec = ToolSpec(
        name=TOOL,
        description="Count a message.",
        schema='{"type": "object", "properties": {"n": {"type": "integer"},'
        ' "k": {"type": "integer"}}, "required": ["n", "k"]}',
        effect="state",
        repeatable=False,
    )

    def __init__(self, path: Path, trigger: Trigger) -> None:
        self._path = path
        self._trigger = trigger

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """Append one line."""
        del context
        given = json.loads(arguments)
        self._trigger.hit_side(EFFECT, late=False)
        await asyncio.to_thread(_append, self._path, f"{given['n']} {given['k']}\n")
        self._trigger.hit_side(EFFECT, late=True)
        return ToolOutput(text="counted")


class NoRates(ToolRates):
    """No limits: in one life there may be as much to do as people write in ten minutes."""

    def take(
        self, tool: str, per_minute: int | None, user_id: int, chat_id: int, now: float
    ) -> str | None:
        """Let every call run."""
        del tool, per_minute, user_id, chat_id, now
        return None


def _append(path: Path, line: str) -> None:
    """Write a line in one piece and wait until it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class KillingStore(SqlStore):
    """The store with kill points around its commits.

    It also writes down which messages are marked as sent, one `chat message` a line. A kill
    leaves such a line in place: the system has it, if not the disk.
    """

    def __init__(self, *given: Any, trigger: Trigger, marked: Path, **more: Any) -> None:
        super().__init__(*given, **more)
        self._trigger = trigger
        self._marked = marked
        self._chats: dict[int, int] = {}

    async def add(
        self, batch: Sequence[Incoming], *, offset: int | None = None
    ) -> tuple[StoredEvent, ...]:
        """Commit, then perhaps die before anything is worked or acknowledged."""
        stored = await super().add(batch, offset=offset)
        if stored:
            self._trigger.hit(INTAKE)
        return stored

    async def note(self, event_id: int, steps: Sequence[Step]) -> None:
        """Perhaps die after an intent is stored, or with a result that is not stored yet."""
        calls = [step for step in steps if isinstance(step, ToolStep)]
        if any(step.result is not None for step in calls):
            self._trigger.hit(RESULT)
        await super().note(event_id, steps)
        if any(step.result is None for step in calls):
            self._trigger.hit(INTENT)

    async def finish(self, event_id: int, ending: Ending) -> tuple[OutboxRow, ...]:
        """Perhaps die with an answer that is not stored yet."""
        self._trigger.hit(DONE)
        return self._known(await super().finish(event_id, ending))

    async def unsent(self) -> tuple[OutboxRow, ...]:
        """Learn to which chats the rows belong."""
        return self._known(await super().unsent())

    async def sent(self, row_id: int, message_id: int) -> None:
        """Mark, and write down that it is marked."""
        await super().sent(row_id, message_id)
        with self._marked.open("a", encoding="ascii") as file:
            file.write(f"{self._chats.get(row_id, 0)} {message_id}\n")

    def _known(self, rows: tuple[OutboxRow, ...]) -> tuple[OutboxRow, ...]:
        self._chats.update((row.id, row.place.chat_id) for row in rows)
        return rows


async def _serve(environment: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    trigger = Trigger(environment)
    free = Rate(seconds=0.0, burst=1_000_000)
    parts = Parts(
        tools=[CountingTool(Path(environment[EFFECTS]), trigger)],
        tool_rates=NoRates,
        store=partial(KillingStore, trigger=trigger, marked=Path(environment[MARKED])),
        rates=Rates(private=free, group=free, overall=free),
        preview=PreviewTimes(first=60.0),
    )
    await serve(load_settings(environment), stop, parts)


def main(environment: Mapping[str, str]) -> None:
    """Run until SIGTERM, or until the kill."""
    level = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=level)
    asyncio.run(_serve(environment))
