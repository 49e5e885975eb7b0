"""The synchronous writer: it appends batches of drafts to the file so that all or none is there."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assurebot.audit import chain, lines
from assurebot.audit.chain import Draft, Head, Linked
from assurebot.audit.files import (
    Appendable,
    Names,
    OpenAppend,
    free_reserve,
    lines_backward,
    make_reserve,
    sync_folder,
    write_new,
)
from assurebot.audit.lines import Key, Line, LineError
from assurebot.errors import AuditError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Where the log ends: its head, the good length of the current file, the number of it."""

    head: Head
    end: int
    number: int


class Journal:
    """Appends to the current file and rotates it; one thread at a time may use it.

    Attributes:
        broken: Why nothing can be written any more until a restart, or `None`.
        full: The reserve had to be given back and has not been made again.
        fsyncs: How often a batch was fsynced.
    """

    def __init__(
        self,
        names: Names,
        key: Key,
        tail: Tail,
        *,
        lock: int,
        open_seqs: Iterable[int],
        open_append: OpenAppend,
        rotate_bytes: int,
        retry_seconds: float,
    ) -> None:
        self.broken: str | None = None
        self.full = False
        self.fsyncs = 0
        self.head = tail.head
        self._names = names
        self._key = key
        self._lock = lock
        self._end = tail.end
        self._number = tail.number
        self._open_seqs = frozenset(open_seqs)
        self._open_append = open_append
        self._rotate_bytes = rotate_bytes
        self._retry_seconds = retry_seconds
        self._retry_at = 0.0
        self._file: Appendable | None = None
        self._inode = 0

    def append(self, drafts: Sequence[Draft]) -> tuple[int, ...]:
        """Write drafts in order, fsync once, and return their seqs.

        Raises:
            AuditError: None of them is in the file, and the chain stands where it stood.
        """
        if self.broken:
            raise AuditError(self.broken)
        try:
            if self._file is None:
                self._open()
            self._demand_own_file()
            linked = self._rotate(drafts) if self._end >= self._rotate_bytes else None
            if linked is None:
                linked = self._link(drafts, begins=self._end == 0)
                self._put(linked.data)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise AuditError(f"the audit log cannot be written: {reason}") from error
        self.head = linked.head
        self._open_seqs = linked.open_seqs
        self._end += len(linked.data)
        self._restore_reserve()
        return linked.seqs

    def start_reserve(self) -> None:
        """Make the reserve; without room for it the disk counts as full."""
        if not make_reserve(self._names.beside("reserve")):
            self._note_full()

    def close(self) -> None:
        """Close the file and let the lock go."""
        if self._file is not None:
            self._file.close()
            self._file = None
        os.close(self._lock)
        self.broken = "the audit log is closed"

    def _link(self, drafts: Sequence[Draft], *, begins: bool) -> Linked:
        former = self._names.rotated(self._number - 1).name
        return chain.link(
            drafts,
            self.head,
            self._key,
            open_seqs=self._open_seqs,
            follows=(self._number, former) if begins and self._number > 1 else None,
        )

    def _open(self) -> Appendable:
        made = not self._names.current.exists()
        file = self._file = self._open_append(self._names.current)
        self._inode = self._names.current.stat().st_ino
        if made:
            sync_folder(self._names.folder)
        return file

    def _demand_own_file(self) -> None:
        """Break when the file was moved, cut or added to: what we append would not be the log."""
        try:
            found = self._names.current.stat()
        except FileNotFoundError:
            found = None
        if found is None or (found.st_ino, found.st_size) != (self._inode, self._end):
            self.broken = "the audit log was changed by another hand; a restart sets it aside"
            raise AuditError(self.broken)

    def _put(self, data: bytes) -> None:
        """Write and fsync; on a full disk once more, with the reserve's space."""
        try:
            self._write(data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            freed = free_reserve(self._names.beside("reserve"))
            self._note_full()
            if not freed:
                raise
            self._write(data)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        view = memoryview(data)
        try:
            while view:
                # A write can be short; what is left then fails on its own if the disk is full.
                count = self._file.write(bytes(view))
                view = view[_some(count) :]
        except OSError:
            self._take_back()
            raise
        try:
            self._file.fsync()
        except OSError:
            self._reopen()
            raise
        self.fsyncs += 1

    def _take_back(self) -> None:
        """Cut off what a failed write left."""
        assert self._file is not None
        try:
            self._file.truncate(self._end)
        except OSError:
            self._reopen()

    def _reopen(self) -> None:
        """Go on with a new descriptor after a fault, or break.

        After a failed fsync the kernel may have dropped the pages and would report success on the
        same descriptor the next time, so that one is never used again.
        """
        assert self._file is not None
        self._file.close()
        self._file = None
        try:
            self._demand_good_end()
            file = self._open()
            file.truncate(self._end)
            file.fsync()
        except OSError as error:
            self.broken = "the audit log could not be reopened after a fault of the disk"
            raise AuditError(self.broken) from error

    def _demand_good_end(self) -> None:
        line = line_before(self._names.current, self._end)
        if self._end and (line is None or line.mac != self.head.mac or lines.flaw(line, self._key)):
            raise OSError(errno.EIO, "the good end is not there")

    def _rotate(self, drafts: Sequence[Draft]) -> Linked | None:
        """Begin a new file with these drafts; `None` if there is no room for one now.

        The new file is whole and durable under a side name before the names change, so that after
        a crash at any point the log is either not rotated or rotated but for a last rename.
        """
        names = self._names
        self._number += 1
        linked = self._link(drafts, begins=True)
        following = names.beside("next")
        try:
            write_new(following, linked.data)
        except OSError:
            # It goes on in the old file, where the reserve may help.
            self._number -= 1
            return None
        assert self._file is not None
        try:
            self._swap(names.rotated(self._number - 1), following)
            self._file.close()
            self._open()
        except OSError as error:
            self.broken = "the audit log could not be rotated; a restart finishes it"
            raise AuditError(self.broken) from error
        self._end = 0
        self.fsyncs += 1
        return linked

    def _swap(self, rotated: Path, following: Path) -> None:
        if rotated.exists():
            raise FileExistsError(errno.EEXIST, "the name of the rotated file is taken")
        self._names.current.rename(rotated)
        # The order matters: were only the second rename kept, it would replace the old file.
        sync_folder(self._names.folder)
        following.rename(self._names.current)
        sync_folder(self._names.folder)

    def _note_full(self) -> None:
        self.full = True
        self._retry_at = time.monotonic() + self._retry_seconds

    def _restore_reserve(self) -> None:
        if self.full and time.monotonic() >= self._retry_at:
            self.full = not make_reserve(self._names.beside("reserve"))
            self._retry_at = time.monotonic() + self._retry_seconds


def line_before(path: Path, end: int) -> Line | None:
    """Read the whole line that ends at `end`; `None` if there is none of our form."""
    with path.open("rb") as file:
        try:
            _, raw = next(lines_backward(file, end), (0, b""))
            return lines.parse(raw[:-1]) if raw.endswith(b"\n") else None
        except LineError:
            return None


def _some(count: int) -> int:
    if count <= 0:
        raise OSError(errno.EIO, "nothing was written")
    return count
