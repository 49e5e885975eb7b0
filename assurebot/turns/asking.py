"""What people read before they press: the whole of a call, written by code, and what came of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from assurebot.agent.history import INTERRUPTED
from assurebot.agent.report import code_block
from assurebot.agent.toolbox import REFUSED
from assurebot.guard.visible import visible
from assurebot.ports import Renderer
from assurebot.values import Approval, BoxFile, Button, Person, Piece, Place, ToolResult

WHOLE_CHARS = 2_500
"""Longer arguments come as a file, whole: nothing is cut where it could decide."""

FREES_CHARS = 300
"""A longer entry for the settings is not offered: nobody would read it to its end."""

STATE_CHARS = 250
"""Room for what comes of one call. Where it could be short, that has a message of its own: only
that message is written over, and the arguments must stay while others can still be pressed."""

_AGAIN = "🧹 Without earlier content"


class Question:
    """The approvals of one turn, as a message for one person.

    Args:
        approvals: All of them, in order.
        results: What became of those that were run, by their step.
    """

    def __init__(
        self,
        approvals: Sequence[Approval],
        *,
        results: Mapping[int, ToolResult] | None = None,
    ) -> None:
        self._approvals = approvals
        self._results = results or {}

    def pieces(
        self, render: Renderer, place: Place
    ) -> tuple[tuple[Piece, ...], tuple[tuple[str, str], ...]]:
        """Return the messages and what their buttons mean; the last one is written over later.

        Args:
            render: Makes them.
            place: Where they will show; the buttons are those that are of use there.
        """
        buttons, granted = self._buttons(place)
        details = "\n\n".join(map(_detail, self._approvals))
        state = "\n".join(map(self._state, self._approvals))
        room = "x" * STATE_CHARS * len(self._approvals)
        if len(render(f"{details}\n\n{room}")) == 1:
            pieces = list(render(f"{details}\n\n{state}"))
        else:
            pieces = [*render(details), *render(state)]
        last = pieces.pop()
        return (*pieces, replace(last, buttons=buttons)), granted

    def _state(self, approval: Approval) -> str:
        name = f"{approval.name} `{approval.tool}`"
        until = f"{approval.expires_at:%H:%M:%S} UTC"
        by = "" if approval.decided_by is None else f" by {who(approval.decided_by)}"
        when = "" if approval.decided_at is None else f", {approval.decided_at:%H:%M:%S} UTC"
        match approval.state:
            case "pending":
                others = [each for each in approval.approvers if each != approval.requester.user_id]
                whom = f" for id {', '.join(map(str, others))}" if others else ""
                return f"⏳ {name} waits{whom} until {until}."
            case "denied":
                return f"❌ {name} was denied{by}{when}. It was not done."
            case "expired":
                return f"⌛ {name} was not approved{when}. It was not done."
            case "approved" | "executed":
                return f"✅ {name} was approved{by}{when}{self._outcome(approval)}"

    def _outcome(self, approval: Approval) -> str:
        result = self._results.get(approval.n)
        if result is None:
            return "."
        if result.text == INTERRUPTED:
            return ". It was cut off; whether it took effect is unknown."
        if result.text.startswith(REFUSED):
            return ". It was not done: a rule refused it."
        return ". It failed." if result.failed else ". Done."

    def _buttons(self, place: Place) -> tuple[tuple[Button, ...], tuple[tuple[str, str], ...]]:
        pending = [each for each in self._approvals if each.state == "pending"]
        buttons, granted = [], []

        def add(label: str, kind: str) -> None:
            buttons.append(Button(label=label, id=secrets.token_urlsafe(12)))
            granted.append((buttons[-1].id, kind))

        for approval in filter(lambda each: _may_press(place, each.approvers), pending):
            mark = f" {approval.name}" if len(self._approvals) > 1 else ""
            call = f"{approval.event_id}.{approval.n}"
            add(f"✅ Approve{mark}", f"approve:{call}")
            add(f"❌ Deny{mark}", f"deny:{call}")
        if pending and pending[0].afresh and place == pending[0].place:
            add(_AGAIN, f"afresh:{pending[0].event_id}.0")
        return tuple(buttons), tuple(granted)


def long_arguments(approvals: Sequence[Approval]) -> tuple[BoxFile, ...]:
    """Return the arguments that are too long for a message, each as a file of the exact bytes."""
    return tuple(
        BoxFile(name=f"{each.tool}-{each.event_id}.{each.n}.json", data=each.arguments.encode())
        for each in approvals
        if len(_shown(each)) > WHOLE_CHARS
    )


def who(person: Person) -> str:
    """Name a person by the id, which nobody can choose, and the name, which anybody can."""
    name = " ".join(visible(person.name).split())[:64]
    return f"`{name.replace('`', '')}` (id {person.user_id})" if name else f"id {person.user_id}"


def _may_press(place: Place, approvers: Sequence[int]) -> bool:
    """Tell whether buttons are of use in a chat; in a group they are, to those who may."""
    return not place.private or place.chat_id in approvers


def _detail(approval: Approval) -> str:
    asked = f"🔐 {approval.name} For {who(approval.requester)}: run `{approval.tool}`?"
    shown = _shown(approval)
    if len(shown) > WHOLE_CHARS:
        shown = f"{len(approval.arguments)} bytes, whole in the file above"
        shown += f"\nSHA-256 {approval.digest}"
    why = f"It asks because {approval.reason} (rule `{approval.rule}`)."
    if approval.frees and len(approval.frees) <= FREES_CHARS and "`" not in approval.frees:
        why += f" With `{visible(approval.frees)}` in POLICY_ALLOW it would pass without asking."
    return f"{asked}\n{code_block(shown)}\n{why}"


def _shown(approval: Approval) -> str:
    """Write out every argument on a line of its own; no character of it hides or acts.

    Letters beyond ASCII stand as their numbers too, where one could be taken for another.
    """
    lines = []
    for name, value in json.loads(approval.arguments).items():
        text = json.dumps({name: value}, ensure_ascii=False)[1:-1]
        lines.append(visible(text))
        if not text.isascii() and len(text) <= WHOLE_CHARS:
            lines.append(f"  in ASCII: {json.dumps({name: value})[1:-1]}")
    return "\n".join(lines) or "(no arguments)"
