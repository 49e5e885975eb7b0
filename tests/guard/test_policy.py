"""Every tool call is decided by a rule that has a name; what no rule allows is denied."""

from dataclasses import replace
from typing import Literal

import pytest

from assurebot.guard.policy import decide
from assurebot.values import Decision, ToolCall, ToolSpec

CALL = ToolCall(id="1", name="fetch", arguments="{}")
SPEC = ToolSpec(name="fetch", description="", schema="{}")


@pytest.mark.parametrize(
    ("effect", "decision"),
    [
        (
            "pure",
            Decision(
                verdict="allow", rule="class:pure", reason="'fetch' is pure, which is allowed"
            ),
        ),
        (
            "private-read",
            Decision(
                verdict="allow",
                rule="class:private-read",
                reason="'fetch' is private-read, which is allowed",
            ),
        ),
        (
            "outward",
            Decision(
                verdict="allow", rule="class:outward", reason="'fetch' is outward, which is allowed"
            ),
        ),
        (
            "state",
            Decision(
                verdict="allow", rule="class:state", reason="'fetch' is state, which is allowed"
            ),
        ),
        (
            "destructive",
            Decision(
                verdict="ask",
                rule="class:destructive",
                reason="'fetch' is destructive, which needs a press",
            ),
        ),
    ],
)
def test_the_class_of_the_tool_decides(
    effect: Literal["pure", "private-read", "outward", "state", "destructive"], decision: Decision
) -> None:
    """In an untainted turn only destructive calls need a press."""
    assert decide(CALL, replace(SPEC, effect=effect)) == decision


def test_a_tool_that_names_no_class_counts_as_outward() -> None:
    """Forgetting the class never makes a tool freer than `outward`."""
    assert decide(CALL, SPEC).rule == "class:outward"


@pytest.mark.parametrize("spec", [None, replace(SPEC, name="other")])
def test_a_tool_that_is_not_registered_is_denied(spec: ToolSpec | None) -> None:
    """A name that the model made up runs nothing, nor does another tool's declaration free it."""
    assert decide(CALL, spec) == Decision(
        verdict="deny", rule="not-registered", reason="there is no tool named 'fetch'"
    )


def test_a_class_that_the_table_does_not_know_is_denied() -> None:
    """The last rule is no."""
    spec = replace(SPEC, effect="magic")  # type: ignore[arg-type] # as a newer version may store
    assert decide(CALL, spec) == Decision(
        verdict="deny", rule="default", reason="no rule allows 'fetch'"
    )
