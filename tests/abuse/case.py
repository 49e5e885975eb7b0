"""What a case of abuse is made of: a program or a story, and what has to be seen of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from assurebot.errors import SandboxError
from assurebot.ports import Sandbox
from assurebot.values import BoxLimits, Program, RunResult

GRACE_SECONDS = 2.0
"""A box answers this long after its limit at the latest."""

START_SECONDS = 10.0
"""A box that has to be made first may take this much longer."""

PEAK_BYTES = 20 << 20
"""The daemon may grow by this much while a box does its worst."""

OUTPUT_BYTES = 256 << 10
CASE_SECONDS = 90.0

PRELUDE = """
import errno, json, os, sys, time

def tried(act, *given):
    try:
        found = act(*given)
    except BaseException as error:
        return errno.errorcode.get(getattr(error, 'errno', None), type(error).__name__)
    return 'empty' if found in (b'', '', [], ()) else 'done'

def read(path):
    with open(path, 'rb') as file:
        return file.read(64)

def write(path):
    with open(path, 'wb', 0) as file:
        file.write(b'1')
"""


class OwnEngine(Protocol):
    """An engine that a case may stop and kill."""

    url: str

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ...

    def stop(self) -> None:
        """End it as an operator does."""
        ...

    def kill(self) -> None:
        """End it on the spot."""
        ...


class Place(Protocol):
    """Where boxes are made, as seen by who stands outside of them."""

    @property
    def backend(self) -> Literal["docker", "embedded"]:
        """Which boxes."""
        ...

    @property
    def url(self) -> str:
        """Where the engine is."""
        ...

    @property
    def image(self) -> str:
        """Name of the boxes' image."""
        ...

    @property
    def instance(self) -> str:
        """Label of the boxes."""
        ...

    @property
    def folder(self) -> Path:
        """Folder for temporary files."""
        ...

    @property
    def own(self) -> OwnEngine | None:
        """Another engine, which may be stopped."""
        ...

    def open(self, **changes: Any) -> AbstractAsyncContextManager[Sandbox]:
        """Open a box; `changes` are fields of its plan."""
        ...

    def fresh(self) -> Place:
        """Return a place for boxes that have nothing to do with those of this one."""
        ...

    def boxes(self) -> list[dict[str, Any]]:
        """Describe all boxes that there are, running or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a case is played: an open box, and the place around it."""

    box: Sandbox
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of a program.

    Attributes:
        seconds: From the question to the answer.
        grown_bytes: By which this process grew meanwhile, at its largest.
    """

    ran: RunResult
    seconds: float
    grown_bytes: int

    @property
    def told(self) -> Any:
        """What the program printed as JSON; `None` if it did not."""
        try:
            return json.loads(self.ran.stdout)
        except ValueError:
            return None


Judge = Callable[[Seen], bool]
Play = Callable[[Ground], Awaitable[str]]
"""Plays a case; returns what was wrong, else nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abuse:
    """A case; number and title are those of the corpus.

    Attributes:
        embedded: How it is played in the embedded box, if otherwise than with containers.
    """

    number: int
    title: str
    play: Play
    embedded: Play | None = None


async def observed(box: Sandbox, program: Program) -> Seen:
    """Run a program and watch the clock and this process."""
    loop = asyncio.get_running_loop()
    _forget_peak()
    before, began = _resident("VmRSS"), loop.time()
    ran = await box.run(program)
    return Seen(ran=ran, seconds=loop.time() - began, grown_bytes=_resident("VmHWM") - before)


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5): VmHWM counts anew


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))


def program(source: str, language: str = "python", **most: float) -> Program:
    """Make a program with short limits; Python has `tried` and its kin."""
    limits: dict[str, Any] = {"seconds": 5, "output_bytes": OUTPUT_BYTES, **most}
    prelude = PRELUDE if language == "python" else ""
    return Program(language=language, source=prelude + source, limits=BoxLimits(**limits))


def runs(judge: Judge, source: str, language: str = "python", **most: float) -> Play:
    """Make a play of one program; the time and the daemon's memory are judged in any case."""
    given = program(source, language, **most)

    async def play(ground: Ground) -> str:
        try:
            seen = await observed(ground.box, given)
        except SandboxError as error:
            return repr(error)
        most = given.limits.seconds + GRACE_SECONDS
        most += 0 if seen.ran.served == "warm" else START_SECONDS
        in_time = max(seen.ran.seconds, seen.seconds) <= most
        small = seen.grown_bytes <= PEAK_BYTES
        told = f"{seen.seconds:.1f} s, {seen.grown_bytes >> 20} MiB, {seen.ran}"
        return "" if in_time and small and judge(seen) else told[:600]

    return play


def after(*plays: Play) -> Play:
    """Make a play of several."""

    async def play(ground: Ground) -> str:
        return "; ".join([wrong for one in plays if (wrong := await one(ground))])

    return play


ONE = program("print(1)")
BEGUN = program("print('begun', flush=True)\ntime.sleep(30)", seconds=40)
BUSY = program("print('begun', flush=True)\nwhile True:\n    pass", seconds=40)


# --- judges -----------------------------------------------------------------------------------


def ends(outcome: str, code: int, out: str = "", within: float = 99.0) -> Judge:
    """Expect exactly this end and this output."""
    return lambda seen: (
        (seen.ran.outcome, seen.ran.exit_code, seen.ran.stdout) == (outcome, code, out)
        and seen.seconds <= within
    )


def tells(expected: Any) -> Judge:
    """Expect that the program went well and printed just this as JSON."""
    return lambda seen: (seen.ran.outcome, seen.told) == ("ok", expected)


def refused(*words: str) -> Judge:
    """Expect that each of its attempts, at least one, came to one of these ends."""
    return lambda seen: (
        seen.ran.outcome == "ok" and bool(seen.told) and {*seen.told.values()} <= {*words}
    )


def cut(stream: Literal["stdout", "stderr", "either"], text: str) -> Judge:
    """Expect that it was stopped at the cap of a stream, which holds nothing but this pattern."""

    def judge(seen: Seen) -> bool:
        ran = seen.ran
        whole = {"stdout": ran.stdout, "stderr": ran.stderr}
        over = {"stdout": ran.stdout_cut, "stderr": ran.stderr_cut}
        full = {name for name, is_cut in over.items() if is_cut}
        expected = len(full) > 0 if stream == "either" else full == {stream}
        return (
            (ran.outcome, ran.exit_code) == ("output_limit", 137)
            and expected
            and all(len(whole[name]) == OUTPUT_BYTES for name in full)
            and {*"".join(whole.values())} == {*text}
        )

    return judge


@asynccontextmanager
async def limited() -> AsyncIterator[None]:
    """Bound a case as a whole."""
    async with asyncio.timeout(CASE_SECONDS):
        yield
