"""Which box programs get: the best one that passes its self-test, or none, and then why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol, Self

from assurebot.errors import SandboxError, SandboxUnavailable
from assurebot.ports import OnOutput, Sandbox
from assurebot.sandbox.probes import SelfTest, self_test
from assurebot.values import BoxStanding, Program, RunResult

OPEN_SECONDS = 120.0
"""For a candidate to open and to be tested."""

RETRY_SECONDS = 5.0
"""A box that could not be opened is tried again at most so often, and only when it is wanted."""


class Backend(Sandbox, AbstractAsyncContextManager["Backend"], Protocol):
    """A box that has to be opened and closed; both happen in one task."""

    def knows(self, languages: Sequence[str]) -> None:
        """Take what the self-test found: the languages that it has."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A box that may be chosen; `open` only makes the object."""

    name: str
    open: Callable[[], Backend]


OnStanding = Callable[[SelfTest | None, BoxStanding], Awaitable[None]]
"""Told of each failed self-test, and of what the choice came to; the test is that box's."""


class ChosenSandbox:
    """The best candidate that passes; what is chosen stays, and nothing less ever takes its place.

    A candidate that fails its self-test is closed until the program starts anew. One that cannot
    be opened is tried again when a program comes.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        closed_reason: str = "",
        on_standing: OnStanding,
        test: Callable[[Sandbox], Awaitable[SelfTest]] = self_test,
    ) -> None:
        self._candidates = tuple(candidates)
        self._closed_reason = closed_reason or "there is no box"
        self._on_standing = on_standing
        self._test = test
        self._box: Backend | None = None
        self._reasons: dict[str, str] = {}
        self._failed: set[str] = set()
        self._told = ""
        self._settled = asyncio.Event()
        self._wanted = asyncio.Event()
        self._tried_at = 0.0

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        self._task = self._group.create_task(self.watch(), name="sandbox")
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._task.cancel()
        await self._group.__aexit__(None, None, None)

    async def watch(self) -> None:
        """Choose a box and hold it until cancelled; choose anew when one is wanted and none is."""
        try:
            while True:
                async with AsyncExitStack() as stack:
                    await self._choose(stack)
                    self._tried_at = monotonic()
                    self._wanted.clear()
                    self._settled.set()
                    await self._wanted.wait()
        finally:
            self._box, self._candidates, self._reasons = None, (), {}
            self._closed_reason = "the program is stopping"
            self._settled.set()

    async def _choose(self, stack: AsyncExitStack) -> None:
        for candidate in self._candidates:
            if candidate.name in self._failed:
                continue
            async with AsyncExitStack() as trial:
                try:
                    async with asyncio.timeout(OPEN_SECONDS):
                        box = await trial.enter_async_context(candidate.open())
                        test = await self._test(box)
                except (SandboxError, TimeoutError) as error:
                    self._reasons[candidate.name] = str(error) or "it did not open in time"
                    continue
                if test.failed:
                    await self._reject(candidate.name, test)
                    continue
                box.knows(test.languages)
                self._reasons.pop(candidate.name, None)
                self._box = box
                await self._on_standing(test, self.standing)
                await stack.enter_async_context(trial.pop_all())
                return
        if self._told != self._reason:
            self._told = self._reason
            await self._on_standing(None, BoxStanding(reason=self._reason))

    async def _reject(self, name: str, test: SelfTest) -> None:
        probes = "; ".join(f"{probe.name} ({probe.seen})" for probe in test.failed)
        self._failed.add(name)
        self._reasons[name] = (
            f"it failed its self-test: {probes}; it stays closed until the program starts anew"
        )
        self._told = self._reason
        await self._on_standing(test, BoxStanding(backend=name, reason=self._reasons[name]))

    async def run(self, program: Program, on_output: OnOutput | None = None) -> RunResult:
        """See `Sandbox.run`; the first programs wait for the self-test."""
        return await (await self._opened()).run(program, on_output)

    async def chosen(self) -> BoxStanding:
        """Wait until the choice is made, and say what it came to."""
        await self._settled.wait()
        return self.standing

    async def prove(self) -> SelfTest:
        """Test the box once more; if it fails, no box is open until the program starts anew.

        Raises:
            SandboxError: There is none, or it went away: no promise is broken by that.
        """
        box = await self._opened()
        test = await self._test(box)
        if test.failed and self._box is box:
            self._box = None
            self._failed.update(candidate.name for candidate in self._candidates)
            self._wanted.set()  # which closes it, whatever becomes of us
            await self._reject(box.standing.backend, test)
        return test

    async def _opened(self) -> Backend:
        hopeful = any(one.name not in self._failed for one in self._candidates)
        idle = self._settled.is_set() and self._box is None
        if idle and hopeful and monotonic() - self._tried_at >= RETRY_SECONDS:
            self._settled.clear()
            self._wanted.set()
        await self._settled.wait()
        if self._box is None:
            raise SandboxUnavailable(self._reason)
        return self._box

    @property
    def _reason(self) -> str:
        reasons = (f"{name}: {reason}" for name, reason in self._reasons.items())
        return "\n".join(reasons) or self._closed_reason

    @property
    def standing(self) -> BoxStanding:
        """See `Sandbox.standing`; of an open box `reason` tells why it is no better one."""
        if self._box is not None:
            standing = self._box.standing
            reason = standing.reason or (self._reason if self._reasons else "")
            return replace(standing, reason=reason)
        if not self._settled.is_set():
            return BoxStanding(reason="the box is being opened and tested")
        return BoxStanding(reason=self._reason)
