"""Which model a conversation uses."""

from __future__ import annotations

from collections.abc import Sequence

from assurebot.ports import Store
from assurebot.values import ModelRef, Place

USED = 5
"""So many models that were chosen before are offered again."""


class ModelChoice:
    """The default, and what `/model` chose for a conversation, over restarts."""

    def __init__(self, store: Store, offered: Sequence[ModelRef]) -> None:
        self.default = offered[0]
        self._store = store
        self._offered = offered
        self._chosen: dict[str, ModelRef | None] = {}

    async def get(self, place: Place) -> ModelRef:
        """Return the model of a conversation."""
        if place.key not in self._chosen:
            text = await self._store.fact(f"model:{place.key}")
            self._chosen[place.key] = None if text is None else _parsed(text)
        return self._chosen[place.key] or self.default

    async def offered(self, place: Place) -> tuple[ModelRef, ...]:
        """Return the models that are there for all, and those chosen here before."""
        used = (await self._store.fact(f"models:{place.key}") or "").split()
        return tuple(dict.fromkeys((*self._offered, *filter(None, map(_parsed, used)))))

    async def choose(self, place: Place, model: ModelRef | None) -> None:
        """Use another model in a conversation; `None` goes back to the default."""
        if model is not None and model not in self._offered:
            known = (await self.offered(place))[len(self._offered) :]
            used = list(dict.fromkeys((model, *known)))[:USED]
            await self._store.set_fact(f"models:{place.key}", " ".join(map(str, used)))
        await self._store.set_fact(f"model:{place.key}", None if model is None else str(model))
        self._chosen[place.key] = model


def _parsed(text: str) -> ModelRef | None:
    provider, _, name = text.partition(":")
    match provider:
        case "anthropic" | "openai":
            return ModelRef(provider=provider, name=name)
        case _:
            return None
