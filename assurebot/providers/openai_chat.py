"""Models of OpenAI-compatible servers (Ollama, vLLM, gateways) over Chat Completions, streaming."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from assurebot.errors import ProviderRejected
from assurebot.ports import OnText
from assurebot.providers.account import Json
from assurebot.providers.answer import Answer, StreamingProvider, as_object, described, encoded
from assurebot.providers.openai_account import tokens_of
from assurebot.values import (
    AssistantMessage,
    Message,
    ModelRequest,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)


class _Answer(Answer):
    """Nothing is kept to be sent back: this wire knows only text and calls."""

    def __init__(self, on_text: OnText) -> None:
        super().__init__(on_text)
        self._at: dict[int, int] = {}

    def take(self, event: Json) -> None:
        """Take in a chunk; the one with the use has no choices."""
        self.model = event.get("model") or self.model
        if usage := event.get("usage"):
            self.tokens = tokens_of(usage, "prompt_tokens", "completion_tokens")
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            self.refused |= bool(delta.get("refusal"))
            self.grow((delta.get("content") or "") + (delta.get("refusal") or ""))
            for note in delta.get("annotations") or ():  # only gateways that search have them
                self.cite(note.get("url_citation") or {})
            for piece in delta.get("tool_calls") or ():
                self._add(piece)
            self.ending = choice.get("finish_reason") or self.ending

    def _add(self, piece: Json) -> None:
        """Put a piece of a call to the others of its index; a new id begins a new call."""
        index, given, function = piece.get("index") or 0, piece.get("id"), piece["function"]
        at = self._at.get(index)
        if at is None or (given and given != self.calls[at].id):
            at = self._at[index] = len(self.calls)
            call = ToolCall(id=given or f"call_{at}", name=function["name"], arguments="")
            self.calls.append(call)
        call = self.calls[at]
        arguments = call.arguments + (function.get("arguments") or "")
        self.calls[at] = replace(call, arguments=arguments)


class OpenAIChatProvider(StreamingProvider):
    """Asks models of one compatible server."""

    resource = "chat.completions"
    answer = _Answer

    def body(self, request: ModelRequest) -> Json:
        """See `StreamingProvider`; this wire has no search."""
        if request.search:
            raise ProviderRejected("this server has no web search")
        system = [{"role": "system", "content": request.system}] if request.system else []
        said = [item for message in request.messages for item in _items(message, request.files)]
        body: Json = {
            "model": request.model.name,
            "messages": system + said,
            # The old name: not all of these servers know `max_completion_tokens`.
            "max_tokens": request.max_output_tokens,
            "stream_options": {"include_usage": True},
        }
        if request.tools:
            body["tools"] = [
                {"type": "function", "function": described(tool)} for tool in request.tools
            ]
        return body


def _shown(part: TextPart, files: Mapping[int, bytes]) -> Iterator[Json]:
    if part.text:
        yield {"type": "text", "text": part.text}
    kind, mime, data = encoded(part, files)
    if kind == "image":  # hardly one of these servers takes a PDF
        yield {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}}


def _items(message: Message, files: Mapping[int, bytes]) -> list[Json]:
    match message:
        case UserMessage():
            parts = [item for part in message.parts for item in _shown(part, files)]
            if any(item["type"] != "text" for item in parts):
                return [{"role": "user", "content": parts}]
            # One string: not all of these servers take a list of parts.
            text = "\n\n".join(item["text"] for item in parts)
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
