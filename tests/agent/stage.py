"""An agent with everything around it, and what goes in and out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assurebot.agent.loop import Agent, Asleep, Limits, Outcome
from assurebot.agent.talk import Turn
from assurebot.agent.toolbox import Toolbox
from assurebot.guard.policy import Policy
from assurebot.guard.rates import ToolRates
from assurebot.guard.rules import Rules
from assurebot.ports import Links
from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRef,
    ModelReply,
    Step,
    TextPart,
    ToolCall,
    ToolResult,
    Trace,
    UserMessage,
)
from tests.doubles import CallingTool, ListAudit, ListJournal, ScriptedProvider
from tests.store.making import SetClock, event

MODEL = ModelRef(provider="anthropic", name="claude")
TRACE = Trace(event="message:42:1", turn=1, actor="owner:42", user=42)


def call(name: str = "act", number: int = 0, arguments: str = '{"x":1}') -> ToolCall:
    """A call; its arguments are in their canonical form."""
    return ToolCall(id=f"c{number}", name=name, arguments=arguments)


def reply(text: str = "", *calls: ToolCall, **fields: Any) -> ModelReply:
    """An answer of the model."""
    stop = "tools" if calls else "end"
    message = AssistantMessage(text=text, calls=calls)
    return ModelReply(**{"message": message, "stop": stop, "model": MODEL, **fields})


def done(text: str = "acted", number: int = 0, **fields: Any) -> ToolResult:
    """A result."""
    return ToolResult(**{"call_id": f"c{number}", "name": "act", "text": text, **fields})


async def acted(_arguments: str) -> str:
    """Act."""
    return "acted"


def redact(text: str) -> str:
    """Take the one secret out."""
    return text.replace("SECRET", "[gone]")


class Stage:
    """An agent with one tool and everything around it.

    Attributes:
        shown: The answer so far, each time it grew.
        links: What may be links in it, each time.
        doing: What was begun: calls by their name, and questions to the model.
    """

    def __init__(self, *replies: ModelReply | Exception, **given: Any) -> None:
        self.provider = ScriptedProvider(*replies)
        self.audit = ListAudit()
        self.journal = ListJournal()
        self.shown: list[str] = []
        self.links: list[Links] = []
        self.doing: list[str] = []
        self.tool = given.pop("tool", None) or CallingTool(acted)
        self.agent = Agent(
            provider=self.provider,
            tools=Toolbox(
                [self.tool],
                gate=Policy(rules=given.pop("rules", Rules())),
                rates=ToolRates(),
                audit=self.audit,
                redact=redact,
            ),
            clock=SetClock(),
            redact=redact,
            limits=given.pop("limits", Limits()),
            load=self._load,
        )
        self.given = given

    async def _load(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """Give as many bytes for each file as its number says."""
        return {file: b"x" * file for file in ids}

    async def run(self, *steps: Step, past: tuple[Message, ...] = ()) -> Outcome:
        """Run a turn that has these steps already, to its answer."""
        outcome = await self.go(*steps, past=past)
        assert isinstance(outcome, Outcome)
        return outcome

    async def go(self, *steps: Step, past: tuple[Message, ...] = ()) -> Outcome | Asleep:
        """Run a turn that has these steps already, to its answer or to where it has to wait."""
        turn = Turn(
            id=1, event=event("a", **self.given), model=MODEL, past=past, steps=steps, trace=TRACE
        )
        return await self.agent.run(turn, self.journal, self._show, self.doing.append)

    def _show(self, text: str, *, links: Links) -> None:
        self.shown.append(text)
        self.links.append(links)


HELLO = UserMessage(parts=(TextPart(text="hello"),))
