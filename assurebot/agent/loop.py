"""One turn: ask the model, run what it asks for, repeat, within limits.

Every model answer and tool call is a stored step: intent, effect, result. A turn that was cut off
goes on from its last step; a tool whose outcome is unknown is not run again unless it says it may.
A turn with calls that need a press ends here as `Asleep`, and goes on from its steps after them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from assurebot.agent.files import Load, looked_at
from assurebot.agent.history import INTERRUPTED
from assurebot.agent.prompt import framed, system_prompt
from assurebot.agent.talk import Journal, Keeping, OnAnswer, OnDoing, Talk, Turn
from assurebot.agent.toolbox import Toolbox, refused
from assurebot.errors import LimitReached
from assurebot.guard.arguments import canonical
from assurebot.guard.policy import Situation, typed_in
from assurebot.guard.rates import repeated
from assurebot.ports import Clock, Links, Provider, Redact, ToolContext
from assurebot.values import (
    AssistantMessage,
    Attachment,
    Decision,
    Message,
    ModelReply,
    ModelRequest,
    ModelStep,
    NativeContent,
    Step,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolStep,
    UserMessage,
    is_untrusted,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far one turn may go: steps are model and tool calls together; tokens in and out."""

    steps: int = 20
    tokens: int = 1_000_000
    output_tokens: int = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished turn: what to say and send, what to remember, and the steps not stored yet.

    Attributes:
        links: The URLs in the text that may be links; `None` where nothing untrusted is in it.
    """

    text: str
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]
    files: tuple[Attachment, ...] = ()
    links: Links = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A call that needs a press; `n` is its step."""

    n: int
    call: ToolCall
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Asleep:
    """A turn that can go on only when its calls are decided.

    Attributes:
        text, links: What it has said since it slept last, as in `Outcome`.
        by_history: Nothing taints it but earlier exchanges, and it has done nothing yet.
    """

    text: str
    links: Links
    steps: tuple[Step, ...]
    asks: tuple[Ask, ...]
    by_history: bool


class Agent:
    """Runs turns; knows no provider and no chat."""

    def __init__(
        self,
        *,
        provider: Provider,
        tools: Toolbox,
        clock: Clock,
        redact: Redact,
        limits: Limits,
        load: Load,
        prompt_extra: str = "",
    ) -> None:
        self._provider = provider
        self._tools = tools
        self._clock = clock
        self._redact = redact
        self._limits = limits
        self._load = load
        self._prompt_extra = prompt_extra

    async def run(
        self, turn: Turn, journal: Journal, on_answer: OnAnswer, on_doing: OnDoing
    ) -> Outcome | Asleep:
        """Work a turn to its answer, or to where it needs a press.

        Raises:
            LimitReached: Too many steps or tokens.
            ProviderError: The model did not answer.
            AuditError, StoreError: Something could not be recorded, so it was not done.
        """
        known = {step.n: step for step in turn.steps}
        talk = Talk(
            turn=turn,
            journal=journal,
            on_answer=on_answer,
            on_doing=on_doing,
            known=known,
            approvals={each.n: each for each in turn.approvals},
            typed=typed_in(turn.event.parts),
        )
        talk.take(UserMessage(parts=turn.event.parts))
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
            asks = await self._run_calls(talk, reply, n)
            if asks:
                return Asleep(
                    text=talk.text,
                    links=talk.links,
                    steps=tuple(talk.unsaved),
                    asks=asks,
                    by_history=talk.by_history and not talk.acted,
                )
            n += 1 + len(reply.message.calls)

    async def _ask(self, talk: Talk, n: int) -> ModelReply:
        if n >= self._limits.steps:
            raise LimitReached(f"the limit of {self._limits.steps} steps (MAX_STEPS)")
        if talk.tokens >= self._limits.tokens:
            raise LimitReached(f"the limit of {self._limits.tokens:,} tokens for one turn")
        messages = talk.everything()
        request = ModelRequest(
            model=talk.turn.model,
            system=system_prompt(self._prompt_extra, self._clock.now(), talk.turn.memories),
            messages=framed(messages, talk.key),
            tools=self._tools.specs,
            max_output_tokens=self._limits.output_tokens,
            files=await looked_at(messages, self._load),
            trace=replace(talk.turn.trace, step=n),
        )
        talk.on_doing("")
        reply = await self._provider.ask(request, talk.say)
        return replace(reply, message=self._cleaned(reply.message, talk.label))

    def _cleaned(self, message: AssistantMessage, label: str) -> AssistantMessage:
        native = message.native
        if native is not None:
            content = self._redact(native.content)
            native = NativeContent(provider=native.provider, content=content)
        calls = tuple(
            replace(call, name=self._named(call), arguments=self._settled(call.arguments))
            for call in message.calls
        )
        text = self._redact(message.text)
        return AssistantMessage(text=text, calls=calls, native=native, label=label)

    def _named(self, call: ToolCall) -> str:
        # The mark of the redactor has signs that no provider takes in a name.
        return call.name if self._redact(call.name) == call.name else "redacted"

    def _settled(self, arguments: str) -> str:
        """Bring arguments to their one form; what has none is refused where it is decided on."""
        arguments = self._redact(arguments)
        try:
            return canonical(arguments)
        except ValueError:
            return arguments

    async def _run_calls(self, talk: Talk, reply: ModelReply, n: int) -> tuple[Ask, ...]:
        """Run the calls of an answer: first all that need no press; return those that do."""
        calls = dict(enumerate(reply.message.calls, start=n + 1))
        results: dict[int, ToolResult] = {}
        asks = []
        slept = len(talk.texts) if talk.approvals.keys() & calls else None
        for number in sorted(calls, key=lambda each: each in talk.approvals):
            if number in talk.approvals and slept is not None:
                talk.said, slept = len(talk.texts), None
            found = await self._result(talk, reply, n, number)
            if isinstance(found, Ask):
                asks.append(found)
                continue
            results[number] = found
            if found.failed and found.text == INTERRUPTED:
                # Here and not where it is found: another restart may come before the answer.
                talk.texts.append(
                    f"⚠️ `{calls[number].name}` was interrupted. Whether it took effect is "
                    "unknown; it was not run again."
                )
                talk.say("")
        if asks:
            return tuple(asks)
        talk.take(ToolMessage(results=tuple(results[number] for number in calls)))
        following = n + 1 + len(calls)
        # What is known of the next step from before a pause must stay.
        begun = () if following in talk.known else (ModelStep(n=following),)
        await talk.journal.note(*talk.unsaved, *begun)
        talk.unsaved.clear()
        return ()

    async def _result(self, talk: Talk, reply: ModelReply, n: int, number: int) -> ToolResult | Ask:
        """Return what is known of a call, or bring it to a result or to a question."""
        call, step = reply.message.calls[number - n - 1], talk.known.get(number)
        if isinstance(step, ToolStep) and step.result is not None:
            return step.result
        if step is not None and not self._tools.may_repeat(call):
            result = refused(call, INTERRUPTED)
        else:
            again = repeated(talk.made_before(number, reply, n), (call.name, call.arguments))
            decision = self._tools.decide(
                call,
                Situation(tainted=is_untrusted(talk.label), typed=talk.typed),
                talk.approvals.get(number),
                repeated=again,
            )
            if number >= self._limits.steps:
                reason = "the turn's limit of steps is reached (MAX_STEPS)"
                decision = Decision(verdict="deny", rule="steps", reason=reason)
            if decision.verdict == "ask":
                return Ask(n=number, call=call, decision=decision)
            result = await self._settle(talk, call, number, decision)
        talk.unsaved.append(ToolStep(n=number, call=call, result=result))
        return result

    async def _settle(
        self, talk: Talk, call: ToolCall, number: int, decision: Decision
    ) -> ToolResult:
        event = talk.turn.event
        context = ToolContext(
            place=event.place,
            actor=event.actor,
            trace=replace(talk.turn.trace, step=number),
            label=talk.label,
        )
        kept = Keeping(talk=talk, step=ToolStep(n=number, call=call))
        return await self._tools.settle(call, decision, context, kept, talk.approvals.get(number))


def _outcome(talk: Talk, reply: ModelReply) -> Outcome:
    notices = []
    if reply.stop == "max_tokens":
        limit = "MAX_OUTPUT_TOKENS, or what is left of the budget"
        notices.append(f"✂️ The answer was cut at its length limit ({limit}).")
    if reply.stop == "refusal" and not talk.texts:
        notices.append("The model declined to answer this.")
    # A provider's own form matters only within the turn; history keeps the typed one.
    messages = tuple(
        replace(message, native=None) if isinstance(message, AssistantMessage) else message
        for message in talk.own
    )
    results = (r for m in talk.own if isinstance(m, ToolMessage) for r in m.results)
    return Outcome(
        text="\n\n".join(filter(None, [talk.text, *notices])),
        links=talk.links,
        messages=messages,
        steps=tuple(talk.unsaved),
        files=tuple(file for result in results for file in result.files),
    )
