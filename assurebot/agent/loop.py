"""One turn: ask the model, run what it asks for, repeat, within limits.

Every model answer and tool call is a stored step: intent, effect, result. A turn that was cut off
goes on from its last step; a tool whose outcome is unknown is not run again unless it says it may.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from assurebot.agent.history import INTERRUPTED, repaired
from assurebot.agent.prompt import framed, system_prompt
from assurebot.agent.toolbox import Toolbox, refused
from assurebot.errors import LimitReached
from assurebot.ports import AuditLog, Clock, OnText, Provider, Redact, Tool, ToolContext
from assurebot.values import (
    OWNER,
    AssistantMessage,
    Attachment,
    BoxFile,
    Event,
    Message,
    ModelRef,
    ModelReply,
    ModelRequest,
    ModelStep,
    NativeContent,
    Step,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolStep,
    Trace,
    UserMessage,
    is_tainted,
    untrusted,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far one turn may go: steps are model and tool calls together; tokens in and out."""

    steps: int = 20
    tokens: int = 1_000_000
    output_tokens: int = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a turn starts from; `steps` are those already stored."""

    id: int
    event: Event
    model: ModelRef
    past: tuple[Message, ...]
    steps: tuple[Step, ...]
    trace: Trace


class Journal(Protocol):
    """Keeps the steps of one turn."""

    async def note(self, *steps: Step) -> None:
        """Store steps in one commit, over those with the same number."""
        ...

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        """Store files that shall go to the chat with the answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished turn: what to say and send, what to remember, and the steps not stored yet."""

    text: str
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]
    files: tuple[Attachment, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Talk:
    """The conversation of a running turn, as it grows."""

    turn: Turn
    journal: Journal
    on_text: OnText
    known: Mapping[int, Step]
    unsaved: list[Step] = field(default_factory=list)
    """Steps that go into the same commit as the next intent."""
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    own: list[Message] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tokens: int = 0

    def everything(self) -> tuple[Message, ...]:
        return repaired((*self.turn.past, *self.own))

    @property
    def label(self) -> str:
        """The label of what the model makes of this context."""
        tainted = any(map(is_tainted, (*self.turn.past, *self.own)))
        return untrusted("answer") if tainted else OWNER

    def say(self, text: str) -> None:
        self.on_text("\n\n".join([*self.texts, text] if text else self.texts))

    def add(self, reply: ModelReply) -> None:
        self.own.append(reply.message)
        self.tokens += reply.usage.input_tokens + reply.usage.output_tokens
        if reply.message.text:
            self.texts.append(reply.message.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeping:
    """Keeps one tool call in the journal of its turn."""

    talk: _Talk
    step: ToolStep

    async def begin(self) -> None:
        await self.talk.journal.note(*self.talk.unsaved, self.step)
        self.talk.unsaved.clear()

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        return await self.talk.journal.keep(files)


class Agent:
    """Runs turns; knows no provider and no chat."""

    def __init__(
        self,
        *,
        provider: Provider,
        tools: Sequence[Tool],
        audit: AuditLog,
        clock: Clock,
        redact: Redact,
        limits: Limits,
        prompt_extra: str = "",
    ) -> None:
        self._provider = provider
        self._tools = Toolbox(tools, audit=audit, redact=redact)
        self._clock = clock
        self._redact = redact
        self._limits = limits
        self._prompt_extra = prompt_extra

    async def run(self, turn: Turn, journal: Journal, on_text: OnText) -> Outcome:
        """Work a turn to its answer.

        Raises:
            LimitReached: Too many steps or tokens.
            ProviderError: The model did not answer.
            AuditError, StoreError: Something could not be recorded, so it was not done.
        """
        known = {step.n: step for step in turn.steps}
        talk = _Talk(turn=turn, journal=journal, on_text=on_text, known=known)
        talk.own.append(UserMessage(parts=turn.event.parts))
        n = 0
        while True:
            step = known.get(n)
            if isinstance(step, ModelStep) and step.reply is not None:
                reply = step.reply
            else:
                reply = await self._ask(talk, n)
                talk.unsaved.append(ModelStep(n=n, reply=reply))
            talk.add(reply)
            if not reply.message.calls:
                return _outcome(talk, reply)
            n = await self._run_calls(talk, reply, n)

    async def _ask(self, talk: _Talk, n: int) -> ModelReply:
        if n >= self._limits.steps:
            raise LimitReached(f"the limit of {self._limits.steps} steps (MAX_STEPS)")
        if talk.tokens >= self._limits.tokens:
            raise LimitReached(f"the limit of {self._limits.tokens:,} tokens for one turn")
        request = ModelRequest(
            model=talk.turn.model,
            system=system_prompt(self._prompt_extra, self._clock.now()),
            messages=framed(talk.everything(), talk.key),
            tools=self._tools.specs,
            max_output_tokens=self._limits.output_tokens,
            trace=replace(talk.turn.trace, step=n),
        )
        reply = await self._provider.ask(request, talk.say)
        return replace(reply, message=self._cleaned(reply.message, talk.label))

    def _cleaned(self, message: AssistantMessage, label: str) -> AssistantMessage:
        native = message.native
        if native is not None:
            content = self._redact(native.content)
            native = NativeContent(provider=native.provider, content=content)
        calls = tuple(
            replace(call, name=self._named(call), arguments=self._redact(call.arguments))
            for call in message.calls
        )
        text = self._redact(message.text)
        return AssistantMessage(text=text, calls=calls, native=native, label=label)

    def _named(self, call: ToolCall) -> str:
        # The mark of the redactor has signs that no provider takes in a name.
        return call.name if self._redact(call.name) == call.name else "redacted"

    async def _run_calls(self, talk: _Talk, reply: ModelReply, n: int) -> int:
        """Run the calls of an answer in order; return the number of the next model step."""
        results: list[ToolResult] = []
        for number, call in enumerate(reply.message.calls, start=n + 1):
            step = talk.known.get(number)
            if isinstance(step, ToolStep) and step.result is not None:
                result = step.result
            else:
                result = await self._settle(talk, call, number, begun=step is not None)
                talk.unsaved.append(ToolStep(n=number, call=call, result=result))
            results.append(result)
            if result.failed and result.text == INTERRUPTED:
                # Here and not where it is found: another restart may come before the answer.
                talk.texts.append(
                    f"⚠️ `{call.name}` was interrupted. Whether it took effect is "
                    "unknown; it was not run again."
                )
                talk.say("")
        talk.own.append(ToolMessage(results=tuple(results)))
        following = n + 1 + len(reply.message.calls)
        await talk.journal.note(*talk.unsaved, ModelStep(n=following))
        talk.unsaved.clear()
        return following

    async def _settle(self, talk: _Talk, call: ToolCall, number: int, *, begun: bool) -> ToolResult:
        """Bring one call to a result: close it as interrupted, or let the toolbox have it."""
        if begun and not self._tools.may_repeat(call):
            return refused(call, INTERRUPTED)
        if number >= self._limits.steps:
            return refused(call, "not run: the turn's limit of steps is reached")
        event = talk.turn.event
        trace = replace(talk.turn.trace, step=number)
        context = ToolContext(place=event.place, actor=event.actor, trace=trace)
        kept = _Keeping(talk=talk, step=ToolStep(n=number, call=call))
        return await self._tools.settle(call, context, talk.label, kept)


def _outcome(talk: _Talk, reply: ModelReply) -> Outcome:
    notices = []
    if reply.stop == "max_tokens":
        notices.append("✂️ The answer was cut at its length limit (MAX_OUTPUT_TOKENS).")
    if reply.stop == "refusal" and not talk.texts:
        notices.append("The model declined to answer this.")
    # A provider's own form matters only within the turn; history keeps the typed one.
    messages = tuple(
        replace(message, native=None) if isinstance(message, AssistantMessage) else message
        for message in talk.own
    )
    results = (r for m in talk.own if isinstance(m, ToolMessage) for r in m.results)
    return Outcome(
        text="\n\n".join([*talk.texts, *notices]),
        messages=messages,
        steps=tuple(talk.unsaved),
        files=tuple(file for result in results for file in result.files),
    )
