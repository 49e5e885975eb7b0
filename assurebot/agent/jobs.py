"""Programs in the box, each between its two audit lines; there is no other way to the box."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import time
from asyncio import CancelledError
from dataclasses import replace
from typing import Protocol

from assurebot.errors import SandboxError, SandboxLost
from assurebot.guard.visible import visible
from assurebot.ports import AuditLog, OnOutput, Redact, Sandbox
from assurebot.values import (
    OWNER,
    AuditEntry,
    BoxFile,
    BoxLimits,
    BoxStanding,
    Program,
    RunResult,
    Trace,
    untrusted,
)

LARGE_BYTES = 64 << 10
"""What a program gave back is cleaned in a thread from here on: the loop must not wait for it."""

SLICE_CHARS = 64 << 10
EDGE_CHARS = 4 << 10
"""No form of a secret is longer, but one that is broken over lines with a deep indentation."""

TAIL_CHARS = 1_000
"""As much of the output shows while a program runs, of the much more that the box tells."""


class SettledSandbox(Sandbox, Protocol):
    """A sandbox that may not know at once what it is."""

    async def chosen(self) -> BoxStanding:
        """Wait until it is known what box there is, if any."""
        ...


class Jobs:
    """Runs programs for people and for the model.

    Attributes:
        limits: What each gets.
        network: They reach the network, by configuration: then none is run a second time, and
            what it prints came from outside.
    """

    def __init__(
        self,
        *,
        sandbox: SettledSandbox,
        audit: AuditLog,
        redact: Redact,
        redact_cut: Redact,
        limits: BoxLimits,
        network: bool,
    ) -> None:
        self.limits = limits
        self.network = network
        self._sandbox = sandbox
        self._audit = audit
        self._redact = redact
        self._redact_cut = redact_cut

    @property
    def standing(self) -> BoxStanding:
        """See `Sandbox.standing`."""
        return self._sandbox.standing

    def label(self, otherwise: str = OWNER) -> str:
        """Return the label of what a program printed; `otherwise` where it saw nothing outside."""
        return untrusted("program with network") if self.network else otherwise

    async def run(
        self, program: Program, trace: Trace, on_output: OnOutput | None = None
    ) -> RunResult:
        """Run a program; what it gives back holds no secret of ours, and nothing hidden.

        Raises:
            SandboxError: As `Sandbox.run` does.
            AuditError: It could not be recorded, and so was not run.
        """
        standing = await self._sandbox.chosen()
        text = program.source or shlex.join(program.argv)
        entry = AuditEntry(
            type="sandbox",
            trace=trace,
            action=program.language or "command",
            target=_box(standing.backend, standing.grade),
            evidence=f"sha256:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}",
            command=text,
        )
        seq = await self._audit.intent(entry)
        closing = replace(entry, phase="result", closes=seq, command=None, result="error")
        began = time.monotonic()
        limited = replace(program, limits=self.limits)
        try:
            result = await self._sandbox.run(limited, self._safe(on_output))
            closing = _closing(closing, result)
        except CancelledError:
            closing = replace(closing, result="cancelled")
            raise
        except SandboxError as error:
            outcome = "lost" if isinstance(error, SandboxLost) else "not run"
            closing = replace(closing, result=outcome, error=str(error))
            raise
        finally:
            took = round((time.monotonic() - began) * 1000)
            await self._audit.record(replace(closing, duration_ms=took))
        if _size(result) < LARGE_BYTES:
            return self._cleaned(result)
        return await asyncio.to_thread(self._cleaned, result)

    def _safe(self, on_output: OnOutput | None) -> OnOutput | None:
        if on_output is None:
            return None
        return lambda text: on_output(visible(self._redact_cut(self._tail(text))))

    def _tail(self, text: str) -> str:
        """Return the end of a text, from a place where no secret is cut in two."""
        at = max(0, len(text) - TAIL_CHARS)
        while at and at < len(text) and _divided(text, at, self._redact):
            at += TAIL_CHARS // 20
        return text[at:]

    def _cleaned(self, result: RunResult) -> RunResult:
        return replace(
            result,
            stdout=visible(redacted(result.stdout, self._redact)),
            stderr=visible(redacted(result.stderr, self._redact)),
            files=tuple(without_secrets(file, self._redact) for file in result.files),
        )


def redacted(text: str, redact: Redact) -> str:
    """Redact a long text in slices, so that other threads get their turn in between."""
    done, start = [], 0
    while start < len(text):
        end = min(start + SLICE_CHARS, len(text))
        while end < len(text) and _divided(text, end, redact):
            end = min(end + EDGE_CHARS, len(text))
        done.append(redact(text[start:end]))
        start = end
    return "".join(done)


def _divided(text: str, at: int, redact: Redact) -> bool:
    """Tell whether a cut here would go through a secret."""
    before, after = text[max(0, at - EDGE_CHARS) : at], text[at : at + EDGE_CHARS]
    return redact(before + after) != redact(before) + redact(after)


def _size(result: RunResult) -> int:
    return len(result.stdout) + len(result.stderr) + sum(len(file.data) for file in result.files)


def _box(backend: str, grade: str | None) -> str:
    return f"{backend or 'none'} {grade or 'closed'}"


def _closing(closing: AuditEntry, result: RunResult) -> AuditEntry:
    return replace(
        closing,
        target=_box(result.backend, result.grade),
        result=result.outcome,
        exit=result.exit_code,
        path_changes=result.path_changes,
        evidence=f"{closing.evidence} {result.served}",
    )


def without_secrets(file: BoxFile, redact: Redact) -> BoxFile:
    """Redact a file of text, whose name is clean otherwise; leave other bytes alone."""
    name = redact(file.name)
    try:
        text = file.data.decode()
    except UnicodeDecodeError:
        return replace(file, name=name)
    return BoxFile(name=name, data=redacted(text, redact).encode())
