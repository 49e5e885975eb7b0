"""Finding where a log ends: what is torn or damaged is set aside, and open intents are found."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from assurebot.audit.chain import TRACE, Head, Line, LineError, parse
from assurebot.audit.files import Names, all_backward, lines_backward, write_whole
from assurebot.values import AuditEntry, Trace


def recover(names: Names, key: hmac.HMAC, *, known: bool) -> tuple[Head, int, list[AuditEntry]]:
    """Make the log ready to be appended to.

    A clean log costs the reading of its last block; after a crash, of what was written since the
    last start. Returned are its end, the number of its current file, and lines to be recorded:
    what was torn, damaged or missing, and the closing of each intent without a result.

    Args:
        names: The files of the log, which nobody else may write meanwhile.
        key: The key of the chain.
        known: There was a log here before.
    """
    _undo_rotation(names)
    rotated = names.all_rotated()
    number = rotated[-1][0] if rotated else 0
    line, found = _find_end(names, key, known=known or number > 0)
    if line is None and rotated:
        line, _ = _last_good(rotated[-1][1], key)
    head = Head(seq=line.seq, mac=line.mac) if line else Head()
    return head, number + 1, [*found, *_open_intents(names, key)]


def _undo_rotation(names: Names) -> None:
    """Take away what a rotation left that a crash cut short; nothing of it was acknowledged."""
    names.beside("next").unlink(missing_ok=True)
    for _, path in names.all_rotated()[-1:]:
        if names.current.exists() and path.samefile(names.current):
            path.unlink()


def _find_end(names: Names, key: hmac.HMAC, *, known: bool) -> tuple[Line | None, list[AuditEntry]]:
    """Find the last line of the current file, after moving bad parts out of the way."""
    current = names.current
    size = current.stat().st_size if current.exists() else 0
    if size == 0:
        return None, [_fault("missing", current, "no lines were found")] if known else []
    line, torn = _last_good(current, key)
    if line is None and len(torn) < size:
        aside = names.free("damaged")
        current.rename(aside)
        return None, [_fault("damaged", aside, "set aside: its end is not good")]
    if not torn:
        return line, []
    aside = names.free("torn")
    write_whole(aside, torn)
    os.truncate(current, size - len(torn))
    return line, [_fault("torn", aside, f"{len(torn)} bytes set aside")]


def _fault(action: str, path: Path, evidence: str) -> AuditEntry:
    return AuditEntry(type="recovered", action=action, target=path.name, evidence=evidence)


def _last_good(path: Path, key: hmac.HMAC) -> tuple[Line | None, bytes]:
    """Return the last line, or the one before it if the last is torn, and the torn bytes.

    A crash can tear one line only: without a good one before it there is none.
    """
    torn = b""
    with path.open("rb") as file:
        for raw in lines_backward(file):
            try:
                return parse(raw, key), torn
            except LineError:
                if torn:
                    break
                torn = raw
    return None, torn


def _open_intents(names: Names, key: hmac.HMAC) -> list[AuditEntry]:
    """Find the intents without a result, back to the nearest line that lists them."""
    found: list[AuditEntry] = []
    closed: set[int | None] = set()
    wanted: set[int] | None = None
    for raw in all_backward(names):
        try:
            line = parse(raw, key)
        except LineError:
            continue  # for `verify` to report
        closed.add(line.closes)
        is_open = line.phase == b"intent" and line.seq not in closed
        if is_open and (wanted is None or line.seq in wanted):
            found.append(_closing(line))
        if wanted is not None:
            wanted.discard(line.seq)
        elif (listed := line.open_seqs()) is not None:
            wanted = listed - closed
        if wanted is not None and not wanted:
            break
    return found[::-1]


def _closing(line: Line) -> AuditEntry:
    facts = line.facts()
    return AuditEntry(
        type="recovered",
        closes=line.seq,
        trace=Trace(**{"actor": "", **{name: facts[name] for name in TRACE if name in facts}}),
        action=facts.get("action"),
        target=facts.get("target"),
        result="unknown",
        evidence=f"{facts['type']} intent without a result",
    )
