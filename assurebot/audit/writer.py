"""The one writer task of the log: it orders entries, shares fsyncs and tells each caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from assurebot.audit.chain import Draft
from assurebot.audit.journal import Journal
from assurebot.errors import AuditError
from assurebot.values import AuditEntry

_RECORD_SECONDS = 0.5
_MAX_WAITING = 1_000
_SILENT = "the disk of the audit log does not answer"


@dataclass(slots=True, kw_only=True)
class _Ticket:
    """A draft in the queue. `done` is there for intents; `seq` once the line is on disk."""

    entry: AuditEntry
    draft: Draft
    done: asyncio.Future[int] | None = None
    seq: int | None = None
    abandoned: bool = False


class BatchWriter:
    """Writes to a journal in the order of the calls; made inside the running loop."""

    def __init__(
        self,
        journal: Journal,
        draft: Callable[[AuditEntry], Draft],
        *,
        on_full: Callable[[], None],
        retry_seconds: float,
        wait_seconds: float,
    ) -> None:
        self._journal = journal
        self._draft = draft
        self._on_full = on_full
        self._retry_seconds = retry_seconds
        self._wait_seconds = wait_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._waiting: list[_Ticket] = []
        self._promised = journal.head.seq
        self._failed: str | None = None
        self._was_full = False
        self._unrecorded_notice = False
        self._closing = False

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_until_closed(), name="audit writer")
        self._tell_if_full()

    async def stop(self) -> None:
        """Write what waits, then close the journal.

        Raises:
            AuditError: Lines were left over, or the disk hangs.
        """
        assert self._task is not None
        self._closing = True
        self._wake.set()
        try:
            await asyncio.wait({self._task}, timeout=self._wait_seconds)
        finally:
            self._thread.shutdown(wait=False)
            if self._task.done():
                self._journal.close()
            else:
                # The file and its lock stay with the hung write until the process ends.
                self._task.cancel()
                await asyncio.wait({self._task})
        if self._task.cancelled():
            raise AuditError(_SILENT)
        self._task.result()
        if self._waiting:
            raise AuditError(f"{len(self._waiting)} audit lines were not written: {self._failed}")

    async def intent(self, entry: AuditEntry) -> int:
        """Write an intent, and return its seq once it is on disk; see `JsonlAudit.intent`."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        ticket = self._enqueue(replace(entry, phase="intent"), done)
        self._wake.set()
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await done
        except TimeoutError:
            self._abandon(ticket)
            raise AuditError(_SILENT) from None
        except asyncio.CancelledError:
            self._abandon(ticket)
            raise

    def record(self, entry: AuditEntry) -> int:
        """Put an entry in the queue and return its number; see `JsonlAudit.record`."""
        if self._failed and len(self._waiting) >= _MAX_WAITING:
            raise AuditError(self._failed)
        self._enqueue(entry, None)
        self._wake_in(_RECORD_SECONDS)
        return self._promised

    def problem(self) -> str | None:
        """Say why lines cannot be relied upon to be written, or `None`."""
        if self._task is None or self._task.done():
            return "the audit writer has stopped"
        if self._journal.broken or self._failed:
            return self._journal.broken or self._failed
        return "the disk of the audit log is full" if self._journal.full else None

    def note_unrecorded_notice(self) -> None:
        """Have it recorded, when space has returned, that the owner was told without an intent."""
        self._unrecorded_notice = True
        self._record_notice()

    def _enqueue(self, entry: AuditEntry, done: asyncio.Future[int] | None) -> _Ticket:
        if self._closing or self._task is None or self._task.done():
            raise AuditError("the audit log is not open")
        if self._journal.broken:
            raise AuditError(self._journal.broken)
        ticket = _Ticket(entry=entry, draft=self._draft(entry), done=done)
        self._waiting.append(ticket)
        self._promised += 1
        return ticket

    def _wake_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _write_until_closed(self) -> None:
        try:
            while not self._closing:
                await self._wake.wait()
                self._wake.clear()
                self._stop_timer()
                await self._write_waiting()
            # What came in while the last batch was on its way.
            await self._write_waiting()
        finally:
            self._stop_timer()
            self._fail(self._waiting, "the audit log is closed")

    async def _write_waiting(self) -> None:
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        drafts = [ticket.draft for ticket in batch]
        loop = asyncio.get_running_loop()
        try:
            seqs = await loop.run_in_executor(self._thread, self._journal.append, drafts)
        except AuditError as error:
            self._failed = str(error)
            self._fail(batch, self._failed)
            self._keep_records(batch)
        else:
            self._failed = None
            for ticket, seq in zip(batch, seqs, strict=True):
                self._settle(ticket, seq)
        self._tell_if_full()
        self._record_notice()

    def _settle(self, ticket: _Ticket, seq: int) -> None:
        ticket.seq = seq
        if ticket.done is not None and not ticket.done.done():
            ticket.done.set_result(seq)
        self._close_abandoned(ticket)

    def _fail(self, batch: list[_Ticket], reason: str) -> None:
        for ticket in batch:
            if ticket.done is not None and not ticket.done.done():
                ticket.done.set_exception(AuditError(reason))

    def _keep_records(self, batch: list[_Ticket]) -> None:
        """Let the records of a failed batch wait for space: what they tell has happened."""
        self._waiting[:0] = [ticket for ticket in batch if ticket.done is None]
        self._promised = self._journal.head.seq + len(self._waiting)
        if self._waiting:
            self._wake_in(self._retry_seconds)

    def _abandon(self, ticket: _Ticket) -> None:
        ticket.abandoned = True
        self._close_abandoned(ticket)

    def _close_abandoned(self, ticket: _Ticket) -> None:
        """Close an intent that nobody waits for, once it is on disk."""
        if not ticket.abandoned or ticket.seq is None:
            return
        closing = AuditEntry(
            type=ticket.entry.type,
            phase="result",
            closes=ticket.seq,
            trace=ticket.entry.trace,
            action=ticket.entry.action,
            target=ticket.entry.target,
            result="cancelled",
            evidence="nobody waited for the intent any more: the effect was not begun",
        )
        # Where it cannot be written, the next start closes the intent.
        with suppress(AuditError):
            self.record(closing)

    def _tell_if_full(self) -> None:
        was_full, self._was_full = self._was_full, self._journal.full
        if self._was_full and not was_full:
            self._on_full()

    def _record_notice(self) -> None:
        if self._unrecorded_notice and not self._journal.full:
            with suppress(AuditError):
                notice = "the owner was told of the full disk without an intent"
                self.record(AuditEntry(type="recovered", action="notice", evidence=notice))
                self._unrecorded_notice = False
