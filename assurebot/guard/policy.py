"""Whether a tool call may run: seven steps, first match wins, and what no rule allows is denied."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from assurebot.guard.arguments import values
from assurebot.guard.rules import LIKE_URL, Rules, Value, value_of
from assurebot.values import OWNER, Decision, Part, ToolCall, ToolSpec

_Verdict = Literal["allow", "ask"]
_TABLE: Mapping[str, tuple[_Verdict, _Verdict]] = {  # not tainted, tainted
    "pure": ("allow", "allow"),
    "private-read": ("allow", "allow"),
    "outward": ("allow", "ask"),
    "state": ("allow", "ask"),
    "destructive": ("ask", "ask"),
}
_QUOTED = re.compile(r'"([^"\n]+)"|`([^`\n]+)`|(?<!\w)\'([^\'\n]+)\'(?!\w)')
_AROUND = "<>()[]{}\"'`*_.,;:!?\u2026\u201c\u201d\u2018\u2019\u00ab\u00bb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The turn in which a call is made.

    Attributes:
        tainted: Untrusted content is in the model's context.
        typed: See `typed_in`.
    """

    tainted: bool
    typed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Decides on calls; it knows the operator's rules, the table, and nothing else."""

    rules: Rules = field(default_factory=Rules)

    def decide(self, call: ToolCall, spec: ToolSpec | None, situation: Situation) -> Decision:
        """Decide on a call of the tool with this declaration.

        Args:
            call: With canonical arguments.
            spec: The registered tool of that name; `None` if there is none.
            situation: Of the turn.
        """
        name, places = call.name, () if spec is None else spec.destinations
        # A name that is not registered is the model's own words: no reason repeats it.
        try:
            given = tuple(map(value_of, values(call.arguments, places)))
        except (ValueError, RecursionError):
            return _decision("deny", "arguments", "the arguments are not one JSON object")
        if rule := next((r for r in self.rules.deny if r.touches(name, given)), None):
            return _decision("deny", f"deny:{rule.entry}", "POLICY_DENY rules this call out")
        if spec is None or spec.name != name:
            return _decision("deny", "not-registered", "there is no such tool")
        if rule := next((r for r in self.rules.ask if r.touches(name, given)), None):
            return _decision("ask", f"ask:{rule.entry}", f"POLICY_ASK: this {name!r} needs a press")
        if spec.effect == "outward" and (free := self.rules.freeing(name, given if places else ())):
            return _decision("allow", f"allow:{free}", f"POLICY_ALLOW frees this {name!r}")
        return _by_class(spec, given if places else (), situation)


def _by_class(spec: ToolSpec, given: tuple[Value, ...], situation: Situation) -> Decision:
    name, effect = spec.name, spec.effect
    verdicts = _TABLE.get(effect)
    if verdicts is None:
        return _decision("deny", "default", f"no rule allows {name!r}")
    verdict = verdicts[situation.tainted]
    if verdict == verdicts[False]:
        needs = "is allowed" if verdict == "allow" else "needs a press"
        return _decision(verdict, f"class:{effect}", f"{name!r} is {effect}, which {needs}")
    outward = effect == "outward"
    if outward and given and all(value.normal in situation.typed for value in given):
        return _decision("allow", "typed", f"{name!r} goes only where the user's words point")
    return _decision(
        "ask",
        f"class:{effect}:tainted",
        f"{name!r} is {effect}, which needs a press while content from outside is in view",
        _frees(name, given) if outward else None,
    )


def _frees(name: str, given: tuple[Value, ...]) -> str | None:
    """Return the entries that together would free a call, `None` if none could."""
    globs = dict.fromkeys(value.glob for value in given)
    return None if None in globs else ",".join(f"{name}:{glob}" for glob in globs) or None


def typed_in(parts: Sequence[Part]) -> frozenset[str]:
    """Return the values that the owner typed, in normal form: never a part of a longer one.

    These are URLs (without a scheme: https), e-mail addresses, quoted values, and each whole text.
    """
    typed: set[str] = set()
    for part in parts:
        if part.label != OWNER or part.quoted:
            continue
        texts = [part.text, *(found[found.lastindex or 0] for found in _QUOTED.finditer(part.text))]
        for word in part.text.split():
            bare = word.strip(_AROUND)
            if "@" in bare:
                texts.append(bare)
            start = "" if LIKE_URL.match(bare) else "https://"
            # IDNA is slow, and any word with a dot comes here.
            if "." in bare and (bare.isascii() or not start):
                texts += [f"{start}{word.lstrip(_AROUND)}", f"{start}{bare}"]
        typed.update(filter(None, (value_of(text).normal for text in texts)))
    return frozenset(typed)


def _decision(
    verdict: Literal["allow", "ask", "deny"], rule: str, reason: str, frees: str | None = None
) -> Decision:
    return Decision(verdict=verdict, rule=rule, reason=reason, frees=frees)
