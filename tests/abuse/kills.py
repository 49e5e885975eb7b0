"""A daemon in a child process, killed at a chosen moment; and what of it is left then."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Literal

from tests.abuse.case import Place

Moment = Literal["start", "idle", "job"]
MOMENTS: tuple[Moment, ...] = ("start", "idle", "job")
GONE_SECONDS = 30.0
CHILD_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What became of one kill.

    Attributes:
        boxes: When the daemon died.
        seconds: Until all boxes that had been started were gone.
        unstarted: Made and never started; they wait for the sweep.
        wrong: What broke the rule, if anything.
    """

    boxes: int
    seconds: float
    unstarted: int
    wrong: str


async def kill_once(place: Place, moment: Moment, delay: float) -> Killed:
    """Kill a daemon, wait until its boxes are gone, and start it anew, which sweeps.

    Args:
        place: Where the boxes are.
        moment: While it opens its boxes, while they wait, or while they run programs.
        delay: Seconds from that moment on.
    """
    given = {"backend": place.backend, "url": place.url, "image": place.image}
    given |= {"instance": place.instance, "folder": str(place.folder)}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.abuse.daemon", json.dumps(given)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(CHILD_SECONDS):
            while (await child.stdout.readline()).decode().strip() != moment:
                assert not child.stdout.at_eof(), "the daemon did not start"
        await asyncio.sleep(delay)
    finally:
        child.kill()
        await child.communicate()
    before = len(place.boxes())
    seconds = await _gone(place)
    left = place.boxes()
    async with place.open() as box:
        await asyncio.sleep(0)
        swept = {one["Id"] for one in place.boxes()}.isdisjoint(one["Id"] for one in left)
        del box
    wrong = "" if seconds <= GONE_SECONDS else f"{len(left)} boxes after {seconds:.0f} s"
    end = len(place.boxes())
    if not swept or end:
        wrong += f"; not swept: {left}, {end} at the end"[:400]
    return Killed(boxes=before, seconds=seconds, unstarted=len(left), wrong=wrong)


async def _gone(place: Place) -> float:
    """Wait until no box runs; one that was made and never started does not count."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began <= GONE_SECONDS:
        if not [one for one in place.boxes() if _started(one)]:
            break
        await asyncio.sleep(0.05)  # nothing tells when an engine is done
    return loop.time() - began


def _started(box: dict[str, object]) -> bool:
    state = box.get("State")
    return not (isinstance(state, dict) and state.get("Status") == "created")
