"""What can go wrong on purpose: injected faults and flood control."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from assurebot.demo.telegram_wire import Received


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Answer with an error; `description` is sent as it stands, with its prefix."""

    status: int
    description: str
    retry_after: float | None = None
    after_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer with these bytes: a proxy's HTML page, broken JSON, nothing at all."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    after_effect: bool = False


BAD_GATEWAY = Answer(
    status=502, body=b"<html><h1>502 Bad Gateway</h1></html>", content_type="text/html"
)
MALFORMED = Answer(body=b'{"ok":true,"result":{"message_id":')
EMPTY = Answer(body=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Promise more than this body, and reset the connection after it; `stall`: send no more."""

    body: bytes
    stall: bool = False
    after_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Never answer; the call ends when the client leaves."""

    after_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Reset the connection; after the effect, what was asked for has happened all the same."""

    after_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Answer properly, but late; after the effect, it has happened long before the answer."""

    seconds: float
    after_effect: bool = False


Fault = Refuse | Answer | Cut | Hang | Drop | Delay


@dataclass(slots=True, kw_only=True)
class _Planned:
    method: str
    left: int | None
    fault: Fault
    chat_id: int | None

    def fits(self, received: Received) -> bool:
        return self.method in ("*", received.method) and self.chat_id in (None, received.chat_id)


class FaultPlan:
    """Faults to come; the first one that fits a call is used up by it."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    def __bool__(self) -> bool:
        return bool(self._planned)

    def add(
        self, method: str, count: int | None, fault: Fault, *, chat_id: int | None = None
    ) -> None:
        """Plan a fault.

        Args:
            method: A method of the Bot API, `file` for the contents of files, or `*` for all.
            count: How many calls it hits; `None` means all until `clear`.
            fault: What happens to them.
            chat_id: Only calls about this chat.
        """
        self._planned.append(_Planned(method=method, left=count, fault=fault, chat_id=chat_id))

    def clear(self) -> None:
        """Let everything work again."""
        self._planned.clear()

    def take(self, received: Received) -> Fault | None:
        """Use up and return the fault for a call."""
        for planned in self._planned:
            if not planned.fits(received):
                continue
            if planned.left is not None:
                planned.left -= 1
                if not planned.left:
                    self._planned.remove(planned)
            return planned.fault
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodLimits:
    """Telegram's limits as its FAQ gives them; sends and edits count alike, drafts do not."""

    chat_seconds: float = 1.0
    chat_burst: int = 3
    group_per_minute: int = 20
    overall_per_second: int = 30


class FloodControl:
    """Counts calls against the limits.

    A chat that went over is closed until the stated time; calls before it meet the rest of it.
    """

    def __init__(self, limits: FloodLimits) -> None:
        self._limits = limits
        self._free_at: dict[int, float] = {}
        self._minutes: dict[int, deque[float]] = {}
        self._second: deque[float] = deque()
        self._closed_until: dict[int, float] = {}

    def closed(self, chat_id: int) -> bool:
        """Tell whether a chat is still under a 429."""
        return self._closed_until.get(chat_id, 0.0) > asyncio.get_running_loop().time()

    def wait_of(self, chat_id: int) -> int | None:
        """Count a call; return the whole seconds to wait if it is one too many."""
        now = asyncio.get_running_loop().time()
        closed = self._closed_until.get(chat_id, 0.0) - now
        if closed > 0:
            return math.ceil(closed)
        over = max(self._over_pace(chat_id, now), self._over_counts(chat_id, now))
        if over > 0:
            self._closed_until[chat_id] = now + math.ceil(over)
            return math.ceil(over)
        self._count(chat_id, now)
        return None

    def _over_pace(self, chat_id: int, now: float) -> float:
        """A virtual queue: each call books one interval, `chat_burst` of them may lie ahead."""
        ahead = self._free_at.get(chat_id, now) - now
        return ahead - self._limits.chat_seconds * (self._limits.chat_burst - 1)

    def _over_counts(self, chat_id: int, now: float) -> float:
        over = _wait_in(self._second, now, 1.0, self._limits.overall_per_second)
        if chat_id < 0:
            minute = self._minutes.setdefault(chat_id, deque())
            over = max(over, _wait_in(minute, now, 60.0, self._limits.group_per_minute))
        return over

    def _count(self, chat_id: int, now: float) -> None:
        start = max(now, self._free_at.get(chat_id, now))
        self._free_at[chat_id] = start + self._limits.chat_seconds
        self._second.append(now)
        if chat_id < 0:
            self._minutes.setdefault(chat_id, deque()).append(now)


def _wait_in(calls: deque[float], now: float, window_seconds: float, limit: int) -> float:
    while calls and calls[0] <= now - window_seconds:
        calls.popleft()
    return calls[0] + window_seconds - now if len(calls) >= limit else 0.0
