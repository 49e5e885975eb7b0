"""What people are told while their messages wait, and how long each person's next turn does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from assurebot.errors import StoreError
from assurebot.guard.rates import Window
from assurebot.ports import Clock, Renderer, Store
from assurebot.turns.endings import trace_of
from assurebot.turns.outbox import Outbox
from assurebot.values import StoredEvent

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Keeps the pace of people's turns, and says why one is not begun.

    Attributes:
        turns: How many each may start.
    """

    store: Store
    clock: Clock
    outbox: Outbox
    render: Renderer
    turns: Window
    owner: int

    async def pace(self, stored: StoredEvent) -> None:
        """Put off a person's turn until they may start another, and say so once a minute."""
        loop, user = asyncio.get_running_loop(), stored.event.actor.user_id
        while wait := self.turns.wait(user, loop.time()):
            text = f"⏳ More than {self.turns.limit} messages a minute: they wait, in order."
            minute = f"{self.clock.now():%Y-%m-%d %H:%M}"
            await self._say_once(stored, text, f"rate:{stored.event.place.key}:{minute}")
            await asyncio.sleep(wait)
        self.turns.take(user, loop.time())

    async def say_held(self, stored: StoredEvent, held: str, by: str | None) -> None:
        """Tell a conversation once per hold that its messages wait."""
        text = f"⏸ Everything is held by {by}. Your message waits for /resume."
        await self._say_once(stored, text, f"held:{stored.event.place.key}:{held}")

    async def _say_once(self, stored: StoredEvent, text: str, once: str) -> None:
        place, trace = stored.event.place, trace_of(stored, self.owner)
        try:
            self.outbox.push(await self.store.say(place, self.render(text), trace, once=once))
        except StoreError as error:
            log.warning("a delay was not told", reason=str(error))
