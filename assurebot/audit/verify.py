"""Checking the log without the program: is every line there, in order, as it was written?"""

from __future__ import annotations

import hmac
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from assurebot.audit.chain import MAX_LINE_BYTES, Head, Line, LineError, parse
from assurebot.audit.files import Names, all_backward
from assurebot.errors import AuditError

_ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)
_SEQS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", re.ASCII)
_INTENT, _CLOSED = 1, 2
_MAX_NOTES = 20
_TOLD = ("action", "target", "evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """The first line that is not as it was written; `number` counts from 1 within the file."""

    file: str
    number: int
    seq: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found.

    Attributes:
        status: `torn` is what a crash leaves, and is fine; only `tampered` is not.
        counts: (type, lines of it), by name.
        open_intents: Intents without a result: at work now, or cut off by a crash.
        head: The last good line.
        anchor: The anchor that was asked for.
        bad: The first bad line, exactly when tampered; what comes after it was not looked at.
    """

    status: Literal["ok", "torn", "tampered"]
    files: int
    line_count: int
    counts: tuple[tuple[str, int], ...]
    open_intents: int
    head: Head
    anchor: Head | None
    bad: BadLine | None
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing was changed, as far as can be known."""
        return self.status != "tampered"

    def lines(self) -> list[str]:
        """Return the report as text for people."""
        found = [
            f"{self.status}: {self.line_count} good lines in {self.files} files",
            f"head: {self.head}",
            *(f"{name}: {count}" for name, count in self.counts),
            f"intents without a result: {self.open_intents}",
            *(f"note: {note}" for note in self.notes),
        ]
        if self.bad:
            bad = self.bad
            found.append(f"first bad line: {bad.file} line {bad.number} (seq {bad.seq}) {bad.why}")
        elif self.anchor:
            found.append(f"the anchor {self.anchor.seq} was found")
        if self.anchor is None:
            found.append("no anchor was given: a cut tail, an older copy or a fork is not seen")
        return found


def verify(path: Path, key: bytes, anchor: str | None = None) -> Report:
    """Check the whole log at `path`, earlier files first; it may be written to meanwhile.

    Args:
        path: The current file.
        key: The key of the chain.
        anchor: A head seen earlier, `SEQ:MAC`; it must be in the log.

    Raises:
        AuditError: The files cannot be read, or the anchor has another form.
    """
    expected = _read_anchor(anchor) if anchor is not None else None
    walk = _Walk(hmac.new(key, digestmod="sha256"), expected)
    try:
        walk.read_all(Names(path))
        bad = walk.bad_at_end()
    except LineError as error:
        bad = walk.bad(str(error))
    except OSError as error:
        raise AuditError(f"the audit log {path} cannot be read: {error.strerror}") from error
    return Report(
        status="tampered" if bad else "torn" if walk.torn else "ok",
        files=walk.files,
        line_count=walk.seq,
        counts=tuple(sorted((name.decode(), count) for name, count in walk.counts.items())),
        open_intents=walk.marks.count(_INTENT),
        head=Head(seq=walk.seq, mac=walk.mac),
        anchor=expected,
        bad=bad,
        notes=tuple(walk.notes[:_MAX_NOTES]),
    )


def tail(path: Path, count: int) -> list[str]:
    """Return the last whole lines of the log as they are, oldest first; reads no more than these.

    Raises:
        AuditError: The files cannot be read, or there are none.
    """
    names = Names(path)
    if not names.current.exists() and not names.all_rotated():
        raise AuditError(f"the audit log {path} is not there")
    try:
        whole = (raw for raw in all_backward(names) if raw.endswith(b"\n"))
        found = [raw[:-1].decode("utf-8", "replace") for raw in islice(whole, count)]
    except OSError as error:
        raise AuditError(f"the audit log {path} cannot be read: {error.strerror}") from error
    return found[::-1]


class _Walk:
    """What is known after the lines so far; a bad line raises `LineError` where it stands."""

    def __init__(self, key: hmac.HMAC, anchor: Head | None) -> None:
        self.seq, self.mac = Head().seq, Head().mac
        self.files = 0
        self.torn = False
        self.notes: list[str] = []
        self.counts: Counter[bytes] = Counter()
        self.marks = bytearray(1)
        self._key = key
        self._anchor = anchor
        self._ts = b""
        self._file, self._number = "", 0
        self._stripped: dict[int, BadLine] = {}

    def read_all(self, names: Names) -> None:
        """Check the files in order."""
        with names.open_current() as (current, rotated):
            if names.beside("next").exists():
                self.notes.append("a rotation is under way, or a crash cut it short")
            for due, (number, path) in enumerate(rotated, start=1):
                self._file, self._number = path.name, 1
                if number != due:
                    raise LineError(f"is in file {number} where file {due} is due")
                with path.open("rb") as file:
                    self._read(file)
            self._file, self._number = names.current.name, 1
            if current is None:
                raise LineError("is not there: the file is missing")
            self._read(current, is_current=True)

    def bad_at_end(self) -> BadLine | None:
        """Say what only the end of the log shows."""
        if self._stripped:
            return next(iter(self._stripped.values()))
        if self._anchor and self.seq < self._anchor.seq:
            self._number += not self.torn
            return self.bad(f"is missing: the tail up to the anchor {self._anchor.seq} was cut off")
        return None

    def bad(self, why: str) -> BadLine:
        """Name the line that should have been the next one."""
        return BadLine(file=self._file, number=self._number, seq=self.seq + 1, why=why)

    def _read(self, file: BinaryIO, *, is_current: bool = False) -> None:
        self.files += 1
        if not os.fstat(file.fileno()).st_size:
            raise LineError("is not there: the file is empty")
        # A line end must come within the limit; a file without any is not read into memory.
        lines = iter(partial(file.readline, MAX_LINE_BYTES + 1), b"")
        for self._number, raw in enumerate(lines, start=1):
            if is_current and raw[-1:] != b"\n" and len(raw) <= MAX_LINE_BYTES:
                self.torn = True
                self.notes.append(f"the last {len(raw)} bytes are a torn line, left by a crash")
                break
            self._take(parse(raw, self._key))

    def _take(self, line: Line) -> None:
        if line.prev != self.mac or line.seq != self.seq + 1:
            raise LineError(f"has seq {line.seq} and does not follow seq {self.seq}")
        if self._anchor and line.seq == self._anchor.seq and line.mac != self._anchor.mac:
            raise LineError("is not the anchored one: this is another fork of the log")
        self._check_intents(line)
        if line.stripped:
            self._stripped[line.seq] = self.bad("has lost its content, and is not named as erased")
        if line.type == b"erased":
            for low, high in _read_seqs(line.facts().get("evidence", "")):
                for seq in range(low, min(high, self.seq) + 1):
                    self._stripped.pop(seq, None)
        if line.type == b"recovered" and line.closes is None:
            facts = line.facts()
            told = " ".join(str(facts[name]) for name in _TOLD if name in facts)
            self.notes.append(f"{self._file} line {self._number} records: {told}")
        if line.ts < self._ts:
            self.notes.append(f"the clock went back at {self._file} line {self._number}")
        self.counts[line.type] += 1
        self.seq, self.mac, self._ts = line.seq, line.mac, line.ts

    def _check_intents(self, line: Line) -> None:
        if line.closes is not None:
            if line.closes >= line.seq or not self.marks[line.closes]:
                raise LineError(f"closes seq {line.closes}, which is no intent before it")
            self.marks[line.closes] = _CLOSED
        self.marks.append(_INTENT if line.phase == b"intent" else 0)


def _read_anchor(text: str) -> Head:
    found = _ANCHOR.fullmatch(text.strip())
    if found is None:
        raise AuditError("an anchor has the form SEQ:MAC, as the log's head was shown")
    return Head(seq=int(found[1]), mac=found[2].encode())


def _read_seqs(text: str) -> Iterator[tuple[int, int]]:
    """Read `3,7-9`, the evidence of an `erased` line, as ranges, both ends included."""
    for piece in text.split(",") if text else ():
        found = _SEQS.fullmatch(piece)
        if found is None:
            raise LineError("has a list of seqs that cannot be read")
        yield int(found[1]), int(found[2] or found[1])
