"""The box where there is no engine: Python in WebAssembly, in a process that gave up its rights."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from assurebot.errors import SandboxUnavailable
from assurebot.ports import OnOutput
from assurebot.sandbox.component import checked, default_folder
from assurebot.sandbox.languages import Language, language_named
from assurebot.sandbox.pool import Pool, PoolSize
from assurebot.sandbox.profile import narrowed
from assurebot.sandbox.wire import MAX_FRAME_BYTES, converse, read_frame
from assurebot.values import BoxLimits, BoxStanding, Program, RunResult

WORKER = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from assurebot.sandbox.worker import main
main(*sys.argv[1:])
"""
"""It may not look into the current folder, where this package may lie without being installed."""

READY_SECONDS = 20.0
CLOSE_SECONDS = 5.0
LEAST_MEMORY_BYTES = 64 << 20
MOST_MEMORY_BYTES = 256 << 20
"""The program shares the memory of a small container with the daemon."""


class EmbeddedSandbox:
    """Runs Python programs, each in a WebAssembly instance and a process of its own.

    Args:
        limits: The most that a program gets.
        pool: How many processes wait; as many again may run at one time.
        scratch: A folder of ours, emptied at the start: programs write below it.
        component: The folder of the frozen Python, if it is not the installation's.
    """

    def __init__(
        self, *, limits: BoxLimits, pool: int, scratch: Path, component: Path | None = None
    ) -> None:
        self._limits = narrowed(
            limits, replace(limits, memory_bytes=MOST_MEMORY_BYTES), LEAST_MEMORY_BYTES
        )
        self._pool = Pool(self._make, self._special, PoolSize(idle=pool, running=max(2, 2 * pool)))
        self._scratch = scratch
        self._component = component or default_folder()
        self._landlock = 0

    async def __aenter__(self) -> Self:
        (await asyncio.to_thread(checked, self._component)).close()
        with _translated():
            self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            await asyncio.to_thread(_empty, self._scratch)
        first = await self._make(None, None)  # it tells what this kernel can do
        await first.close()
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.__aexit__()

    async def run(self, program: Program, on_output: OnOutput | None = None) -> RunResult:
        """See `Sandbox.run`."""
        language = None if program.argv else language_named(program.language)
        if language is None or language.name != "python":
            raise SandboxUnavailable(
                f"{program.argv[0] if program.argv else program.language} is not in this box,"
                " which has Python alone; a container engine (grade A) has more"
            )
        limits = narrowed(program.limits, self._limits, LEAST_MEMORY_BYTES)
        most = limits.memory_bytes // 8
        if sum(len(file.data) for file in program.files) > most:
            raise SandboxUnavailable(f"the files do not go into the box: it takes {most} bytes")
        return await self._pool.run(replace(program, limits=limits), language, on_output)

    @property
    def standing(self) -> BoxStanding:
        """See `Sandbox.standing`."""
        return BoxStanding(backend="embedded", grade="C", languages=("python",))

    @property
    def evidence(self) -> str:
        """What stands around the program on this machine."""
        kernel = f"Landlock {self._landlock}" if self._landlock else "no Landlock in this kernel"
        return f"WebAssembly in a limited process, {kernel}"

    def knows(self, languages: Sequence[str]) -> None:
        """It has Python, whatever was found."""

    def _special(self, program: Program, _: Language | None) -> bool:
        return program.limits.memory_bytes != self._limits.memory_bytes

    async def _make(self, program: Program | None, _: Language | None) -> _Worker:
        limits = program.limits if program else self._limits
        with _translated():
            worker = _Worker(Path(tempfile.mkdtemp(dir=self._scratch)))
            try:
                self._landlock = await worker.open(self._component, limits.memory_bytes)
            except BaseException:
                await asyncio.shield(worker.close())
                raise
        return worker


class _Worker:
    """One process and its folder; `worker` is what runs in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def open(self, component: Path, memory_bytes: int) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-B", "-c", WORKER, str(Path(__file__).parents[2])),
            *(str(component), str(self._folder), str(memory_bytes)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            start_new_session=True,
            limit=MAX_FRAME_BYTES,  # below it, what is not read holds back the news of its end
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in, self.exactly = self._process.stdin, self._process.stdout.readexactly
        try:
            async with asyncio.timeout(READY_SECONDS):
                frame: Any = await read_frame(self)
            if "refused" in frame:
                raise SandboxUnavailable(frame["refused"])
            return int(frame["ready"]["landlock"])
        except (TimeoutError, EOFError, OSError, ValueError, TypeError, KeyError) as error:
            raise SandboxUnavailable("the worker of the embedded box did not start") from error

    async def write(self, data: bytes) -> None:
        self._in.write(data)
        await self._in.drain()

    async def run(
        self, program: Program, language: Language | None, on_output: OnOutput | None
    ) -> RunResult:
        return await converse(
            self, program, language, backend="embedded", grade="C", on_output=on_output
        )

    async def close(self) -> None:
        try:
            if self._process is not None:
                if self._process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.killpg(self._process.pid, signal.SIGKILL)
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._process.wait()
        finally:
            await asyncio.to_thread(_remove, self._folder)

    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SandboxUnavailable(f"the embedded box cannot be set up: {error}") from error


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        _empty(folder)
        folder.rmdir()


def _empty(folder: Path) -> None:
    """Remove all that is in a folder, nested as deeply as a program likes: no path gets long."""
    while entries := list(folder.iterdir()):
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                for inner in list(entry.iterdir()):
                    inner.rename(folder / secrets.token_hex(8))
                entry.rmdir()
            else:
                entry.unlink()
