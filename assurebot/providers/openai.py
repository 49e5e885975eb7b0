"""GPT models over the OpenAI Responses API, streaming, nothing stored on their side.

The event loop is driven here, since the SDK's final response raises a bare RuntimeError for an
answer that is incomplete or failed (openai 3.51).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from assurebot.providers.account import Json
from assurebot.providers.answer import Answer, StreamingProvider, described, encoded
from assurebot.providers.failures import reported
from assurebot.providers.openai_account import tokens_of
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


class _Answer(Answer):
    """Only whole items are kept."""

    def take(self, event: Json) -> None:
        match event["type"]:
            case "response.output_item.added":
                if event["item"]["type"] == "message" and self.text:
                    self.text += "\n\n"
            case "response.output_text.delta":
                self.grow(event["delta"])
            case "response.refusal.delta":
                self.refused = True
                self.grow(event["delta"])
            case "response.output_item.done":
                self._keep(event["item"])
            case "response.completed":
                self._end(event["response"], "completed")
            case "response.incomplete":
                self._end(event["response"], event["response"]["incomplete_details"]["reason"])
            case "response.failed":
                error = event["response"].get("error") or {}
                raise reported("openai: failed", str(error.get("code")))
            case "error":
                raise reported("openai: failed", str(event.get("code")))
            case _:
                pass

    def _keep(self, item: Json) -> None:
        self.native.append(item)
        match item["type"]:
            case "function_call":
                call = ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"])
                self.calls.append(call)
            case "web_search_call":
                self._search(item)
            case "message":
                for part in item.get("content") or ():
                    for note in part.get("annotations") or ():
                        self.cite(note)
            case _:
                pass

    def _search(self, item: Json) -> None:
        action = item.get("action") or {}  # empty once the allowed uses are spent
        self.searches += action.get("type") == "search"
        for page in action.get("sources") or ():
            self.cite(page)
        if item.get("status") != "completed":
            self.grow(f"[web search: {item.get('status')}]")

    def _end(self, response: Json, ending: str) -> None:
        self.ending = ending
        self.model = response.get("model") or ""
        if usage := response.get("usage"):
            self.tokens = tokens_of(usage, "input_tokens", "output_tokens")


class OpenAIProvider(StreamingProvider):
    """Asks models of one OpenAI account."""

    resource = "responses"
    answer = _Answer

    def body(self, request: ModelRequest) -> Json:
        """See `StreamingProvider`."""
        body: Json = {
            "model": request.model.name,
            "input": [
                item for message in request.messages for item in _items(message, request.files)
            ],
            "max_output_tokens": request.max_output_tokens,
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
        if request.system:
            body["instructions"] = request.system
        if request.search:
            body |= {"tools": [{"type": "web_search"}], "max_tool_calls": 1}
            body["include"].append("web_search_call.action.sources")
        elif request.tools:
            fixed = {"type": "function", "strict": False}
            body["tools"] = [fixed | described(tool) for tool in request.tools]
        if request.trace.user is not None:
            digest = hashlib.sha256(str(request.trace.user).encode()).hexdigest()
            body["safety_identifier"] = digest
        return body


def _shown(part: TextPart, files: Mapping[int, bytes]) -> Iterator[Json]:
    if part.text:
        yield {"type": "input_text", "text": part.text}
    kind, mime, data = encoded(part, files)
    url = f"data:{mime};base64,{data}"
    if kind == "pdf":
        # Its own name is a stranger's text, and stands in the frame.
        yield {"type": "input_file", "filename": "document.pdf", "file_data": url}
    elif kind:
        yield {"type": "input_image", "detail": "auto", "image_url": url}


def _items(message: Message, files: Mapping[int, bytes]) -> list[Json]:
    match message:
        case UserMessage():
            parts = [item for part in message.parts for item in _shown(part, files)]
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
