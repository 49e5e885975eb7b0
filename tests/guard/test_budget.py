"""The bound of what a call can take holds on every wire, and shrinking finds what fits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.budget import (
    ITEM_TOKENS,
    MIN_OUTPUT_TOKENS,
    REQUEST_TOKENS,
    SEARCH_INPUT_TOKENS,
    input_bound,
    shrunk,
)
from assurebot.providers.anthropic import AnthropicProvider
from assurebot.providers.openai import OpenAIProvider
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.providers.openai_chat import OpenAIChatProvider
from assurebot.providers.pricing import Prices
from assurebot.values import (
    AssistantMessage,
    Media,
    Message,
    ModelRef,
    ModelRequest,
    NativeContent,
    TextPart,
    ToolCall,
    ToolMessage,
    ToolResult,
    ToolSpec,
    UserMessage,
)

CLAUDE = ModelRef(provider="anthropic", name="claude-sonnet-5-5")
GPT = ModelRef(provider="openai", name="gpt-6.1-sol")
ACCOUNT, PRICES = OpenAIAccount("sk-made-up-0123456789"), Prices()
WIRES = (
    (CLAUDE, AnthropicProvider("sk-made-up-0123456789", prices=PRICES)),
    (GPT, OpenAIProvider(ACCOUNT, prices=PRICES)),
    (GPT, OpenAIChatProvider(ACCOUNT, prices=PRICES)),
)

TEXTS = st.text(max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=40,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
COMPACT = OBJECTS.map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")))
CALLS = st.builds(ToolCall, id=TEXTS, name=TEXTS, arguments=COMPACT | TEXTS)
LABELS = st.just("owner")
PARTS = st.builds(TextPart, text=TEXTS, label=LABELS, media=st.none())
MESSAGES = st.lists(
    st.builds(
        UserMessage,
        parts=st.lists(PARTS, max_size=3).map(tuple),
        role=st.just("user"),
    )
    | st.builds(
        AssistantMessage,
        text=TEXTS,
        calls=st.lists(CALLS, max_size=2).map(tuple),
        native=st.none(),
        label=LABELS,
        role=st.just("assistant"),
    )
    | st.builds(
        ToolMessage,
        results=st.lists(
            st.builds(ToolResult, call_id=TEXTS, name=TEXTS, text=TEXTS, files=st.just(())),
            max_size=2,
        ).map(tuple),
        role=st.just("tool"),
    ),
    max_size=4,
).map(tuple)


def request(*messages: Message, **more: Any) -> ModelRequest:
    """Make a request to Claude."""
    return ModelRequest(**{"model": CLAUDE, "system": "", "messages": messages, **more})


def words(value: Any) -> Iterator[str]:
    """Yield all that stands in a body: names, texts, and all else as JSON."""
    match value:
        case dict():
            for name, inner in value.items():
                yield name
                yield from words(inner)
        case list():
            for inner in value:
                yield from words(inner)
        case str():
            yield value
        case _:
            yield json.dumps(value)


@given(MESSAGES, TEXTS, OBJECTS)
def test_no_wire_sends_more_bytes_than_the_bound(
    messages: tuple[Message, ...], system: str, schema: dict[str, Any]
) -> None:
    """A token is a byte or more, and all that is sent has fewer bytes than the bound."""
    tool = ToolSpec(name="a", description=system, schema=json.dumps(schema, separators=(",", ":")))
    for ref, wire in WIRES:
        asked = request(*messages, model=ref, system=system, tools=(tool,))
        sent = sum(len(word.encode()) for word in words(wire.body(asked)))
        assert sent <= input_bound(asked)


def test_bound_is_the_bytes_and_a_frame() -> None:
    """Bytes are counted, not letters; every thing that is framed has its frame counted."""
    tool = ToolSpec(name="add", description="Adds.", schema="{}")
    messages = (
        UserMessage(parts=(TextPart(text="é"), TextPart(text="😀"))),
        AssistantMessage(text="ok", calls=(ToolCall(id="c", name="add", arguments="{}"),)),
        ToolMessage(results=(ToolResult(call_id="c", name="add", text="fine"),)),
    )
    asked = request(*messages, system="Be kind.", tools=(tool,))
    framed = len(["system", "tool", *messages, "é", "😀", "ok", "call", "result"])
    sent = len("Be kind.") + len("addAdds.{}") + 2 + 4 + 2 + len("cadd") + 2 * 4 + len("cfine")
    assert input_bound(asked) == REQUEST_TOKENS + framed * ITEM_TOKENS + sent


@pytest.mark.parametrize(("model", "sent"), [(CLAUDE, 100), (GPT, 5)])
def test_own_form_counts_where_it_is_sent(model: ModelRef, sent: int) -> None:
    """A provider's own form of an answer counts for that provider, the plain one for others."""
    native = NativeContent(provider="anthropic", content="n" * 100)
    asked = request(AssistantMessage(text="plain", native=native), model=model)
    assert input_bound(asked) == REQUEST_TOKENS + 3 * ITEM_TOKENS + sent


def test_what_is_shown_adds_its_tokens() -> None:
    """As often as it is shown, and only if its bytes are there; they do not count by themselves."""
    picture = Media(file=1, mime="image/png", tokens=1600)
    pdf = Media(file=2, mime="application/pdf", tokens=9000)
    parts = (TextPart(text="a", media=picture), TextPart(text="b", media=pdf))
    asked = request(UserMessage(parts=parts), UserMessage(parts=parts[:1]))
    plain = input_bound(asked)
    assert plain == REQUEST_TOKENS + 6 * ITEM_TOKENS + 3
    for files, shown, tokens in (
        ({1: b"x" * 5000, 2: b"y"}, 3, 2 * 1600 + 9000),
        ({1: b"x", 3: b"z"}, 2, 2 * 1600),
        ({1: b"", 2: b"y"}, 1, 9000),
    ):
        assert input_bound(replace(asked, files=files)) == plain + shown * ITEM_TOKENS + tokens


def test_search_adds_what_it_may_find() -> None:
    """The pages of a search are counted though nobody knows them yet."""
    asked = request(UserMessage(parts=(TextPart(text="hello"),)))
    assert input_bound(replace(asked, search=True)) == input_bound(asked) + SEARCH_INPUT_TOKENS


def test_half_a_character_is_counted() -> None:
    """A text that is no valid Unicode has a bound too."""
    assert input_bound(request(system="\ud800")) == REQUEST_TOKENS + ITEM_TOKENS + 3


def test_bound_of_a_long_conversation_takes_no_time() -> None:
    """The event loop is not held up: 100 kB take less than 10 ms."""
    part = TextPart(text="wörds " * 20)
    asked = request(*(UserMessage(parts=(part,)) for _ in range(800)))
    began = time.process_time()
    bound = input_bound(asked)
    assert (bound > 100_000, time.process_time() - began < 0.01) == (True, True)


@pytest.mark.parametrize(
    ("left", "output"),
    [
        ("1.0000", 8191),  # fewer than wanted, whatever is left
        ("0.50", 4000),
        ("0.20", None),
        ("0.2024", 1024),
        ("0.2023", None),
        ("0", None),
    ],
)
def test_shrinking_finds_the_longest_answer_that_fits(left: str, output: int | None) -> None:
    """Output is cut to what is left beside the input, to no less than the minimum."""
    found = shrunk(
        8192, least_usd=Decimal("0.1"), most_usd=Decimal("0.9192"), left_usd=Decimal(left)
    )
    assert found == output


@given(st.integers(1, 200_000), st.decimals(0, 10, places=4), st.decimals(0, 10, places=4))
def test_what_is_shrunk_fits(wanted: int, least: Decimal, left: Decimal) -> None:
    """Whatever is found is an answer, shorter than wanted, and within what is left."""
    most = least + wanted * Decimal("0.00001")
    found = shrunk(wanted, least_usd=least, most_usd=most, left_usd=left)
    if found is None:
        assert wanted <= MIN_OUTPUT_TOKENS or least + MIN_OUTPUT_TOKENS * Decimal("0.00001") > left
    else:
        assert MIN_OUTPUT_TOKENS <= found < wanted
        assert least + found * Decimal("0.00001") <= left


def test_free_output_cannot_be_shrunk() -> None:
    """Where output costs nothing a shorter one would not fit better."""
    assert shrunk(8192, least_usd=Decimal(1), most_usd=Decimal(1), left_usd=Decimal(0)) is None
