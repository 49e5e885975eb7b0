"""The self-test of a box: everything that it promises, tried from inside by real programs."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from assurebot.errors import SandboxLost
from assurebot.ports import Sandbox
from assurebot.sandbox.languages import LANGUAGES
from assurebot.sandbox.wire import KILLED
from assurebot.values import BoxFile, BoxLimits, Grade, Program, RunResult

OPEN = "not held by configuration"
CUT_OFF = {"ENETUNREACH", "EHOSTUNREACH"}
FULL = {"ENOSPC", "EDQUOT"}
QUOTA = 153
"""Exit code of what was killed because its files grew too much, as by SIGXFSZ."""

LIMITS = BoxLimits(seconds=20, output_bytes=256 << 10)
GRACE_SECONDS = 1.0
"""How much later than its limit a program may end."""

LITTLE = 128 << 20
"""Memory that is taken up in any time that a program may have."""

LEAST_SECONDS = 0.1
MOST_PROCESSES = 200
SHORTEST_SECRET = 8
USUAL = re.compile(
    r"PATH|HOME|HOSTNAME|LANG|TERM|PWD|SHLVL|_|USER|SHELL|LOGNAME|TZ|TMPDIR|GPG_KEY|DEBIAN_FRONTEND"
    r"|(?:LC_|PYTHON|MPL|OMP_|OPENBLAS_|SSL_CERT_).*|.*_(?:VERSION|HOME)"
)
"""Every process and image has these: the same inside and outside means nothing."""

MEMORY = "kept = []\nwhile True:\n    kept.append(bytes(range(256)) * 65536)"
PLAIN = "print(1)"
OUTPUT = "while True:\n    print('x' * 1000)"
TIME = "print('begun', flush=True)\nwhile True:\n    pass"
PROCESSES = """
import os, time
count = 0
try:
    own = os.getpid()
    while count < 300 and os.fork():
        count += 1
    time.sleep(60 * (os.getpid() != own))
except (OSError, AttributeError) as error:
    print(count, type(error).__name__)
"""
DISK = """
import errno, pathlib
for folder in map(pathlib.Path, ('.', '/tmp')):
    try:
        for number in range(4096):
            (folder / f'probe-{number}').write_bytes(bytes(1 << 20))
    except OSError as error:
        print(errno.errorcode[error.errno])
    for file in folder.glob('probe-*'):
        file.unlink()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One promise; `seen` is what was found, on one line."""

    name: str
    ok: bool
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What the probes found; `languages` are those that the box really has."""

    probes: tuple[Probe, ...]
    languages: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Probe, ...]:
        """The promises that are not held; one is enough to close a box."""
        return tuple(probe for probe in self.probes if not probe.ok)


async def self_test(box: Sandbox) -> SelfTest:
    """Try everything that the box promises, through the way that programs take.

    Raises:
        SandboxError: Nothing can be run any more, which is no failed promise.
    """
    mark = f".probe-{uuid4().hex}"
    try:
        first, _ = await _run(box, _look(mark))
        facts = json.loads(first.stdout)
        inside = tuple(_judged(facts, first.grade, network=box.standing.network))
        languages = tuple(name for name in facts["languages"] if name in LANGUAGES)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return SelfTest(probes=(_probe("inside", False, f"nothing is known: {error!r}"),))
    try:
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(_nothing_left(box, mark))]
            tries += [group.create_task(_bitten(box, name)) for name in _LIMITS]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    outside = [done.result() for done in tries]
    for place, probe in enumerate(outside):
        if not probe.ok and probe.name in _LIMITS:  # alone: a busy machine is no broken promise
            outside[place] = await _bitten(box, probe.name)
    return SelfTest(probes=(*inside, *outside), languages=languages)


def _look(mark: str) -> Program:
    programs = {
        language.name: language.commands[0][0] if language.commands else ""
        for language in LANGUAGES.values()
    }
    orders = json.dumps({"mark": mark, "programs": programs}).encode()
    source = Path(__file__).with_name("facts.py").read_text(encoding="utf-8")
    files = (BoxFile(name="probe.json", data=orders),)
    return Program(language="python", source=source, files=files, limits=LIMITS)


def _judged(facts: Mapping[str, Any], grade: Grade, *, network: bool) -> Iterator[Probe]:
    text, found = facts["text"], facts["network"]
    interfaces = [line.split(":")[0].strip() for line in text["/proc/net/dev"].splitlines()[2:]]
    routes = text["/proc/net/route"].splitlines()[1:]
    leaked = _leaked(facts["environment"])
    refused = {found["SOCK_STREAM"], found["SOCK_DGRAM"]}
    if grade == "C":
        yield _probe("nothing of the host", not facts["outside"], facts["outside"])
        alone, cut_off = not interfaces, not refused & {"", "ECONNREFUSED"}
    else:
        yield from _confined(text, grade)
        alone, cut_off = interfaces == ["lo"], refused <= CUT_OFF
    yield _probe("nothing writable", not facts["writable"], facts["writable"])
    yield _probe("no engine", not facts["engines"], facts["engines"])
    yield _probe("no environment", not leaked, leaked)
    seen = [*sorted(refused), facts["network_seconds"]]
    for name, ok, what in (
        ("no interface", alone, interfaces),
        ("no route", not routes, routes),
        ("no names", found["name"] != "", found["name"]),
        ("no connection", cut_off and facts["network_seconds"] < 1, seen),
    ):
        yield _probe(name, ok or network, OPEN if network else what)


def _confined(text: Mapping[str, str], grade: Grade) -> Iterator[Probe]:
    pairs = (line.partition(":") for line in text["/proc/self/status"].splitlines())
    status = {name: value.split() for name, _, value in pairs}
    ids = sorted({*status["Uid"], *status["Gid"], *status["Groups"]})
    yield _probe("no root", "0" not in ids, ids)
    rights = [status[f"Cap{kind}"][0] for kind in ("Inh", "Prm", "Eff", "Bnd")]
    rights += status.get("CapAmb", [])  # gVisor has none
    yield _probe("no capabilities", not any(int(one, 16) for one in rights), rights)
    if grade == "A":  # gVisor has its own kernel in place of these two
        yield _probe("no new privileges", status["NoNewPrivs"] == ["1"], status["NoNewPrivs"])
        yield _probe("system calls filtered", status["Seccomp"] == ["2"], status["Seccomp"])
    mounts = [line.split() for line in text["/proc/self/mounts"].splitlines()]
    root = [mount[3].split(",")[0] for mount in mounts if mount[1] == "/"]
    yield _probe("read-only root", root[-1:] == ["ro"], root)


def _leaked(inside: Sequence[str]) -> list[str]:
    """Return names of our variables that are inside, by name and value or by value alone."""
    values = {pair.partition("=")[2] for pair in inside}
    return [
        name
        for name, value in os.environ.items()
        if not USUAL.fullmatch(name)
        and (f"{name}={value}" in inside or (len(value) >= SHORTEST_SECRET and value in values))
    ]


async def _nothing_left(box: Sandbox, mark: str) -> Probe:
    try:
        left = json.loads((await _run(box, _look(mark)))[0].stdout)["left"]
    except (ValueError, TypeError, KeyError) as error:
        return _probe("nothing left", False, error)
    return _probe("nothing left", not left, left)


async def _bitten(box: Sandbox, name: str) -> Probe:
    source, limits, holds = _LIMITS[name]
    most = limits.seconds
    ran, seconds = await _run(box, Program(language="python", source=source, limits=limits))
    seen = f"{ran.outcome}, exit {ran.exit_code}, {seconds:.1f} s: {ran.stdout[:80]}"
    # A box of little time may end a program before it meets another limit, and that is safe too;
    # but of memory it has to be seen, for in a longer time the next program may take all of it.
    sooner = ran.outcome == "timeout" and LEAST_SECONDS <= seconds < most - GRACE_SECONDS
    sooner &= name != "memory"
    return _probe(name, sooner or (holds(ran) and seconds <= most + GRACE_SECONDS), seen)


async def _run(box: Sandbox, program: Program) -> tuple[RunResult, float]:
    """Run and time a program; a box that is lost is a failed program if another one runs then."""
    try:
        return await timed(box, program)
    except SandboxLost as error:
        other = await box.run(Program(language="python", source=PLAIN, limits=LIMITS))
        return replace(other, outcome="failed", exit_code=KILLED, stdout=str(error)), 0.0


async def timed(box: Sandbox, program: Program) -> tuple[RunResult, float]:
    """Run a program and time it: as the box says, or from its first output on if that is more."""
    begun: list[float] = []
    ran = await box.run(program, lambda _text: begun.append(monotonic()))
    return ran, max(monotonic() - begun[0] if begun else 0.0, ran.seconds)


def runs_out(ran: RunResult) -> bool:
    """Tell whether a program ended for want of memory."""
    return (ran.outcome, ran.exit_code) == ("out_of_memory", KILLED) or ended(ran)


def ended(ran: RunResult) -> bool:
    """Tell whether a limit ended the box: gVisor's kernel is what the limit meets."""
    return ran.grade == "A+" and (ran.outcome, ran.exit_code) == ("failed", KILLED)


def _few(ran: RunResult) -> bool:
    found = re.fullmatch(r"(\d+) (?:BlockingIO|Attribute)Error\n", ran.stdout)
    return ended(ran) or (found is not None and int(found[1]) < MOST_PROCESSES)


def _cut(ran: RunResult) -> bool:
    return ran.outcome == "output_limit" and len(ran.stdout) <= LIMITS.output_bytes


def _full(ran: RunResult) -> bool:
    work, _, other = ran.stdout.strip().partition("\n")
    return ran.exit_code == QUOTA or (work in FULL and other in {*FULL, "ENOENT"})


_LIMITS: Mapping[str, tuple[str, BoxLimits, Callable[[RunResult], bool]]] = {
    "memory": (MEMORY, replace(LIMITS, memory_bytes=LITTLE), runs_out),
    "processes": (PROCESSES, LIMITS, _few),
    "output": (OUTPUT, LIMITS, _cut),
    "time": (TIME, replace(LIMITS, seconds=1), lambda ran: ran.outcome == "timeout"),
    "disk": (DISK, LIMITS, _full),
}


def _probe(name: str, ok: bool, seen: object) -> Probe:  # noqa: FBT001 - it is the finding
    text = " ".join(map(str, seen)) if isinstance(seen, list) else str(seen)
    return Probe(name=name, ok=ok, seen=" ".join(text.split())[:200])
