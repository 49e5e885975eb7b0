"""The synchronous writer: it appends batches of drafts to the file so that all or none is there."""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from assurebot.audit import files
from assurebot.audit.chain import Draft, Head, Linked, link
from assurebot.audit.files import Names, OpenAppend, sync_folder, write_whole
from assurebot.audit.recovery import recover
from assurebot.errors import AuditError
from assurebot.values import AuditEntry

_RESERVE_BYTES = 64 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Journal:
    """Appends to the current file and rotates it; one thread at a time may use it.

    Attributes:
        head: The last line on disk.
        broken: Why nothing can be written any more until a restart, or `None`.
        fsyncs: How often a batch was fsynced.
    """

    _key: hmac.HMAC
    _file: files.LogFile
    _end: int
    _number: int
    _open_seqs: frozenset[int]

    def __init__(
        self, path: Path, *, open_append: OpenAppend, rotate_bytes: int, retry_seconds: float
    ) -> None:
        self.head = Head()
        self.broken: str | None = None
        self._full_since: float | None = None
        self.fsyncs = 0
        self._names = Names(path)
        self._open_append = open_append
        self._rotate_bytes = self._rotate_at = rotate_bytes
        self._retry_seconds = retry_seconds
        self._held = ExitStack()

    def open(self, key: bytes | None) -> list[AuditEntry]:
        """Lock and recover the log; return what is to be recorded first.

        Raises:
            AuditError: Another writer has it, or the disk refuses.
        """
        path, lock = self._names.current, self._names.beside("lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The lock file outlives every process, so it tells a first start from a lost log.
            known = lock.exists()
            self._held.enter_context(files.take_lock(lock))
            self._key = hmac.new(files.make_key(path) if key is None else key, digestmod="sha256")
            self.head, self._number, found = recover(self._names, self._key, known=known)
            self._file = self._open_append(path)
            self._held.callback(self._close_file)
            sync_folder(path.parent)
        except OSError as error:
            raise AuditError(f"the audit log {path} cannot be opened: {error.strerror}") from error
        self._end = self._file.tell()
        self._open_seqs = frozenset(entry.closes for entry in found if entry.closes)
        self._make_reserve()
        return found

    @property
    def full(self) -> bool:
        """The reserve had to be given back, and has not been made again."""
        return self._full_since is not None

    def append(self, drafts: Sequence[Draft]) -> range:
        """Write drafts in order, fsync once, and return their seqs.

        Raises:
            AuditError: None of them is in the file, and the chain stands where it stood.
        """
        if self.broken:
            raise AuditError(self.broken)
        first = self.head.seq + 1
        try:
            linked = self._rotate(drafts) if self._end >= self._rotate_at else None
            if linked is None:
                linked = self._link(drafts, self._number, begins=self._end == 0)
                self._put(linked.data)
        except OSError as error:
            raise AuditError(f"the audit log cannot be written: {error.strerror}") from error
        self.head, self._open_seqs = linked.head, linked.open_seqs
        self._end += len(linked.data)
        self.fsyncs += 1
        if self._full_since and time.monotonic() - self._full_since >= self._retry_seconds:
            self._make_reserve()
        return range(first, self.head.seq + 1)

    def close(self) -> None:
        """Close the file and let the lock go."""
        self.broken = "the audit log is closed"
        self._held.close()

    def _close_file(self) -> None:
        with suppress(OSError):  # all that mattered was fsynced before
            self._file.close()

    def _link(self, drafts: Sequence[Draft], number: int, *, begins: bool) -> Linked:
        former = self._names.rotated(number - 1).name
        follows = (number, former) if begins and number > 1 else None
        return link(drafts, self.head, self._key, open_seqs=self._open_seqs, follows=follows)

    def _put(self, data: bytes) -> None:
        """Write and fsync; on a full disk once more, with the reserve's space."""
        try:
            self._file.write_all(data)
            self._file.fsync()
        except OSError as error:
            self._go_back()
            if error.errno not in _FULL or not self._free_reserve():
                raise
            self._put(data)

    def _go_back(self) -> None:
        """Go back to the good end with a new descriptor after a fault, or break.

        After a failed fsync the kernel may have dropped the pages and would report success on the
        same descriptor the next time, so that one is never used again.
        """
        try:
            self._close_file()
            self._file = self._open_append(self._names.current)
            self._file.truncate(self._end)
            self._file.fsync()
        except OSError as error:
            self.broken = "the audit log could not be reopened after a fault of the disk"
            raise AuditError(self.broken) from error

    def _rotate(self, drafts: Sequence[Draft]) -> Linked | None:
        """Begin a new file with these drafts; `None` if that cannot be done now.

        The old file has both names until the new one, whole and durable, takes its place: there
        is a current file at every moment, and a crash leaves at most a name too many.
        """
        current, following = self._names.current, self._names.beside("next")
        linked = self._link(drafts, self._number + 1, begins=True)
        try:
            write_whole(following, linked.data)
            os.link(current, self._names.rotated(self._number))
        except OSError:
            # No room, or the name is taken. It goes on in the old file, where the reserve may help.
            self._rotate_at = self._end + self._rotate_bytes
            return None
        try:
            # Were only the replacing kept by a crash, the old file would be gone.
            sync_folder(current.parent)
            following.replace(current)
            sync_folder(current.parent)
            self._close_file()
            self._file = self._open_append(current)
        except OSError as error:
            self.broken = "the audit log could not be rotated; a restart finishes it"
            raise AuditError(self.broken) from error
        self._number, self._end, self._rotate_at = self._number + 1, 0, self._rotate_bytes
        return linked

    def _make_reserve(self) -> None:
        """Take up the space that is freed on a full disk; without room the disk counts as full."""
        self._full_since = None
        reserve = self._names.beside("reserve")
        if not reserve.exists():
            try:
                # Random bytes: a file system that compresses would keep no room for zeros.
                write_whole(reserve, secrets.token_bytes(_RESERVE_BYTES))
            except OSError:
                self._full_since = time.monotonic()

    def _free_reserve(self) -> bool:
        """Give that space back; false if it had been given back before."""
        self._full_since = time.monotonic()
        reserve = self._names.beside("reserve")
        if not reserve.exists():
            return False
        reserve.unlink()
        sync_folder(reserve.parent)
        return True
