"""What the audit tests share: a clock, a log with plain settings, lines of a file, a bad disk."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from assurebot.audit.files import LogFile, open_private
from assurebot.audit.log import JsonlAudit
from assurebot.values import AuditEntry, Trace

KEY = b"the key of the tests, 32 bytes.."
NAME = "audit.jsonl"


@dataclass(slots=True)
class StepClock:
    """A clock that goes on by one millisecond each time it is read."""

    at: datetime = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the next moment."""
        self.at += timedelta(milliseconds=1)
        return self.at


@dataclass(slots=True)
class BadDisk:
    """Opens real files whose writes and fsyncs fail as told; each fault is used up once.

    Attributes:
        writes: What the next writes do: take that many bytes, or fail with that error number.
        fsyncs: Error numbers of the next fsyncs, 0 for none.
        room: Bytes that can still be written before the disk is full.
        calls: What was asked of the disk, in order.
        synced: Called after each fsync that went well, in the writing thread.
    """

    writes: list[tuple[str, int]] = field(default_factory=list)
    fsyncs: list[int] = field(default_factory=list)
    room: int | None = None
    calls: list[str] = field(default_factory=list)
    synced: Callable[[], object] = lambda: None

    def __call__(self, path: Path) -> LogFile:
        """Open a file."""
        self.calls.append("open")
        return _BadFile(self, path)


class _BadFile(LogFile):
    def __init__(self, disk: BadDisk, path: Path) -> None:
        super().__init__(path, "ab", opener=open_private)
        self.disk = disk

    def write(self, data: bytes) -> int:  # type: ignore[override] # never given anything else
        self.disk.calls.append("write")
        kind, number = self.disk.writes.pop(0) if self.disk.writes else ("take", len(data))
        if kind == "fail":
            raise OSError(number, os.strerror(number))
        if self.disk.room is not None:
            number = min(number, self.disk.room)
            if number == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.disk.room -= number
        return super().write(data[:number])

    def fsync(self) -> None:
        self.disk.calls.append("fsync")
        number = self.disk.fsyncs.pop(0) if self.disk.fsyncs else 0
        if number:
            raise OSError(number, os.strerror(number))
        super().fsync()
        self.disk.synced()

    def truncate(self, size: int | None = None) -> int:
        self.disk.calls.append("truncate")
        return super().truncate(size)

    def close(self) -> None:
        if not self.closed:
            self.disk.calls.append("close")
        super().close()


def unchanged(text: str) -> str:
    """Redact nothing."""
    return text


def make_log(folder: Path, **settings: Any) -> JsonlAudit:
    """Make a log in a folder with the key of the tests."""
    given: dict[str, Any] = {"key": KEY, "redact": unchanged, "clock": StepClock(), **settings}
    return JsonlAudit(folder / NAME, **given)


def tool(action: str = "run", **fields: Any) -> AuditEntry:
    """Make an entry about a tool call."""
    trace = Trace(event="telegram:7", turn=3, step=1, actor="alice", user=42)
    return AuditEntry(type="tool", trace=trace, action=action, **fields)


def read(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a file as objects."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def brief(path: Path, *names: str) -> list[tuple[Any, ...]]:
    """Read chosen fields of each line."""
    return [tuple(line.get(name) for name in names) for line in read(path)]


def found(folder: Path, pattern: str) -> list[Path]:
    """List the files of a folder by pattern."""
    return sorted(folder.glob(pattern))


def seeded(seed: int) -> Random:
    """Make a source of the same choices each time."""
    return Random(seed)  # noqa: S311 (choices of a test, not secrets)


def some_entry(random: Random, n: int) -> AuditEntry:
    """Make one of several kinds of records, with and without content."""
    text = 'ä"\\\n\u2028 ,"mac":"' * random.randrange(5)
    kind = random.randrange(3)
    if kind == 0:
        return AuditEntry(type="webhook", path=f"/hooks/{n}", status=200, approval_required=False)
    if kind == 1:
        return AuditEntry(type="message", trace=Trace(user=n + 1), text=text, response="fine")
    return tool(target=f"target {n}", command=text or None, result="ok", duration_ms=n)
