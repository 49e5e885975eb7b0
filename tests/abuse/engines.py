"""Cases 40 to 43: many at once, and the engine, the image or the daemon gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from assurebot.errors import SandboxError, SandboxLost, SandboxUnavailable
from assurebot.ports import Sandbox
from assurebot.values import RunResult
from tests.abuse.case import BEGUN, ONE, Abuse, Ground, program
from tests.abuse.kills import kill_once

TOLD_SECONDS = 5.0


async def _twenty(ground: Ground) -> str:
    """Twenty wait their turn and all end well."""
    given = program("time.sleep(0.2)\nprint(1)")
    ran = await asyncio.gather(*(ground.box.run(given) for _ in range(20)))
    served = Counter(one.served for one in ran)
    right = {(one.outcome, one.stdout) for one in ran} == {("ok", "1\n")} and served["queued"] >= 8
    return "" if right else f"{served}, {ran}"[:600]


async def _crowd(ground: Ground) -> str:
    """Of fifty some are told at once that the box is busy, and all others end well."""
    said: Counter[str] = Counter()

    async def one() -> None:
        try:
            said[(await ground.box.run(ONE)).stdout] += 1
        except SandboxUnavailable as error:
            said[str(error).partition(":")[0]] += 1

    await asyncio.gather(*(one() for _ in range(50)))
    right = {*said} == {"1\n", "busy"} and said["1\n"] >= 32
    return "" if right else str(said)


async def many(ground: Ground) -> str:
    """Case 40."""
    return await _twenty(ground) or await _crowd(ground)


async def _told(run: Awaitable[RunResult], kind: type[SandboxError]) -> str:
    """Return what is wrong if the run does not end with such an error in time."""
    began = asyncio.get_running_loop().time()
    try:
        return f"no error: {await run}"
    except SandboxError as error:
        seconds = asyncio.get_running_loop().time() - began
        right = isinstance(error, kind) and seconds <= TOLD_SECONDS
        return "" if right else f"{seconds:.1f} s, {error!r}"


async def _works(box: Sandbox) -> str:
    ran = await box.run(ONE)
    return "" if (ran.outcome, ran.stdout) == ("ok", "1\n") else str(ran)


async def _goes(box: Sandbox, end: Callable[[], None]) -> str:
    """End the engine while a program runs."""
    begun = asyncio.Event()
    running = asyncio.ensure_future(box.run(BEGUN, lambda _: begun.set()))
    async with asyncio.timeout(20):
        await begun.wait()
    await asyncio.to_thread(end)
    return await _told(running, SandboxLost)


async def engine_gone(ground: Ground) -> str:
    """The error has its type and comes in time; a new engine is found without a restart."""
    own = ground.place.own
    if own is None:
        return "there is no engine that may be stopped"
    await asyncio.to_thread(own.start)
    async with ground.place.open(url=own.url) as box:
        for end in (own.kill, own.stop):
            wrong = await _works(box)
            if end == own.kill:
                wrong += await _goes(box, end)
            else:
                await asyncio.to_thread(end)
            for _ in range(2):
                wrong += await _told(box.run(ONE), SandboxUnavailable)
            await asyncio.to_thread(own.start)
            if wrong := wrong + await _works(box):
                return f"{end.__name__}: {wrong}"[:600]
    return ""


async def no_image(ground: Ground) -> str:
    """It is refused with what would help, and nothing is pulled."""
    began = asyncio.get_running_loop().time()
    try:
        async with ground.place.open(image="assurebot-not-there"):
            return "it was opened"
    except SandboxUnavailable as error:
        quick = asyncio.get_running_loop().time() - began <= TOLD_SECONDS
        return "" if quick and "make sandbox-image" in str(error) else repr(error)


async def killed(ground: Ground) -> str:
    """No box outlives a daemon that was killed while it ran a program."""
    told = await kill_once(ground.place.fresh(), "job", 0.2)
    return told.wrong


ENGINES = (
    Abuse(number=40, title="many at once", play=many),
    Abuse(number=41, title="engine stopped and killed", play=engine_gone),
    Abuse(number=42, title="image missing", play=no_image),
    Abuse(number=43, title="daemon killed while a program runs", play=killed),
)
