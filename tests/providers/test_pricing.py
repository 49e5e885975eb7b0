"""Prices: the operator's own, the table's with its tiers, and models without any."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from assurebot.providers.pricing import Prices, Tokens
from assurebot.values import ModelRef
from assurebot.variables import DEFAULT_MODELS, ProviderName

HAIKU = ModelRef(provider="anthropic", name="claude-haiku-5-5")
UNKNOWN = ModelRef(provider="openai", name="my-own-model")
FREE = {"openai": (Decimal(0), Decimal(0))}


@pytest.mark.parametrize(
    ("tokens", "usd"),
    [
        (Tokens(input=0, output=0), "0"),
        (Tokens(input=1_000, output=100), "0.00015"),
        (Tokens(input=200_000, output=100), "0.10025"),
    ],
)
async def test_table_has_tiers(tokens: Tokens, usd: str) -> None:
    """A call with a long context costs what its tier costs."""
    assert await Prices().cost(HAIKU, tokens) == Decimal(usd)


async def test_cached_tokens_have_their_own_price() -> None:
    """Reading the cache is cheaper, writing it dearer than plain input."""
    prices = Prices()
    plain = await prices.cost(HAIKU, Tokens(input=10_000, output=0))
    read = await prices.cost(HAIKU, Tokens(input=10_000, output=0, cache_read=10_000))
    written = await prices.cost(HAIKU, Tokens(input=10_000, output=0, cache_write=10_000))
    assert (read, plain, written) == (Decimal("0.0001"), Decimal("0.001"), Decimal("0.00125"))


async def test_own_price_goes_for_every_model_of_its_provider() -> None:
    """The operator's price needs no table, knows every such model and ignores the cache."""
    prices = Prices({"openai": (Decimal("1.5"), Decimal(6))})
    tokens = Tokens(input=1_000_000, output=500_000, cache_read=900_000)
    assert await prices.known(UNKNOWN)
    assert await prices.cost(UNKNOWN, tokens) == Decimal("4.5")


async def test_own_server_may_cost_nothing() -> None:
    """A price of 0,0 is a price."""
    prices = Prices(FREE)
    assert await prices.known(UNKNOWN)
    assert await prices.cost(UNKNOWN, Tokens(input=1_000, output=1_000)) == Decimal(0)


async def test_own_price_is_not_that_of_another_provider() -> None:
    """A free server of one's own makes no paid model free, nor a price for an unknown one."""
    tokens, prices = Tokens(input=1_000, output=100), Prices(FREE)
    assert await prices.cost(HAIKU, tokens) == await Prices().cost(HAIKU, tokens) > 0
    assert not await prices.known(replace(HAIKU, name="my-own-model"))


@pytest.mark.parametrize(
    ("ref", "known"),
    [
        (HAIKU, True),
        (ModelRef(provider="anthropic", name="claude-sonnet-5-5-20260901"), True),
        (ModelRef(provider="openai", name="gpt-6.1-sol"), True),
        (ModelRef(provider="anthropic", name="gpt-6.1-sol"), False),
        (ModelRef(provider="openai", name="gpt-transcribe"), False),
        (UNKNOWN, False),
    ],
)
async def test_unknown_price_is_found_at_start(ref: ModelRef, *, known: bool) -> None:
    """A model that the table does not price by tokens, of that provider, is not known."""
    assert await Prices().known(ref) is known


@pytest.mark.parametrize(("provider", "name"), DEFAULT_MODELS.items())
async def test_default_models_have_a_price(provider: ProviderName, name: str) -> None:
    """The start does not look up the default models, because they are in the table."""
    assert await Prices().known(ModelRef(provider=provider, name=name))


async def test_unknown_answerer_costs_what_was_asked_for() -> None:
    """If the server names a model that nobody knows, the price of the asked one goes."""
    tokens = Tokens(input=1_000, output=100)
    assert await Prices().cost(UNKNOWN, tokens, asked=HAIKU) == Decimal("0.00015")


async def test_unknown_is_never_free() -> None:
    """Where neither is known the dearest price goes."""
    tokens = Tokens(input=1_000_000, output=1_000_000)
    assert await Prices().cost(UNKNOWN, tokens, asked=UNKNOWN) == Decimal(750)


async def test_parts_beyond_the_whole_are_priced() -> None:
    """A report with more cached tokens than input tokens is priced by the larger figure."""
    odd = Tokens(input=10, output=0, cache_read=10_000)
    assert await Prices().cost(HAIKU, odd) == Decimal("0.0001")


@pytest.mark.parametrize(
    ("name", "input_tokens", "usd"),
    [
        ("claude-haiku-5-5", 10_000, "0.00175"),  # all of it written to the cache
        ("claude-haiku-5-5", 200_000, "0.1275"),  # the tier of a long context
        ("claude-2", 10_000, "0.104"),  # a model without a cache
        ("my-own-model", 10_000, "2.1"),
    ],
)
async def test_most_is_never_less_than_any_cost(name: str, input_tokens: int, usd: str) -> None:
    """The most that a call can cost is its price with no token read from the cache."""
    ref = ModelRef(provider="anthropic", name=name)
    most = await Prices().most(ref, input_tokens, 1_000)
    whole = Tokens(input=input_tokens, output=1_000)
    costs = [
        await Prices().cost(ref, replace(whole, **{part: n}))
        for part in ("cache_read", "cache_write")
        for n in (0, input_tokens // 2, input_tokens)
    ]
    assert (most, max(costs)) == (Decimal(usd), most)


async def test_most_goes_by_the_own_price() -> None:
    """The operator's price goes for the most as well, also where it is nothing."""
    dear = Prices({"openai": (Decimal(2), Decimal(8))})
    assert await dear.most(UNKNOWN, 500_000, 250_000) == Decimal(3)
    assert await Prices(FREE).most(UNKNOWN, 500_000, 250_000) == Decimal(0)
