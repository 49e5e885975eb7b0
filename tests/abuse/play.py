"""Plays the cases, many ordinary runs, and kills; each tells what was wrong and what was left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from assurebot.errors import SandboxError
from assurebot.ports import Sandbox
from tests.abuse.case import ONE, Abuse, Ground, limited, program
from tests.abuse.kills import MOMENTS, Killed, kill_once
from tests.abuse.places import (
    CLEAN_SECONDS,
    POOL,
    Count,
    DockerPlace,
    EmbeddedPlace,
    grown,
    own_temporary_folder,
)

AT_ONCE = 4
ORDINARY = (
    (program("print(1)"), ("ok", "1\n", 0)),
    (program("open('a', 'w').write('a')"), ("ok", "", 1)),
    (program("raise SystemExit(3)"), ("failed", "", 0)),
    (program("print('x' * 99)", output_bytes=9), ("output_limit", "x" * 9, 0)),
    (program("time.sleep(9)", seconds=0.1), ("timeout", "", 0)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a play.

    Attributes:
        wrong: What was not as it has to be.
        leaks: What there was more of than before.
    """

    title: str
    seconds: float
    wrong: str = ""
    leaks: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Tell whether all was as it has to be."""
        return not self.wrong and not self.leaks


async def play(case: Abuse, place: DockerPlace | EmbeddedPlace) -> Played:
    """Play a case in a box of its own; all has to be clean within the time that it has for it."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    way = case.embedded if place.backend == "embedded" and case.embedded else case.play
    wrong, leaks = "", {}
    with own_temporary_folder(place.folder):
        before = place.count()
        try:
            async with limited(), place.open() as box:
                await box.run(ONE)  # meanwhile the boxes that wait are made
                wrong = await way(Ground(box=box, place=place))
                leaks = await _while_open(place, before)
        except (SandboxError, TimeoutError) as error:
            wrong = repr(error)
        leaks |= await grown(place, before)
    title = f"{case.number} {case.title}"
    return Played(title=title, seconds=loop.time() - began, wrong=wrong, leaks=leaks)


async def _while_open(place: DockerPlace | EmbeddedPlace, before: Count) -> dict[str, int]:
    """Return the boxes that are left beside those that wait."""
    loop = asyncio.get_running_loop()
    until = loop.time() + CLEAN_SECONDS
    while (more := len(place.boxes()) - before.boxes - POOL) > 0:
        if loop.time() >= until:
            return {"boxes in use": more}
        await asyncio.sleep(0.05)
    return {}


async def play_runs(count: int, place: DockerPlace | EmbeddedPlace) -> Played:
    """Run so many ordinary programs, some at one time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    odd: Counter[str] = Counter()
    left = iter(range(count))

    async def some(box: Sandbox) -> None:
        for number in left:
            given, expected = ORDINARY[number % len(ORDINARY)]
            try:
                ran = await box.run(given)
            except SandboxError as error:
                odd[repr(error)] += 1
                continue
            found = (ran.outcome, ran.stdout, len(ran.files))
            odd[str(found)] += found != expected

    with own_temporary_folder(place.folder):
        before = place.count()
        async with place.open() as box:
            await asyncio.gather(*(some(box) for _ in range(AT_ONCE)))
        leaks = await grown(place, before)
    wrong = ", ".join(f"{number} x {what}" for what, number in odd.items() if number)
    return Played(title=f"{count} runs", seconds=loop.time() - began, wrong=wrong, leaks=leaks)


async def play_kills(
    count: int, seed: int, place: DockerPlace | EmbeddedPlace
) -> AsyncIterator[tuple[Played, Killed]]:
    """Kill a daemon so many times, at moments that the seed chooses."""
    loop = asyncio.get_running_loop()
    chance = random.Random(seed)  # noqa: S311 - it has to be repeatable, not secret
    for number in range(count):
        began = loop.time()
        moment = MOMENTS[number % len(MOMENTS)]
        before = place.count()
        killed = await kill_once(place, moment, chance.random() / 2)
        leaks = await grown(place, before)
        title = f"kill {number + 1} ({moment})"
        seconds = loop.time() - began
        yield Played(title=title, seconds=seconds, wrong=killed.wrong, leaks=leaks), killed
