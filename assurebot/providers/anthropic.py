"""Claude over the Anthropic Messages API, streaming, one account.

Facts of anthropic 2.10 behind this file: a stream that is cut in good order raises nothing;
failures in mid-stream are raw httpx2 errors, or a status error with status 200. Its accumulator
is not used, since it raises on invalid tool JSON, which the model must hear about instead, and
since it takes a call that the token limit cut for a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Unpack

from assurebot.ports import OnText
from assurebot.providers.account import Account, Json, Options
from assurebot.providers.answer import Answer, StreamingProvider, as_object, described, encoded
from assurebot.providers.pricing import Prices, Tokens
from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRequest,
    NativeContent,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

SEARCH: Json = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}


class _Account(Account):
    name = "anthropic"
    url = "https://api.anthropic.com"

    def connect(self, sdk: Any, **options: Any) -> Any:
        client = sdk.AsyncAnthropic(**options, open_telemetry=False)
        _ = client.messages
        return client


class _Answer(Answer):
    """The content blocks grow where they stand; a call's input is text until it is whole."""

    def __init__(self, on_text: OnText) -> None:
        super().__init__(on_text)
        self._usage: Json = {}

    def take(self, event: Json) -> None:
        match event["type"]:
            case "message_start":
                self.model = event["message"].get("model") or ""
                self._use(event["message"])
            case "content_block_start":
                self._open(event["content_block"])
            case "content_block_delta":
                self._add(self.native[event["index"]], event["delta"])
            case "content_block_stop":
                self._close(self.native[event["index"]])
            case "message_delta":
                self.ending = event["delta"].get("stop_reason")
                self._use(event)
            case _:
                pass

    def _open(self, block: Json) -> None:
        self.native.append(block)
        self.grow(block.get("text", ""))
        if block["type"] in {"tool_use", "server_tool_use"}:
            block["input"] = ""
        elif block["type"] == "web_search_tool_result":
            self._search(block["content"])

    def _search(self, content: list[Json] | Json) -> None:
        if isinstance(content, dict):
            self.grow(f"[web search: {content['error_code']}]\n\n")
        else:
            for page in content:  # citations in the text name these again
                self.cite(page)

    def _add(self, block: Json, delta: Json) -> None:
        kind = delta["type"].removesuffix("_delta")
        if kind == "input_json":
            block["input"] += delta["partial_json"]
        elif kind in {"text", "thinking", "signature"}:
            block[kind] = block.get(kind, "") + delta[kind]
        if kind == "text":
            self.grow(delta["text"])

    def _close(self, block: Json) -> None:
        if block["type"] not in {"tool_use", "server_tool_use"}:
            return
        arguments = block["input"] or "{}"
        block["input"] = as_object(arguments)
        if block["type"] == "tool_use":
            self.calls.append(ToolCall(id=block["id"], name=block["name"], arguments=arguments))

    def _use(self, source: Json) -> None:
        # Totals, not steps; what a later event leaves out keeps its value.
        given = source.get("usage") or {}
        self._usage |= {name: value for name, value in given.items() if value is not None}
        if not self._usage:
            return
        use = self._usage.get
        self.searches = int(use("server_tool_use", {}).get("web_search_requests") or 0)
        read = int(use("cache_read_input_tokens", 0))
        written = int(use("cache_creation_input_tokens", 0))
        self.tokens = Tokens(
            # The API counts cached tokens apart from the input, we do not.
            input=int(use("input_tokens", 0)) + read + written,
            output=int(use("output_tokens", 0)),
            cache_read=read,
            cache_write=written,
        )


class AnthropicProvider(StreamingProvider):
    """Asks Claude models of one account; for the arguments see `Account`."""

    resource = "messages"
    answer = _Answer

    def __init__(self, api_key: str, *, prices: Prices, **options: Unpack[Options]) -> None:
        super().__init__(_Account(api_key, **options), prices=prices)

    def body(self, request: ModelRequest) -> Json:
        """See `StreamingProvider`."""
        files = request.files
        body: Json = {
            "model": request.model.name,
            "max_tokens": request.max_output_tokens,
            "messages": [m for said in request.messages if (m := _message(said, files))["content"]],
            "cache_control": {"type": "ephemeral"},
        }
        if request.system:
            body["system"] = request.system
        if request.search:
            body["tools"] = [SEARCH]
        elif request.tools:
            body["tools"] = [described(tool, "input_schema") for tool in request.tools]
        return body


def _message(message: Message, files: Mapping[int, bytes]) -> Json:
    # The API refuses text blocks without a visible character.
    blocks = [b for b in _blocks(message, files) if b["type"] != "text" or b["text"].strip()]
    return {"role": "user" if message.role == "tool" else message.role, "content": blocks}


def _shown(part: TextPart, files: Mapping[int, bytes]) -> Iterator[Json]:
    yield {"type": "text", "text": part.text}
    kind, mime, data = encoded(part, files)
    if kind:
        source = {"type": "base64", "media_type": mime, "data": data}
        yield {"type": "document" if kind == "pdf" else "image", "source": source}


def _blocks(message: Message, files: Mapping[int, bytes]) -> list[Json]:
    match message:
        case UserMessage():
            return [block for part in message.parts for block in _shown(part, files)]
        case AssistantMessage(native=NativeContent(provider="anthropic", content=content)):
            blocks: list[Json] = json.loads(content)
            return blocks
        case AssistantMessage():
            calls: list[Json] = [
                {"type": "tool_use", "id": c.id, "name": c.name, "input": as_object(c.arguments)}
                for c in message.calls
            ]
            return [{"type": "text", "text": message.text}, *calls]
        case ToolMessage():
            return [
                {
                    "type": "tool_result",
                    "tool_use_id": result.call_id,
                    "content": result.text,
                    "is_error": result.failed,
                }
                for result in message.results
            ]
