"""The `web_search` tool: what leaves, what comes back, and what it says when it cannot."""

from __future__ import annotations

import json

import pytest

from assurebot.agent.tools.web_search import SYSTEM, WebSearch
from assurebot.demo.model import Ask, ModelServer, Turn, Wire, always
from assurebot.errors import (
    BudgetSpent,
    ProviderRejected,
    ProviderUnavailable,
    ToolError,
)
from assurebot.ports import Provider, ToolContext, ToolOutput
from assurebot.values import (
    AssistantMessage,
    ModelRef,
    ModelReply,
    ModelRequest,
    Person,
    Place,
    Source,
    StopReason,
    TextPart,
    Trace,
    UserMessage,
)
from tests.doubles import ScriptedProvider
from tests.providers.wires import ref, talk

CONTEXT = ToolContext(
    place=Place(chat_id=7), actor=Person(user_id=7), trace=Trace(turn=3, step=2, user=7)
)
HERE = ref("anthropic")
QUERY = json.dumps({"query": "rain in Oslo"})


async def search(provider: Provider, model: ModelRef = HERE, arguments: str = QUERY) -> ToolOutput:
    """Call the tool."""

    async def chosen(place: Place) -> ModelRef:
        assert place == CONTEXT.place
        return model

    return await WebSearch(provider, chosen, 500).run(arguments, CONTEXT)


def reply(text: str, *sources: Source, stop: StopReason = "end") -> ModelReply:
    """An answer to a search."""
    message = AssistantMessage(text=text)
    return ModelReply(message=message, stop=stop, model=HERE, sources=sources)


async def test_only_the_query_leaves() -> None:
    """The request is one of its own, for the model of the place, and holds the query alone."""
    provider = ScriptedProvider(reply("Rain."))
    await search(provider)
    assert provider.asked == [
        ModelRequest(
            model=HERE,
            system=SYSTEM,
            messages=(UserMessage(parts=(TextPart(text="rain in Oslo"),)),),
            max_output_tokens=500,
            search=True,
            trace=CONTEXT.trace,
        )
    ]


@pytest.mark.parametrize("wire", ["anthropic", "responses"])
async def test_a_search_over_the_wire(wire: Wire) -> None:
    """The stand-in is offered one search and nothing else; the model reads answer and sources."""
    turn = Turn(text="Rain.\n", sources=(("https://a.example/", "A\nweather"),))
    async with ModelServer(always(turn)) as server, talk(server, wire) as provider:
        output = await search(provider, ref(wire))
    (ask,) = server.requests
    assert output == ToolOutput(text="Rain.\nA weather (https://a.example/)")
    assert ask == Ask(
        wire=wire,
        n=1,
        model=ref(wire).name,
        system=SYSTEM,
        user_texts=("rain in Oslo",),
        tool_names=(),
        tool_results=(),
        authorization=ask.authorization,
        raw=ask.raw,
        search=True,
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            reply("Ra", Source(url="https://a.example/"), stop="max_tokens"),
            "Ra\n[the answer was cut]\nhttps://a.example/",
        ),
        (reply("", stop="refusal"), "[the model declined to answer]"),
    ],
)
async def test_an_answer_that_is_not_whole(given: ModelReply, shown: str) -> None:
    """What is missing is said, never left to be guessed; a page without a title is its URL."""
    assert await search(ScriptedProvider(given)) == ToolOutput(text=shown)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            ProviderRejected("this server has no web search"),
            "no search: this server has no web search. Go on without it, and say so",
        ),
        (
            ProviderUnavailable("anthropic: HTTP 529"),
            "no search: anthropic: HTTP 529. Go on without it, and say so",
        ),
        (BudgetSpent("the day's 5 USD are spent"), "the day's 5 USD are spent"),
    ],
)
async def test_an_error_lets_the_turn_go_on(error: Exception, says: str) -> None:
    """The model is told what happened; a spent budget ends the search, not the turn."""
    with pytest.raises(ToolError) as caught:
        await search(ScriptedProvider(error))
    assert str(caught.value) == says


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "[]",
        "x",
        '{"query": 1}',
        '{"query": " \\n"}',
        json.dumps({"query": "x" * 401}),
        '{"query": "x", "to": "y"}',
    ],
)
async def test_wrong_arguments(arguments: str) -> None:
    """The model is told the right form, and nothing is asked."""
    provider = ScriptedProvider()
    with pytest.raises(ToolError, match="web_search needs"):
        await search(provider, arguments=arguments)
    assert provider.asked == []


def test_what_it_declares() -> None:
    """It goes outward with its query, what it brings is untrusted, and it is never run twice."""
    spec = WebSearch.spec
    assert (spec.name, spec.effect, spec.destinations, spec.result_label) == (
        "web_search",
        "outward",
        ("query",),
        "untrusted:web search",
    )
    assert (spec.per_minute, spec.repeatable) == (10, False)
