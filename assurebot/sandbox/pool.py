"""Boxes that wait, each for the one program that it will run: starts are paid ahead."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self

import structlog

from assurebot.errors import SandboxError, SandboxLost, SandboxUnavailable
from assurebot.ports import OnOutput
from assurebot.sandbox.languages import Language
from assurebot.values import Program, RunResult

REFILL_SECONDS = 0.03
"""A start at once would take the core that the program just begun needs."""

MOST_STARTING = 2
RETRY_SECONDS = 60.0
"""What cannot be made is tried again after 1, 2, 4 seconds and so on up to this."""

CLOSE_SECONDS = 15.0

log = structlog.get_logger(__name__)


class Box(Protocol):
    """One box, ready, for one program."""

    async def run(
        self, program: Program, language: Language | None, on_output: OnOutput | None
    ) -> RunResult:
        """Run its program.

        Raises:
            SandboxLost: The box went away.
        """
        ...

    async def close(self) -> None:
        """Leave nothing of it, within a bounded time; a second call does no harm."""
        ...

    def alive(self) -> bool:
        """Tell whether it can still take a program, as far as is known without asking it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """How many boxes.

    Attributes:
        idle: That wait for a program.
        running: That run one, at one time.
        waiting: Programs that may wait for one to end; those after them hear "busy".
        idle_seconds: A box that waited for so long is made anew.
    """

    idle: int
    running: int
    waiting: int = 32
    idle_seconds: float = 600.0


class Pool:
    """Runs each program in a box of its own: one that waits, else one made for it.

    Args:
        make: Makes a box: for this program alone, or with `None` one that waits for any. It raises
            SandboxUnavailable, and leaves nothing behind when it raises or is cancelled.
        special: Tells the programs that no waiting box can run.
        size: How many.
    """

    def __init__(
        self,
        make: Callable[[Program | None, Language | None], Awaitable[Box]],
        special: Callable[[Program, Language | None], bool],
        size: PoolSize,
    ) -> None:
        self._make = make
        self._special = special
        self._size = size
        self._places = asyncio.Semaphore(size.running)
        self._waiting = 0
        self._idle: deque[tuple[float, Box]] = deque()
        self._boxes: set[Box] = set()
        self._missed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = self._begun(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        self._keeper = None
        self._idle.clear()
        for box in list(self._boxes):
            self._begun(self._closed(box))
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                for _place in range(self._size.running):  # nobody makes or runs one any more
                    await self._places.acquire()
                await asyncio.gather(*self._tasks, return_exceptions=True)
        except TimeoutError:
            log.warning("sandbox_close_slow", boxes=len(self._tasks))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(
        self, program: Program, language: Language | None, on_output: OnOutput | None
    ) -> RunResult:
        """Run a program in a box of its own, as `Sandbox.run` says."""
        queued = self._places.locked()
        if queued and self._waiting >= self._size.waiting:
            raise SandboxUnavailable(f"busy: {self._waiting} programs wait already; try later")
        self._waiting += queued
        try:
            self._check()
            await self._places.acquire()
        finally:
            self._waiting -= queued
        try:
            box, served = await self._take(program, language)
            try:
                result = await box.run(program, language, on_output)
            except BaseException as error:
                closing = self._begun(self._closed(box))
                if not isinstance(error, SandboxLost):  # else there is nothing to wait for
                    await asyncio.shield(closing)  # it is gone before anybody hears of it
                raise
            self._begun(self._closed(box))
        finally:
            self._places.release()
        return replace(result, served="queued" if queued else served)

    async def _take(
        self, program: Program, language: Language | None
    ) -> tuple[Box, Literal["warm", "cold"]]:
        self._check()
        if self._idle and not self._special(program, language):
            return self._idle.popleft()[1], "warm"
        return await self._made(program, language), "cold"

    async def _made(self, program: Program | None, language: Language | None) -> Box:
        box = await self._make(program, language)
        self._boxes.add(box)
        if self._keeper is None:  # closed meanwhile
            await self._closed(box)
            self._check()
        return box

    def _check(self) -> None:
        """Drop waiting boxes that are dead or old, and have those that are missed made."""
        if self._keeper is None:
            raise SandboxUnavailable("the box is closed")
        oldest = asyncio.get_running_loop().time() - self._size.idle_seconds
        for born, box in list(self._idle):
            if born <= oldest or not box.alive():
                self._idle.remove((born, box))
                self._begun(self._closed(box))
        self._missed.set()

    async def _keep(self) -> None:
        """Make boxes that wait, as they are missed."""
        failures = 0
        while True:
            self._missed.clear()
            if failures or len(self._idle) >= self._size.idle:
                pause = min(RETRY_SECONDS, 2.0 ** (failures - 1))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause if failures else self._size.idle_seconds):
                        await self._missed.wait()
                self._check()
                await asyncio.sleep(0 if self._waiting else REFILL_SECONDS)
            missing = min(MOST_STARTING, self._size.idle - len(self._idle))
            made = await asyncio.gather(*(self._refill() for _ in range(missing)))
            failures = 0 if all(made) else min(failures + 1, 7)

    async def _refill(self) -> bool:
        try:
            box = await self._made(None, None)
        except Exception as error:
            bug = not isinstance(error, SandboxError)
            log.warning("sandbox_refill_failed", reason=str(error), exc_info=bug)
            return False
        self._idle.append((asyncio.get_running_loop().time(), box))
        return True

    def _begun(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _closed(self, box: Box) -> None:
        if box in self._boxes:  # else somebody does
            self._boxes.discard(box)
            try:
                await box.close()
            except Exception:
                log.exception("sandbox_box_not_closed")
