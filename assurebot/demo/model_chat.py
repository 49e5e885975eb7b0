"""The stand-in's OpenAI Chat Completions wire: requests in, server-sent events out."""

from __future__ import annotations

import json
from typing import Any

from assurebot.demo.model_media import from_url, split
from assurebot.demo.model_responses import refusal
from assurebot.demo.model_script import Ask, Shown, Spoken, Turn, is_ours

__all__ = ["read", "refusal", "speak"]

Json = dict[str, Any]

STOPS = {
    "end": "stop",
    "tools": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}


def read(n: int, authorization: str, raw: Json) -> Ask:
    """Read a request."""
    texts: list[str] = []
    results: list[str] = []
    seen: list[Shown] = []
    system: list[str] = []
    tools = raw.get("tools", ())
    for message in raw.get("messages", ()):
        text = _text(message.get("content") or "")
        if message["role"] == "tool":
            results.append(text)
        elif message["role"] == "user":
            texts.append(text)
            seen += _shown(message["content"])
            results.clear()
        elif message["role"] in {"system", "developer"}:
            system.append(text)
    return Ask(
        wire="chat",
        n=n,
        model=raw.get("model", ""),
        system="\n".join(system),
        user_texts=tuple(texts),
        tool_names=tuple(tool["function"]["name"] for tool in tools if is_ours(tool)),
        tool_results=tuple(results),
        authorization=authorization,
        raw=raw,
        search=not all(map(is_ours, tools)),
        **split(seen),
    )


def _text(content: str | list[Json]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if "text" in part)


def _shown(content: str | list[Json]) -> list[Shown]:
    parts = () if isinstance(content, str) else content
    return [from_url(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]


def speak(ask: Ask, turn: Turn) -> Spoken:
    """Turn an answer into chunks."""
    pieces = [_choice(ask, {"content": text}) for text in turn.pieces]
    for i, call in enumerate(turn.calls):
        arguments = turn.sent_arguments(i)
        middle = len(arguments) // 2
        named = {"name": call.name, "arguments": arguments[:middle]}
        whole = {"index": i, "id": f"call_{ask.n}_{i}", "type": "function", "function": named}
        rest = {"index": i, "function": {"arguments": arguments[middle:]}}
        pieces.append(_choice(ask, {"tool_calls": [whole]}) + _choice(ask, {"tool_calls": [rest]}))
    usage = {
        "prompt_tokens": turn.input_tokens,
        "completion_tokens": turn.output_tokens,
        "total_tokens": turn.input_tokens + turn.output_tokens,
        "prompt_tokens_details": {"cached_tokens": turn.cached_tokens},
    }
    end = _choice(ask, {}, STOPS.get(turn.ending, turn.ending))
    return Spoken(
        start=_choice(ask, {"role": "assistant", "content": ""}),
        pieces=tuple(pieces),
        end=end + _chunk(ask, choices=[], usage=usage) + b"data: [DONE]\n\n",
        error=f"data: {json.dumps(refusal(turn))}\n\n".encode(),
    )


def _choice(ask: Ask, delta: Json, finish: str | None = None) -> bytes:
    return _chunk(ask, choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


def _chunk(ask: Ask, **fields: Any) -> bytes:
    body = {
        "id": f"chatcmpl-{ask.n}",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": ask.model,
        **fields,
    }
    return f"data: {json.dumps(body)}\n\n".encode()
