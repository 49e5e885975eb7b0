"""What boxes are measured against, and what the engine's host tells of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from assurebot.sandbox.profile import LABEL

Way = Callable[[], Awaitable[float]]
"""Does a thing once and returns the seconds that it took."""

PRINT = "print(1)"
SECONDS = 60.0
FILL_SECONDS = 30.0
POLL_SECONDS = 0.1

PYTHON = Path(sys.executable).resolve()
"""The interpreter itself: neither a version manager's script nor a virtual environment."""

TMP = "/tmp"  # noqa: S108 - the container's own
HARDENED = (
    *("--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--pids-limit", "64"),
    *("--memory", "256m", "--memory-swap", "256m", "--cpus", "1"),
    *("--tmpfs", f"{TMP}:size=64m,mode=1777,noexec,nosuid,nodev", "--user", "65534:65534"),
)


def docker_run(image: str) -> Sequence[str]:
    """Return the command that a bot without a pool would use for each program."""
    return ("docker", "run", "--rm", *HARDENED, "--entrypoint", "python3", image, "-c", PRINT)


def bare_python() -> Sequence[str]:
    """Return the command that runs the program with no box at all.

    Without `site`: what a machine loads there at every start would flatter the boxes.
    """
    return (str(PYTHON), "-S", "-c", PRINT)


def timed(command: Sequence[str]) -> Way:
    """Return a way that runs a command and waits for its output."""

    def once() -> float:
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
        taken = time.perf_counter() - began
        assert done.stdout == b"1\n", done.stdout
        return taken

    async def way() -> float:
        return await asyncio.to_thread(once)  # the pools go on meanwhile

    return way


def timed_at_once(command: Sequence[str], count: int) -> Way:
    """Return a way that runs a command so many times at one time: until the last has ended."""

    def once() -> float:
        began = time.perf_counter()
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
        codes = [process.wait(SECONDS) for process in running]
        taken = time.perf_counter() - began
        assert not any(codes), codes
        return taken

    async def way() -> float:
        return await asyncio.to_thread(once)

    return way


async def containers(instance: str, *options: str) -> list[str]:
    """Return the ids of the containers of an installation that run; with `--all`, of all."""
    command = ("ps", "-q", "--no-trunc", "--filter", f"label={LABEL}={instance}", *options)
    return (await _docker(*command)).split()


async def filled(instance: str, count: int) -> None:
    """Wait until an installation has so many boxes, or for as long as that may take."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FILL_SECONDS):
            while len(await containers(instance)) < count:  # noqa: ASYNC110 - a pool tells nobody
                await asyncio.sleep(POLL_SECONDS)
    await asyncio.sleep(1.0)  # started is not ready


async def slot_mebibytes(instance: str) -> float | None:
    """Return what a waiting container and its shim hold: the median; `None` if nobody may know."""
    found: list[float] = []
    for container in await containers(instance):
        pid = int(await _docker("inspect", "-f", "{{.State.Pid}}", container))
        with suppress(OSError):  # another machine's, or another user's
            found.append(_cgroup_bytes(pid, container) + _shim_bytes(pid))
    return median(found) / 2**20 if found else None


def processes(folder: Path) -> list[int]:
    """Return the ids of the processes that were started with a path below a folder."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{folder}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def worker_mebibytes(folder: Path) -> float | None:
    """Return the proportional memory of a worker: the median; `None` if nobody may know."""
    found: list[int] = []
    for pid in processes(folder):
        with suppress(OSError):
            found.append(_proportional_bytes(pid))
    return median(found) / 2**20 if found else None


async def _docker(*arguments: str) -> str:
    def call() -> str:
        done = subprocess.run(
            ["docker", *arguments],  # noqa: S607 - as installed
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
            env=os.environ,
        )
        return done.stdout

    return await asyncio.to_thread(call)


def _cgroup_bytes(pid: int, container: str) -> int:
    """Return what the kernel counts for a container, by either version of cgroups."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    if container not in "".join(lines):
        raise ProcessLookupError("the engine is on another machine")
    fields = [line.split(":", 2) for line in lines]
    paths = {name: path for _, names, path in fields for name in names.split(",")}
    if "memory" in paths:
        return _number(Path(f"/sys/fs/cgroup/memory{paths['memory']}/memory.usage_in_bytes"))
    return _number(Path(f"/sys/fs/cgroup{paths['']}/memory.current"))


def _number(path: Path) -> int:
    return int(path.read_text())


def _shim_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return _proportional_bytes(int(status.partition("PPid:")[2].split()[0]))


def _proportional_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0]) * 1024
