"""Working stand-ins for the ports that tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from assurebot.errors import AuditError, SandboxUnavailable
from assurebot.ports import PAGE_CHARS, OnOutput, OnText, Reading, ToolContext, ToolOutput
from assurebot.values import (
    Attachment,
    AuditEntry,
    BoxFile,
    BoxStanding,
    ModelReply,
    ModelRequest,
    Program,
    RunResult,
    Step,
    ToolSpec,
    Trace,
)


class ListAudit:
    """Keeps audit entries in a list; the seq of an entry is its place in it, from 1.

    Attributes:
        entries: What was recorded.
        broken: While set, nothing can be recorded.
    """

    def __init__(self, *, broken: bool = False) -> None:
        self.entries: list[AuditEntry] = []
        self.broken = broken

    async def intent(self, entry: AuditEntry) -> int:
        """Keep an intent."""
        return await self.record(entry)

    async def record(self, entry: AuditEntry) -> int:
        """Keep an entry."""
        if self.broken:
            raise AuditError("the audit log is broken on purpose")
        self.entries.append(entry)
        return len(self.entries)

    def problem(self) -> str | None:
        """Say whether it is broken."""
        return "broken on purpose" if self.broken else None


class ScriptedProvider:
    """Answers from a list, one reply or error after the other.

    Attributes:
        asked: The requests.
    """

    def __init__(self, *replies: ModelReply | Exception) -> None:
        self.asked: list[ModelRequest] = []
        self._replies = list(replies)

    async def ask(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Give the next reply."""
        self.asked.append(request)
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        on_text(reply.message.text)
        return reply

    async def aclose(self) -> None:
        """Close nothing."""


class CallingTool:
    """A tool that does whatever it is told by a function of its arguments.

    Attributes:
        calls: The arguments of each call.
        begun: Set at each call.
    """

    def __init__(self, run: Callable[[str], Awaitable[str]], **spec: Any) -> None:
        given: dict[str, Any] = {"name": "act", "description": "Acts.", "effect": "pure"}
        self.spec = ToolSpec(**{**given, "schema": '{"type": "object"}', **spec})
        self.calls: list[str] = []
        self.begun = asyncio.Event()
        self._run = run

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """Do it."""
        del context
        self.calls.append(arguments)
        self.begun.set()
        return ToolOutput(text=await self._run(arguments))


class ListJournal:
    """Keeps the steps of a turn by their number.

    Attributes:
        commits: What was stored together, in order.
        files: What was kept.
    """

    def __init__(self) -> None:
        self.commits: list[tuple[Step, ...]] = []
        self.files: list[BoxFile] = []

    async def note(self, *steps: Step) -> None:
        """Keep steps."""
        self.commits.append(steps)

    async def keep(self, files: Sequence[BoxFile]) -> tuple[Attachment, ...]:
        """Keep files, numbered from 1."""
        known = len(self.files)
        self.files += files
        return tuple(
            Attachment(blob=known + n, name=file.name, size=len(file.data))
            for n, file in enumerate(files, start=1)
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps as they stand."""
        latest = {step.n: step for commit in self.commits for step in commit}
        return tuple(latest[n] for n in sorted(latest))


class FakeSandbox:
    """Answers programs by a function; without one each is well and prints its own source.

    Attributes:
        programs: What was run.
        begun: Set at each run.
        standing: While its grade is `None` every run is refused with its reason.
    """

    def __init__(
        self,
        run: Callable[[Program], RunResult | Exception | Awaitable[RunResult]] | None = None,
        *,
        standing: BoxStanding | None = None,
    ) -> None:
        self.programs: list[Program] = []
        self.begun = asyncio.Event()
        self.standing = standing or BoxStanding(
            backend="fake", grade="A", languages=("python", "bash")
        )
        self._run = run

    async def run(self, program: Program, on_output: OnOutput | None = None) -> RunResult:
        """Give the function's answer; raise it if it is an error, await it if it takes time."""
        if self.standing.grade is None:
            raise SandboxUnavailable(self.standing.reason)
        self.programs.append(program)
        self.begun.set()
        result = self._plain(program) if self._run is None else self._run(program)
        if isinstance(result, Exception):
            raise result
        if not isinstance(result, RunResult):
            result = await result
        if on_output is not None:
            on_output(result.stdout + result.stderr)
        return result

    async def chosen(self) -> BoxStanding:
        """Tell the standing, which is known at once."""
        return self.standing

    def close(self, reason: str) -> None:
        """Refuse from now on."""
        self.standing = BoxStanding(reason=reason)

    def _plain(self, program: Program) -> RunResult:
        return RunResult(
            outcome="ok",
            exit_code=0,
            stdout=program.source or " ".join(program.argv),
            backend=self.standing.backend,
            grade=self.standing.grade or "A",
            served="warm",
        )


class FakeReader:
    """Knows a PNG by its signature, `%PDF` with a form feed behind each page, and text.

    Attributes:
        read_names: The name of each file that was read.
    """

    def __init__(self) -> None:
        self.read_names: list[str] = []

    async def read(self, data: bytes, name: str) -> Reading:
        """Read a file."""
        self.read_names.append(name)
        if data.startswith(b"\x89PNG"):
            sides = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
            return Reading(kind="picture", mime="image/png", sides=sides)
        if data.startswith(b"%PDF-"):
            pages = tuple(data.decode().removeprefix("%PDF-").split("\f"))
            readable = pages if any(pages) else ()
            return Reading(kind="pdf", mime="application/pdf", pages=readable, leaves=len(pages))
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return Reading(kind="other", mime="application/octet-stream")
        pages = tuple(text[at : at + PAGE_CHARS] for at in range(0, len(text), PAGE_CHARS))
        return Reading(kind="text", mime="text/plain", pages=pages)


class FakeTranscriber:
    """Hears the bytes of a recording as the words that they spell, and speaks likewise.

    Attributes:
        heard: What it was given: bytes, name and seconds.
        failures: Raised instead of hearing, one after another.
        spoken: The texts that were to be spoken.
        failure: While set, it does not speak.
        begun: Set when it begins to speak.
        release: While clear, speaking takes its time.
    """

    speaks = True

    def __init__(self, *failures: Exception) -> None:
        self.heard: list[tuple[bytes, str, float]] = []
        self.failures = list(failures)
        self.spoken: list[str] = []
        self.failure: Exception | None = None
        self.begun = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()

    async def transcribe(self, audio: bytes, name: str, seconds: float, trace: Trace) -> str:
        """Spell."""
        del trace
        if self.failures:
            raise self.failures.pop(0)
        self.heard.append((audio, name, seconds))
        return audio.decode()

    async def speak(self, text: str, trace: Trace) -> bytes:
        """Give the text as if it were speech."""
        del trace
        self.spoken.append(text)
        self.begun.set()
        await self.release.wait()
        if self.failure is not None:
            raise self.failure
        return f"OggS {text}".encode()

    async def aclose(self) -> None:
        """Close nothing."""
