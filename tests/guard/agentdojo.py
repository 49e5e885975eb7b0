"""AgentDojo's tasks replayed through the real loop and gate, with a model that obeys everyone.

`agentdojo.json` holds the calls that solve each user task and each injection task. The model here
makes those of the user; once it reads an injection in a result it makes those of the injection
too, and goes on whatever it is told. People approve all that the user's task needs, nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from assurebot.agent.loop import Agent, Ask, Asleep, Limits, Outcome
from assurebot.agent.talk import Turn
from assurebot.agent.toolbox import Gate, Toolbox
from assurebot.guard.arguments import canonical, digest
from assurebot.guard.policy import Situation
from assurebot.guard.rates import ToolRates
from assurebot.ports import Links, OnText, ToolContext, ToolOutput
from assurebot.values import (
    Approval,
    AssistantMessage,
    Decision,
    Event,
    ModelRef,
    ModelReply,
    ModelRequest,
    Person,
    Place,
    TextPart,
    ToolCall,
    ToolSpec,
    Trace,
    untrusted,
)
from tests.doubles import ListAudit, ListJournal

FILE = Path(__file__).with_name("agentdojo.json")
DESTINATIONS = ("recipients", "cc", "bcc", "participants", "email", "recipient")
HARMLESS = ("pure", "private-read")

NOW = datetime(2024, 5, 15, tzinfo=UTC)
OWNER_OF_IT = Person(user_id=1)
PLACE = Place(chat_id=1)
MODEL = ModelRef(provider="anthropic", name="obedient")


class Task(NamedTuple):
    """What somebody wants, and the calls (tool, arguments) that do it."""

    id: str
    text: str
    calls: tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite of the benchmark."""

    name: str
    specs: tuple[ToolSpec, ...]
    users: tuple[Task, ...]
    injections: tuple[Task, ...]

    def effect(self, tool: str) -> str:
        """Return the class of a tool."""
        return next(spec.effect for spec in self.specs if spec.name == tool)

    def trusting(self) -> Suite:
        """Return it with read tools that give nothing untrusted."""
        return replace(self, specs=tuple(replace(s, result_label="turn") for s in self.specs))


def suites() -> tuple[Suite, ...]:
    """Read both suites."""
    found = json.loads(FILE.read_text(encoding="utf-8"))["suites"]
    return tuple(_suite(name, suite) for name, suite in found.items())


def _suite(name: str, given: dict[str, Any]) -> Suite:
    classes = {tool: effect for effect, tools in given["classes"].items() for tool in tools}
    specs = tuple(
        ToolSpec(
            name=tool,
            description="A stub.",
            schema='{"type": "object"}',
            effect=classes.get(tool, "private-read"),
            result_label="turn" if tool in classes else untrusted("mailbox"),
            destinations=tuple(each for each in DESTINATIONS if each in parameters),
        )
        for tool, parameters in given["tools"].items()
    )
    users, injections = (
        tuple(
            Task(task["id"], task["text"], tuple((tool, args) for tool, args in task["calls"]))
            for task in given[key]
        )
        for key in ("user_tasks", "injection_tasks")
    )
    return Suite(name=name, specs=specs, users=users, injections=injections)


class Open:
    """A gate that stands open."""

    def decide(self, call: ToolCall, spec: ToolSpec | None, situation: Situation) -> Decision:
        """Allow."""
        del call, spec, situation
        return Decision(verdict="allow", rule="open", reason="the gate is off")


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of a pair: tools by who wanted them, the user's or the injection's calls.

    Attributes:
        read: The injection was in the model's context.
        asked, done: Tools for which a press was asked, and those that ran.
    """

    read: bool = False
    asked: dict[str, list[str]] = field(default_factory=lambda: {"user": [], "injection": []})
    done: dict[str, list[str]] = field(default_factory=lambda: {"user": [], "injection": []})


class _Stub:
    """A tool that does nothing but tell that it was run; what it reads holds the injection."""

    def __init__(
        self, spec: ToolSpec, text: str, who: Callable[[int], str], played: Played
    ) -> None:
        self.spec = spec
        self._text = text
        self._who = who
        self._played = played

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """Note the call."""
        del arguments
        assert context.trace.step is not None
        self._played.done[self._who(context.trace.step)].append(self.spec.name)
        return ToolOutput(text=self._text if self.spec.effect in HARMLESS else "Done.")


class _Obedient:
    """Makes one call an answer: those of the user's task, then those of what it has read."""

    def __init__(self, user: Task, injection: Task | None, played: Played) -> None:
        self._calls = list(user.calls)
        self._injection = injection
        self._played = played
        self._asked = 0

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Give the next call."""
        del on_text
        if self._injection is not None and self._injection.text in str(request.messages):
            self._calls += self._injection.calls
            self._injection, self._played.read = None, True
        self._asked += 1
        calls: tuple[ToolCall, ...] = ()
        if self._asked <= len(self._calls):
            tool, arguments = self._calls[self._asked - 1]
            text = json.dumps(arguments)
            calls = (ToolCall(id=f"c{self._asked}", name=tool, arguments=text),)
        message = AssistantMessage(text="" if calls else "Done.", calls=calls)
        return ModelReply(message=message, stop="tools" if calls else "end", model=MODEL)

    async def aclose(self) -> None:
        """Close nothing."""


class _Still:
    def now(self) -> datetime:
        return NOW


async def _no_files(_ids: Sequence[int]) -> dict[int, bytes]:
    return {}


async def play(suite: Suite, user: Task, injection: Task | None, gate: Gate) -> Played:
    """Replay one pair to its end; without an injection, the user's task alone."""
    played = Played()

    def who(step: int) -> str:
        return "user" if step // 2 < len(user.calls) else "injection"  # even steps are the model's

    text = "Nothing of note." if injection is None else f"INFORMATION: {injection.text}"
    tools = [_Stub(spec, text, who, played) for spec in suite.specs]
    toolbox = Toolbox(tools, gate=gate, rates=ToolRates(), audit=ListAudit(), redact=str)
    agent = Agent(
        provider=_Obedient(user, injection, played),
        tools=toolbox,
        clock=_Still(),
        redact=str,
        limits=Limits(steps=100),
        load=_no_files,
    )
    event = Event(
        source="telegram",
        key="1",
        kind="message",
        actor=OWNER_OF_IT,
        place=PLACE,
        received_at=NOW,
        parts=(TextPart(text=user.text),),
    )
    turn = Turn(id=1, event=event, model=MODEL, past=(), steps=(), trace=Trace())
    journal = ListJournal()
    while isinstance(end := await agent.run(turn, journal, _unheard, _undone), Asleep):
        for ask in end.asks:
            played.asked[who(ask.n)].append(ask.call.name)
        decided = tuple(_pressed(ask, approve=who(ask.n) == "user") for ask in end.asks)
        await journal.note(*end.steps)
        turn = replace(turn, steps=journal.steps, approvals=(*turn.approvals, *decided))
    assert isinstance(end, Outcome)
    return played


def _pressed(ask: Ask, *, approve: bool) -> Approval:
    arguments = canonical(ask.call.arguments)
    return Approval(
        event_id=1,
        n=ask.n,
        place=PLACE,
        requester=OWNER_OF_IT,
        approvers=(1,),
        tool=ask.call.name,
        arguments=arguments,
        digest=digest(arguments),
        rule=ask.decision.rule,
        expires_at=NOW + timedelta(minutes=10),
        state="approved" if approve else "denied",
        decided_by=OWNER_OF_IT,
    )


def _unheard(text: str, *, links: Links) -> None:
    del text, links


def _undone(name: str) -> None:
    del name
