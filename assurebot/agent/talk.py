"""A running turn: what it starts from, what was said, and what that makes of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from assurebot.agent.history import DERIVED, repaired
from assurebot.ports import Links
from assurebot.values import (
    OWNER,
    Approval,
    AssistantMessage,
    Attachment,
    BoxFile,
    Event,
    Memory,
    Message,
    ModelRef,
    ModelReply,
    Step,
    ToolMessage,
    ToolStep,
    Trace,
    is_tainted,
    is_untrusted,
    labels,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a turn starts from; `steps` are those already stored, `approvals` all decided."""

    id: int
    event: Event
    model: ModelRef
    past: tuple[Message, ...]
    steps: tuple[Step, ...]
    trace: Trace
    approvals: tuple[Approval, ...] = ()
    memories: tuple[Memory, ...] = ()


class OnAnswer(Protocol):
    """Told the whole answer so far, each time it grew, and which URLs in it may be links."""

    def __call__(self, text: str, *, links: Links) -> None:
        """Take it."""
        ...


OnDoing = Callable[[str], None]
"""Told what begins: a call of the tool with this name, or with no name a question to the model."""


class Journal(Protocol):
    """Keeps the steps of one turn."""

    async def note(self, *steps: Step) -> None:
        """Store steps in one commit, over those with the same number."""
        ...

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        """Store files that shall go to the chat with the answer."""
        ...


@dataclass(slots=True, kw_only=True)
class Talk:
    """The conversation of a running turn, as it grows.

    Attributes:
        typed: What the owner typed in this turn, as `guard.policy.typed_in` finds it.
        unsaved: Steps that go into the same commit as the next intent.
        key: Of the frame around untrusted content.
        own: The messages of this turn.
        texts: What the person reads of it; `said` of them were sent before it slept.
        label: That of what the model makes of this context.
    """

    turn: Turn
    journal: Journal
    on_answer: OnAnswer
    on_doing: OnDoing
    known: Mapping[int, Step]
    approvals: Mapping[int, Approval]
    typed: frozenset[str]
    unsaved: list[Step] = field(default_factory=list)
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    own: list[Message] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    said: int = 0
    tokens: int = 0
    label: str = OWNER

    def __post_init__(self) -> None:
        if any(map(is_tainted, self.turn.past)):
            self.label = DERIVED

    def everything(self) -> tuple[Message, ...]:
        """Return what the model shall see."""
        return repaired((*self.turn.past, *self.own))

    def take(self, message: Message) -> None:
        """Add a message to the context."""
        self.own.append(message)
        if is_tainted(message):
            self.label = DERIVED

    @property
    def links(self) -> Links:
        """The URLs that may be links in the answer."""
        return self.typed if is_untrusted(self.label) else None

    @property
    def by_history(self) -> bool:
        """Whether nothing that came in this turn taints it."""
        brought = any(labels(message) - {OWNER, DERIVED} for message in self.own)
        return not brought and any(map(is_tainted, self.turn.past))

    @property
    def acted(self) -> bool:
        """Whether a call was run in this turn."""
        done = (*self.known.values(), *self.unsaved, *self.own)
        return any(isinstance(each, ToolStep | ToolMessage) for each in done)

    @property
    def text(self) -> str:
        """What the person has not been sent yet."""
        return "\n\n".join(self.texts[self.said :])

    def say(self, text: str) -> None:
        """Show the answer with this text, which still grows, at its end."""
        self.on_answer("\n\n".join(filter(None, [self.text, text])), links=self.links)

    def made_before(self, number: int, reply: ModelReply, n: int) -> list[tuple[str, str]]:
        """Return all calls of this turn before one of the newest answer."""
        calls = [c for m in self.own if isinstance(m, AssistantMessage) for c in m.calls]
        later = len(reply.message.calls) - (number - n - 1)
        return [(call.name, call.arguments) for call in calls[: len(calls) - later]]

    def add(self, reply: ModelReply) -> None:
        """Take an answer of the model."""
        self.take(reply.message)
        self.tokens += reply.usage.input_tokens + reply.usage.output_tokens
        if reply.message.text:
            self.texts.append(reply.message.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Keeps one tool call in the journal of its turn."""

    talk: Talk
    step: ToolStep

    async def begin(self) -> None:
        """Store that it begins."""
        await self.talk.journal.note(*self.talk.unsaved, self.step)
        self.talk.unsaved.clear()
        self.talk.on_doing(self.step.call.name)

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        """See `Journal.keep`."""
        return await self.talk.journal.keep(files)
