"""How fast messages may leave: per chat, and in all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

KNOWN_CHATS = 10_000
"""When more chats than this are remembered, those that are at rest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One message every `seconds`, and up to `burst` at once after a rest."""

    seconds: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Telegram's published limits: 1 message/s a chat, 20/min a group, 30/s in all.

    Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
    """

    private: Rate = Rate(seconds=1.0, burst=3)
    group: Rate = Rate(seconds=3.0, burst=3)
    overall: Rate = Rate(seconds=1 / 25, burst=25)


class Pace:
    """Says how long a message has to wait, by the generic cell rate algorithm."""

    def __init__(self, rates: Rates, now: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates
        self._now = now
        self._due: dict[int | None, float] = {}

    def take(self, chat_id: int, *, private: bool) -> float:
        """Book a message to this chat; return the seconds after which it may leave."""
        rate = self._rates.private if private else self._rates.group
        pairs = ((chat_id, rate), (None, self._rates.overall))
        delay = max(0.0, *(self._wait(key, each) for key, each in pairs))
        now = self._now()
        for key, each in pairs:
            self._due[key] = max(self._due.get(key, 0.0), now) + each.seconds
        if len(self._due) > KNOWN_CHATS:
            self._due = {key: due for key, due in self._due.items() if due > now}
        return delay

    def _wait(self, key: int | None, rate: Rate) -> float:
        return self._due.get(key, 0.0) - self._now() - rate.seconds * (rate.burst - 1)
