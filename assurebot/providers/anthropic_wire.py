"""The Anthropic Messages wire: requests out, answers in.

The SDK's own accumulator is not used, since it raises on invalid tool JSON, which the model must
hear about instead, and since it takes a call that the token limit cut for a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assurebot.errors import ProviderGarbled
from assurebot.ports import OnText
from assurebot.providers.failures import as_object
from assurebot.providers.pricing import Tokens
from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRequest,
    NativeContent,
    StopReason,
    ToolCall,
    ToolMessage,
    UserMessage,
)

Json = dict[str, Any]

STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tools",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    # Only server tools pause a turn, and none are offered: what came is a cut answer.
    "pause_turn": "max_tokens",
    "refusal": "refusal",
}


class Answer:
    """An answer in the making: text so far, and the content blocks as they will be sent back.

    Attributes:
        model: Which model answered.
        tokens: The use; the API counts cached tokens apart from the input, we do not.
    """

    def __init__(self, on_text: OnText) -> None:
        self.model = ""
        self.tokens = Tokens(input=0, output=0)
        self._on_text = on_text
        self._text = ""
        self._blocks: list[Json] = []
        self._calls: dict[int, ToolCall] = {}
        self._usage: Json = {}
        self._stop: str | None = None

    def take(self, event: Json) -> None:
        """Take in an event."""
        match event["type"]:
            case "message_start":
                self.model = event["message"].get("model") or ""
                self._use(event["message"])
            case "content_block_start":
                self._open(event["index"], event["content_block"])
            case "content_block_delta":
                self._add(event["index"], event["delta"])
            case "message_delta":
                self._stop = event["delta"].get("stop_reason")
                self._use(event)
            case _:
                pass

    def _open(self, index: int, block: Json) -> None:
        self._blocks.append(block)
        if block["type"] == "tool_use":
            self._calls[index] = ToolCall(id=block["id"], name=block["name"], arguments="")
        elif block["type"] == "text":
            self._grow(block["text"])

    def _add(self, index: int, delta: Json) -> None:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
                self._grow(delta["text"])
            case "input_json_delta":
                call = self._calls[index]
                arguments = call.arguments + delta["partial_json"]
                self._calls[index] = replace(call, arguments=arguments)
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case _:
                pass

    def _grow(self, text: str) -> None:
        if text:
            self._text += text
            self._on_text(self._text)

    def _use(self, source: Json) -> None:
        # Totals, not steps; what a later event leaves out keeps its value.
        given = source.get("usage") or {}
        self._usage |= {name: value for name, value in given.items() if value is not None}
        use = self._usage.get
        read = int(use("cache_read_input_tokens", 0))
        written = int(use("cache_creation_input_tokens", 0))
        self.tokens = Tokens(
            input=int(use("input_tokens", 0)) + read + written,
            output=int(use("output_tokens", 0)),
            cache_read=read,
            cache_write=written,
        )

    def finish(self) -> tuple[StopReason, AssistantMessage]:
        """Return the complete answer.

        Raises:
            ProviderGarbled: It has no end, or nothing in it.
        """
        if self._stop is None:
            raise ProviderGarbled("anthropic: the answer broke off")
        stop = STOPS.get(self._stop)
        if stop is None:
            raise ProviderGarbled("anthropic: unknown stop reason")
        if stop != "tools":
            if stop == "end" and not self._text.strip():
                raise ProviderGarbled("anthropic: empty answer")
            # A call that is not run must not be sent back either: it would want a result.
            whole = None if self._calls else self._native()
            return stop, AssistantMessage(text=self._text, native=whole)
        if not self._calls:
            raise ProviderGarbled("anthropic: tool use without a call")
        calls = tuple(replace(c, arguments=c.arguments or "{}") for c in self._calls.values())
        return stop, AssistantMessage(text=self._text, calls=calls, native=self._native())

    def _native(self) -> NativeContent:
        for index, call in self._calls.items():
            self._blocks[index]["input"] = as_object(call.arguments)
        # The API refuses text blocks without a visible character.
        kept = [b for b in self._blocks if b["type"] != "text" or b["text"].strip()]
        return NativeContent(provider="anthropic", content=json.dumps(kept))


def body_of(request: ModelRequest) -> Json:
    """Make the body of a request."""
    body: Json = {
        "model": request.model.name,
        "max_tokens": request.max_output_tokens,
        "messages": [m for m in map(_message, request.messages) if m["content"]],
        "cache_control": {"type": "ephemeral"},
    }
    if request.system:
        body["system"] = request.system
    if request.tools:
        body["tools"] = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": json.loads(tool.schema),
            }
            for tool in request.tools
        ]
    return body


def _message(message: Message) -> Json:
    match message:
        case UserMessage():
            return {"role": "user", "content": _texts([part.text for part in message.parts])}
        case AssistantMessage(native=NativeContent(provider="anthropic", content=content)):
            return {"role": "assistant", "content": json.loads(content)}
        case AssistantMessage():
            calls = [
                {"type": "tool_use", "id": c.id, "name": c.name, "input": as_object(c.arguments)}
                for c in message.calls
            ]
            return {"role": "assistant", "content": _texts([message.text]) + calls}
        case ToolMessage():
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": result.call_id,
                    "content": result.text,
                    "is_error": result.failed,
                }
                for result in message.results
            ]
            return {"role": "user", "content": results}


def _texts(texts: Sequence[str]) -> list[Json]:
    # The API refuses text blocks without a visible character.
    return [{"type": "text", "text": text} for text in texts if text.strip()]
