"""The stand-in's Anthropic Messages wire: requests in, server-sent events out."""

from __future__ import annotations

import json
from typing import Any

from assurebot.demo.model_media import shown, split
from assurebot.demo.model_script import Ask, Shown, Spoken, Turn, is_ours

STOPS = {"end": "end_turn", "tools": "tool_use"}


def read(n: int, authorization: str, raw: dict[str, Any]) -> Ask:
    """Read a request."""
    texts: list[str] = []
    results: list[str] = []
    seen: list[Shown] = []
    tools = raw.get("tools", ())
    for message in raw.get("messages", ()):
        if message["role"] != "user":
            continue
        blocks = _blocks(message["content"])
        seen += [_shown(block) for block in blocks if "source" in block]
        results += [_text(_blocks(b.get("content", ""))) for b in blocks if _is_result(b)]
        if any(block["type"] == "text" for block in blocks):
            texts.append(_text(blocks))
            results.clear()
    return Ask(
        wire="anthropic",
        n=n,
        model=raw.get("model", ""),
        system=_text(_blocks(raw.get("system", ""))),
        user_texts=tuple(texts),
        tool_names=tuple(tool["name"] for tool in tools if is_ours(tool)),
        tool_results=tuple(results),
        authorization=authorization,
        raw=raw,
        search=not all(map(is_ours, tools)),
        **split(seen),
    )


def _shown(block: dict[str, Any]) -> Shown:
    source = block["source"]
    as_said = (block["type"] == "document") == (source["media_type"] == "application/pdf")
    return shown(source["media_type"] if as_said else "", source["data"])


def _is_result(block: dict[str, Any]) -> bool:
    return bool(block["type"] == "tool_result")


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")


def refusal(turn: Turn) -> dict[str, Any]:
    """Make the body of an HTTP error."""
    error: dict[str, Any] = {"type": turn.error_type, "message": "scripted"}
    if turn.error_code:
        error["details"] = {"error_code": turn.error_code}
    return {"type": "error", "error": error, "request_id": "req_scripted"}


def speak(ask: Ask, turn: Turn) -> Spoken:
    """Turn an answer into events."""
    fresh = turn.input_tokens - turn.cached_tokens - turn.written_tokens
    usage = {
        "input_tokens": fresh,
        "cache_read_input_tokens": turn.cached_tokens,
        "cache_creation_input_tokens": turn.written_tokens,
        "output_tokens": 1,
    }
    message: dict[str, Any] = {
        "id": f"msg_{ask.n}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    spent: dict[str, Any] = {"output_tokens": turn.output_tokens}
    if ask.search:
        searches = {"web_search_requests": int(bool(turn.sources)), "web_fetch_requests": 0}
        spent["server_tool_use"] = searches
    stop = {
        "delta": {"stop_reason": STOPS.get(turn.ending, turn.ending), "stop_sequence": None},
        "usage": spent,
    }
    return Spoken(
        start=_event("message_start", message=message) + _event("ping"),
        pieces=tuple(_content(ask, turn)),
        end=_event("message_delta", **stop) + _event("message_stop"),
        error=_event("error", **{k: v for k, v in refusal(turn).items() if k != "type"}),
    )


def _content(ask: Ask, turn: Turn) -> list[bytes]:
    pieces: list[bytes] = []
    index = 0
    if turn.thinking:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        thought = {"type": "thinking_delta", "thinking": turn.thinking}
        signed = {"type": "signature_delta", "signature": f"signed-{ask.n}"}
        pieces.append(_open(index, block) + _delta(index, thought) + _delta(index, signed))
        pieces.append(_close(index))
        index += 1
    if ask.search and (turn.sources or turn.search_error):
        pieces.append(_search(index, ask, turn))
        index += 2
    if turn.pieces:
        pieces.append(_open(index, {"type": "text", "text": ""}))
        if ask.search and turn.sources:
            pieces.append(_delta(index, _citation(*turn.sources[0])))
        pieces += [_delta(index, {"type": "text_delta", "text": text}) for text in turn.pieces]
        pieces.append(_close(index))
        index += 1
    for i, call in enumerate(turn.calls):
        made = {"type": "tool_use", "id": f"toolu_{ask.n}_{i}", "name": call.name, "input": {}}
        arguments = turn.sent_arguments(i)
        middle = len(arguments) // 2
        halves = [arguments[:middle], arguments[middle:]]
        pieces.append(
            _open(index, made)
            + b"".join(
                _delta(index, {"type": "input_json_delta", "partial_json": half}) for half in halves
            )
            + _close(index)
        )
        index += 1
    return pieces


def _search(index: int, ask: Ask, turn: Turn) -> bytes:
    use = {"type": "server_tool_use", "id": f"srvtoolu_{ask.n}", "name": "web_search", "input": {}}
    query = json.dumps({"query": ask.last_user_text})
    error = {"type": "web_search_tool_result_error", "error_code": turn.search_error}
    pages = [
        {"type": "web_search_result", "url": url, "title": title, "encrypted_content": "sealed"}
        for url, title in turn.sources
    ]
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": use["id"],
        "content": error if turn.search_error else pages,
    }
    return (
        _open(index, use)
        + _delta(index, {"type": "input_json_delta", "partial_json": query})
        + _close(index)
        + _open(index + 1, result)
        + _close(index + 1)
    )


def _citation(url: str, title: str) -> dict[str, Any]:
    citation = {
        "type": "web_search_result_location",
        "url": url,
        "title": title,
        "cited_text": "words",
        "encrypted_index": "sealed",
    }
    return {"type": "citations_delta", "citation": citation}


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _open(index: int, block: dict[str, Any]) -> bytes:
    return _event("content_block_start", index=index, content_block=block)


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event("content_block_delta", index=index, delta=delta)


def _close(index: int) -> bytes:
    return _event("content_block_stop", index=index)
