"""What a step of the tour is, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from assurebot.demo.telegram_chats import SentMessage
from assurebot.demo.tour_world import OWNER, Facts, Stage

SETTLE_SECONDS = 0.6
"""Something that must not happen can only be given time to happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a step saw, whether all of it was right, and which audit lines it is about."""

    observed: str
    ok: bool
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A promise, and how it is tried."""

    title: str
    expected: str
    play: Callable[[Stage], Awaitable[Finding]]


def found(seen: Iterable[tuple[str, bool]], lines: Iterable[Facts]) -> Finding:
    """Put observations together; each is right or not."""
    pairs = list(seen)
    return Finding(
        observed=", ".join(words if right else f"{words} (wrong)" for words, right in pairs),
        ok=all(right for _, right in pairs),
        seqs=tuple(line["seq"] for line in lines),
    )


def count(number: int, what: str, right: int) -> tuple[str, bool]:
    """Observe a number that must be `right`."""
    return f"{number} {what}{'' if number == 1 else 's'}", number == right


async def message(stage: Stage, after: int, contains: str = "") -> SentMessage | None:
    """Wait for a message to the owner, and for the record that it was sent."""
    sent: SentMessage | None = None
    with suppress(TimeoutError):
        sent = await stage.telegram.wait_for_message(
            OWNER, after=after, contains=contains, timeout_seconds=stage.world.patience_seconds
        )
        name = f"message:{sent.message_id}"
        await stage.until(lambda: any(_proves(line, name) for line in stage.audit()))
    return sent


def _proves(line: Facts, name: str) -> bool:
    return name in str(line.get("evidence", "")).split() and line.get("target") == f"chat:{OWNER}"


def answers(stage: Stage, after: int) -> list[SentMessage]:
    """Return what the owner got after a message."""
    return [each for each in stage.telegram.messages(OWNER) if each.message_id > after]
