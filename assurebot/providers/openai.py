"""GPT models over the OpenAI Responses API, streaming, nothing stored on their side.

The event loop is driven here, since the SDK's final response raises a bare RuntimeError for an
answer that is incomplete or failed (openai 3.51).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from assurebot.errors import ProviderGarbled
from assurebot.ports import OnText
from assurebot.providers.openai_account import OpenAIAccount, failed
from assurebot.providers.pricing import Prices, Tokens
from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRef,
    ModelReply,
    ModelRequest,
    NativeContent,
    StopReason,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)

Json = dict[str, Any]


class OpenAIProvider:
    """Asks models of one OpenAI account; retries are left to the caller.

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
            lambda client: client.responses.create(**body, stream=True), answer.take
        )
        stop, message = answer.finish()
        model = ModelRef(provider="openai", name=answer.model or request.model.name)
        cost = await self._prices.cost(model, answer.tokens, asked=request.model)
        usage = Usage(
            input_tokens=answer.tokens.input, output_tokens=answer.tokens.output, cost_usd=cost
        )
        return ModelReply(message=message, stop=stop, model=model, usage=usage)


class _Answer:
    """An answer in the making: text so far, and the finished items as they will be sent back."""

    def __init__(self, on_text: OnText) -> None:
        self.model = ""
        self.tokens = Tokens(input=0, output=0)
        self._on_text = on_text
        self._text = ""
        self._items: list[Json] = []
        self._calls: list[ToolCall] = []
        self._refused = False
        self._stop: StopReason | None = None

    def take(self, event: Json) -> None:
        """Take in an event."""
        match event["type"]:
            case "response.output_item.added":
                if event["item"]["type"] == "message" and self._text:
                    self._text += "\n\n"
            case "response.output_text.delta" | "response.refusal.delta":
                self._refused |= event["type"] == "response.refusal.delta"
                self._text += event["delta"]
                self._on_text(self._text)
            case "response.output_item.done":
                self._keep(event["item"])
            case "response.completed":
                self._end(event["response"], "refusal" if self._refused else "end")
            case "response.incomplete":
                reason = event["response"]["incomplete_details"]["reason"]
                known: dict[str, StopReason] = {
                    "max_output_tokens": "max_tokens",
                    "content_filter": "refusal",
                }
                self._end(event["response"], known[reason])
            case "response.failed":
                raise failed((event["response"].get("error") or {}).get("code"))
            case "error":
                raise failed(event.get("code"))
            case _:
                pass

    def _keep(self, item: Json) -> None:
        self._items.append(item)
        if item["type"] != "function_call":
            return
        if item.get("async") or (item.get("caller") or {}).get("type") == "program":
            raise ProviderGarbled("openai: a kind of call that was not offered")
        self._calls.append(
            ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"])
        )

    def _end(self, response: Json, stop: StopReason) -> None:
        self._stop = stop
        self.model = response.get("model") or ""
        usage = response.get("usage") or {}
        details = usage.get("input_tokens_details") or {}
        self.tokens = Tokens(
            input=usage.get("input_tokens") or 0,
            output=usage.get("output_tokens") or 0,
            cache_read=details.get("cached_tokens") or 0,
            cache_write=details.get("cache_write_tokens") or 0,
        )

    def finish(self) -> tuple[StopReason, AssistantMessage]:
        """Return the complete answer.

        Raises:
            ProviderGarbled: It has no end, or nothing in it.
        """
        if self._stop is None:
            raise ProviderGarbled("openai: the answer broke off")
        if self._stop in {"max_tokens", "refusal"}:
            # Half an item must not be sent back, nor a call that is not run.
            return self._stop, AssistantMessage(text=self._text)
        native = NativeContent(provider="openai", content=json.dumps(self._items))
        if self._calls:
            calls = tuple(self._calls)
            return "tools", AssistantMessage(text=self._text, calls=calls, native=native)
        if not self._text.strip():
            raise ProviderGarbled("openai: empty answer")
        return "end", AssistantMessage(text=self._text, native=native)


def _body(request: ModelRequest) -> Json:
    body: Json = {
        "model": request.model.name,
        "input": [item for message in request.messages for item in _items(message)],
        "max_output_tokens": request.max_output_tokens,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    if request.system:
        body["instructions"] = request.system
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": json.loads(tool.schema),
                "strict": False,
            }
            for tool in request.tools
        ]
    if request.trace.user is not None:
        digest = hashlib.sha256(str(request.trace.user).encode()).hexdigest()
        body["safety_identifier"] = digest
    return body


def _items(message: Message) -> list[Json]:
    match message:
        case UserMessage():
            parts = [
                {"type": "input_text", "text": part.text} for part in message.parts if part.text
            ]
            return [{"role": "user", "content": parts}] if parts else []
        case AssistantMessage(native=NativeContent(provider="openai", content=content)):
            items: list[Json] = json.loads(content)
            return items
        case AssistantMessage():
            said: list[Json] = (
                [{"role": "assistant", "content": message.text}] if message.text else []
            )
            return said + [
                {
                    "type": "function_call",
                    "call_id": call.id,
                    "name": call.name,
                    "arguments": call.arguments,
                }
                for call in message.calls
            ]
        case ToolMessage():
            return [
                {"type": "function_call_output", "call_id": result.call_id, "output": result.text}
                for result in message.results
            ]
