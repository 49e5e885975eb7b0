"""The data folder: made private, held by one process, and a damaged database set aside."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from assurebot.errors import ConfigError, DataHeld

CHECKED_WHOLE_BYTES = 64 << 20
"""A database up to this size is checked at every start; a larger one only after a crash."""


def make_private(folder: Path) -> None:
    """Make the folder, readable by us alone, and see that it can be written.

    Raises:
        ConfigError: It cannot be; the message names `DATA_DIR`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch(mode=0o600)
        probe.unlink()
        folder.chmod(0o700)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"DATA_DIR: {folder} cannot be written by uid {os.getuid()} ({reason}). "
            "Point DATA_DIR to a folder that it can write, or change the folder's owner"
        ) from error


@asynccontextmanager
async def held(
    folder: Path, wait_seconds: float, on_wait: Callable[[str], None]
) -> AsyncIterator[None]:
    """Hold the folder alone for the length of the block.

    Args:
        folder: An existing folder.
        wait_seconds: How long to wait for another holder to let go.
        on_wait: Told in words who the holder is, when there is one.

    Raises:
        DataHeld: Another process still holds it after `wait_seconds`.
        ConfigError: The lock cannot be opened; the message names `DATA_DIR`.
    """
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"DATA_DIR: the lock cannot be opened: {error}") from error
    try:
        await _take(descriptor, wait_seconds, on_wait)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": started}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(descriptor)


async def _take(descriptor: int, wait_seconds: float, on_wait: Callable[[str], None]) -> None:
    deadline = asyncio.get_running_loop().time() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _describe(os.pread(descriptor, 1000, 0))
            on_wait(holder)
            if asyncio.get_running_loop().time() >= deadline:
                raise DataHeld(f"the data folder is held by {holder}") from None
            # The kernel cannot tell an event loop that a lock came free: ask again.
            await asyncio.sleep(0.1)
        else:
            return


def _describe(raw: bytes) -> str:
    try:
        holder = json.loads(raw)
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def set_aside_if_damaged(database: Path, *, crashed: bool, now: datetime) -> Path | None:
    """Rename a database that SQLite finds damaged, with its side files; return its new name.

    Args:
        database: The file; it need not exist.
        crashed: The last stop was not a clean one.
        now: For the name.
    """
    if not database.exists():
        return None
    if database.stat().st_size > CHECKED_WHOLE_BYTES and not crashed:
        return None
    try:
        connection = sqlite3.connect(database)
        try:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # locked or unreadable, which is not damage
        verdict = str(error)
    if verdict == "ok":
        return None
    aside = database.with_name(f"{database.name}.damaged-{now:%Y%m%dT%H%M%S}")
    for suffix in ("", "-wal", "-shm"):
        part = database.with_name(database.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
