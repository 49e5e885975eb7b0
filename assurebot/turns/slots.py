"""How much is worked at a time: people's turns never wait for webhooks, or for watched pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from assurebot.values import Event, StoredEvent

SUSPECT_STARTS = 3
"""An event that was running at so many crashes is worked alone from then on, before all others:
what brings the program down shall count against itself, and not against what ran beside it."""

ASIDE = 2
"""So many webhooks are told of at a time, and so many pages looked at."""


class Slots:
    """Bounds what runs at a time, by who waits for it."""

    def __init__(self, turns: int) -> None:
        self._sizes = {"turn": turns, "webhook": ASIDE, "watch": ASIDE}
        self._slots = {name: asyncio.Semaphore(size) for name, size in self._sizes.items()}
        self._suspects = asyncio.Lock()

    @asynccontextmanager
    async def slot(self, stored: StoredEvent, *, in_box: bool) -> AsyncIterator[None]:
        """Wait for a slot, or for all of them where the event has to be alone."""
        async with AsyncExitStack() as stack:
            if stored.starts >= SUSPECT_STARTS:
                await stack.enter_async_context(self._suspects)
                for name, size in self._sizes.items():
                    for _ in range(size):
                        await stack.enter_async_context(self._slots[name])
            elif not in_box and (name := _needs(stored.event)):
                await stack.enter_async_context(self._slots[name])
            yield


def _needs(event: Event) -> str:
    """Name what bounds the work on an event; none does where it is a mere message."""
    if event.kind == "webhook":
        return "webhook"
    if event.kind != "job" or event.command == "brief":
        return "turn"
    return "watch" if event.command == "watch" else ""
