"""Working stand-ins for the ports that tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from assurebot.errors import AuditError
from assurebot.ports import OnText, ToolContext, ToolOutput
from assurebot.values import AuditEntry, ModelReply, ModelRequest, Step, ToolSpec


class ListAudit:
    """Keeps audit entries in a list; the seq of an entry is its place in it, from 1.

    Attributes:
        entries: What was recorded.
        broken: While set, nothing can be recorded.
    """

    def __init__(self, *, broken: bool = False) -> None:
        self.entries: list[AuditEntry] = []
        self.broken = broken

    async def intent(self, entry: AuditEntry) -> int:
        """Keep an intent."""
        return await self.record(entry)

    async def record(self, entry: AuditEntry) -> int:
        """Keep an entry."""
        if self.broken:
            raise AuditError("the audit log is broken on purpose")
        self.entries.append(entry)
        return len(self.entries)

    def problem(self) -> str | None:
        """Say whether it is broken."""
        return "broken on purpose" if self.broken else None


class ScriptedProvider:
    """Answers from a list, one reply or error after the other.

    Attributes:
        asked: The requests.
    """

    def __init__(self, *replies: ModelReply | Exception) -> None:
        self.asked: list[ModelRequest] = []
        self._replies = list(replies)

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Give the next reply."""
        self.asked.append(request)
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        on_text(reply.message.text)
        return reply

    async def aclose(self) -> None:
        """Close nothing."""


class CallingTool:
    """A tool that does whatever it is told by a function of its arguments.

    Attributes:
        calls: The arguments of each call.
        begun: Set at each call.
    """

    def __init__(self, run: Callable[[str], Awaitable[str]], **spec: Any) -> None:
        given: dict[str, Any] = {"name": "act", "description": "Acts.", "effect": "pure"}
        self.spec = ToolSpec(**{**given, "schema": '{"type": "object"}', **spec})
        self.calls: list[str] = []
        self.begun = asyncio.Event()
        self._run = run

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """Do it."""
        del context
        self.calls.append(arguments)
        self.begun.set()
        return ToolOutput(text=await self._run(arguments))


class ListJournal:
    """Keeps the steps of a turn by their number.

    Attributes:
        commits: What was stored together, in order.
    """

    def __init__(self) -> None:
        self.commits: list[tuple[Step, ...]] = []

    async def note(self, *steps: Step) -> None:
        """Keep steps."""
        self.commits.append(steps)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps as they stand."""
        latest = {step.n: step for commit in self.commits for step in commit}
        return tuple(latest[n] for n in sorted(latest))
