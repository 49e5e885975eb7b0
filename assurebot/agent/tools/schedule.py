"""`schedule`: have something done at times."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from assurebot.errors import ToolError
from assurebot.guard.tasks import Order
from assurebot.guard.triggers import EXAMPLES
from assurebot.ports import ToolContext, ToolOutput
from assurebot.values import OWNER, Person, Place, ToolSpec, is_untrusted, untrusted

SCHEMA = """{"type": "object", "properties": {"when": {"type": "string"}, \
"kind": {"type": "string", "enum": ["remind", "brief", "run"]}, \
"text": {"type": "string", "minLength": 1, "maxLength": 4000}, "zone": {"type": "string", \
"description": "IANA name, if not the user's."}}, \
"required": ["when", "kind", "text"], "additionalProperties": false}"""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    when: str
    kind: Literal["remind", "brief", "run"]
    text: str
    zone: str = ""


class Add(Protocol):
    """Keeps a job and tells its number; raises `ValueError` with what to fix."""

    async def __call__(
        self, order: Order, place: Place, actor: Person, label: str, *, quoted: bool
    ) -> str:
        """Keep it; `quoted` tells that nobody typed it."""
        ...


class Schedule:
    """The tool. What is made in a tainted turn stays tainted, and nothing of it was typed."""

    spec = ToolSpec(
        name="schedule",
        description=(
            f"Keep a task for later. `when` is {EXAMPLES}. `remind` says the text as it is, "
            "`brief` gives it to you as a prompt then, `run` runs `LANGUAGE CODE` in the box and "
            "tells its output when that changed."
        ),
        schema=SCHEMA,
        effect="state",
        result_label=OWNER,  # it tells a number and times
    )

    def __init__(self, add: Add) -> None:
        self._add = add

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        if context.trace.job is not None:  # each new one would have a budget of its own
            raise ToolError("a task makes no tasks")
        label = untrusted("schedule") if is_untrusted(context.label) else OWNER
        try:
            order = Order(**_Arguments.model_validate_json(arguments or "{}").model_dump())
            text = await self._add(order, context.place, context.actor, label, quoted=True)
        except ValidationError as error:
            raise ToolError(
                'schedule needs {"when": "...", "kind": "...", "text": "..."}'
            ) from error
        except ValueError as error:
            raise ToolError(f"not kept: {error}") from error
        return ToolOutput(text=text)
