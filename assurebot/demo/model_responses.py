"""The stand-in's OpenAI Responses wire: requests in, server-sent events out."""

from __future__ import annotations

import json
from typing import Any

from assurebot.demo.model_media import from_url, split
from assurebot.demo.model_script import Ask, Shown, Spoken, Turn, is_ours

Json = dict[str, Any]


def read(n: int, authorization: str, raw: Json) -> Ask:
    """Read a request."""
    texts: list[str] = []
    results: list[str] = []
    seen: list[Shown] = []
    tools = raw.get("tools", ())
    given = raw.get("input", ())
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        if item.get("type") == "function_call_output":
            results.append(str(item["output"]))
        elif item.get("role") == "user":
            texts.append(_text(item["content"]))
            seen += _shown(item["content"])
            results.clear()
    return Ask(
        wire="responses",
        n=n,
        model=raw.get("model", ""),
        system=raw.get("instructions") or "",
        user_texts=tuple(texts),
        tool_names=tuple(tool["name"] for tool in tools if is_ours(tool)),
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
    urls = {
        "input_image": lambda part: part["image_url"] if "detail" in part else "",
        "input_file": lambda part: part["file_data"] if part.get("filename") else "",
    }
    return [from_url(urls[part["type"]](part)) for part in parts if part["type"] in urls]


def refusal(turn: Turn) -> Json:
    """Make the body of an HTTP error."""
    return {
        "error": {
            "type": turn.error_type,
            "code": turn.error_code or None,
            "param": None,
            "message": "scripted",
        }
    }


def speak(ask: Ask, turn: Turn) -> Spoken:
    """Turn an answer into events."""
    output: list[Json] = []
    pieces: list[bytes] = []
    if turn.thinking:
        pieces.append(_thought(ask, turn, output))
    if ask.search and (turn.sources or turn.search_error):
        pieces.append(_search(ask, turn, output))
    if turn.pieces:
        pieces += _message(ask, turn, output)
    for i in range(len(turn.calls)):
        pieces.append(_call(ask, turn, i, output))
    return Spoken(
        start=_event("response.created", response=_response(ask, "in_progress")),
        pieces=tuple(pieces),
        end=_end(ask, turn, output),
        error=_event("error", code=turn.error_type, message="scripted", param=None),
    )


def _response(ask: Ask, status: str, **fields: Any) -> Json:
    return {
        "id": f"resp_{ask.n}",
        "object": "response",
        "created_at": 0,
        "model": ask.model,
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **fields,
    }


def _end(ask: Ask, turn: Turn, output: list[Json]) -> bytes:
    fields: Json = {"output": output, "usage": _usage(turn)}
    if turn.ending == "failed":
        error = {"code": turn.error_type, "message": "scripted"}
        return _event("response.failed", response=_response(ask, "failed", error=error))
    if turn.ending in {"max_tokens", "content_filter"}:
        reason = "max_output_tokens" if turn.ending == "max_tokens" else turn.ending
        fields["incomplete_details"] = {"reason": reason}
        return _event("response.incomplete", response=_response(ask, "incomplete", **fields))
    return _event("response.completed", response=_response(ask, "completed", **fields))


def _usage(turn: Turn) -> Json:
    return {
        "input_tokens": turn.input_tokens,
        "input_tokens_details": {
            "cached_tokens": turn.cached_tokens,
            "cache_write_tokens": turn.written_tokens,
        },
        "output_tokens": turn.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": turn.input_tokens + turn.output_tokens,
    }


def _thought(ask: Ask, turn: Turn, output: list[Json]) -> bytes:
    item: Json = {"id": f"rs_{ask.n}", "type": "reasoning", "summary": []}
    return _item(item, {**item, "encrypted_content": turn.thinking}, b"", output)


def _search(ask: Ask, turn: Turn, output: list[Json]) -> bytes:
    item: Json = {"id": f"ws_{ask.n}", "type": "web_search_call", "status": "in_progress"}
    pages = [{"type": "url", "url": url} for url, _ in turn.sources]
    action = {"type": "search", "query": ask.last_user_text, "sources": pages}
    status = turn.search_error or "completed"
    done = {**item, "status": status, "action": {} if turn.search_error else action}
    searching = _event(
        "response.web_search_call.searching", item_id=item["id"], output_index=len(output)
    )
    return _item(item, done, searching, output)


def _citations(ask: Ask, turn: Turn) -> list[Json]:
    where = {"type": "url_citation", "start_index": 0, "end_index": 1}
    pages = turn.sources[:1] if ask.search else ()
    return [{**where, "url": url, "title": title} for url, title in pages]


def _message(ask: Ask, turn: Turn, output: list[Json]) -> list[bytes]:
    refused = turn.ending == "refusal"
    item: Json = {
        "id": f"msg_{ask.n}",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    text = "".join(turn.pieces)
    part: Json = (
        {"type": "refusal", "refusal": text}
        if refused
        else {"type": "output_text", "text": text, "annotations": _citations(ask, turn)}
    )
    kind = "response.refusal.delta" if refused else "response.output_text.delta"
    where = {"item_id": item["id"], "output_index": len(output), "content_index": 0}
    deltas = [_event(kind, **where, delta=piece, logprobs=[]) for piece in turn.pieces]
    opened = _event("response.output_item.added", output_index=len(output), item=item)
    done = {**item, "status": "completed", "content": [part]}
    closed = _event("response.output_item.done", output_index=len(output), item=done)
    output.append(done)
    return [opened, *deltas, closed]


def _call(ask: Ask, turn: Turn, index: int, output: list[Json]) -> bytes:
    call, arguments = turn.calls[index], turn.sent_arguments(index)
    item: Json = {
        "id": f"fc_{ask.n}_{index}",
        "type": "function_call",
        "call_id": f"call_{ask.n}_{index}",
        "name": call.name,
        "arguments": "",
        "status": "in_progress",
    }
    where = {"item_id": item["id"], "output_index": len(output)}
    delta = _event("response.function_call_arguments.delta", **where, delta=arguments)
    broken = turn.fault == "half_call" and index == len(turn.calls) - 1
    done = {**item, "arguments": arguments, "status": "incomplete" if broken else "completed"}
    return _item(item, done, delta, output)


def _item(opened: Json, done: Json, between: bytes, output: list[Json]) -> bytes:
    at = len(output)
    output.append(done)
    return (
        _event("response.output_item.added", output_index=at, item=opened)
        + between
        + _event("response.output_item.done", output_index=at, item=done)
    )


def _event(kind: str, **fields: Any) -> bytes:
    body = json.dumps({"type": kind, "sequence_number": 0, **fields})
    return f"event: {kind}\ndata: {body}\n\n".encode()
