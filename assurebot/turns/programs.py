"""Programs that people ask for by a command: run in the box, shown while they run, answered."""

from __future__ import annotations

import asyncio
import time

from assurebot.agent.history import INTERRUPTED
from assurebot.agent.jobs import Jobs
from assurebot.agent.report import code_block, for_person
from assurebot.errors import SandboxError
from assurebot.ports import Clock, Store
from assurebot.turns.commits import patiently
from assurebot.turns.endings import Endings, trace_of
from assurebot.turns.media import kept
from assurebot.turns.preview import Preview
from assurebot.values import (
    OWNER,
    AssistantMessage,
    BoxFile,
    Exchange,
    ModelStep,
    Program,
    RunResult,
    StoredEvent,
    TextPart,
    ToolCall,
    ToolStep,
    UserMessage,
)

TICK_SECONDS, GROUP_TICK_SECONDS = 1.0, 5.0
"""How often the time that a program has taken is shown anew; groups bear 20 edits a minute."""


class ProgramRuns:
    """Works the events that ask for a program."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        store: Store,
        clock: Clock,
        endings: Endings,
        owner: int,
        disk_seconds: float,
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._clock = clock
        self._endings = endings
        self._owner = owner
        self._disk_seconds = disk_seconds

    async def work(
        self, stored: StoredEvent, program: Program, preview: Preview, cut: str | None = None
    ) -> None:
        """Run a program and end its event with what it came to.

        Args:
            stored: The event.
            program: What it asks to run.
            preview: Where its output shows.
            cut: A note with which to end it at once, because it was stopped.
        """
        if cut is not None:
            text = "\n\n".join(part for part in (preview.text, cut) if part)
            await self.end(stored, text, (), preview)
            return
        if not await self.begin(stored, program):
            await self._endings.end(stored, f"⚠️ {INTERRUPTED}")
            return
        files: tuple[BoxFile, ...] = ()
        try:
            async with preview.showing():
                result = await self._run(stored, program, preview)
        except SandboxError as error:
            text = f"📦 {error}"
        else:
            text, files = for_person(result, program.language, network=self._jobs.standing.network)
        await self.end(stored, text, files, preview)

    async def end(
        self,
        stored: StoredEvent,
        text: str,
        files: tuple[BoxFile, ...],
        preview: Preview | None = None,
        *,
        label: str = OWNER,
        seen: str | None = None,
    ) -> None:
        """End an event with what its program, whose code has this label, came to."""
        attachments = await kept(self._store, stored.id, files, self._disk_seconds)
        asked = TextPart(text=f"/{stored.event.command} {stored.event.text}", label=label)
        answer = AssistantMessage(text=text, label=self._jobs.label(label))
        messages = (UserMessage(parts=(asked,)), answer)
        exchange = Exchange(id=stored.id, at=self._clock.now(), messages=messages)
        await self._endings.end(
            stored,
            text,
            exchange=exchange,
            files=attachments,
            preview=preview,
            seen=seen,
            whole=True,
        )

    async def begin(self, stored: StoredEvent, program: Program) -> bool:
        """Count the start; false for a program that may have had an effect before a crash."""
        steps = await self._store.begin(stored.id, ModelStep(n=0))
        if not self._jobs.network:
            return True
        if isinstance(steps[0], ToolStep):
            return False
        call = ToolCall(id="program", name=program.language, arguments="{}")
        step = ToolStep(n=0, call=call)
        await patiently(lambda: self._store.note(stored.id, [step]), self._disk_seconds)
        return True

    async def _run(self, stored: StoredEvent, program: Program, preview: Preview) -> RunResult:
        began = time.monotonic()
        printed = ""
        pause = TICK_SECONDS if stored.event.place.private else GROUP_TICK_SECONDS

        def show() -> None:
            took = time.monotonic() - began
            tail = f"\n{code_block(printed)}" if printed.strip() else ""
            preview.on_text(f"⏳ {program.language}, {took:.0f} s{tail}", whole=True)

        def on_output(text: str) -> None:
            nonlocal printed
            printed = text

        async def tick() -> None:
            while True:
                show()
                await asyncio.sleep(pause)

        ticking = asyncio.create_task(tick(), name=f"program {stored.id}")
        try:
            return await self._jobs.run(program, trace_of(stored, self._owner), on_output)
        finally:
            ticking.cancel()
            await asyncio.wait({ticking})
