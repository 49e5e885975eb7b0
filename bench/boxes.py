"""What a program in a box costs, beside `docker run --rm` and a bare Python of the same run."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import structlog

from bench import baselines, programs
from bench.baselines import bare_python, docker_run, timed, timed_at_once
from bench.programs import Aim, Boxes, Job
from bench.table import milliseconds, percentile, ratio, show

RUN, PYTHON = "docker run --rm", "bare python3"
AT_ONCE = 20
CALLERS = 4

HEADER = ("what", "n", "median ms", "p95 ms", "x run", "x python", "target", "result")
BURST, BURST_RUN = f"docker: last of {AT_ONCE} at once", f"{RUN}, last of {AT_ONCE} at once"
SLOT, WORKER, LEFT, LEFT_EMBEDDED = (
    "docker: idle slot",
    "embedded: idle slot",
    "docker: containers left",
    "embedded: processes and folders left",
)
FEW = Aim(run=0.1)
SMALL = Aim(mebibytes=20)
NONE = Aim(count=0)
NO_AIM = Aim()

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long each part of the measurement takes, about, in seconds."""

    jobs: float
    limits: float
    burst: float
    rate: float
    most: int


FULL = Pace(jobs=32.0, limits=8.0, burst=10.0, rate=2.0, most=40)
QUICK = Pace(jobs=8.0, limits=3.0, burst=1.0, rate=1.0, most=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured; what is missing could not be."""

    docker: Boxes
    embedded: Boxes
    load: float
    times: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    mebibytes: dict[str, float | None] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)


async def boxes(folder: Path, model_url: str, *, quick: bool) -> None:
    """Measure the boxes that are here against what is promised of them."""
    del model_url
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    pace = QUICK if quick else FULL
    instances = [programs.new_instance() for _ in range(3)]
    scratch = folder / "warm"
    load = os.getloadavg()[0]
    async with AsyncExitStack() as stack:
        found = Found(
            load=load,
            docker=await _docker(stack, instances),
            embedded=await programs.opened(
                stack,
                programs.embedded_box(scratch, programs.POOL),
                programs.embedded_box(folder / "cold", 0),
            ),
        )
        await _slots(found, instances[0], scratch)
        await _jobs(found, pace)
        await _rates(found, pace)
        await _bursts(found, pace, instances[2])
    if found.docker.boxes:
        ids = [await baselines.containers(instance, "--all") for instance in instances]
        found.left[LEFT] = sum(map(len, ids))
    if found.embedded.boxes:
        entries = [*scratch.iterdir(), *(folder / "cold").iterdir()]
        found.left[LEFT_EMBEDDED] = len(entries) + len(baselines.processes(folder))
    _report(found)


async def _docker(stack: AsyncExitStack, instances: Sequence[str]) -> Boxes:
    if shutil.which("docker") is None:
        return Boxes(reason="there is no docker command, beside which boxes are measured")
    pooled = programs.docker_box(instances[0], programs.POOL)
    return await programs.opened(stack, pooled, programs.docker_box(instances[1], 0))


async def _slots(found: Found, instance: str, scratch: Path) -> None:
    if found.docker.boxes:
        await baselines.filled(instance, programs.POOL)
        found.mebibytes[SLOT] = await baselines.slot_mebibytes(instance)
    if found.embedded.boxes:
        await asyncio.sleep(1.0)
        found.mebibytes[WORKER] = baselines.worker_mebibytes(scratch)


async def _jobs(found: Found, pace: Pace) -> None:
    ways = {PYTHON: timed(bare_python())}
    if found.docker.boxes:
        ways[RUN] = timed(docker_run(programs.image()))
    ways |= found.docker.ways(programs.DOCKER_JOBS)
    ways |= found.embedded.ways(programs.EMBEDDED_JOBS)
    limits = found.docker.ways(programs.DOCKER_LIMITS)
    limits |= found.embedded.ways(programs.EMBEDDED_LIMITS)
    found.times.update(await programs.rounds(ways, pace.jobs, pace.most))
    found.times.update(await programs.rounds(limits, pace.limits, pace.most))


async def _rates(found: Found, pace: Pace) -> None:
    ways = {PYTHON: timed(bare_python())}
    if found.docker.boxes:
        ways[RUN] = timed(docker_run(programs.image()))
        ways["docker: pool"] = found.docker.way("rate", Job())
    if found.embedded.boxes:
        ways["embedded: pool"] = found.embedded.way("rate", Job())
    for name, way in ways.items():
        found.rates[name] = await programs.rate(way, CALLERS, pace.rate)


async def _bursts(found: Found, pace: Pace, instance: str) -> None:
    if not found.docker.boxes:
        return
    async with programs.docker_box(instance, AT_ONCE) as box:
        crowd = Boxes(boxes={"warm": box}, served=found.docker.served)
        once = crowd.way(BURST, Job())

        async def burst() -> float:
            await baselines.filled(instance, AT_ONCE)
            return await programs.last_of(once, AT_ONCE)

        runs = timed_at_once(docker_run(programs.image()), AT_ONCE)
        ways = {BURST: burst, BURST_RUN: runs}
        found.times.update(await programs.rounds(ways, pace.burst, 3, least=1, first=0))


def _report(found: Found) -> None:
    print(f"\nA program comes {programs.PAUSE_SECONDS:g} s after the one before it, as in a chat:")
    print(
        f"a pool of {programs.POOL} is full by then. `docker run` has the image of the boxes and is"
    )
    print(f"hardened like them; the bare Python is {baselines.PYTHON} -S.")
    if found.load > (cores := os.cpu_count() or 1):
        print(f"The machine was busy before this began (load {found.load:.0f} on {cores} cores).")
    rows = [_timed(found, RUN), _timed(found, PYTHON)]
    rows += [*_rows(found, programs.DOCKER_JOBS), _timed(found, BURST_RUN)]
    rows += [_timed(found, BURST, FEW, "warm"), *_rows(found, programs.DOCKER_LIMITS)]
    rows += [_slot(found, SLOT), _left(found, LEFT)]
    rows += [*_rows(found, programs.EMBEDDED_JOBS), *_rows(found, programs.EMBEDDED_LIMITS)]
    rows += [_slot(found, WORKER), _left(found, LEFT_EMBEDDED)]
    show("Boxes: one program, from the call to the result (late: after its limit)", HEADER, rows)
    for name, boxes in (("docker", found.docker), ("embedded", found.embedded)):
        if boxes.reason:
            print(f"  {name}: {boxes.reason}")
    base = found.rates.get(RUN)
    show(
        f"Boxes: {CALLERS} callers, back to back. A pool buys latency, not capacity",
        ("what", "jobs/s", "x run"),
        [
            (name, f"{rate:.1f}", ratio(rate, base) if base else "-")
            for name, rate in found.rates.items()
        ],
    )


def _rows(found: Found, jobs: Mapping[str, Job]) -> list[Cells]:
    return [_timed(found, name, job.aim, job.served) for name, job in jobs.items()]


def _timed(found: Found, name: str, aim: Aim = NO_AIM, served: str = "") -> Cells:
    times = found.times.get(name)
    if not times:
        return _absent(name, aim)
    middle = median(times)
    run = found.times.get(BURST_RUN if name in {BURST, BURST_RUN} else RUN)
    of_run = middle / median(run) if run else None
    of_python = middle / median(found.times[PYTHON])
    pairs = ((of_run, aim.run), (of_python, aim.python), (middle, aim.seconds))
    late = aim.seconds is not None
    return (
        name,
        f"{len(times)}{_otherwise(found, name, served)}",
        milliseconds(middle),
        milliseconds(percentile(times, 0.95)),
        "" if late or of_run is None else f"{of_run:.3f}",
        "" if late or name in {BURST, BURST_RUN} else f"{of_python:.2f}",
        str(aim),
        _verdict(pairs),
    )


def _otherwise(found: Found, name: str, served: str) -> str:
    """Tell how many programs, uncounted ones too, found the pool not full."""
    both = (found.docker.served, found.embedded.served)
    counts = [(how, n) for one in both for (job, how), n in one.items() if job == name]
    other = sum(count for how, count in counts if how != served)
    return f" ({other} not {served})" if served and other else ""


def _verdict(pairs: Iterable[tuple[float | None, float | None]]) -> str:
    promised = [(value, most) for value, most in pairs if most is not None]
    if not promised:
        return ""
    held = all(value is not None and value <= most for value, most in promised)
    return "met" if held else "missed"


def _slot(found: Found, name: str) -> Cells:
    if name not in found.mebibytes:
        return _absent(name, SMALL)
    value = found.mebibytes[name]
    if value is None:  # another machine's engine, or another user's processes
        return (name, "", "-", "", "", "", str(SMALL), "not visible from here")
    verdict = _verdict([(value, SMALL.mebibytes)])
    return (name, "", f"{value:.1f} MiB", "", "", "", str(SMALL), verdict)


def _left(found: Found, name: str) -> Cells:
    if name not in found.left:
        return _absent(name, NONE)
    runs = (found.docker if name == LEFT else found.embedded).runs
    left = found.left[name]
    return (name, f"{runs} runs", str(left), "", "", "", str(NONE), _verdict([(left, NONE.count)]))


def _absent(name: str, aim: Aim) -> Cells:
    why = "run: assurebot sandbox build" if name.startswith("embedded") else "no engine"
    return (name, "0", "-", "-", "-", "-", str(aim), why)
