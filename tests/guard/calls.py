"""Calls and what policy says of them, for the tests of it."""

import json
from dataclasses import replace
from typing import Any, Literal

from assurebot.guard.arguments import canonical
from assurebot.guard.policy import Policy, Situation, typed_in
from assurebot.guard.rules import Rules
from assurebot.values import Decision, TextPart, ToolCall, ToolSpec

Effect = Literal["pure", "private-read", "outward", "state", "destructive"]

FETCH = ToolSpec(name="fetch_url", description="", schema="{}", destinations=("url",))
MAIL = ToolSpec(name="send", description="", schema="{}", destinations=("to", "cc"))
NONE = Rules()
CALM = Situation(tainted=False)
TAINTED = Situation(tainted=True)


def call(name: str = "fetch_url", **arguments: Any) -> ToolCall:
    """Make a call."""
    return ToolCall(id="1", name=name, arguments=canonical(json.dumps(arguments)))


def decided(
    spec: ToolSpec, arguments: dict[str, Any], *, typed: str = "", rules: Rules = NONE
) -> Decision:
    """Decide on a call in a tainted turn."""
    situation = replace(TAINTED, typed=typed_in([TextPart(text=typed)]))
    return Policy(rules=rules).decide(call(spec.name, **arguments), spec, situation)


def fetched(url: object, **entries: tuple[str, ...]) -> str:
    """Return the rule that decides on a fetch in a tainted turn."""
    return decided(FETCH, {"url": url}, rules=Rules.of(**entries)).rule
