"""What compatible servers do differently from one another in Chat Completions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from aiohttp import web

from assurebot.ports import Provider
from assurebot.values import ToolCall, Usage
from tests.providers.wires import ignore, provider, question


@asynccontextmanager
async def server(*chunks: dict[str, Any]) -> AsyncIterator[Provider]:
    """A provider at a server that answers with exactly these chunks."""
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    body = "".join([*lines, "data: [DONE]\n\n"])

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=body, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with provider("chat", f"http://{host}:{port}") as made:
            yield made
    finally:
        await runner.cleanup()


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """One chunk of an answer."""
    return {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(arguments: str, **fields: Any) -> dict[str, Any]:
    """A chunk with a whole call."""
    return chunk({"tool_calls": [{"function": {"name": "add", "arguments": arguments}, **fields}]})


async def test_calls_under_one_index_are_told_apart_by_id() -> None:
    """Servers that number every call 0 still give several calls, and may end them with `stop`."""
    chunks = (call("{}", index=0, id="a"), call("[]", index=0, id="b"), chunk({}, "stop"))
    async with server(*chunks) as asked:
        reply = await asked.ask(question("chat"), ignore)
    assert (reply.stop, reply.message.calls) == (
        "tools",
        (
            ToolCall(id="a", name="add", arguments="{}"),
            ToolCall(id="b", name="add", arguments="[]"),
        ),
    )


async def test_calls_without_id_get_one() -> None:
    """A call without an id gets one of ours, by its place."""
    chunks = (call("{}", index=0), call("[]", index=1), chunk({}, "tool_calls"))
    async with server(*chunks) as asked:
        reply = await asked.ask(question("chat"), ignore)
    assert [made.id for made in reply.message.calls] == ["call_0", "call_1"]


async def test_use_is_guessed_where_it_is_not_reported() -> None:
    """Without a report the use is guessed from the characters, never taken as nothing."""
    async with server(chunk({"content": "x" * 300}), chunk({}, "stop")) as asked:
        reply = await asked.ask(question("chat", tools=()), ignore)
    use = reply.usage
    cost = (use.input_tokens + 2 * Decimal(use.output_tokens)) / 1_000_000
    assert use == Usage(input_tokens=use.input_tokens, output_tokens=101, cost_usd=cost)
    assert 30 < use.input_tokens < 100


async def test_refusal_text_is_an_answer() -> None:
    """Text in the refusal field is shown, and the answer is a refusal."""
    async with server(chunk({"refusal": "No."}), chunk({}, "stop")) as asked:
        reply = await asked.ask(question("chat"), ignore)
    assert (reply.stop, reply.message.text) == ("refusal", "No.")
