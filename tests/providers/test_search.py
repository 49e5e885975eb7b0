"""Searching by the provider itself: what is offered, what comes back, what it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from assurebot.demo.model import ModelServer, Turn, Wire, always
from assurebot.errors import ProviderGarbled, ProviderRejected
from assurebot.ports import Provider
from assurebot.providers.anthropic import AnthropicProvider
from assurebot.providers.openai import OpenAIProvider
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.values import AssistantMessage, ModelReply, ModelRequest, Source, Usage
from tests.providers.wires import (
    ADD,
    KEY,
    gateway,
    ignore,
    prices,
    provider,
    question,
    ref,
    said,
    talk,
)

SEARCHING: tuple[Wire, ...] = ("anthropic", "responses")
QUESTION = said("the news")
PAGES = (("https://a.example/", "A"), ("https://b.example/", "B"), ("https://a.example/", "C"))


async def searched(wire: Wire, turn: Turn) -> ModelReply:
    """The reply to a request for a search."""
    async with ModelServer(always(turn)) as server, talk(server, wire) as asked:
        return await asked.ask(replace(question(wire, QUESTION), search=True), ignore)


async def body(wire: Wire, *, search: bool) -> dict[str, Any]:
    """What arrives of a request that also has a tool of ours."""
    async with ModelServer(always(Turn(text="ok"))) as server, talk(server, wire) as asked:
        await asked.ask(replace(question(wire), search=search), ignore)
    return server.requests[0].raw


async def test_anthropic_is_offered_one_search_and_nothing_else() -> None:
    """A request for a search holds the provider's own tool, once, and none of ours."""
    raw = await body("anthropic", search=True)
    assert raw["tools"] == [{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}]


async def test_openai_is_offered_one_search_and_nothing_else() -> None:
    """A request for a search holds the provider's own tool, once, and asks for what it read."""
    raw = await body("responses", search=True)
    assert (raw["tools"], raw["max_tool_calls"], raw["include"]) == (
        [{"type": "web_search"}],
        1,
        ["reasoning.encrypted_content", "web_search_call.action.sources"],
    )


@pytest.mark.parametrize("wire", SEARCHING)
async def test_no_other_request_is_offered_a_search(wire: Wire) -> None:
    """Without being told, a request holds our tools alone and nothing of a search."""
    raw = await body(wire, search=False)
    assert [tool["name"] for tool in raw["tools"]] == [ADD.name]
    assert "search" not in str(raw)
    assert "max_tool_calls" not in raw


async def test_a_wire_without_search_says_so_and_sends_nothing() -> None:
    """Chat Completions refuses at once."""
    async with ModelServer(always(Turn(text="no"))) as server, talk(server, "chat") as asked:
        with pytest.raises(ProviderRejected, match=r"^this server has no web search$"):
            await asked.ask(replace(question("chat"), search=True), ignore)
    assert list(server.requests) == []


@pytest.mark.parametrize("wire", SEARCHING)
async def test_a_search_is_answered_with_its_sources(wire: Wire) -> None:
    """Pages come once each, in order; the fee is in the cost; nothing is a call of ours."""
    reply = await searched(wire, Turn(text="It rains.", sources=PAGES))
    assert reply == ModelReply(
        message=AssistantMessage(text="It rains.", native=reply.message.native),
        stop="end",
        model=ref(wire),
        usage=Usage(input_tokens=10, output_tokens=5, cost_usd=Decimal("0.01002")),
        sources=(
            Source(url="https://a.example/", title="A"),
            # OpenAI names only the titles of the pages that are cited.
            Source(url="https://b.example/", title="B" if wire == "anthropic" else ""),
        ),
    )


class SearchingClaude(AnthropicProvider):
    """A gateway that has each request searched for, behind our back."""

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Offer a search."""
        return super().body(replace(request, search=True))


class SearchingGPT(OpenAIProvider):
    """The same."""

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Offer a search."""
        return super().body(replace(request, search=True))


UNASKED = r"^(anthropic|openai): a search that was not asked for$"


@pytest.mark.parametrize("wire", SEARCHING)
async def test_a_search_that_was_not_asked_for_is_garbled(wire: Wire) -> None:
    """A gateway that searches by itself would put a stranger's words under the model's label."""
    async with ModelServer(always(Turn(text="It rains.", sources=PAGES))) as server:
        asked: Provider = SearchingClaude(KEY, prices=prices(), base_url=server.url)
        if wire != "anthropic":
            account = OpenAIAccount(KEY, base_url=f"{server.url}/v1")
            asked = SearchingGPT(account, prices=prices())
        with pytest.raises(ProviderGarbled, match=UNASKED):
            await asked.ask(question(wire, QUESTION), ignore)
        await asked.aclose()


async def test_a_compatible_server_that_cites_pages_is_garbled_too() -> None:
    """On the wire without a search of its own, pages are named beside the text."""
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example/", "title": "A"}}
    delta = {"content": "It rains.", "annotations": [note]}
    chunk = json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]})
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    answer = f"{head}data: {chunk}\n\ndata: [DONE]\n\n".encode()
    async with gateway(answer) as url, provider("chat", url) as asked:
        with pytest.raises(ProviderGarbled, match=UNASKED):
            await asked.ask(question("chat", QUESTION), ignore)


@pytest.mark.parametrize("wire", SEARCHING)
async def test_an_answer_without_a_search_costs_no_fee(wire: Wire) -> None:
    """A model that did not search is paid for its tokens alone."""
    reply = await searched(wire, Turn(text="Hello."))
    assert (reply.sources, reply.usage.cost_usd) == ((), Decimal("0.00002"))


@pytest.mark.parametrize(
    ("wire", "error", "text"),
    [
        ("anthropic", "max_uses_exceeded", "[web search: max_uses_exceeded]\n\nSorry."),
        ("anthropic", "unavailable", "[web search: unavailable]\n\nSorry."),
        ("anthropic", "too_many_requests", "[web search: too_many_requests]\n\nSorry."),
        ("responses", "failed", "[web search: failed]\n\nSorry."),
    ],
)
async def test_a_search_that_failed(wire: Wire, error: str, text: str) -> None:
    """The answer says so, whatever the model makes of it, names no source and costs no fee."""
    reply = await searched(wire, Turn(text="Sorry.", search_error=error))
    assert reply == ModelReply(
        message=AssistantMessage(text=text, native=reply.message.native),
        stop="end",
        model=ref(wire),
        usage=Usage(input_tokens=10, output_tokens=5, cost_usd=Decimal("0.00002")),
    )


@pytest.mark.parametrize(
    ("wire", "stop"), [("anthropic", "pause_turn"), ("responses", "max_tokens")]
)
async def test_a_search_that_was_paused_or_cut(wire: Wire, stop: str) -> None:
    """It is a cut answer, of which nothing is sent back; it costs what it costs."""
    reply = await searched(wire, Turn(text="It", sources=PAGES[:1], stop=stop))
    assert reply == ModelReply(
        message=AssistantMessage(text="It"),
        stop="max_tokens",
        model=ref(wire),
        usage=Usage(input_tokens=10, output_tokens=5, cost_usd=Decimal("0.01002")),
        sources=(Source(url="https://a.example/", title="A"),),
    )
