"""What a model call costs, from the operator's own price or from the table of genai-prices."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from assurebot.values import ModelRef

MILLION = Decimal(1_000_000)

AUDIO_USD = {
    "transcribe": (3600, {"gpt-transcribe": Decimal("0.27"), "whisper-1": Decimal("0.36")}),
    "speech": (1_000_000, {"tts-1": Decimal(15), "tts-1-hd": Decimal(30)}),
}
"""For so many seconds or characters, by model (the table of genai-prices 0.2.3).

Other models that speak are paid by tokens of sound, which nobody knows before.
"""

DEAREST = (Decimal(150), Decimal(600))
"""For an answer of a model that nobody knows: the dearest in the table of 0.2.3, never 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of one call as the price depends on them.

    Attributes:
        input: All input tokens; `cache_read` and `cache_write` are parts of it.
    """

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


class Prices:
    """Prices of all models; the table is imported in a thread on first need, never updated.

    Args:
        own: By provider, USD per million input and output tokens; they go for all of its models.
    """

    def __init__(self, own: Mapping[str, tuple[Decimal, Decimal]] | None = None) -> None:
        self._own = own or {}

    async def known(self, ref: ModelRef) -> bool:
        """Tell whether calls of this model can be priced."""
        return await self._priced(ref, Tokens(input=1, output=1)) is not None

    async def cost(
        self, ref: ModelRef, tokens: Tokens, *, asked: ModelRef | None = None
    ) -> Decimal:
        """Return the price in USD, tiers by context and cached tokens taken into account.

        Args:
            ref: The model that answered.
            tokens: What the provider reported.
            asked: The model that was asked; its price goes if the other is not known.
        """
        for candidate in (ref, asked):
            if candidate is not None:
                price = await self._priced(candidate, tokens)
                if price is not None:
                    return price
        return _flat(DEAREST, tokens)

    async def most(self, ref: ModelRef, input_tokens: int, output_tokens: int) -> Decimal:
        """Return the dearest that such a call can cost: with all of its input written to the cache.

        Where that has no price of its own, it has that of plain input.
        """
        tokens = Tokens(input=input_tokens, output=output_tokens, cache_write=input_tokens)
        return await self.cost(ref, tokens)

    async def _priced(self, ref: ModelRef, tokens: Tokens) -> Decimal | None:
        if (own := self._own.get(ref.provider)) is not None:
            return _flat(own, tokens)
        if "genai_prices" in sys.modules:
            return _look_up(ref, tokens)
        # The import (0.2 s) and the first look-up (30 ms) would hold up the loop.
        return await asyncio.to_thread(_look_up, ref, tokens)


def _look_up(ref: ModelRef, tokens: Tokens) -> Decimal | None:
    table: Any = importlib.import_module("genai_prices")
    usage = table.Usage(
        # Some gateways count cached tokens apart; the table refuses parts beyond the whole.
        input_tokens=max(tokens.input, tokens.cache_read + tokens.cache_write),
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
    )
    try:
        found = table.calc_price(usage, ref.name, provider_id=ref.provider)
    except LookupError:
        return None
    # The table has models that are not priced by tokens (speech); they come out as 0.
    return Decimal(found.total_price) or None


def _flat(price: tuple[Decimal, Decimal], tokens: Tokens) -> Decimal:
    return (tokens.input * price[0] + tokens.output * price[1]) / MILLION
