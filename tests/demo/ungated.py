"""The program of the tour with a gate that allows everything: what the tour must find out."""

import sys
from dataclasses import replace

from assurebot.cli import main
from assurebot.demo.tour_program import parts
from assurebot.guard.policy import Situation
from assurebot.values import Decision, ToolCall, ToolSpec


class OpenGate:
    """Allows every call."""

    def decide(self, call: ToolCall, spec: ToolSpec | None, situation: Situation) -> Decision:
        """Allow it."""
        del call, spec, situation
        return Decision(verdict="allow", rule="none", reason="")


if __name__ == "__main__":
    open_parts = replace(parts(sys.argv[1]), gate=lambda _rules: OpenGate())
    sys.exit(main(["run"], open_parts))
