"""The audit log as the program uses it: one writer task orders entries and shares fsyncs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

from assurebot.audit import chain
from assurebot.audit.chain import Draft
from assurebot.audit.files import OpenAppend, open_append
from assurebot.audit.journal import Journal
from assurebot.errors import AuditError
from assurebot.ports import Clock, Redact
from assurebot.values import AuditEntry

_SALT_BYTES = 16
_RECORD_SECONDS = 0.5
_MAX_WAITING = 1_000
_NOT_OPEN = "the audit log is not open"
_SILENT = "the disk of the audit log does not answer"


class JsonlAudit:
    """An `AuditLog` in a chained JSONL file; an async context manager, entered once.

    The order of lines is the order of calls. Intents that wait together share one fsync. A record
    is held in memory until the next intent, for half a second at most, or while the disk is full.

    Args:
        path: The current file. Side files stand next to it: `.lock`, `.key`, `.reserve`.
        key: The key of the chain; `None` makes one, once, in the `.key` file.
        redact: Applied to every string before anything is hashed.
        clock: Gives the time of the lines.
        content: `hash` leaves texts out and keeps their hashes.
        rotate_bytes: A file of this size is renamed and a new one follows it.
        on_full: Called in the event loop each time the disk turns out to be full; must not raise.
        open_append: Opens the file for writing.
        retry_seconds: How long after a full disk the reserve, or a waiting record, is tried again.
        wait_seconds: How long an intent, or the stop, waits for a disk that does not answer.

    Attributes:
        recovered: The lines recorded at the start: what was torn, damaged or missing, and the
            closing (`closes`) of each intent that had no result.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes | None,
        redact: Redact,
        clock: Clock,
        content: Literal["full", "hash"] = "full",
        rotate_bytes: int = 64 * 1024 * 1024,
        on_full: Callable[[], None] = lambda: None,
        open_append: OpenAppend = open_append,
        retry_seconds: float = 30.0,
        wait_seconds: float = 10.0,
    ) -> None:
        self._journal = Journal(
            path, open_append=open_append, rotate_bytes=rotate_bytes, retry_seconds=retry_seconds
        )
        self._key = key
        self._redact = redact
        self._clock = clock
        self._content = content
        self._on_full = on_full
        self._retry_seconds = retry_seconds
        self._wait_seconds = wait_seconds
        self.recovered: tuple[AuditEntry, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[Draft, asyncio.Future[int] | None]] = []
        self._promised = 0
        self._failed: str | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        # In the loop's own thread: nothing else runs yet, and there is nothing to cancel.
        with ExitStack() as undo:
            undo.callback(self._journal.close)
            if found := self._journal.open(self._key):
                self._journal.append([self._draft(entry) for entry in found])
            undo.pop_all()
        self.recovered = tuple(found)
        self._promised = self._journal.head.seq
        self._task = asyncio.create_task(self._write_until_closed(), name="audit writer")
        if self._journal.full:
            self._on_full()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._task
        except TimeoutError:
            raise AuditError(_SILENT) from None
        finally:
            # A write that hangs keeps the file and its lock until it ends.
            self._thread.submit(self._journal.close)
            self._thread.shutdown(wait=not self._task.cancelled())
        if self._waiting:
            raise AuditError(f"{len(self._waiting)} audit lines were not written: {self._failed}")

    @property
    def fsyncs(self) -> int:
        """How often a batch was fsynced."""
        return self._journal.fsyncs

    @property
    def head(self) -> str:
        """The last line on disk as `SEQ:MAC`: the anchor that `verify` takes."""
        return str(self._journal.head)

    async def intent(self, entry: AuditEntry) -> int:
        """Record what is about to be done and return its seq once it is on disk.

        When the caller stops waiting, the line is closed as cancelled, since no effect follows.

        Raises:
            AuditError: It could not be written; the effect must not happen.
        """
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._enqueue(replace(entry, phase="intent"), done)
        taken = False
        try:
            await asyncio.wait({done}, timeout=self._wait_seconds)
            taken = done.done()
        finally:
            if not taken:
                done.add_done_callback(partial(self._close_cancelled, entry))
        if not taken:
            raise AuditError(_SILENT)
        return done.result()

    async def record(self, entry: AuditEntry) -> int:
        """Record something that happened; on disk with the next intent, at most 1 s later.

        The number is what the line will have, unless an intent called before it fails: then the
        line moves up.

        Raises:
            AuditError: The log cannot be written, and it is broken or too many lines wait.
        """
        if self._failed and len(self._waiting) >= _MAX_WAITING:
            raise AuditError(self._failed)
        self._enqueue(entry)
        return self._promised

    async def watch(self) -> None:
        """Wait for the writer to end; raise what it died of."""
        assert self._task is not None
        await asyncio.shield(self._task)

    def problem(self) -> str | None:
        """Say what is wrong with the log, or `None`."""
        if self._task is None or self._task.done():
            return _NOT_OPEN
        full = "the disk of the audit log is full" if self._journal.full else None
        return self._journal.broken or self._failed or full

    def note_unrecorded_notice(self) -> None:
        """Record that the owner was told of the full disk without an intent; never raises.

        The line waits for space like any other.
        """
        evidence = "the owner was told of the full disk without an intent"
        with suppress(AuditError):
            self._enqueue(AuditEntry(type="recovered", action="notice", evidence=evidence))

    def _draft(self, entry: AuditEntry) -> Draft:
        salt = secrets.token_bytes(_SALT_BYTES) if self._content == "full" else None
        return chain.draft(entry, at=self._clock.now(), redact=self._redact, salt=salt)

    def _enqueue(self, entry: AuditEntry, done: asyncio.Future[int] | None = None) -> None:
        if self._task is None or self._task.done() or self._closing:
            raise AuditError(_NOT_OPEN)
        if self._journal.broken:
            raise AuditError(self._journal.broken)
        draft = self._draft(entry)
        if done is not None:
            self._wake.set()
        elif not self._waiting:
            self._wake_in(_RECORD_SECONDS)
        self._waiting.append((draft, done))
        self._promised += 1

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)

    def _close_cancelled(self, entry: AuditEntry, done: asyncio.Future[int]) -> None:
        """Close an intent that is on disk and that nobody waits for any more."""
        if done.exception() is None:
            closing = AuditEntry(
                type=entry.type,
                phase="result",
                closes=done.result(),
                trace=entry.trace,
                action=entry.action,
                result="cancelled",
                evidence="the effect was not begun",
            )
            # Where it cannot be written, the next start closes the intent.
            with suppress(AuditError):
                self._enqueue(closing)

    async def _write_until_closed(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            await self._write_waiting()
        # What came in while the last batch was on its way.
        await self._write_waiting()

    async def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        was_full = self._journal.full
        drafts = [draft for draft, _ in batch]
        loop = asyncio.get_running_loop()
        try:
            seqs = await loop.run_in_executor(self._thread, self._journal.append, drafts)
        except AuditError as error:
            self._failed = str(error)
            for _, done in batch:
                if done is not None:
                    done.set_exception(AuditError(self._failed))
            # Records wait for space: what they tell has happened.
            self._waiting[:0] = [waiting for waiting in batch if waiting[1] is None]
            self._promised = self._journal.head.seq + len(self._waiting)
            self._wake_in(self._retry_seconds)
        else:
            self._failed = None
            for (_, done), seq in zip(batch, seqs, strict=True):
                if done is not None:
                    done.set_result(seq)
        if self._journal.full and not was_full:
            self._on_full()
