"""The audit log as the program uses it: opened, recovered, written to and closed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from assurebot.audit import chain
from assurebot.audit.chain import Draft, Head
from assurebot.audit.files import OpenAppend, open_append
from assurebot.audit.journal import Journal
from assurebot.audit.lines import Key
from assurebot.audit.recovery import Interrupted, open_journal
from assurebot.audit.writer import BatchWriter
from assurebot.errors import AuditError
from assurebot.ports import Clock, Redact
from assurebot.values import AuditEntry

_SALT_BYTES = 16


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
        self._path = path
        self._key = key
        self._redact = redact
        self._clock = clock
        self._content = content
        self._rotate_bytes = rotate_bytes
        self._on_full = on_full
        self._open_append = open_append
        self._retry_seconds = retry_seconds
        self._wait_seconds = wait_seconds
        self._interrupted: tuple[Interrupted, ...] = ()
        self._journal: Journal | None = None
        self._writer: BatchWriter | None = None

    async def __aenter__(self) -> Self:
        # In the loop's own thread: nothing else runs yet, and there is nothing to cancel.
        opened = open_journal(
            self._path,
            self._key,
            now=self._clock.now(),
            draft=self._draft,
            open_append=self._open_append,
            rotate_bytes=self._rotate_bytes,
            retry_seconds=self._retry_seconds,
        )
        self._interrupted = opened.interrupted
        self._journal = opened.journal
        self._writer = BatchWriter(
            opened.journal,
            lambda entry: self._draft(entry, opened.key),
            on_full=self._on_full,
            retry_seconds=self._retry_seconds,
            wait_seconds=self._wait_seconds,
        )
        self._writer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open_writer.stop()

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        """The intents that were found without a result at the start, in order."""
        return self._interrupted

    @property
    def fsyncs(self) -> int:
        """How often a batch was fsynced."""
        return self._journal.fsyncs if self._journal else 0

    @property
    def head(self) -> str:
        """The last line on disk as `SEQ:MAC`: the anchor that `verify` takes."""
        return str(self._journal.head if self._journal else Head())

    async def intent(self, entry: AuditEntry) -> int:
        """Record what is about to be done and return its seq once it is on disk.

        When the caller stops waiting, the line is closed as cancelled, since no effect follows.

        Raises:
            AuditError: It could not be written; the effect must not happen.
        """
        return await self._open_writer.intent(entry)

    async def record(self, entry: AuditEntry) -> int:
        """Record something that happened; on disk with the next intent, at most 1 s later.

        The number is what the line will have, unless an intent called before it fails: then the
        line moves up.

        Raises:
            AuditError: The log cannot be written, and it is broken or too many lines wait.
        """
        return self._open_writer.record(entry)

    def problem(self) -> str | None:
        """Say what is wrong with the log, or `None`."""
        return self._writer.problem() if self._writer else "the audit log is not open"

    def note_unrecorded_notice(self) -> None:
        """Note that the owner was told of the full disk without an intent.

        It is recorded when space has returned.
        """
        self._open_writer.note_unrecorded_notice()

    @property
    def _open_writer(self) -> BatchWriter:
        if self._writer is None:
            raise AuditError("the audit log is not open")
        return self._writer

    def _draft(self, entry: AuditEntry, key: Key) -> Draft:
        return chain.draft(
            entry,
            at=self._clock.now(),
            redact=self._redact,
            key=key,
            salt=secrets.token_bytes(_SALT_BYTES) if self._content == "full" else None,
        )
