"""`web_search`: a question to the provider's own search, apart from the conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assurebot.errors import BudgetSpent, ProviderError, ToolError
from assurebot.ports import Provider, ToolContext, ToolOutput
from assurebot.values import (
    ModelRef,
    ModelReply,
    ModelRequest,
    Place,
    TextPart,
    ToolSpec,
    UserMessage,
    untrusted,
)

SCHEMA = """{"type": "object", "properties": {"query": {"type": "string", "maxLength": 400, \
"description": "What to search for; all that leaves is these words."}}, \
"required": ["query"], "additionalProperties": false}"""

SYSTEM = "Search the web once for the user's words; answer from what you find, briefly."

ENDINGS = {"max_tokens": "[the answer was cut]", "refusal": "[the model declined to answer]"}


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    query: str = Field(max_length=400, pattern=r"\S")


class WebSearch:
    """The tool. Its request holds the query alone, so nothing else of the conversation leaves.

    Args:
        provider: Searches by itself where a request says so.
        model: Names the model of a place.
        output_tokens: Limit of the answer.
    """

    spec = ToolSpec(
        name="web_search",
        description="Search the web: a short answer and its sources, as: title (url).",
        schema=SCHEMA,
        effect="outward",
        destinations=("query",),
        result_label=untrusted("web search"),
        timeout_seconds=120,
        per_minute=10,
    )

    def __init__(
        self,
        provider: Provider,
        model: Callable[[Place], Awaitable[ModelRef]],
        output_tokens: int,
    ) -> None:
        self._provider = provider
        self._model = model
        self._output_tokens = output_tokens

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        try:
            query = _Arguments.model_validate_json(arguments or "{}").query
        except ValidationError as error:
            raise ToolError('web_search needs {"query": "at most 400 characters"}') from error
        request = ModelRequest(
            model=await self._model(context.place),
            system=SYSTEM,
            messages=(UserMessage(parts=(TextPart(text=query),)),),
            max_output_tokens=self._output_tokens,
            search=True,
            trace=context.trace,
        )
        try:
            return ToolOutput(text=_shown(await self._provider.ask(request, _unseen)))
        except BudgetSpent as error:
            raise ToolError(str(error)) from error
        except ProviderError as error:
            raise ToolError(f"no search: {error}. Go on without it, and say so") from error


def _unseen(_text: str) -> None:
    """Nobody reads along."""


def _shown(reply: ModelReply) -> str:
    lines = [reply.message.text.strip(), ENDINGS.get(reply.stop, "")]
    for source in reply.sources:
        title = " ".join(source.title.split())
        lines.append(f"{title} ({source.url})" if title else source.url)
    return "\n".join(filter(None, lines))
