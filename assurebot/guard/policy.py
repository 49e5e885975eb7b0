"""Whether a tool call may run: decided in code by a table, and denied where it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from assurebot.values import Decision, ToolCall, ToolSpec

_TABLE: Mapping[str, Literal["allow", "ask"]] = {
    "pure": "allow",
    "private-read": "allow",
    "outward": "allow",
    "state": "allow",
    "destructive": "ask",
}


def decide(call: ToolCall, spec: ToolSpec | None) -> Decision:
    """Decide on a call of the tool with this declaration; first match wins.

    Args:
        call: As the model made it.
        spec: The registered tool of that name; `None` if there is none.
    """
    if spec is None or spec.name != call.name:
        reason = f"there is no tool named {call.name!r}"
        return Decision(verdict="deny", rule="not-registered", reason=reason)
    verdict = _TABLE.get(spec.effect)
    if verdict is None:
        reason = f"no rule allows {spec.name!r}"
        return Decision(verdict="deny", rule="default", reason=reason)
    needs = "needs a press" if verdict == "ask" else "is allowed"
    reason = f"{spec.name!r} is {spec.effect}, which {needs}"
    return Decision(verdict=verdict, rule=f"class:{spec.effect}", reason=reason)
