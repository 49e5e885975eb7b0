"""Opening the log: lock it, find its good end, set aside what is torn or damaged, close intents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assurebot.audit import lines
from assurebot.audit.chain import Draft, Head
from assurebot.audit.files import (
    Names,
    OpenAppend,
    lines_backward,
    make_key,
    sync_folder,
    take_lock,
)
from assurebot.audit.journal import Journal, Tail, line_before
from assurebot.audit.lines import Key, Line, LineError
from assurebot.errors import AuditError
from assurebot.values import AuditEntry, Trace

_LISTS_OPEN = frozenset({b"startup", b"shutdown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """An intent that has no result, because the process ended first: its outcome is unknown."""

    seq: int
    type: str
    trace: Trace
    action: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A log that is ready to be written."""

    journal: Journal
    key: Key
    interrupted: tuple[Interrupted, ...]


def open_journal(
    path: Path,
    given_key: bytes | None,
    *,
    now: datetime,
    draft: Callable[[AuditEntry, Key], Draft],
    open_append: OpenAppend,
    rotate_bytes: int,
    retry_seconds: float,
) -> Opened:
    """Lock and recover the log at `path`; what was found is recorded in it before this returns.

    A clean log costs the reading of its last block; after a crash, of what was written since the
    last start.

    Raises:
        AuditError: Another writer has it, or the disk refuses.
    """
    names = Names(path)
    try:
        with ExitStack() as undo:
            names.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            known = names.beside("lock").exists()
            lock = take_lock(names.beside("lock"))
            undo.callback(os.close, lock)
            key = Key.of(make_key(path) if given_key is None else given_key)
            tail, findings = _recover(names, key, now, known=known)
            interrupted = tuple(_open_intents(names, key))
            journal = Journal(
                names,
                key,
                tail,
                lock=lock,
                open_seqs=[one.seq for one in interrupted],
                open_append=open_append,
                rotate_bytes=rotate_bytes,
                retry_seconds=retry_seconds,
            )
            undo.pop_all()
            undo.callback(journal.close)
            journal.start_reserve()
            entries = [*findings, *map(_closing_entry, interrupted)]
            if entries:
                journal.append([draft(entry, key) for entry in entries])
            undo.pop_all()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise AuditError(f"the audit log {path} cannot be opened: {reason}") from error
    return Opened(journal=journal, key=key, interrupted=interrupted)


def _recover(
    names: Names, key: Key, now: datetime, *, known: bool
) -> tuple[Tail, list[AuditEntry]]:
    """Find where the log ends, after moving torn and damaged parts out of the way."""
    _finish_rotation(names)
    current = names.current
    begin = _begin(names, key)
    size = current.stat().st_size if current.exists() else 0
    if size == 0:
        # The lock file outlives every process, so it tells a first start from a lost log.
        gone = known or begin.number > 1
        return begin, [_finding("missing", current, "no lines were found")] * gone
    end = _good_end(current, size)
    findings = []
    if end is not None and end < size:
        findings = [_finding("torn", _cut(names, end, size), f"{size - end} bytes set aside")]
    if end == 0:
        return begin, findings
    line = line_before(current, end) if end else None
    if end is None or line is None or lines.flaw(line, key) is not None:
        aside = names.beside(f"damaged-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}")
        current.rename(aside)
        sync_folder(names.folder)
        return begin, [*findings, _finding("damaged", aside, "set aside: its end is not good")]
    return Tail(head=_head(line), end=end, number=begin.number), findings


def _finish_rotation(names: Names) -> None:
    """Finish or undo a rotation that a crash cut short."""
    following = names.beside("next")
    if not following.exists():
        return
    if names.current.exists():
        following.unlink()  # nothing in it was ever acknowledged
    else:
        following.rename(names.current)
    sync_folder(names.folder)


def _begin(names: Names, key: Key) -> Tail:
    """Say how a new current file would follow the one before it, if there is a good one."""
    rotated = names.all_rotated()
    if not rotated:
        return Tail(head=Head(), end=0, number=1)
    number, path = rotated[-1]
    last = line_before(path, path.stat().st_size)
    good = last is not None and lines.flaw(last, key) is None
    return Tail(head=_head(last) if last and good else Head(), end=0, number=number + 1)


def _good_end(path: Path, size: int) -> int | None:
    """Return where the last line ends that has our form; `None` if the last two have not.

    What comes after it is torn: a line without its end, or one that cannot be read.
    """
    with path.open("rb") as file:
        backward = lines_backward(file, size)
        try:
            start, raw = next(backward)
            if _is_line(raw):
                return size
            before = next(backward, None)
        except LineError:
            return None
    return start if before is None or _is_line(before[1]) else None


def _is_line(raw: bytes) -> bool:
    try:
        lines.parse(raw[:-1])
    except LineError:
        return False
    return raw.endswith(b"\n")


def _cut(names: Names, end: int, size: int) -> Path:
    """Move the bytes after `end` into a side file; they are safe there before they go."""
    aside = names.free("torn")
    with names.current.open("r+b") as file, aside.open("xb") as copy:
        aside.chmod(0o600)
        file.seek(end)
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())
        sync_folder(names.folder)
        assert copy.tell() == size - end
        file.truncate(end)
        os.fsync(file.fileno())
    return aside


def _finding(action: str, path: Path, evidence: str) -> AuditEntry:
    return AuditEntry(type="recovered", action=action, target=path.name, evidence=evidence)


def _closing_entry(intent: Interrupted) -> AuditEntry:
    return AuditEntry(
        type="recovered",
        closes=intent.seq,
        trace=intent.trace,
        action=intent.action,
        target=intent.target,
        result="unknown",
        evidence=f"{intent.type} intent without a result",
    )


def _head(line: Line) -> Head:
    return Head(seq=line.seq, mac=line.mac)


def _open_intents(names: Names, key: Key) -> list[Interrupted]:
    """Find the intents without a result, reading backward to the nearest line that lists them."""
    found: list[Interrupted] = []
    closed: set[int] = set()
    wanted: set[int] | None = None
    for line in _backward(names, key):
        closed.add(line.closes or 0)
        is_open = line.phase == b"intent" and line.seq not in closed
        if is_open and (wanted is None or line.seq in wanted):
            found.append(_interrupted(line))
        if wanted is None:
            wanted = _listed(line, closed)
        else:
            wanted.discard(line.seq)
        if wanted is not None and not wanted:
            break
    return found[::-1]


def _backward(names: Names, key: Key) -> Iterator[Line]:
    """Yield the good lines of all files, last one first; bad ones are for `verify` to report."""
    for path in names.newest_first():
        with path.open("rb") as file:
            try:
                for _, raw in lines_backward(file, path.stat().st_size):
                    if _is_line(raw) and lines.flaw(line := lines.parse(raw[:-1]), key) is None:
                        yield line
            except LineError:
                continue


def _listed(line: Line, closed: set[int]) -> set[int] | None:
    """Return what is open before a line that lists it, less what was closed after it."""
    if line.type not in _LISTS_OPEN and b',"follows":"' not in line.body:
        return None
    listed = str(lines.facts_of(line).get("open", ""))
    return {seq for seq, _ in lines.read_seqs(listed)} - closed


def _interrupted(line: Line) -> Interrupted:
    facts: dict[str, Any] = lines.facts_of(line)
    return Interrupted(
        seq=line.seq,
        type=facts["type"],
        trace=Trace(
            event=facts.get("event", ""),
            turn=facts.get("turn"),
            step=facts.get("step"),
            actor=facts.get("actor", ""),
            user=facts.get("user"),
        ),
        action=facts.get("action"),
        target=facts.get("target"),
    )
