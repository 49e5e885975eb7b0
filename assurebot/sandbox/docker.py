"""A container for each program, by a container engine."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

import structlog

from assurebot.errors import SandboxUnavailable
from assurebot.ports import OnOutput
from assurebot.sandbox.engine import Engine, Stream
from assurebot.sandbox.languages import LANGUAGES, Language, language_named
from assurebot.sandbox.pool import Box, Pool, PoolSize
from assurebot.sandbox.profile import LEAST_MEMORY_BYTES, BoxPlan, container, narrowed
from assurebot.sandbox.wire import BrokenOff, converse, read_frame
from assurebot.values import BoxStanding, Grade, Program, RunResult

BACKEND = "docker"
READY_SECONDS = 10.0
REMOVE_AFTER_SECONDS = 0.03
"""A removal at once would take the core that the answer needs."""

MOST_RUNNING = 8
ENDED = "the program ended its box, or something outside did\n"

log = structlog.get_logger(__name__)


class DockerSandbox:
    """`Sandbox` by containers.

    The engine may go and come back: a program then is lost or not run, and the next one finds the
    engine again.
    """

    def __init__(self, plan: BoxPlan) -> None:
        self._plan = plan
        self._limits = narrowed(plan.limits, plan.limits, LEAST_MEMORY_BYTES)
        self._grade: Grade = "A+" if (plan.runtime or "").startswith("runsc") else "A"
        self._languages = tuple(LANGUAGES)
        self._engine = Engine(plan.engine)
        self._image = ""
        self._linked = False
        self._linking = asyncio.Lock()
        self._failure = ""
        size = PoolSize(idle=plan.pool, running=max(MOST_RUNNING, plan.pool))
        self._pool = Pool(self._make, self._special, size)

    @property
    def standing(self) -> BoxStanding:
        """What box it is."""
        return BoxStanding(
            backend=BACKEND,
            grade=self._grade,
            languages=self._languages,
            network=self._plan.network,
        )

    def knows(self, languages: Collection[str]) -> None:
        """Take these for the languages of the image, as somebody found inside."""
        self._languages = tuple(name for name in LANGUAGES if name in languages)

    async def __aenter__(self) -> Self:
        try:
            await self._link()
            await self._pool.__aenter__()
        except BaseException:
            await self._engine.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._pool.__aexit__()
        finally:
            await self._engine.close()

    async def run(self, program: Program, on_output: OnOutput | None = None) -> RunResult:
        """Run a program, as `Sandbox.run` says."""
        language = None if program.argv else self._language(program.language, program.source)
        limits = narrowed(program.limits, self._limits, LEAST_MEMORY_BYTES)
        most = limits.memory_bytes // 8
        if sum(len(file.data) for file in program.files) > most:
            raise SandboxUnavailable(f"the files do not go into the box: it takes {most} bytes")
        return await self._pool.run(replace(program, limits=limits), language, on_output)

    def _language(self, name: str, source: str) -> Language:
        language = language_named(name)
        if language is None or language.name not in self._languages:
            raise SandboxUnavailable(
                f"the box does not have {name[:30]!r}; it has {', '.join(self._languages)}"
                " (an image built with LANGUAGES=full has more)"
            )
        return language.suited(source)

    def _special(self, program: Program, language: Language | None) -> bool:
        compiled = language is not None and language.compiled
        return compiled or program.limits.memory_bytes != self._limits.memory_bytes

    async def _link(self) -> None:
        """Find the engine and the image, and remove what nobody owns, unless that is done."""
        waits = self._linking.locked()
        async with self._linking:
            if self._linked:
                return
            if waits and self._failure:  # somebody tried meanwhile
                raise SandboxUnavailable(self._failure)
            self._failure = ""
            try:
                await self._engine.connect(self._plan.runtime)
                # The one that was tested, whatever its name has come to mean since.
                self._image = await self._engine.image(self._image or self._plan.image)
                swept = await self._engine.sweep(self._plan.instance)
            except SandboxUnavailable as error:
                self._failure = str(error)
                raise
            self._linked = True
        log.info("sandbox_engine_found", image=self._image, swept=swept)

    async def _make(self, program: Program | None, language: Language | None) -> Box:
        await self._link()
        config = container(
            self._plan,
            self._image,
            self._limits.memory_bytes if program is None else program.limits.memory_bytes,
            warm=program is None,
            executable=language is not None and language.compiled,
        )
        box = _Container(self._engine, self._grade)
        try:
            await box.open(config)
        except BaseException as error:
            box.abandon()
            self._linked &= not isinstance(error, SandboxUnavailable)
            raise
        return box


class _Container:
    """One container with a runner in it."""

    def __init__(self, engine: Engine, grade: Grade) -> None:
        self._engine = engine
        self._grade = grade
        self._name = f"assurebot-{secrets.token_hex(8)}"
        self._stream: Stream | None = None

    async def open(self, config: dict[str, Any]) -> None:
        """Make it and wait until its runner is ready."""
        await self._engine.create(self._name, config)
        self._stream = await self._engine.attach(self._name)
        await self._engine.start(self._name)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await read_frame(self._stream)
        except (OSError, EOFError, ValueError) as error:
            said = self._stream.said.decode(errors="replace").strip().rpartition("\n")[2]
            raise SandboxUnavailable(f"the box did not start: {said or 'it ended'}") from error

    async def run(
        self, program: Program, language: Language | None, on_output: OnOutput | None
    ) -> RunResult:
        """Run its program."""
        assert self._stream is not None
        kind: dict[str, Any] = {"backend": BACKEND, "grade": self._grade}
        try:
            return await converse(self._stream, program, language, **kind, on_output=on_output)
        except BrokenOff as error:
            if not (self._stream.closed or self._stream.alive()):
                with suppress(SandboxUnavailable):
                    await self._engine.ping()  # so it is the box alone that is gone
                    return replace(error.heard, stderr=f"{error.heard.stderr}{ENDED}")
            raise

    def alive(self) -> bool:
        """Tell whether its stream is open."""
        return self._stream is not None and self._stream.alive()

    async def close(self) -> None:
        """Hang up, at which the runner ends with all that it runs; then remove what is left."""
        self._hang_up()
        await asyncio.sleep(REMOVE_AFTER_SECONDS)
        await self._engine.remove(self._name)

    def abandon(self) -> None:
        """Do as `close` does without waiting for it."""
        self._hang_up()
        self._engine.discard(self._name)

    def _hang_up(self) -> None:
        """Close the stream first: an engine does not remove what floods an open one."""
        if self._stream is not None:
            self._stream.close()
