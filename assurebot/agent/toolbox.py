"""Tool calls: decided by policy, recorded before and after, run within their limits."""

from __future__ import annotations

import time
from asyncio import CancelledError, current_task, timeout
from collections.abc import Sequence
from typing import Protocol

from assurebot.errors import ToolError
from assurebot.guard.policy import decide
from assurebot.ports import AuditLog, Redact, Tool, ToolContext, ToolOutput
from assurebot.values import (
    Attachment,
    AuditEntry,
    BoxFile,
    Decision,
    ToolCall,
    ToolResult,
    ToolSpec,
    Trace,
)


class Keeping(Protocol):
    """How a call is kept while it runs."""

    async def begin(self) -> None:
        """Commit that it was begun."""
        ...

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        """Store what it made for the chat."""
        ...


class Toolbox:
    """The registered tools; there is no other way to one of them than `settle`."""

    def __init__(self, tools: Sequence[Tool], *, audit: AuditLog, redact: Redact) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._audit = audit
        self._redact = redact

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What is offered to the model."""
        return tuple(tool.spec for tool in self._tools.values())

    def may_repeat(self, call: ToolCall) -> bool:
        """Tell whether a call may be run again when its outcome is unknown."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.spec.repeatable

    async def settle(
        self,
        call: ToolCall,
        context: ToolContext,
        label: str,
        kept: Keeping,
    ) -> ToolResult:
        """Bring a call to its result: refuse it by policy, or run it.

        Args:
            call: What the model asks for.
            context: Where and for whom.
            label: That of the turn, which most results share.
            kept: Commits that the call was begun, before the intent is recorded, and its files.

        Raises:
            AuditError, StoreError: It could not be recorded, and so was not run.
        """
        tool = self._tools.get(call.name)
        decision = decide(call, None if tool is None else tool.spec)
        if decision.verdict != "allow" or tool is None:
            return await self._refuse(call, decision, context.trace)
        await kept.begin()
        output, failure = await self._run(tool, call, context, decision.rule)
        if failure is not None:
            return refused(call, self._redact(failure))
        own = output.label or tool.spec.result_label
        return ToolResult(
            call_id=call.id,
            name=call.name,
            text=_cut(self._redact(output.text), tool.spec.result_chars),
            label=label if own == "turn" else own,
            files=await kept.keep(output.files) if output.files else (),
        )

    async def _refuse(self, call: ToolCall, decision: Decision, trace: Trace) -> ToolResult:
        await self._audit.record(
            AuditEntry(
                type="tool",
                trace=trace,
                action=call.name,
                decision=decision.verdict,
                rule=decision.rule,
                result="refused",
                command=call.arguments,
            )
        )
        return refused(call, f"Refused by policy ({decision.rule}): {decision.reason}")

    async def _run(
        self, tool: Tool, call: ToolCall, context: ToolContext, rule: str
    ) -> tuple[ToolOutput, str | None]:
        """Run an allowed call between its two audit lines; return what came, or why nothing did."""
        opening = AuditEntry(
            type="tool",
            trace=context.trace,
            action=call.name,
            decision="allow",
            rule=rule,
            command=call.arguments,
        )
        seq = await self._audit.intent(opening)
        began = time.monotonic()
        output, outcome, failure = ToolOutput(text=""), "error", None
        try:
            async with timeout(tool.spec.timeout_seconds):
                output = await tool.run(call.arguments, context)
            outcome = "ok"
        except ToolError as error:
            outcome, failure = "failed", str(error)
        except CancelledError:
            outcome = "cancelled"
            raise
        except TimeoutError:
            outcome, failure = "timeout", f"no end after {tool.spec.timeout_seconds:g} s"
        finally:
            closing = AuditEntry(
                type="tool",
                phase="result",
                closes=seq,
                trace=context.trace,
                action=call.name,
                result=outcome,
                error=failure,
                duration_ms=round((time.monotonic() - began) * 1000),
            )
            await self._audit.record(closing)
        _demand_not_stopped()
        return output, failure


def refused(call: ToolCall, text: str) -> ToolResult:
    """Make the result of a call that was not run, or came to nothing."""
    return ToolResult(call_id=call.id, name=call.name, text=text, failed=True)


def _demand_not_stopped() -> None:
    """End a turn that was stopped while a tool kept the stop to itself."""
    task = current_task()
    if task is not None and task.cancelling():
        raise CancelledError


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {len(text) - limit} more characters]"
