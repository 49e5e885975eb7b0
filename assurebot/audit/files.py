"""Files of the audit log: their names, modes and locks, reading backward, and the write seam."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from assurebot.audit.lines import MAX_LINE_BYTES, LineError
from assurebot.errors import AuditError

RESERVE_BYTES = 64 * 1024
_BLOCK_BYTES = 64 * 1024
_KEY_BYTES = 32


class Appendable(Protocol):
    """An open log file; the seam through which tests bring about failures of the disk."""

    def write(self, data: bytes) -> int:
        """Append and return how many bytes were taken, which may be fewer."""
        ...

    def fsync(self) -> None:
        """Return once everything written is on the disk."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        ...

    def close(self) -> None:
        """Close it; never raises."""
        ...


OpenAppend = Callable[[Path], Appendable]


@dataclass(frozen=True, slots=True)
class _Descriptor:
    fd: int

    def write(self, data: bytes) -> int:
        return os.write(self.fd, data)

    def fsync(self) -> None:
        os.fsync(self.fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def close(self) -> None:
        # All that mattered was fsynced before, and the descriptor is gone either way.
        with suppress(OSError):
            os.close(self.fd)


def open_append(path: Path) -> Appendable:
    """Open a file for appending, mode 0600, made if it is not there; links are not followed."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.fchmod(fd, 0o600)
    return _Descriptor(fd)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of all files that belong to the log at `current`."""

    current: Path

    @property
    def folder(self) -> Path:
        """Where all of them are."""
        return self.current.parent

    def beside(self, suffix: str) -> Path:
        """Return the side file with this suffix: `lock`, `key`, `reserve`, `next` and so on."""
        return self.current.with_name(f"{self.current.name}.{suffix}")

    def rotated(self, number: int) -> Path:
        """Return the name of an earlier file."""
        stem, suffix = self.current.stem, self.current.suffix
        return self.current.with_name(f"{stem}.{number:06d}{suffix}")

    def all_rotated(self) -> list[tuple[int, Path]]:
        """List the earlier files that are there, oldest first."""
        if not self.folder.is_dir():
            return []
        stem, suffix = re.escape(self.current.stem), re.escape(self.current.suffix)
        pattern = re.compile(rf"{stem}\.([0-9]{{6,}}){suffix}", re.ASCII)
        found = ((pattern.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted((int(match[1]), path) for match, path in found if match)

    def newest_first(self) -> list[Path]:
        """List all files of the log that are there, the current one first."""
        current = [self.current] if self.current.exists() else []
        return current + [path for _, path in reversed(self.all_rotated())]

    def free(self, suffix: str) -> Path:
        """Return a side file name that is not taken yet: the suffix and a number."""
        number = 1
        while (path := self.beside(f"{suffix}-{number}")).exists():
            number += 1
        return path


def sync_folder(folder: Path) -> None:
    """Make new, renamed and removed names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path: Path, data: bytes) -> None:
    """Write a whole file, mode 0600, and fsync it; what a crash left under the name goes.

    Raises:
        OSError: It could not be written; nothing is left under the name.
    """
    path.unlink(missing_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def take_lock(path: Path) -> int:
    """Lock a file against every other process and return its descriptor; closing it unlocks.

    Raises:
        AuditError: Another writer has it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(fd, 20).decode("ascii", "replace").strip()
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise AuditError(f"another writer (process {holder}) holds {path}") from error
        raise
    with suppress(OSError):  # a full disk has no room for the number; the lock holds without it
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    return fd


def read_key(path: Path) -> bytes:
    """Return the key that is kept beside the log at `path`.

    Raises:
        AuditError: It is not there, or is not a key.
    """
    place = Names(path).beside("key")
    try:
        key = bytes.fromhex(place.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise AuditError(f"no audit key can be read from {place}") from error
    if len(key) != _KEY_BYTES:
        raise AuditError(f"{place} does not hold an audit key")
    return key


def make_key(path: Path) -> bytes:
    """Return the key beside the log at `path`; it is made, once, if there is none."""
    place = Names(path).beside("key")
    if not place.exists():
        made = Names(path).beside("key-made")
        write_new(made, secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n")
        made.replace(place)
        sync_folder(place.parent)
    return read_key(path)


def make_reserve(path: Path) -> bool:
    """Take up the space that is freed on a full disk; false if there is none."""
    if path.exists() and path.stat().st_size == RESERVE_BYTES:
        return True
    try:
        # Random bytes, because a file system that compresses would keep no room for zeros.
        write_new(path, secrets.token_bytes(RESERVE_BYTES))
    except OSError:
        return False
    return True


def free_reserve(path: Path) -> bool:
    """Give the reserved space back; false if it had been given back before."""
    try:
        path.unlink()
        sync_folder(path.parent)
    except OSError:
        return False
    return True


def lines_backward(file: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    r"""Yield offset and bytes of each line before `end`, last one first, `\n` included.

    Only the very last line can come without its `\n`.

    Raises:
        LineError: A line is longer than any that is ever written.
    """
    rest, start = b"", end
    while start > 0:
        stop = start + len(rest)
        step = min(start, max(_BLOCK_BYTES, len(rest)))
        start -= step
        file.seek(start)
        pieces = (file.read(step) + rest).split(b"\n")
        lines = [piece + b"\n" for piece in pieces[:-1]] + [pieces[-1]] * bool(pieces[-1])
        if max(map(len, lines)) > MAX_LINE_BYTES:
            raise LineError("is longer than any line of an audit log")
        rest = lines.pop(0) if start else b""
        for line in reversed(lines):
            stop -= len(line)
            yield stop, line
