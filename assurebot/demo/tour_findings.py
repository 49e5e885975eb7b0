"""What a step of the tour is, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from assurebot.demo.tour_world import Facts, Stage


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
