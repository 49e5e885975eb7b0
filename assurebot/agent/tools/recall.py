"""`recall`: read an earlier exchange of the same conversation again."""

from __future__ import annotations

from typing import assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assurebot.errors import ToolError
from assurebot.ports import Store, ToolContext, ToolOutput
from assurebot.values import (
    OWNER,
    AssistantMessage,
    Exchange,
    Message,
    ToolMessage,
    ToolSpec,
    UserMessage,
    is_tainted,
    untrusted,
)

SCHEMA = """{"type": "object", "properties": {"id": {"type": "integer", "minimum": 1, \
"description": "Number of the exchange; a number in between gives the one before it."}}, \
"required": ["id"], "additionalProperties": false}"""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    id: int = Field(ge=1, lt=2**63)


class Recall:
    """The tool. Content that was untrusted then is untrusted now."""

    spec = ToolSpec(
        name="recall",
        description=(
            "Read an earlier exchange of this conversation, by its number. Use it when a stub "
            "names one, or to look further back than the messages that you can see."
        ),
        schema=SCHEMA,
        effect="private-read",
        repeatable=True,
        timeout_seconds=10,
    )

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        try:
            wanted = _Arguments.model_validate_json(arguments or "{}").id
        except ValidationError as error:
            raise ToolError('recall needs {"id": <number of the exchange>}') from error
        exchange = await self._store.exchange(context.place, wanted)
        if exchange is None:
            raise ToolError(f"this conversation has no exchange {wanted} or before it")
        label = untrusted("recalled") if any(map(is_tainted, exchange.messages)) else OWNER
        return ToolOutput(text=_shown(exchange), label=label)


def _shown(exchange: Exchange) -> str:
    lines = [f"Exchange {exchange.id} of {exchange.at:%Y-%m-%d %H:%M} UTC:"]
    for message in exchange.messages:
        lines += _lines(message)
    return "\n".join(lines)


def _lines(message: Message) -> list[str]:
    match message:
        case UserMessage():
            return [f"user: {part.text}" for part in message.parts]
        case AssistantMessage():
            calls = [f"you called {call.name}({call.arguments})" for call in message.calls]
            return [f"you: {message.text}", *calls] if message.text else calls
        case ToolMessage():
            return [f"{result.name} gave: {result.text}" for result in message.results]
        case _:
            assert_never(message)
