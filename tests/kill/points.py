"""The moments at which a process is killed, and how a child is told to kill itself."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice

INTAKE = "after intake"
INTENT = "after intent"
EFFECT = "during the effect"
RESULT = "before the result"
DONE = "before done"
SEND = "during the send"
NAMED = (INTAKE, INTENT, EFFECT, RESULT, DONE, SEND)

ANY = "any moment"
START = "while starting"

VARIABLE = "KILL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill to come.

    Attributes:
        point: Where.
        at: At which hit of the point within the life of the process.
        late: After the effect (of the tool, of the send) instead of before it.
        fraction: For kills at no named point, how much of the time for them passes before.
    """

    point: str
    at: int = 1
    late: bool = False
    fraction: float = 0.0


def plan(rng: random.Random, kills: int, updates: int, *, named: bool) -> list[Kill]:
    """Choose the kills of one run, spread over its updates; with `named` each point has its turn.

    The hits are as many as one life's share of the updates brings about, or fewer.
    """
    share = updates // (kills + 1)
    points = list(islice(cycle((*NAMED, ANY, START)), kills)) if named else [ANY] * kills
    rng.shuffle(points)
    seen: dict[str, int] = {}
    chosen = []
    for point in points:
        seen[point] = seen.get(point, rng.randrange(2)) + 1
        # Updates may come in batches, so the intake is passed less often than the rest.
        most = max(1, share // 8 if point == INTAKE else share * 4 // 5)
        chosen.append(
            Kill(
                point=point,
                at=rng.randint(1, most),
                late=seen[point] % 2 == 0,
                fraction=rng.random(),
            )
        )
    return chosen


def as_environment(kill: Kill | None) -> dict[str, str]:
    """Write down for a child where it kills itself; nothing for kills from outside."""
    if kill is None or kill.point not in NAMED or kill.point == SEND:
        return {}
    return {VARIABLE: f"{kill.point}:{kill.at}:{int(kill.late)}"}


class Trigger:
    """Kills this process at the chosen hit of the chosen point."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        point, at, late = environment.get(VARIABLE, "::0").split(":")
        self._point = point
        self._left = int(at or 0)
        self._late = late == "1"

    def hit(self, point: str) -> None:
        """Pass a point that has one side only."""
        if point == self._point:
            self._count()

    def hit_side(self, point: str, *, late: bool) -> None:
        """Pass one side of a point that has two: before and after its effect."""
        if point == self._point and late == self._late:
            self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
