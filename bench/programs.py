"""The programs that are measured, and the boxes that run them."""

from __future__ import annotations

import os
import random
import secrets
import time
from asyncio import TaskGroup, gather, sleep
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from assurebot.errors import SandboxError
from assurebot.ports import Sandbox
from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.sandbox.profile import BoxPlan, EngineAddress
from assurebot.values import BoxLimits, Program
from bench.baselines import PRINT, Way

POOL = 4
PAUSE_SECONDS = 0.3
LIMIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """The most that is promised: times `docker run`, times a bare Python, or absolutely."""

    run: float | None = None
    python: float | None = None
    seconds: float | None = None
    mebibytes: float | None = None
    count: int | None = None

    def __str__(self) -> str:
        words = (
            "" if self.run is None else f"<= {self.run:g}x run",
            "" if self.python is None else f"<= {self.python:g}x python",
            "" if self.seconds is None else f"<= {self.seconds * 1000:g} ms",
            "" if self.mebibytes is None else f"<= {self.mebibytes:g} MiB",
            "" if self.count is None else str(self.count),
        )
        return ", ".join(word for word in words if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A program, what it comes to, and what is promised of its time (or of that after its limit).

    Attributes:
        served: By which box: one that waits, or one made for it.
    """

    source: str = PRINT
    language: str = "python"
    served: str = "warm"
    endless: bool = False
    aim: Aim = Aim()


FIVE = "import json, re, csv, statistics, datetime\n" + PRINT
BUSY = "while True: pass"
SLEEP = "import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"

FAST = Aim(run=0.03, python=1.0)
FAST_EMBEDDED = Aim(python=1.0)
PROMPT = Aim(seconds=0.05)

DOCKER_JOBS: Mapping[str, Job] = {
    "docker: warm Python": Job(aim=FAST),
    "docker: warm, 5 imports": Job(source=FIVE, aim=FAST),
    "docker: warm shell": Job(source="echo 1", language="bash", aim=FAST),
    "docker: cold Python": Job(served="cold", aim=Aim(run=0.6)),
}
DOCKER_LIMITS: Mapping[str, Job] = {
    "docker: late, busy loop": Job(source=BUSY, endless=True, aim=PROMPT),
    "docker: late, asleep": Job(source=SLEEP, endless=True, aim=PROMPT),
    "docker: late, deaf to SIGTERM": Job(source=DEAF, endless=True, aim=PROMPT),
}
EMBEDDED_JOBS: Mapping[str, Job] = {
    "embedded: warm Python": Job(aim=FAST_EMBEDDED),
    "embedded: warm, 5 imports": Job(source=FIVE, aim=FAST_EMBEDDED),
    "embedded: cold Python": Job(served="cold"),
}
EMBEDDED_LIMITS: Mapping[str, Job] = {
    "embedded: late, busy loop": Job(source=BUSY, endless=True, aim=PROMPT),
    "embedded: late, asleep": Job(source=SLEEP, endless=True, aim=PROMPT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """The boxes of one backend: one with a pool, one without; none, and then why.

    Attributes:
        served: By the job's name, how its programs were served.
    """

    boxes: Mapping[str, Sandbox] = field(default_factory=dict)
    reason: str = ""
    served: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def runs(self) -> int:
        """How many programs they ran."""
        return self.served.total()

    def way(self, name: str, job: Job) -> Way:
        """Return a way that runs a job once, and sees that it did what it should."""
        limits = BoxLimits(seconds=LIMIT_SECONDS) if job.endless else BoxLimits()
        program = Program(language=job.language, source=job.source, limits=limits)
        expected = ("timeout", "") if job.endless else ("ok", "1\n")
        after = LIMIT_SECONDS if job.endless else 0.0
        box = self.boxes[job.served]

        async def way() -> float:
            began = time.perf_counter()
            result = await box.run(program)
            taken = time.perf_counter() - began
            assert (result.outcome, result.stdout) == expected, result
            self.served[name, result.served] += 1
            return taken - after

        return way

    def ways(self, jobs: Mapping[str, Job]) -> dict[str, Way]:
        """Return a way for each job, none if there are no boxes."""
        return {name: self.way(name, job) for name, job in jobs.items()} if self.boxes else {}


def image() -> str:
    """Return the image of the boxes."""
    return os.environ.get("SANDBOX_IMAGE") or "assurebot-sandbox"


def new_instance() -> str:
    """Return the id of an installation of its own: nobody else's containers are counted."""
    return f"bench-{secrets.token_hex(8)}"


def docker_box(instance: str, pool: int) -> DockerSandbox:
    """Return a box of the engine that the `docker` command finds in the environment."""
    folder = os.environ.get("DOCKER_CERT_PATH")
    engine = EngineAddress(
        url=os.environ.get("DOCKER_HOST") or EngineAddress().url,
        tls_verify=bool(os.environ.get("DOCKER_TLS_VERIFY")),
        cert_path=Path(folder) if folder else None,
    )
    return DockerSandbox(BoxPlan(instance=instance, image=image(), pool=pool, engine=engine))


def embedded_box(scratch: Path, pool: int) -> EmbeddedSandbox:
    """Return an embedded box."""
    return EmbeddedSandbox(limits=BoxLimits(), pool=pool, scratch=scratch)


AnyBox = DockerSandbox | EmbeddedSandbox


async def opened(stack: AsyncExitStack, warm: AnyBox, cold: AnyBox) -> Boxes:
    """Open a box with a pool and one without, until the stack ends."""
    try:
        async with AsyncExitStack() as trial:
            boxes: dict[str, Sandbox] = {"warm": await trial.enter_async_context(warm)}
            boxes["cold"] = await trial.enter_async_context(cold)
            stack.push_async_exit(trial.pop_all())
    except SandboxError as error:
        return Boxes(reason=str(error))
    return Boxes(boxes=boxes)


async def rounds(
    ways: Mapping[str, Way], seconds: float, most: int, *, least: int = 2, first: int = 1
) -> dict[str, list[float]]:
    """Do everything once in each round, in an order that changes, with a pause before each.

    Args:
        ways: What is done.
        seconds: For how long, about.
        most: Rounds.
        least: Rounds, whatever time they take.
        first: Rounds before these, which are not counted.
    """
    names = list(ways)
    taken: dict[str, list[float]] = {name: [] for name in names}
    until = time.perf_counter() + seconds
    for done in range(-first, most if names else -first):
        if done >= least and time.perf_counter() > until:
            break
        for name in random.sample(names, len(names)):
            await sleep(PAUSE_SECONDS)
            once = await ways[name]()
            if done >= 0:
                taken[name].append(once)
    return taken


async def rate(way: Way, callers: int, seconds: float) -> float:
    """Return how often a second a thing is done, when the pool's head start is used up."""
    ends: list[float] = []
    skipped = POOL + callers
    until = time.perf_counter() + seconds

    async def call() -> None:
        while time.perf_counter() < until or len(ends) < skipped + callers:
            await way()
            ends.append(time.perf_counter())

    async with TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    return (len(ends) - skipped) / (ends[-1] - ends[skipped - 1])


async def last_of(way: Way, count: int) -> float:
    """Do a thing so many times at one time and return when the last was done."""
    began = time.perf_counter()
    await gather(*(way() for _ in range(count)))
    return time.perf_counter() - began
