"""Which model a conversation uses."""

from __future__ import annotations

from assurebot.ports import Store
from assurebot.values import ModelRef, Place


class ModelChoice:
    """The default, and what `/model` chose for a conversation, over restarts."""

    def __init__(self, store: Store, default: ModelRef) -> None:
        self.default = default
        self._store = store
        self._chosen: dict[str, ModelRef | None] = {}

    async def get(self, place: Place) -> ModelRef:
        """Return the model of a conversation."""
        if place.key not in self._chosen:
            text = await self._store.fact(f"model:{place.key}")
            self._chosen[place.key] = None if text is None else _parsed(text)
        return self._chosen[place.key] or self.default

    async def choose(self, place: Place, model: ModelRef | None) -> None:
        """Use another model in a conversation; `None` goes back to the default."""
        await self._store.set_fact(f"model:{place.key}", None if model is None else str(model))
        self._chosen[place.key] = model


def _parsed(text: str) -> ModelRef | None:
    provider, _, name = text.partition(":")
    match provider:
        case "anthropic" | "openai":
            return ModelRef(provider=provider, name=name)
        case _:
            return None
