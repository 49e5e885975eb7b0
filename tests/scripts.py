"""Scripts for the stand-in model that several tests use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from assurebot.demo.model import Ask, Script, Turn

LIMIT_SECONDS = 10.0
COLD_SECONDS = 30.0
"""For an answer that may be the first of a process: a provider's library is loaded for it."""


class Gate:
    """A script that tells that it was asked, and then answers by another one.

    Attributes:
        asked: Set at each request.
    """

    def __init__(self, script: Script) -> None:
        self.asked = asyncio.Event()
        self._script = script

    def __call__(self, ask: Ask) -> Turn:
        """Answer a request."""
        self.asked.set()
        return self._script(ask)

    async def wait(self) -> None:
        """Wait for the next request that was not waited for."""
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.asked.wait()
        self.asked.clear()


def by_words(turns: dict[str, Turn | Script]) -> Script:
    """Answer by the first key that the newest user text contains; else with that text."""

    def script(ask: Ask) -> Turn:
        for words, turn in turns.items():
            if words in ask.last_user_text:
                return turn(ask) if callable(turn) else turn
        return Turn(text=ask.last_user_text)

    return script


def steps(turns: Callable[[], Iterator[Turn]]) -> Script:
    """Answer from a generator, one answer after the other."""
    made = turns()
    return lambda _ask: next(made)


def slow(words: str, count: int = 200, seconds: float = 0.02) -> Turn:
    """An answer that takes its time, numbered words long."""
    return Turn(chunks=tuple(f"{words}{n} " for n in range(count)), chunk_seconds=seconds)
