"""The stand-in for the model APIs, asked by plain HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from assurebot.demo.model import Ask, Call, ModelServer, Turn, always, chatty, echo, sequence

PATHS = {"anthropic": "/v1/messages", "responses": "/v1/responses", "chat": "/v1/chat/completions"}


def body(wire: str, text: str, *tools: str) -> dict[str, Any]:
    """A request of this wire."""
    made: dict[str, Any] = {"model": "m", "stream": True}
    made["input" if wire == "responses" else "messages"] = [{"role": "user", "content": text}]
    if wire == "chat":
        made["tools"] = [{"type": "function", "function": {"name": name}} for name in tools]
    else:
        made["tools"] = [{"name": name} for name in tools]
    return made


async def post(server: ModelServer, wire: str, text: str, *tools: str) -> tuple[int, str]:
    """Ask and return status and body."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url + PATHS[wire], json=body(wire, text, *tools)) as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize("wire", PATHS)
async def test_script_sees_what_was_asked(wire: str) -> None:
    """Every wire gives the script the same view of a request."""
    async with ModelServer(echo()) as server:
        status, answer = await post(server, wire, "hello", "recall")
        (ask,) = server.requests
    assert (status, "hello" in answer) == (200, True)
    assert ask == Ask(
        wire=ask.wire,
        n=1,
        model="m",
        system="",
        user_texts=("hello",),
        tool_names=("recall",),
        tool_results=(),
        authorization="",
        raw=body(wire, "hello", "recall"),
    )
    assert ask.wire == wire


async def test_sequence_repeats_its_last_turn() -> None:
    """Scripted answers come in order, the last one for ever."""
    script = sequence([Turn(text="one"), Turn(text="two")])
    async with ModelServer(script) as server:
        answers = [(await post(server, "chat", "x"))[1] for _ in range(3)]
    assert ["one" in answers[0], "two" in answers[1], "two" in answers[2]] == [True] * 3


@pytest.mark.parametrize("wire", PATHS)
async def test_page_of_a_proxy_instead_of_json(wire: str) -> None:
    """A scripted proxy error has its status, its wait and a page as body."""
    async with ModelServer(always(Turn(status=502, html=True))) as server:
        status, answer = await post(server, wire, "x")
    assert (status, answer) == (502, "<html><body><h1>Bad gateway</h1></body></html>")


async def test_port_that_is_taken() -> None:
    """A given port is used, and one that is taken is an error that leaves nothing open."""
    async with ModelServer(echo()) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            await ModelServer(echo(), port=port).__aenter__()
    async with ModelServer(echo(), port=port) as second:
        assert second.openai_url == f"http://127.0.0.1:{port}/v1"


def ask(text: str, *, tools: tuple[str, ...] = ("recall",), results: tuple[str, ...] = ()) -> Ask:
    """A request as the chatty script sees it."""
    return Ask(
        wire="anthropic",
        n=1,
        model="m",
        system="",
        user_texts=(text,),
        tool_names=tools,
        tool_results=results,
        authorization="",
        raw={},
    )


def test_chatty_says_what_it_is() -> None:
    """The demo's assistant never passes for a model, and says the same to the same."""
    script = chatty()
    turn = script(ask("hello"))
    assert turn == script(ask("hello"))
    assert "".join(turn.chunks).startswith("I am a **stand-in** for a language model")


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        (ask("please recall 7"), (Call(name="recall", arguments='{"id": 7}'),)),
        (ask("recall 7", results=("there",)), ()),
        (ask("recall 7", tools=()), ()),
        (ask("loop"), (Call(name="recall", arguments='{"id": 1}'),)),
        (ask("loop", results=("a", "b", "c")), (Call(name="recall", arguments='{"id": 1}'),)),
        (ask("loop", tools=()), ()),
    ],
)
def test_chatty_calls_tools_when_told(asked: Ask, calls: tuple[Call, ...]) -> None:
    """Told to recall it calls once and reports; told to loop it calls for ever."""
    assert chatty()(asked).calls == calls


ANTHROPIC_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
OPENAI_SEARCH = {"type": "web_search"}


@pytest.mark.parametrize(
    ("wire", "fields", "status"),
    [
        ("anthropic", {"tools": [ANTHROPIC_SEARCH]}, 200),
        ("anthropic", {"tools": [ANTHROPIC_SEARCH, {"name": "recall"}]}, 400),
        ("anthropic", {"tools": [{"name": "recall"}, ANTHROPIC_SEARCH]}, 400),
        ("anthropic", {"tools": [ANTHROPIC_SEARCH | {"max_uses": 2}]}, 400),
        ("responses", {"tools": [OPENAI_SEARCH], "max_tool_calls": 1}, 200),
        ("responses", {"tools": [OPENAI_SEARCH, {"name": "recall"}], "max_tool_calls": 1}, 400),
        ("responses", {"tools": [OPENAI_SEARCH]}, 400),
        ("chat", {"tools": [OPENAI_SEARCH], "max_tool_calls": 1}, 400),
    ],
)
async def test_search_only_alone_and_once(wire: str, fields: dict[str, Any], status: int) -> None:
    """A search of the server's own beside other tools, or more than one, is refused unasked."""
    asked: list[Ask] = []

    def script(ask: Ask) -> Turn:
        asked.append(ask)
        return Turn(text="found", sources=(("https://a.example/", "A"),))

    async with (
        ModelServer(script) as server,
        aiohttp.ClientSession() as session,
        session.post(server.url + PATHS[wire], json=body(wire, "x") | fields) as response,
    ):
        answer = await response.text()
    good = status == 200
    assert (response.status, "https://a.example/" in answer) == (status, good)
    assert [made.search for made in asked] == [True] * good
    assert [made.search for made in server.requests] == [True]


async def test_plain_answers_are_fast() -> None:
    """Answers without delays are cheap enough for load tests."""
    async with ModelServer(echo()) as server, aiohttp.ClientSession() as session:
        data = json.dumps(body("anthropic", "hello")).encode()

        async def one() -> int:
            async with session.post(server.url + PATHS["anthropic"], data=data) as response:
                return len(await response.read())

        began = time.perf_counter()
        sizes = []
        for _ in range(6):
            sizes += await asyncio.gather(*(one() for _ in range(50)))
        took = time.perf_counter() - began
    assert (len(sizes), min(sizes) > 0, took < 3) == (300, True, True)
