"""`recall`: read an earlier exchange of the same conversation, or a note, again."""

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
    Place,
    ToolMessage,
    ToolSpec,
    UserMessage,
    is_tainted,
    untrusted,
)

SCHEMA = """{"type": "object", "properties": {"id": {"type": "integer", "minimum": 1, \
"description": "Number of the exchange; a number in between gives the one before it."}, \
"note": {"type": "integer", "minimum": 1, "description": "Instead of id: number of a note."}}, \
"additionalProperties": false}"""

_NEEDS = 'recall needs {"id": <number of the exchange>} or {"note": <number of the note>}'


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    id: int | None = Field(None, ge=1, lt=2**63)
    note: int | None = None


class Recall:
    """The tool. Content that was untrusted then is untrusted now."""

    spec = ToolSpec(
        name="recall",
        description=(
            "Read an earlier exchange of this conversation by its number (id), or a note by its "
            "own (note): one of the two. Use it when a stub or a list names one, or to look "
            "further back than the messages that you can see."
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
            wanted = _Arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise ToolError(_NEEDS) from error
        if wanted.id is not None and wanted.note is None:
            return await self._exchange(wanted.id, context.place)
        if wanted.note is not None and wanted.id is None:
            return await self._note(wanted.note, context.place)
        raise ToolError(_NEEDS)

    async def _exchange(self, wanted: int, place: Place) -> ToolOutput:
        exchange = await self._store.exchange(place, wanted)
        if exchange is None:
            raise ToolError(f"this conversation has no exchange {wanted} or before it")
        label = untrusted("recalled") if any(map(is_tainted, exchange.messages)) else OWNER
        return ToolOutput(text=shown(exchange), label=label)

    async def _note(self, wanted: int, place: Place) -> ToolOutput:
        for note in await self._store.memories(place.chat_id):
            if note.id == wanted:
                text = f"Note {note.id} of {note.at:%Y-%m-%d}: {note.text}"
                return ToolOutput(text=text, label=note.label)
        raise ToolError(f"there is no note {wanted}")


def shown(exchange: Exchange) -> str:
    """Return an exchange as text, each message behind the name of who made it."""
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
