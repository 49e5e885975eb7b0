"""What all wires have in common: an answer in the making, and the way from question to reply."""

from __future__ import annotations

import asyncio
import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from assurebot.errors import ProviderGarbled
from assurebot.ports import OnText
from assurebot.providers.account import Account, Json
from assurebot.providers.pricing import Prices, Tokens
from assurebot.values import (
    SEARCH_FEE_USD,
    AssistantMessage,
    ModelRef,
    ModelReply,
    ModelRequest,
    NativeContent,
    Source,
    StopReason,
    TextPart,
    ToolCall,
    ToolSpec,
    Usage,
)

STOPS: dict[str, StopReason] = {
    # Anthropic
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tools",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    # Only a search pauses a turn, and it is not gone on with: what came is a cut answer.
    "pause_turn": "max_tokens",
    "refusal": "refusal",
    # OpenAI
    "completed": "end",
    "max_output_tokens": "max_tokens",
    "content_filter": "refusal",
    # compatible servers
    "stop": "end",
    "tool_calls": "tools",
    "length": "max_tokens",
}
"""By the provider's own word for it."""

CHARS_PER_TOKEN = 3
"""A careful guess for servers that do not report their use."""

Files = Mapping[int, bytes]


class Answer(ABC):
    """An answer in the making: `take` of each wire fills it from the events.

    Attributes:
        model: Which model answers.
        tokens: The use, as far as it was reported.
        text: All of the text so far.
        calls: The calls in order, their arguments as they came.
        native: The content as it will be sent back unchanged; empty on a wire without such.
        found: Titles of the pages that a search found, by URL.
        searches: How many searches are to be paid for.
        refused: The text is that of a refusal.
        ending: Why it ended, in the provider's word.
    """

    def __init__(self, on_text: OnText) -> None:
        self.model = ""
        self.tokens: Tokens | None = None
        self.text = ""
        self.calls: list[ToolCall] = []
        self.native: list[Json] = []
        self.found: dict[str, str] = {}
        self.searches = 0
        self.refused = False
        self.ending: str | None = None
        self._on_text = on_text

    @abstractmethod
    def take(self, event: Json) -> None:
        """Take in an event; raise what reading a wrong shape raises."""

    def grow(self, text: str) -> None:
        """Add to the text and show it."""
        if text:
            self.text += text
            self._on_text(self.text)

    def cite(self, page: Json) -> None:
        """Keep a page that a search found, once; what has no URL is not one."""
        if url := page.get("url"):
            self.found[url] = self.found.get(url) or page.get("title") or ""

    def finish(self, provider: Any) -> tuple[StopReason, AssistantMessage]:
        """Return the complete answer.

        Raises:
            ProviderGarbled: It has no end, or nothing in it.
        """
        if self.ending is None:
            raise ProviderGarbled(f"{provider}: the answer broke off")
        stop = "refusal" if self.refused else STOPS.get(self.ending)
        if stop is None:
            raise ProviderGarbled(f"{provider}: unknown stop reason")
        if stop in {"max_tokens", "refusal"}:
            # Half an item must not be sent back, nor a call that is not run.
            return stop, AssistantMessage(text=self.text)
        if not self.calls and (stop == "tools" or not self.text.strip()):
            raise ProviderGarbled(f"{provider}: empty answer")
        native = NativeContent(provider=provider, content=json.dumps(self.native))
        message = AssistantMessage(
            text=self.text, calls=tuple(self.calls), native=native if self.native else None
        )
        # Not every server says that it ended for calls; they are whole all the same.
        return "tools" if self.calls else "end", message


class StreamingProvider(ABC):
    """Asks models of one account on one wire; retries are left to the caller.

    Args:
        account: Where to ask.
        prices: What the tokens cost.
    """

    resource: str
    answer: type[Answer]

    def __init__(self, account: Account, *, prices: Prices) -> None:
        self._account = account
        self._prices = prices

    @abstractmethod
    def body(self, request: ModelRequest) -> Json:
        """Make the body of a request."""

    async def warm(self) -> None:
        """Load the SDK, so that the first question need not wait for it."""
        await self._account.warm()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._account.aclose()

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Ask once; see the port for the contract."""
        answer = self.answer(on_text)
        # Many bytes in base64 take their time.
        body = await asyncio.to_thread(self.body, request) if request.files else self.body(request)
        await self._account.drive(self.resource, body, answer.take)
        stop, message = answer.finish(self._account.name)
        if not request.search and (answer.found or answer.searches):
            # These are a stranger's words, which would go by as the model's own.
            raise ProviderGarbled(f"{self._account.name}: a search that was not asked for")
        model = ModelRef(provider=self._account.name, name=answer.model or request.model.name)
        tokens = answer.tokens or self._guessed(request, message)
        cost = await self._prices.cost(model, tokens, asked=request.model)
        cost += answer.searches * SEARCH_FEE_USD
        usage = Usage(input_tokens=tokens.input, output_tokens=tokens.output, cost_usd=cost)
        sources = tuple(Source(url=url, title=title) for url, title in answer.found.items())
        return ModelReply(message=message, stop=stop, model=model, usage=usage, sources=sources)

    def _guessed(self, request: ModelRequest, message: AssistantMessage) -> Tokens:
        asked = len(json.dumps(self.body(replace(request, files={})))) // CHARS_PER_TOKEN
        seen = sum(media.tokens for media in request.shown())
        said = len(message.text) + sum(len(call.arguments) for call in message.calls)
        return Tokens(input=asked + seen + 1, output=said // CHARS_PER_TOKEN + 1)


def encoded(part: TextPart, files: Files) -> tuple[Literal["", "image", "pdf"], str, str]:
    """Return what a part shows: its kind, its MIME type, and in base64; all '' if there is none."""
    if part.media is None or not (data := files.get(part.media.file)):
        return "", "", ""
    mime = part.media.mime
    kind: Literal["image", "pdf"] = "pdf" if mime == "application/pdf" else "image"
    return kind, mime, base64.b64encode(data).decode()


def described(tool: ToolSpec, schema: str = "parameters") -> Json:
    """Describe a tool to the model; `schema` is what the wire calls the schema."""
    return {"name": tool.name, "description": tool.description, schema: json.loads(tool.schema)}


def as_object(arguments: str) -> Json:
    """Parse arguments of a call; APIs want an object back, so anything else is wrapped in one."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}
