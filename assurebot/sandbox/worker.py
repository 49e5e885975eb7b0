"""One process, one Python, one program: what stands between the daemon and the embedded box.

Called with the component's folder, a folder of its own, and the memory of the program. It gives up
what it can, has a fresh instance ready, takes one job, answers and is gone. The daemon kills it in
any case: nothing depends on the good will of a process that ran a program.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import resource
import stat
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import wasmtime
from wasmtime.component import Component, Linker

from assurebot.errors import SandboxUnavailable
from assurebot.sandbox import runner
from assurebot.sandbox.component import checked
from assurebot.sandbox.landlock import confine

DISK_BYTES = 64 << 20
DISK_FILES = 4_000
"""A folder has no quota of its own, so it is watched; a single file the kernel limits."""

TICK_SECONDS = 0.02
"""So often the folder is looked at, and what was printed goes on."""

NICE = 10
"""On a busy machine the program waits, and not whoever watches it."""

MOST_UNCLEAR = 100
"""Where things move while they are counted, they are counted again at once, so often in a row."""

DESCRIPTORS = 128
OWN_BYTES = 256 << 20
"""Beside the program's memory: the interpreter, the engine, and the frozen image."""

RESERVED_BYTES = 16 << 30
"""Address space; WebAssembly reserves far more than it ever uses."""

_DEATH_SIGNAL, _DUMPABLE = 1, 4
# The protocol of containers.
_frame, _send = runner._frame, runner._send  # noqa: SLF001 - the same room


class Job:
    """A program on its way: whoever ends it first, the program or the watch, has the last word."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._work = folder, folder / "work"
        self._last_word = threading.Lock()
        self._unsent = {"o": bytearray(), "e": bytearray()}
        self._job: dict[str, Any] = {}
        self._room: dict[str, int] = {}
        self._before: dict[str, Any] = {}
        self._began = 0.0
        self._begun = threading.Event()

    def guard(self) -> None:
        """Start the watch, and have all that is begun from here on give way to it."""
        threading.Thread(target=self._watch, daemon=True).start()
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)

    def begin(self, job: dict[str, Any]) -> str:
        """Put the input files in place and start the watch; return the source."""
        self._began, self._job = time.monotonic(), job
        self._room = dict.fromkeys("oe", job["output_bytes"])
        runner.put_files(job["files"], self._work)
        self._before = runner.look(self._work)
        cpu_seconds = math.ceil(job["seconds"]) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
        self._begun.set()
        return str(job["source"])

    def take(self, stream: str, data: bytes) -> int:
        """Take output of the program."""
        with self._last_word:
            self._unsent[stream] += data[: self._room[stream]]
            self._room[stream] -= len(data)
            if self._room[stream] < 0:
                self._close("output_limit", runner.KILLED)
        return len(data)

    def end(self, outcome: str, status: int, note: str = "") -> NoReturn:
        """Say how it ended, and what it left in its folder."""
        self._last_word.acquire()  # for good: nothing may be said after this
        self._unsent["e"] += f"{note}\n".encode() if note else b""
        self._close(outcome, status)

    def _close(self, outcome: str, status: int) -> NoReturn:
        # The program may go on while its files are read, but they grow no more.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, DISK_BYTES))
        end = {"outcome": outcome, "exit": status, "seconds": time.monotonic() - self._began}
        self._forward(ran=True)
        limits = self._job["file_bytes"], self._job["file_count"]
        end |= runner.send_files(self._work, self._before, *limits)
        _send({"end": end | {f"{name}_cut": room < 0 for name, room in self._room.items()}})
        os._exit(0)

    def _forward(self, **more: bool) -> None:
        frame = {name: bytes(data).decode("latin-1") for name, data in self._unsent.items() if data}
        for data in self._unsent.values():
            data.clear()
        if frame or more:
            _send(frame | more)

    def _watch(self) -> None:
        # A folder tells of no growth, and the program cannot be asked.
        self._begun.wait()
        deadline, unclear = self._began + self._job["seconds"], 0
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(0 if unclear else min(left, TICK_SECONDS))
            with self._last_word:
                self._forward()
            within = _within_quota(self._folder)
            unclear = unclear + 1 if within is None else 0
            if within is False or unclear > MOST_UNCLEAR:
                self.end("failed", 153, "killed: no space left on the box's disk")
        self.end("timeout", runner.KILLED)


def _within_quota(folder: Path) -> bool | None:
    """Tell whether a folder is within its quota; `None` if some of it could not be looked at.

    It is entered by descriptors, which stay good whatever is renamed.
    """
    files = used = 0
    missed: list[OSError] = []
    try:
        for _, folders, names, parent in os.fwalk(folder, onerror=missed.append):
            files += len(folders) + len(names)
            for name in names[:DISK_FILES]:
                try:
                    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    used += status.st_blocks * 512
                except FileNotFoundError as error:
                    missed.append(error)
    except (OSError, RecursionError):
        return False  # nested too deeply to be looked at
    for descriptor in range(3, DESCRIPTORS):
        with suppress(OSError):
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and not found.st_nlink:
                used += found.st_blocks * 512
    if files > DISK_FILES or used > DISK_BYTES:
        return False
    return None if missed else True


def _give_up(memory_bytes: int) -> None:
    with suppress(OSError), Path("/proc/self/oom_score_adj").open("w") as file:
        file.write("1000")  # where memory is short, before the daemon
    libc = ctypes.CDLL(None)
    libc.prctl(_DEATH_SIGNAL, 9, 0, 0, 0)
    libc.prctl(_DUMPABLE, 0, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, RESERVED_BYTES),
        (resource.RLIMIT_DATA, memory_bytes + OWN_BYTES),
        (resource.RLIMIT_FSIZE, DISK_BYTES),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
    ):
        resource.setrlimit(what, (most, most))


def _instance(linker: Linker, frozen: Component, box: Path, memory_bytes: int, job: Job) -> Any:
    store, wasi = wasmtime.Store(linker.engine), wasmtime.WasiConfig()
    wasi.stdout_custom, wasi.stderr_custom = partial(job.take, "o"), partial(job.take, "e")
    for name in ("work", "tmp"):
        (box / name).mkdir(exist_ok=True)
        wasi.preopen_dir(str(box / name), f"/{name}")
    store.set_wasi(wasi)
    store.set_limits(memory_size=memory_bytes)
    execute: Any = linker.instantiate(store, frozen).get_func(store, "execute")
    return partial(execute, store)


def main(components: str, folder: str, memory: str) -> NoReturn:
    """Get ready, run one program, and end."""
    box, memory_bytes, engine = Path(folder), int(memory), wasmtime.Engine(wasmtime.Config())
    _give_up(memory_bytes)
    try:
        with checked(Path(components)) as native:
            # By its descriptor: what is loaded is what was verified.
            frozen = Component.deserialize_file(engine, f"/proc/self/fd/{native.fileno()}")
    except SandboxUnavailable as error:
        _send({"refused": str(error)})
        sys.exit(1)
    landlock = confine(box)  # before there are other threads, which it would not bind
    job = Job(box)
    job.guard()
    linker = Linker(engine)
    linker.add_wasip2()
    _instance(linker, frozen, box, memory_bytes, Job(box))("")  # so that the first time is over
    execute = _instance(linker, frozen, box, memory_bytes, job)
    gc.freeze()
    _send({"ready": {"landlock": landlock}})
    before = _resident()
    source = job.begin(_frame(0))
    try:
        status = execute(source)
    except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
        why = str(trap).strip().splitlines()[-1].strip()
        # The frozen image is a part of its memory, so that all of it is never taken anew.
        starved = "stack" not in why and _resident() - before >= memory_bytes // 2
        job.end(*(("out_of_memory", runner.KILLED) if starved else ("failed", 134)), why)
    if status < 0:
        job.end("out_of_memory", runner.KILLED)
    job.end("failed" if status else "ok", status)


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
