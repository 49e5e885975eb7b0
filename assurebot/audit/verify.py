"""Checking the log without the program: is every line there, in order, as it was written?"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

from assurebot.audit.chain import Head
from assurebot.audit.files import Names, lines_backward
from assurebot.audit.lines import (
    MAX_LINE_BYTES,
    Key,
    Line,
    LineError,
    facts_of,
    flaw,
    parse,
    read_seqs,
)
from assurebot.errors import AuditError

_ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)
_INTENT = 1
_CLOSED = 2
_MAX_NOTES = 20
_TRIES = 5
_BUFFER_BYTES = 1024 * 1024
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
    byte_count: int
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
            found.append(
                "no anchor was given: a cut tail, an older copy or another fork put in place of "
                "the log cannot be known from the files alone"
            )
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
    walk = _Walk(Key.of(key), expected)
    try:
        bad = _walk_files(Names(path), walk) or walk.end()
    except OSError as error:
        raise AuditError(f"the audit log {path} cannot be read: {error.strerror}") from error
    return Report(
        status="tampered" if bad else "torn" if walk.torn else "ok",
        files=walk.files,
        line_count=walk.seq,
        byte_count=walk.bytes,
        counts=tuple(sorted((name.decode(), count) for name, count in walk.counts.items())),
        open_intents=walk.marks.count(_INTENT),
        head=Head(seq=walk.seq, mac=walk.mac),
        anchor=expected,
        bad=bad,
        notes=tuple(walk.notes),
    )


def tail(path: Path, count: int) -> list[str]:
    """Return the last whole lines of the log as they are, oldest first; reads no more than these.

    Raises:
        AuditError: The files cannot be read.
    """
    found: list[str] = []
    try:
        for place in Names(path).newest_first():
            with place.open("rb") as file:
                for _, raw in lines_backward(file, place.stat().st_size):
                    if len(found) >= count:
                        return found[::-1]
                    if raw.endswith(b"\n"):
                        found.append(raw[:-1].decode("utf-8", "replace"))
    except (OSError, LineError) as error:
        raise AuditError(f"the audit log {path} cannot be read: {error}") from error
    return found[::-1]


class _Walk:
    """What is known after the lines so far."""

    def __init__(self, key: Key, anchor: Head | None) -> None:
        start = Head()
        self.seq = start.seq
        self.mac = start.mac
        self.bytes = 0
        self.files = 0
        self.torn = False
        self.notes: list[str] = []
        self.counts: Counter[bytes] = Counter()
        self.marks = bytearray(1)
        self._key = key
        self._anchor = anchor
        self._ts = b""
        self._file = ""
        self._number = 0
        self._without_content: dict[int, BadLine] = {}

    def read(self, file: BinaryIO, name: str, *, current: bool) -> BadLine | None:
        """Check one file; return its first bad line."""
        self.files += 1
        self._file, self._number = name, 0
        # A line end must come within the limit; a file without any is not read into memory.
        for raw in iter(partial(file.readline, MAX_LINE_BYTES + 1), b""):
            self._number += 1
            if raw[-1:] != b"\n" and current and len(raw) <= MAX_LINE_BYTES:
                self.torn = True
                self.note(f"the last {len(raw)} bytes are a torn line, as a crash leaves it")
                break
            try:
                self._take(parse(raw[:-1] if raw[-1:] == b"\n" else b""))
            except LineError as error:
                return self.bad(self._number, str(error))
            self.bytes += len(raw)
        return None if self._number else self.bad(1, "is not there: the file is empty")

    def end(self) -> BadLine | None:
        """Say what only the end of the log shows."""
        if self._without_content:
            return min(self._without_content.values(), key=lambda line: line.seq)
        if self._anchor and self.seq < self._anchor.seq:
            number = self._number + (not self.torn)
            why = (
                f"is missing: seq {self._anchor.seq} was anchored; the tail was cut or rolled back"
            )
            return self.bad(number, why)
        return None

    def bad(self, number: int, why: str, file: str | None = None) -> BadLine:
        """Name the line that should have been the next one."""
        return BadLine(file=file or self._file, number=number, seq=self.seq + 1, why=why)

    def note(self, text: str) -> None:
        """Tell something that is no tampering."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(text)

    def _take(self, line: Line) -> None:
        if line.seq != self.seq + 1:
            raise LineError(f"has seq {line.seq} where {self.seq + 1} is due: lines were moved")
        if line.prev != self.mac:
            raise LineError("does not follow the line before it")
        if (why := flaw(line, self._key)) is not None:
            raise LineError(why)
        if self._anchor and line.seq == self._anchor.seq and line.mac != self._anchor.mac:
            raise LineError("is not the anchored one: this is another fork of the log")
        self._check_intents(line)
        if line.content_hash and line.content is None and not line.hash_only:
            why = "has lost its content, and no `erased` line names it"
            self._without_content[line.seq] = self.bad(self._number, why)
        if line.type in {b"erased", b"recovered"}:
            self._read_facts(line)
        if line.ts < self._ts:
            self.note(f"the clock went back at {self._file} line {self._number}")
        self.counts[line.type] += 1
        self.seq, self.mac, self._ts = line.seq, line.mac, line.ts

    def _check_intents(self, line: Line) -> None:
        if line.closes is not None:
            if line.closes >= line.seq or not self.marks[line.closes]:
                raise LineError(f"closes seq {line.closes}, which is no intent before it")
            self.marks[line.closes] = _CLOSED
        elif line.phase == b"result":
            raise LineError("is a result without an intent")
        self.marks.append(_INTENT if line.phase == b"intent" else 0)

    def _read_facts(self, line: Line) -> None:
        facts = facts_of(line)
        if line.type == b"erased":
            for low, high in read_seqs(str(facts.get("evidence", ""))):
                named = range(low, high + 1)
                # Whichever of the two is shorter.
                for seq in (
                    named
                    if len(named) < len(self._without_content)
                    else [seq for seq in self._without_content if seq in named]
                ):
                    self._without_content.pop(seq, None)
        elif line.closes is None:
            told = " ".join(str(facts[name]) for name in _TOLD if name in facts)
            self.note(f"{self._file} line {self._number} records: {told}")


def _read_anchor(text: str) -> Head:
    found = _ANCHOR.fullmatch(text.strip())
    if found is None:
        raise AuditError("an anchor has the form SEQ:MAC, as the log's head was shown")
    return Head(seq=int(found[1]), mac=found[2].encode())


def _walk_files(names: Names, walk: _Walk) -> BadLine | None:
    rotated, current = _list_files(names)
    try:
        for due, (number, path) in enumerate(rotated, start=1):
            if number != due:
                return walk.bad(1, f"is in file {number} where file {due} is due", path.name)
            with path.open("rb", _BUFFER_BYTES) as file:
                bad = walk.read(file, path.name, current=False)
            if bad:
                return bad
        if current is None:
            return walk.bad(1, "is not there: the file is missing", names.current.name)
        name = Path(current.name).name
        if name != names.current.name:
            walk.note("a crash cut a rotation short; the next start finishes it")
        return walk.read(current, name, current=True)
    finally:
        if current is not None:
            current.close()


def _list_files(names: Names) -> tuple[list[tuple[int, Path]], BinaryIO | None]:
    """List the earlier files and open the current one, as they are at one moment."""
    for _ in range(_TRIES):
        rotated = names.all_rotated()
        current = _open_current(names)
        if names.all_rotated() == rotated:
            return rotated, current
        if current is not None:
            current.close()
    raise AuditError(f"the audit log {names.current} rotates faster than it can be read")


def _open_current(names: Names) -> BinaryIO | None:
    for place in (names.current, names.beside("next"), names.current):
        try:
            return place.open("rb", _BUFFER_BYTES)
        except FileNotFoundError:
            continue
    return None
