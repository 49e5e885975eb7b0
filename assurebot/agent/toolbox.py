"""Tool calls: decided by policy, recorded before and after, run within their limits."""

from __future__ import annotations

import time
from asyncio import CancelledError, current_task, timeout
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from assurebot.errors import ToolError
from assurebot.guard.arguments import digest
from assurebot.guard.policy import Situation
from assurebot.guard.rates import ToolRates
from assurebot.ports import AuditLog, Redact, Tool, ToolContext, ToolOutput
from assurebot.values import (
    OWNER,
    Approval,
    Attachment,
    AuditEntry,
    BoxFile,
    Decision,
    ToolCall,
    ToolResult,
    ToolSpec,
    Trace,
)

REFUSED = "Refused by policy"


class Gate(Protocol):
    """What decides on calls: `guard.policy.Policy`."""

    def decide(self, call: ToolCall, spec: ToolSpec | None, situation: Situation) -> Decision:
        """Decide; `spec` is `None` where there is no such tool."""
        ...


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

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        gate: Gate,
        rates: ToolRates,
        audit: AuditLog,
        redact: Redact,
    ) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._gate = gate
        self._rates = rates
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

    def decide(
        self,
        call: ToolCall,
        situation: Situation,
        approval: Approval | None = None,
        *,
        repeated: bool = False,
    ) -> Decision:
        """Decide on a call, and again on one that was decided by a press.

        Args:
            call: Its arguments in their canonical form.
            situation: Of the turn.
            approval: What came of asking for it.
            repeated: The turn has made this same call too often.
        """
        tool = self._tools.get(call.name)
        decision = self._gate.decide(call, None if tool is None else tool.spec, situation)
        if decision.verdict == "deny":
            return decision
        if repeated:
            reason = "the same call was made twice already: use what it gave"
            return Decision(verdict="deny", rule="loop", reason=reason)
        return decision if approval is None else _pressed(call, approval)

    async def settle(
        self,
        call: ToolCall,
        decision: Decision,
        context: ToolContext,
        kept: Keeping,
        approval: Approval | None = None,
    ) -> ToolResult:
        """Bring a call to its result: refuse it as decided, or run it.

        Args:
            call: What the model asks for.
            decision: What was decided on it.
            context: Where and for whom.
            kept: Commits that the call was begun, before the intent is recorded, and its files.
            approval: The press that allowed it; its bytes are what is run.

        Raises:
            AuditError, StoreError: It could not be recorded, and so was not run.
        """
        tool = self._tools.get(call.name)
        if decision.verdict != "allow" or tool is None:
            return await self._refuse(call, decision, context.trace)
        user, chat, per_minute = context.actor.user_id, context.place.chat_id, tool.spec.per_minute
        late = self._rates.take(call.name, per_minute, user, chat, time.monotonic())
        if late is not None:
            decision = Decision(verdict="deny", rule="rate", reason=late)
            return await self._refuse(call, decision, context.trace)
        await kept.begin()
        output, failure = await self._run(tool, call, context, decision.rule, approval)
        if failure is not None:
            return refused(call, self._redact(failure), context.label)
        own = output.label or tool.spec.result_label
        return ToolResult(
            call_id=call.id,
            name=call.name,
            text=_cut(self._redact(output.text), tool.spec.result_chars),
            label=context.label if own == "turn" else own,
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
        text = f"{REFUSED} ({decision.rule}): {decision.reason}"
        return refused(call, text)

    async def _run(
        self,
        tool: Tool,
        call: ToolCall,
        context: ToolContext,
        rule: str,
        approval: Approval | None,
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
        if approval is not None and approval.decided_by is not None:
            by = approval.decided_by.user_id
            opening = replace(opening, decision="ask", approval_required=True, approved_by=by)
        seq = await self._audit.intent(opening)
        began = time.monotonic()
        output, outcome, failure = ToolOutput(text=""), "error", None
        try:
            async with timeout(tool.spec.timeout_seconds):
                arguments = call.arguments if approval is None else approval.arguments
                output = await tool.run(arguments, context)
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


def _pressed(call: ToolCall, approval: Approval) -> Decision:
    """Decide by a press: these exact bytes, or nothing."""
    if approval.state not in {"approved", "executed"}:
        words = {"denied": "the person said no", "expired": "nobody approved it in time"}
        reason = f"{words.get(approval.state, 'nobody approved it')}; do not try it in another way"
        return Decision(verdict="deny", rule=f"approval:{approval.state}", reason=reason)
    if not digest(call.arguments) == approval.digest == digest(approval.arguments):
        reason = "its arguments are not those that were approved"
        return Decision(verdict="deny", rule="approval:changed", reason=reason)
    return Decision(verdict="allow", rule=approval.rule, reason="it was approved")


def refused(call: ToolCall, text: str, label: str = OWNER) -> ToolResult:
    """Make the result of a call that was not run, or came to nothing.

    Words of a tool may echo its arguments, and share the turn's label; our own never do.
    """
    return ToolResult(call_id=call.id, name=call.name, text=text, failed=True, label=label)


def _demand_not_stopped() -> None:
    """End a turn that was stopped while a tool kept the stop to itself."""
    task = current_task()
    if task is not None and task.cancelling():
        raise CancelledError


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {len(text) - limit} more characters]"
