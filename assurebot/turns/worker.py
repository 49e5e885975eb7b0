"""One event to its ending: a turn with the model, a command, a pressed button, or a polite no."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, assert_never

import structlog

from assurebot.agent.history import KEPT_EXCHANGES, conversation
from assurebot.agent.loop import Agent, Turn
from assurebot.errors import (
    AlreadyEnded,
    AuditError,
    LimitReached,
    ProviderError,
    ProviderUnavailable,
    StoreError,
    StoreUnwell,
)
from assurebot.ports import AuditLog, Clock, Redact, Store
from assurebot.turns.again import TryAgain
from assurebot.turns.commits import patiently
from assurebot.turns.endings import Endings, trace_of
from assurebot.turns.media import kept
from assurebot.turns.models import ModelChoice
from assurebot.turns.outbox import Outbox
from assurebot.turns.preview import Preview
from assurebot.turns.programs import ProgramRuns
from assurebot.values import (
    OWNER,
    AssistantMessage,
    Attachment,
    BoxFile,
    Event,
    Exchange,
    ModelStep,
    Piece,
    Place,
    Program,
    Step,
    StoredEvent,
    ToolStep,
    Trace,
    UserMessage,
    untrusted,
)

log = structlog.get_logger(__name__)

MAX_STARTS = 5
MAX_ERRORS = 3
"""So many starts that never ended, or raised errors, make an event dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a command answers, in Markdown; `fresh_start` forgets the conversation so far."""

    text: str
    fresh_start: bool = False


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _TurnJournal:
    store: Store
    event_id: int
    disk_seconds: float

    async def note(self, *steps: Step) -> None:
        await patiently(lambda: self.store.note(self.event_id, steps), self.disk_seconds)

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        return await kept(self.store, self.event_id, files, self.disk_seconds)


class Worker:
    """Works events; each ends in exactly one commit, whatever happens on the way."""

    def __init__(
        self,
        *,
        agent: Agent,
        commands: Commands,
        programs: ProgramRuns,
        again: TryAgain,
        store: Store,
        audit: AuditLog,
        outbox: Outbox,
        models: ModelChoice,
        clock: Clock,
        endings: Endings,
        redact_cut: Redact,
        owner: Place,
        turn_seconds: float,
        disk_seconds: float,
    ) -> None:
        self._agent = agent
        self._commands = commands
        self._programs = programs
        self._again = again
        self._store = store
        self._audit = audit
        self._outbox = outbox
        self._models = models
        self._clock = clock
        self._endings = endings
        self._redact_cut = redact_cut
        self._owner = owner
        self._turn_seconds = turn_seconds
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
        program = self._commands.program(stored.event)
        while True:
            try:
                if starts >= MAX_STARTS or errors >= MAX_ERRORS:
                    await self._bury(stored, f"{errors} errors, {starts} starts")
                elif program is not None:
                    await self._programs.work(stored, program, preview, cut)
                elif cut is not None and stored.event.kind == "message":
                    await self._cut_short(stored, preview, cut)
                else:
                    await self._attempt(stored, preview)
            except AlreadyEnded:
                log.warning("an event was ended by other hands", turn=stored.id)
                return
            except (AuditError, StoreUnwell) as error:
                if isinstance(error, AuditError) and self._audit.problem() is None:
                    errors += 1  # the disk is well: this event itself cannot be recorded
                log.warning("an event waits for the disk", turn=stored.id, error=str(error))
                with suppress(StoreError):  # a full disk is no fault of the event
                    await self._store.release(stored.id)
                await asyncio.sleep(self._disk_seconds)
            except Exception as error:
                log.exception("an event raised", turn=stored.id)
                errors = await self._count(stored, type(error).__name__, errors)
                await asyncio.sleep(1)
            else:
                return

    def runs_in_box(self, event: Event) -> bool:
        """Tell whether the work on an event is that of the box, which has bounds of its own."""
        return self._commands.program(event) is not None

    async def _count(self, stored: StoredEvent, error: str, errors: int) -> int:
        try:
            return await self._store.failed(stored.id, error)
        except StoreError:
            return errors + 1

    async def _attempt(self, stored: StoredEvent, preview: Preview) -> None:
        if stored.event.kind != "message":  # else together with its first step
            await self._store.begin(stored.id)
        match stored.event.kind:
            case "message":
                await self._turn(stored, preview)
            case "command":
                reply = await self._commands.answer(stored)
                await self._endings.end(stored, reply.text, fresh_start=reply.fresh_start)
            case "press":
                await self._again.press(stored)
            case "unsupported":
                await self._endings.end(
                    stored,
                    f"I cannot read {stored.event.text} yet, only text. "
                    "Please send it as a text message.",
                )
            case _:
                assert_never(stored.event.kind)

    async def _turn(self, stored: StoredEvent, preview: Preview) -> None:
        place = stored.event.place
        steps, exchanges, model = await asyncio.gather(
            self._store.begin(stored.id, ModelStep(n=0)),
            self._store.exchanges(place, KEPT_EXCHANGES),
            self._models.get(place),
        )
        turn = Turn(
            id=stored.id,
            event=stored.event,
            model=model,
            past=conversation(exchanges, self._clock.now()),
            steps=steps,
            trace=trace_of(stored, self._owner.chat_id),
        )
        journal = _TurnJournal(
            store=self._store, event_id=stored.id, disk_seconds=self._disk_seconds
        )
        try:
            async with preview.showing(), asyncio.timeout(self._turn_seconds):
                outcome = await self._agent.run(turn, journal, preview.on_text)
        except TimeoutError:
            limit = f"the limit of {self._turn_seconds:g} s (TURN_TIMEOUT)"
            await self._cut_short(stored, preview, f"⏱ I stopped at {limit}.")
        except LimitReached as error:
            await self._cut_short(stored, preview, f"⏱ I stopped at {error}.")
        except ProviderUnavailable as error:
            await self._again.offer(stored, preview, f"⚠️ The model cannot be reached: {error}.")
        except ProviderError as error:
            await self._again.offer(stored, preview, f"⚠️ The model did not answer: {error}.")
        else:
            exchange = Exchange(id=stored.id, at=self._clock.now(), messages=outcome.messages)
            await self._endings.end(
                stored,
                outcome.text,
                exchange=exchange,
                steps=outcome.steps,
                files=outcome.files,
                preview=preview,
            )

    async def _cut_short(self, stored: StoredEvent, preview: Preview, note: str) -> None:
        """End a turn that was stopped: what it had said so far is sent and remembered."""
        said = "\n\n".join(part for part in (self._redact_cut(preview.text), note) if part)
        steps = await self._store.begin(stored.id)
        results = [step.result for step in steps if isinstance(step, ToolStep)]
        exchange = Exchange(
            id=stored.id,
            at=self._clock.now(),
            # What it was made from is not known here any more, so it counts as made from all.
            messages=(
                UserMessage(parts=stored.event.parts),
                AssistantMessage(text=said, label=untrusted("answer") if preview.text else OWNER),
            ),
        )
        files = [file for result in results if result is not None for file in result.files]
        await self._endings.end(stored, said, exchange=exchange, files=files, preview=preview)

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
