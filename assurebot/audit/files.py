"""Files of the audit log: their names, modes and key, whole writes, and reading backward."""

from __future__ import annotations

import fcntl
import io
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from os.path import samestat
from pathlib import Path
from typing import BinaryIO

from assurebot.audit.chain import MAX_LINE_BYTES
from assurebot.errors import AuditError

_BLOCK_BYTES = 256 * 1024
_KEY_BYTES = 32


class LogFile(io.FileIO):
    """An open file; the seam through which tests bring about failures of the disk."""

    def write_all(self, data: bytes) -> None:
        """Write all of it; after a short write the rest fails on its own if the disk is full."""
        while data:
            data = data[self.write(data) :]

    def fsync(self) -> None:
        """Return once everything written is on the disk."""
        os.fsync(self.fileno())


OpenAppend = Callable[[Path], LogFile]


def open_append(path: Path) -> LogFile:
    """Open a file for appending, mode 0600, made if it is not there; links are not followed."""
    return LogFile(path, "ab", opener=open_private)


def open_private(path: str, flags: int) -> int:
    """Open a file for its owner alone, whatever its mode was; links are not followed."""
    fd = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    os.fchmod(fd, 0o600)
    return fd


@dataclass(frozen=True, slots=True)
class Names:
    """The names of all files that belong to the log at `current`."""

    current: Path

    def beside(self, suffix: str) -> Path:
        """Return the side file with this suffix: `lock`, `key`, `reserve` or `next`."""
        return self.current.with_name(f"{self.current.name}.{suffix}")

    def free(self, kind: str) -> Path:
        """Return a side file name that is not taken yet: `torn-1`, `torn-2` and so on."""
        paths = (self.beside(f"{kind}-{number}") for number in count(1))
        return next(path for path in paths if not path.exists())

    def rotated(self, number: int) -> Path:
        """Return the name of an earlier file."""
        return self.current.with_name(f"{self.current.stem}.{number:06d}{self.current.suffix}")

    def all_rotated(self) -> list[tuple[int, Path]]:
        """List the earlier files that are there with their numbers, oldest first."""
        stem, suffix = re.escape(self.current.stem), re.escape(self.current.suffix)
        pattern = re.compile(rf"{stem}\.([0-9]{{6,}}){suffix}", re.ASCII)
        found = ((pattern.fullmatch(path.name), path) for path in self.current.parent.glob("*"))
        return sorted((int(match[1]), path) for match, path in found if match)

    @contextmanager
    def open_current(self) -> Iterator[tuple[BinaryIO | None, list[tuple[int, Path]]]]:
        """Open the current file, if it is there, and list the files before it.

        A rotation may be giving it a number just now, or do so while it is read.
        """
        if not self.current.exists():
            yield None, self.all_rotated()
            return
        with self.current.open("rb", _BLOCK_BYTES) as file:
            here = os.fstat(file.fileno())
            before = takewhile(lambda one: not samestat(one[1].stat(), here), self.all_rotated())
            yield file, list(before)


def take_lock(path: Path) -> io.FileIO:
    """Lock a file against every other process; closing it unlocks.

    Raises:
        AuditError: Another writer has it.
    """
    file = open_append(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise AuditError(f"another writer holds {path}") from error
    return file


def sync_folder(folder: Path) -> None:
    """Make new, renamed and removed names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in place, durably and at once.

    Raises:
        OSError: It could not be written; nothing of it is left.
    """
    made = path.with_name(f"{path.name}.new")
    try:
        with LogFile(made, "wb", opener=open_private) as file:
            file.write_all(data)
            file.fsync()
        made.replace(path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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
        write_whole(place, secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n")
    return read_key(path)


def lines_backward(file: BinaryIO) -> Iterator[bytes]:
    r"""Yield the lines of a file, last one first, `\n` included where it is there.

    Before a line longer than any that is ever written it ends, with the piece of it read so far.
    """
    start, rest = os.fstat(file.fileno()).st_size, b""
    while start and len(rest) <= MAX_LINE_BYTES:
        end, start = start, max(0, start - _BLOCK_BYTES)
        file.seek(start)
        rest, *lines = io.BytesIO(file.read(end - start) + rest).readlines()
        yield from reversed(lines)
    if rest:
        yield rest


def all_backward(names: Names) -> Iterator[bytes]:
    """Yield the lines of all files, last one first."""
    with names.open_current() as (current, rotated):
        if current:
            yield from lines_backward(current)
    for _, path in reversed(rotated):
        with path.open("rb") as file:
            yield from lines_backward(file)
