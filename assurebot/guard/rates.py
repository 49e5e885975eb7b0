"""How often something may happen; the time is told by the caller, in seconds of any clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from math import ceil

MINUTE = 60.0

CHAT_PER_MINUTE, ALL_PER_MINUTE = 30, 100
"""Tool calls of one chat, and of everyone together."""

MAX_REPEATS = 2
"""How often a turn may make the very same call; once more is a loop."""


class Window:
    """Tells when `limit` within any `seconds` is reached, for each key by itself.

    Only keys that were taken within the last `seconds` are kept.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self._seconds = seconds
        self._taken: dict[Hashable, deque[float]] = {}  # the one taken last stands last

    def wait(self, key: Hashable, now: float) -> float:
        """Return the seconds until the key is free; 0.0 if it is free now."""
        taken = self._taken.get(key)
        if taken is None or len(taken) < self.limit:
            return 0.0
        return max(0.0, taken[0] + self._seconds - now)

    def take(self, key: Hashable, now: float) -> None:
        """Count one; whether it is free was asked before."""
        taken = self._taken.pop(key, None) or deque(maxlen=self.limit)
        taken.append(now)
        self._taken[key] = taken
        while self._taken[first := next(iter(self._taken))][-1] + self._seconds <= now:
            del self._taken[first]


class ToolRates:
    """How often tools may be called: by one person, in one chat, and in all."""

    def __init__(self) -> None:
        self._tools: dict[str, Window] = {}
        self._chats = Window(CHAT_PER_MINUTE, MINUTE)
        self._all = Window(ALL_PER_MINUTE, MINUTE)

    def take(
        self, tool: str, per_minute: int | None, user_id: int, chat_id: int, now: float
    ) -> str | None:
        """Count a call and return `None`, or say for the model why it may not run now.

        One that may not run is counted nowhere. `tool` is registered, its `per_minute` constant.
        """
        limits: list[tuple[Window, int, str]] = [
            (self._chats, chat_id, "tool calls in this chat"),
            (self._all, 0, "tool calls in all"),
        ]
        if per_minute is not None:
            window = self._tools.setdefault(tool, Window(per_minute, MINUTE))
            limits.insert(0, (window, user_id, f"calls of {tool}"))
        full, key, what = max(limits, key=lambda each: each[0].wait(each[1], now))
        if wait := full.wait(key, now):
            return f"at most {full.limit} {what} a minute; try again in {ceil(wait)} s"
        for window, key, _ in limits:
            window.take(key, now)
        return None


def repeated(calls: Sequence[tuple[str, str]], call: tuple[str, str]) -> bool:
    """Tell whether a call (name and canonical arguments) was made often enough in this turn."""
    return calls.count(call) >= MAX_REPEATS
