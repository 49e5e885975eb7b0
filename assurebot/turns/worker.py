"""One event to its ending: a turn with the model, a command, a pressed button, or a polite no."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

import structlog

from assurebot.errors import AlreadyEnded, AuditError, StoreError, StoreUnwell
from assurebot.guard.access import Access, ChatKind
from assurebot.ports import AuditLog, Links, Store
from assurebot.turns.commits import demand_not_cancelled
from assurebot.turns.edits import Edits
from assurebot.turns.endings import Endings, trace_of
from assurebot.turns.hooks import HookTurns
from assurebot.turns.job_runs import JobRuns
from assurebot.turns.media import kept
from assurebot.turns.model_turns import ModelTurns
from assurebot.turns.outbox import Outbox
from assurebot.turns.presses import Presses
from assurebot.turns.preview import Preview
from assurebot.turns.programs import ProgramRuns
from assurebot.values import (
    AuditEntry,
    BoxFile,
    Button,
    Event,
    Piece,
    Place,
    Program,
    StoredEvent,
    Trace,
)

log = structlog.get_logger(__name__)

MAX_STARTS = 5
MAX_ERRORS = 3
"""So many starts that never ended, or raised errors, make an event dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a command answers, in Markdown.

    Attributes:
        fresh_start: Forget the conversation so far.
        links: As in `Endings.end`; `None` only where all words are ours.
        buttons: Each with its kind.
    """

    text: str
    fresh_start: bool = False
    files: tuple[BoxFile, ...] = ()
    links: Links = frozenset()
    buttons: tuple[tuple[Button, str], ...] = ()


class Commands(Protocol):
    """The commands that the edges offer."""

    def urgent(self, event: Event) -> bool:
        """Tell whether this one must not wait behind turns."""
        ...

    def program(self, event: Event) -> Program | None:
        """Return the program that a command asks to run; other commands are answered."""
        ...

    async def answer(self, stored: StoredEvent) -> Reply:
        """Carry a command out."""
        ...


class Worker:
    """Works events; each ends in exactly one commit, whatever happens on the way."""

    def __init__(
        self,
        *,
        turns: ModelTurns,
        commands: Commands,
        programs: ProgramRuns,
        presses: Presses,
        edits: Edits,
        hooks: HookTurns,
        job_runs: JobRuns,
        store: Store,
        audit: AuditLog,
        outbox: Outbox,
        endings: Endings,
        owner: Place,
        access: Access,
        disk_seconds: float,
    ) -> None:
        self._turns = turns
        self._commands = commands
        self._programs = programs
        self._presses = presses
        self._edits = edits
        self._hooks = hooks
        self._job_runs = job_runs
        self._store = store
        self._audit = audit
        self._outbox = outbox
        self._endings = endings
        self._owner = owner
        self._access = access
        self._disk_seconds = disk_seconds

    async def work(self, stored: StoredEvent, preview: Preview, cut: str | None = None) -> None:
        """Work an event to its end; only cancelling stops it before.

        Args:
            stored: The event.
            preview: Where its answer shows while it grows.
            cut: A note with which to end a turn at once, because it was stopped. What is no turn
                is short and has no words to remember: it is done to its end.
        """
        starts, errors = stored.starts, stored.errors
        if stored.event.hook and not self._allowed(stored.event):  # the owner is told instead
            stored = replace(stored, event=replace(stored.event, place=self._owner))
        while True:
            try:
                if not self._allowed(stored.event):
                    await self._refuse(stored)
                elif starts >= MAX_STARTS or errors >= MAX_ERRORS:
                    await self._bury(stored, f"{errors} errors, {starts} starts")
                    await self._job_runs.schedules.settle(stored.event.job or 0)
                else:
                    await self._attempt(stored, preview, cut)
            except AlreadyEnded:
                log.warning("an event was ended by other hands", turn=stored.id)
                return
            except (AuditError, StoreUnwell) as error:
                if isinstance(error, AuditError) and self._audit.problem() is None:
                    errors += 1  # the disk is well: this event itself cannot be recorded
                demand_not_cancelled()
                log.warning("an event waits for the disk", turn=stored.id, error=str(error))
                with suppress(StoreError):  # a full disk is no fault of the event
                    await self._store.release(stored.id)
                await asyncio.sleep(self._disk_seconds)
            except Exception as error:
                demand_not_cancelled()
                log.exception("an event raised", turn=stored.id)
                errors = await self._count(stored, type(error).__name__, errors)
                await asyncio.sleep(1)
            else:
                return

    def wait_seconds(self, stored: StoredEvent) -> float:
        """See `HookTurns.wait_seconds`."""
        return self._hooks.wait_seconds(stored)

    def runs_in_box(self, event: Event) -> bool:
        """Tell whether the work on an event is that of the box, which has bounds of its own."""
        return self._commands.program(event) is not None

    def is_turn(self, event: Event) -> bool:
        """Tell whether the work on an event is a turn, or a program that somebody asks for."""
        briefs = event.kind == "job" and event.command == "brief"
        return event.kind == "message" or briefs or self.runs_in_box(event)

    async def _count(self, stored: StoredEvent, error: str, errors: int) -> int:
        try:
            return await self._store.failed(stored.id, error)
        except StoreError:
            return errors + 1

    async def _attempt(self, stored: StoredEvent, preview: Preview, cut: str | None) -> None:
        program = self._commands.program(stored.event)
        if stored.event.kind == "webhook":
            await self._hooks.work(stored, cut)
            return
        if stored.event.kind == "job":
            await self._job_runs.work(stored, preview, program, cut)
            return
        if program is not None:
            await self._programs.work(stored, program, preview, cut)
            return
        if stored.event.kind != "message":  # else together with its first step
            await self._store.begin(stored.id)
        match stored.event.kind:
            case "message" if cut is not None:
                await self._turns.cut_short(stored, preview, cut)
            case "message":
                await self._turns.work(stored, preview)
            case "command":
                reply = await self._commands.answer(stored)
                await self._endings.end(
                    stored,
                    reply.text,
                    fresh_start=reply.fresh_start,
                    links=reply.links,
                    buttons=reply.buttons,
                    files=await kept(self._store, stored.id, reply.files, self._disk_seconds),
                )
            case "press" | "edit":
                part = self._presses if stored.event.kind == "press" else self._edits
                await part.work(stored)
            case "unsupported":
                await self._endings.end(
                    stored,
                    f"I cannot read {stored.event.text} yet. "
                    "Words, voice, pictures and documents I can.",
                )
            case _:
                assert_never(stored.event.kind)

    def _allowed(self, event: Event) -> bool:
        kind: ChatKind = "private" if event.place.private else "group"
        user = event.actor.user_id
        if event.hook:  # nobody sent it: whether its place may be told is asked
            user = event.place.chat_id if event.place.private else self._access.owner
        return self._access.decide(user, event.place.chat_id, kind).allowed

    async def _refuse(self, stored: StoredEvent) -> None:
        """Let go of an event of a person, or in a group, that was taken off its list since."""
        trace = trace_of(stored, self._owner.chat_id)
        entry = AuditEntry(type="denied", trace=trace, decision="deny", rule="user:not-listed")
        await self._audit.record(entry)
        await self._endings.end(stored, "", error="its sender is not allowed any more")

    async def _bury(self, stored: StoredEvent, why: str) -> None:
        log.error("an event is dead", turn=stored.id, why=why)
        await self._endings.end(
            stored,
            "⚠️ I could not work on this message and gave it up. It is kept. "
            "If it had begun anything, that may have taken effect.",
            error=why,
        )
        if stored.event.place != self._owner:
            piece = Piece(
                text=f"⚠️ Event {stored.id} of chat {stored.event.place.key} is dead: {why}"
            )
            once = f"dead:{stored.id}"
            rows = await self._store.say(self._owner, [piece], Trace(turn=stored.id), once=once)
            self._outbox.push(rows)
