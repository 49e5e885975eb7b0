"""Turns with the model: what they see, how they run, and every way in which they end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from assurebot.agent.history import INTERRUPTED, KEPT_EXCHANGES, conversation, waiting
from assurebot.agent.loop import Agent, Asleep, Outcome
from assurebot.agent.talk import Turn
from assurebot.agent.toolbox import refused
from assurebot.agent.tools.recall import shown
from assurebot.errors import LimitReached, ProviderError, ProviderRejected, ProviderUnavailable
from assurebot.ports import Clock, Links, Redact, Store
from assurebot.turns.approvals import Approvals
from assurebot.turns.commits import patiently
from assurebot.turns.endings import AGAIN, Endings, trace_of
from assurebot.turns.media import kept
from assurebot.turns.models import ModelChoice
from assurebot.turns.notices import Notices
from assurebot.turns.preview import Preview
from assurebot.turns.receiving import NotReceived, Receiving
from assurebot.values import (
    OWNER,
    Approval,
    AssistantMessage,
    Attachment,
    BoxFile,
    Button,
    Event,
    Exchange,
    ModelStep,
    Step,
    StoredEvent,
    TextPart,
    ToolResult,
    ToolStep,
    UserMessage,
    is_tainted,
    untrusted,
)

TAINTED = "🌐"
"""The sign under an answer that content from outside had a part in; /help explains it."""

BLIND = (
    " It was shown a picture or a PDF, which not every model can look at: /model chooses another, "
    "/new starts without."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Journal:
    """Keeps the steps of a turn; `results` are those of its calls, by step."""

    store: Store
    event_id: int
    disk_seconds: float
    results: dict[int, ToolResult] = field(default_factory=dict)

    def see(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, ToolStep) and step.result is not None:
                self.results[step.n] = step.result

    async def note(self, *steps: Step) -> None:
        self.see(steps)
        await patiently(lambda: self.store.note(self.event_id, steps), self.disk_seconds)

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        return await kept(self.store, self.event_id, files, self.disk_seconds)


class ModelTurns:
    """Works the events that the model answers."""

    def __init__(
        self,
        *,
        agent: Agent,
        receiving: Receiving,
        approvals: Approvals,
        notices: Notices,
        store: Store,
        models: ModelChoice,
        clock: Clock,
        endings: Endings,
        redact_cut: Redact,
        answered: Callable[[StoredEvent, str], None],
        owner: int,
        may_press: frozenset[int],
        turn_seconds: float,
        disk_seconds: float,
    ) -> None:
        self._agent = agent
        self._receiving = receiving
        self._approvals = approvals
        self._notices = notices
        self._store = store
        self._models = models
        self._clock = clock
        self._endings = endings
        self._redact_cut = redact_cut
        self._answered = answered
        self._owner = owner
        self._may_press = may_press
        self._turn_seconds = turn_seconds
        self._disk_seconds = disk_seconds

    async def work(self, stored: StoredEvent, preview: Preview) -> None:
        """Run a turn, or go on with it; end it, or put it to sleep until its calls are decided."""
        turn = await self._turn(stored)
        journal = _Journal(store=self._store, event_id=stored.id, disk_seconds=self._disk_seconds)
        journal.see(turn.steps)
        try:
            async with preview.showing(), asyncio.timeout(self._turn_seconds):
                outcome = await self._run(stored, turn, journal, preview)
        except TimeoutError:
            limit = f"the limit of {self._turn_seconds:g} s (TURN_TIMEOUT)"
            await self.cut_short(stored, preview, f"⏱ I stopped at {limit}.", limit)
        except LimitReached as error:
            await self.cut_short(stored, preview, f"⏱ I stopped at {error}.", f"{error}")
        except NotReceived as error:
            await self._offer(stored, preview, f"⚠️ {error}")
        except ProviderUnavailable as error:
            await self._offer(stored, preview, f"⚠️ The model cannot be reached: {error}.")
            await self._notices.tell(stored, journal.results)
        except ProviderError as error:
            hint = await self._hint(stored, turn) if isinstance(error, ProviderRejected) else ""
            await self._offer(stored, preview, f"⚠️ The model did not answer: {error}.{hint}")
            await self._notices.tell(stored, journal.results)
        else:
            if isinstance(outcome, Asleep):
                await self._sleep(stored, outcome, preview)
                return
            await self._answer(stored, outcome, preview)
            if turn.approvals:
                await self._notices.tell(stored, journal.results)

    async def cut_short(
        self, stored: StoredEvent, preview: Preview, note: str, failure: str = ""
    ) -> None:
        """End a turn that was stopped: what it had said so far is sent and remembered.

        `failure` is that of a job's run, where nobody wanted it to stop.
        """
        said = "\n\n".join(part for part in (self._redact_cut(preview.text), note) if part)
        steps = await self._store.begin(stored.id)
        calls = [each for each in steps if isinstance(each, ToolStep)]
        made = {each.n: each.result or refused(each.call, INTERRUPTED) for each in calls}
        # What it was made from is in no history any more, so it counts as a source of its own.
        tainted = preview.text and preview.links is not None
        label = untrusted("stopped answer") if tainted else OWNER
        answer = AssistantMessage(text=said, label=label)
        messages = (UserMessage(parts=await self._received(stored)), answer)
        exchange = Exchange(id=stored.id, at=self._clock.now(), messages=messages)
        files = [file for result in made.values() for file in result.files]
        await self._endings.end(
            stored, said, exchange=exchange, files=files, preview=preview, failure=failure
        )
        await self._notices.tell(stored, made)

    async def _run(
        self, stored: StoredEvent, turn: Turn, journal: _Journal, preview: Preview
    ) -> Outcome | Asleep:
        """Receive what came with the message, and have the agent answer, if it can."""
        received = await self._receiving.parts(stored, turn.model, preview)
        parts = (*turn.event.parts, *received.parts)
        if received.sorry:
            said = UserMessage(parts=parts)
            label = untrusted("document") if is_tainted(said) else OWNER
            answer = AssistantMessage(text=received.sorry, label=label)
            links = None if label == OWNER else frozenset[str]()
            return Outcome(text=answer.text, messages=(said, answer), steps=(), links=links)
        turn = replace(turn, event=replace(turn.event, parts=parts))
        return await self._agent.run(turn, journal, preview.on_text, preview.on_doing)

    async def _received(self, stored: StoredEvent) -> tuple[TextPart, ...]:
        """Return the parts of an event with what has been received of its enclosures."""
        model = await self._models.get(stored.event.place)
        received = await self._receiving.parts(stored, model)
        return (*stored.event.parts, *received.parts)

    async def _hint(self, stored: StoredEvent, turn: Turn) -> str:
        """Say what helps where a model may have refused what it was shown."""
        messages = (*turn.past, UserMessage(parts=await self._received(stored)))
        said = (message for message in messages if isinstance(message, UserMessage))
        return BLIND if any(part.media for each in said for part in each.parts) else ""

    # --- what a turn starts from

    async def _turn(self, stored: StoredEvent) -> Turn:
        event = stored.event
        place = event.place
        # The steps first: an event that has ended must not be asked about again.
        steps = await self._store.begin(stored.id, ModelStep(n=0))
        exchanges, sleeping, memories, model, approvals, quoted = await asyncio.gather(
            self._store.exchanges(place, KEPT_EXCHANGES),
            self._sleeping(stored),
            self._store.memories(place.chat_id),
            self._models.get(place),
            self._decided(stored.id) if steps != (ModelStep(n=0),) else _nothing(),
            self._quoted(event),
        )
        past = conversation((*exchanges, *sleeping), self._clock.now(), afresh=event.afresh)
        return Turn(
            id=stored.id,
            event=replace(event, parts=(*quoted, *event.parts)),
            model=model,
            past=past,
            steps=steps,
            trace=trace_of(stored, self._owner),
            approvals=approvals,
            memories=memories,
        )

    async def _sleeping(self, stored: StoredEvent) -> list[Exchange]:
        """Return what this turn sees of others that wait for a press."""
        events = await self._store.sleeping(stored.event.place)
        pending = await self._store.pending(stored.event.place) if events else ()
        names = {event.id: [p.name for p in pending if p.event_id == event.id] for event in events}
        return [
            waiting(
                replace(event, event=replace(event.event, parts=await self._received(event))),
                ", ".join(names[event.id]),
            )
            for event in events
        ]

    async def _decided(self, event_id: int) -> tuple[Approval, ...]:
        """Return the approvals of a turn; one by somebody who may press no more is none."""

        def checked(each: Approval) -> Approval:
            by = each.decided_by
            if each.state == "approved" and (by is None or by.user_id not in self._may_press):
                return replace(each, state="denied")
            return each

        return tuple(map(checked, await self._store.approvals(event_id)))

    async def _quoted(self, event: Event) -> tuple[TextPart, ...]:
        """Bring back what an answer of ours was made from, where a reply is to a tainted one."""
        if event.reply_to is None or event.afresh:
            return ()
        exchange = await self._store.replied(event.place, event.reply_to)
        if exchange is None or not any(map(is_tainted, exchange.messages)):
            return ()
        label = untrusted("earlier exchange")
        asked = exchange.messages[0]
        seen = asked.parts if isinstance(asked, UserMessage) else ()
        again = (
            TextPart(text=f"[file {part.file}]", label=label, media=part.media, file=part.file)
            for part in seen
            if part.media is not None
        )
        return (TextPart(text=shown(exchange), label=label, quoted=True), *again)

    # --- how it ends

    async def _answer(self, stored: StoredEvent, outcome: Outcome, preview: Preview) -> None:
        exchange = Exchange(id=stored.id, at=self._clock.now(), messages=outcome.messages)
        await self._endings.end(
            stored,
            _signed(outcome.text, outcome.links),
            exchange=exchange,
            steps=outcome.steps,
            files=outcome.files,
            preview=preview,
            links=outcome.links,
        )
        self._answered(stored, outcome.text)

    async def _sleep(self, stored: StoredEvent, asleep: Asleep, preview: Preview) -> None:
        text = _signed(asleep.text, asleep.links)
        said = await self._endings.pieces(stored, text, links=asleep.links, preview=preview)
        await self._approvals.ask(stored, asleep, said)

    async def _offer(self, stored: StoredEvent, preview: Preview, note: str) -> None:
        """End a turn that the model did not answer; what was done and said before is sent."""
        text = "\n\n".join(part for part in (preview.text, note) if part)
        button = Button(label="🔁 Try again", id=secrets.token_urlsafe(12))
        buttons = ((button, AGAIN),)
        await self._endings.end(stored, text, buttons=buttons, preview=preview, failure=note)


def _signed(text: str, links: Links) -> str:
    """Mark words that content from outside had a part in."""
    return f"{text}\n\n{TAINTED}" if text and links is not None else text


async def _nothing() -> tuple[Approval, ...]:
    return ()
