"""How many tokens a model call can take at most, and how short its answer is made to fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRequest,
    NativeContent,
    ToolMessage,
    UserMessage,
)

MIN_OUTPUT_TOKENS = 1024
"""Less is hardly an answer, and too little for a model that thinks first."""

REQUEST_TOKENS = 2_000
"""What a provider adds to a request: its own words about tools have been up to 900 tokens."""

ITEM_TOKENS = 64
"""What frames a message, part, call, result or tool: marks, roles, names of fields."""

SEARCH_INPUT_TOKENS = 40_000
"""What the pages of a search may add; providers name no limit, so this is no bound."""


def input_bound(request: ModelRequest) -> int:
    """Return the most input tokens that a request can have, for a token is at least one byte."""
    texts = [tool.name + tool.description + tool.schema for tool in request.tools]
    texts.append(request.system)
    for message in request.messages:
        texts += ("", *_texts(message, request.model.provider))
    sent = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    found = SEARCH_INPUT_TOKENS if request.search else 0
    shown = sum(ITEM_TOKENS + media.tokens for media in request.shown())
    return REQUEST_TOKENS + ITEM_TOKENS * len(texts) + sent + found + shown


def _texts(message: Message, provider: str) -> Iterator[str]:
    """Yield what is sent of a message, one text for each thing that is framed."""
    match message:
        case UserMessage():
            yield from (part.text for part in message.parts)
        case AssistantMessage(native=NativeContent() as native) if native.provider == provider:
            yield native.content
        case AssistantMessage():
            yield message.text
            # Arguments are parsed and written anew: with spaces, without letters beyond ASCII.
            yield from (c.id + c.name + 2 * json.dumps(c.arguments) for c in message.calls)
        case ToolMessage():
            yield from (result.call_id + result.text for result in message.results)


def shrunk(wanted: int, *, least_usd: Decimal, most_usd: Decimal, left_usd: Decimal) -> int | None:
    """Return the most output tokens, fewer than wanted, whose price fits; `None` if too few do.

    Args:
        wanted: What does not fit.
        least_usd: The price without any output, from which it grows evenly.
        most_usd: The price with all of it.
        left_usd: What there is.
    """
    if most_usd <= least_usd:
        return None
    fits = int((left_usd - least_usd) * wanted // (most_usd - least_usd))
    output = min(fits, wanted - 1)
    return output if output >= MIN_OUTPUT_TOKENS else None
