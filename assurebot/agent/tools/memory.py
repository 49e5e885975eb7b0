"""`remember` and `forget`: the notes that a chat keeps over its conversations."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assurebot.agent.prompt import MAX_NOTES, NOTE_CHARS, one_line
from assurebot.errors import ToolError
from assurebot.ports import Store, ToolContext, ToolOutput
from assurebot.values import OWNER, ToolSpec, is_untrusted, untrusted

REMEMBER = """{"type": "object", "properties": {"text": {"type": "string", "minLength": 1, \
"maxLength": 500, "description": "One fact, complete in itself."}}, \
"required": ["text"], "additionalProperties": false}"""

FORGET = """{"type": "object", "properties": {"id": {"type": "integer", "minimum": 1, \
"description": "Number of the note."}}, "required": ["id"], "additionalProperties": false}"""


class _Fact(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    text: str


class _Number(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    id: int = Field(ge=1, lt=2**63)


class Remember:
    """The tool. What is noted in a tainted turn is a note from outside.

    It is not repeatable, though a second run would change nothing: between the two the note may
    have been deleted.
    """

    spec = ToolSpec(
        name="remember",
        description=(
            "Note one fact for all later conversations of this chat, when the user wants it kept. "
            f"There is room for {MAX_NOTES} notes; what is noted already is not noted twice."
        ),
        schema=REMEMBER,
        effect="state",
        result_label=OWNER,  # it tells a number and nothing else
    )

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        try:
            text = one_line(_Fact.model_validate_json(arguments or "{}").text)
        except ValidationError as error:
            raise ToolError('remember needs {"text": "<one fact>"}') from error
        if not 0 < len(text) <= NOTE_CHARS:
            raise ToolError(f"a note has 1 to {NOTE_CHARS} characters; this has {len(text)}")
        label = untrusted("note") if is_untrusted(context.label) else OWNER
        noted = await self._store.remember(context.place.chat_id, text, label, MAX_NOTES)
        if noted is None:
            raise ToolError(f"there are {MAX_NOTES} notes, and no room for more: forget one first")
        memory, new = noted
        return ToolOutput(text=f"{'noted' if new else 'was noted already'} as {memory.id}")


class Forget:
    """The tool. It reaches the notes of its own chat only."""

    spec = ToolSpec(
        name="forget",
        description="Delete a note of this chat, by its number, when the user wants it gone.",
        schema=FORGET,
        effect="destructive",
        result_label=OWNER,
    )

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        try:
            number = _Number.model_validate_json(arguments or "{}").id
        except ValidationError as error:
            raise ToolError('forget needs {"id": <number of the note>}') from error
        if not await self._store.forget(context.place.chat_id, number):
            raise ToolError(f"there is no note {number}")
        return ToolOutput(text=f"note {number} is deleted")
