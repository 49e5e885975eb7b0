"""Models of OpenAI-compatible servers (Ollama, vLLM, gateways) over Chat Completions, streaming."""

from __future__ import annotations

import json
from typing import Any

from assurebot.errors import ProviderGarbled
from assurebot.ports import OnText
from assurebot.providers.failures import as_object
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.providers.pricing import Prices, Tokens
from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRef,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)

STOPS: dict[str, StopReason] = {
    "stop": "end",
    "tool_calls": "tools",
    "length": "max_tokens",
    "content_filter": "refusal",
}

CHARS_PER_TOKEN = 3
"""A careful guess for servers that do not report their use."""

Json = dict[str, Any]


class OpenAIChatProvider:
    """Asks models of one compatible server; retries are left to the caller.

    Args:
        account: Where to ask.
        prices: What the tokens cost.
    """

    def __init__(self, account: OpenAIAccount, *, prices: Prices) -> None:
        self._account = account
        self._prices = prices

    async def warm(self) -> None:
        """Load the SDK, so that the first question need not wait for it."""
        await self._account.warm()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._account.aclose()

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Ask once; see the port for the contract."""
        answer = _Answer(on_text)
        body = _body(request)
        await self._account.drive(
            lambda client: client.chat.completions.create(**body, stream=True), answer.take
        )
        stop, message = answer.finish()
        tokens = answer.tokens or _guessed(body, message)
        model = ModelRef(provider="openai", name=answer.model or request.model.name)
        cost = await self._prices.cost(model, tokens, asked=request.model)
        usage = Usage(input_tokens=tokens.input, output_tokens=tokens.output, cost_usd=cost)
        return ModelReply(message=message, stop=stop, model=model, usage=usage)


class _Answer:
    """An answer in the making."""

    def __init__(self, on_text: OnText) -> None:
        self.model = ""
        self.tokens: Tokens | None = None
        self._on_text = on_text
        self._text = ""
        self._calls: list[ToolCall] = []
        self._at: dict[int, int] = {}
        self._refused = False
        self._finish: str | None = None

    def take(self, chunk: Json) -> None:
        """Take in a chunk; the one with the use has no choices."""
        self.model = chunk.get("model") or self.model
        if usage := chunk.get("usage"):
            details = usage.get("prompt_tokens_details") or {}
            self.tokens = Tokens(
                input=usage.get("prompt_tokens") or 0,
                output=usage.get("completion_tokens") or 0,
                cache_read=details.get("cached_tokens") or 0,
                cache_write=details.get("cache_write_tokens") or 0,
            )
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            self._refused |= bool(delta.get("refusal"))
            if text := (delta.get("content") or "") + (delta.get("refusal") or ""):
                self._text += text
                self._on_text(self._text)
            for piece in delta.get("tool_calls") or ():
                self._add(piece)
            self._finish = choice.get("finish_reason") or self._finish

    def _add(self, piece: Json) -> None:
        """Put a piece of a call to the others of its index; a new id begins a new call."""
        index, given, function = piece.get("index") or 0, piece.get("id"), piece["function"]
        at = self._at.get(index)
        if at is None or (given and given != self._calls[at].id):
            at = self._at[index] = len(self._calls)
            self._calls.append(
                ToolCall(id=given or f"call_{at}", name=function["name"], arguments="")
            )
        call = self._calls[at]
        self._calls[at] = ToolCall(
            id=call.id,
            name=call.name,
            arguments=call.arguments + (function.get("arguments") or ""),
        )

    def finish(self) -> tuple[StopReason, AssistantMessage]:
        """Return the complete answer.

        Raises:
            ProviderGarbled: It has no end, or nothing in it.
        """
        stop = STOPS.get(self._finish or "")
        if stop is None:
            raise ProviderGarbled("openai: the answer broke off")
        if stop in {"max_tokens", "refusal"} or self._refused:
            return "refusal" if self._refused else stop, AssistantMessage(text=self._text)
        # Some servers end an answer with calls as `stop`; it is whole all the same.
        if self._calls:
            return "tools", AssistantMessage(text=self._text, calls=tuple(self._calls))
        if stop == "tools" or not self._text.strip():
            raise ProviderGarbled("openai: empty answer")
        return stop, AssistantMessage(text=self._text)


def _guessed(body: Json, message: AssistantMessage) -> Tokens:
    said = len(message.text) + sum(len(call.arguments) for call in message.calls)
    return Tokens(
        input=len(json.dumps(body)) // CHARS_PER_TOKEN + 1, output=said // CHARS_PER_TOKEN + 1
    )


def _body(request: ModelRequest) -> Json:
    system = [{"role": "system", "content": request.system}] if request.system else []
    body: Json = {
        "model": request.model.name,
        "messages": system + [item for message in request.messages for item in _items(message)],
        # The old name: not all of these servers know `max_completion_tokens`.
        "max_tokens": request.max_output_tokens,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": json.loads(tool.schema),
                },
            }
            for tool in request.tools
        ]
    return body


def _items(message: Message) -> list[Json]:
    match message:
        case UserMessage():
            # One string: not all of these servers take a list of parts.
            text = "\n\n".join(part.text for part in message.parts if part.text)
            return [{"role": "user", "content": text}] if text else []
        case AssistantMessage():
            said: Json = {"role": "assistant", "content": message.text}
            if message.calls:
                said["tool_calls"] = [_call(call) for call in message.calls]
            return [said] if message.text or message.calls else []
        case ToolMessage():
            return [
                {"role": "tool", "tool_call_id": result.call_id, "content": result.text}
                for result in message.results
            ]


def _call(call: ToolCall) -> Json:
    # These servers parse the arguments again and fail on what is no object.
    arguments = json.dumps(as_object(call.arguments))
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}
