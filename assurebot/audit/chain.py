"""The line format of the audit log, and the writing of lines: pure functions, no I/O.

A line is one JSON object in this byte order: facts, `content_hash`, `prev`, `mac`, then the
content that can be erased (`text` `response` `command` `salt`).

- `mac` = HMAC-SHA-256(key, prev || the bytes before `,"mac"`), lower-case hex. Quotes inside JSON
  strings are escaped, so the first `,"mac":"` is always the real one.
- `content_hash` = HMAC-SHA-256(salt, `{` content `}`) over the exact bytes of the content.
- Lines whose content was never kept (`AUDIT_CONTENT=hash`) say so with the fact
  `"content":"hash"`. Their salt is derived from the key and the facts, so only a holder of the key
  can check a claimed text against the hash.
- The first line of a file that follows another has the facts `file` (its number) and `follows`
  (the name of the file before); that line and `startup` and `shutdown` list the intents that are
  `open` before it.
"""

from __future__ import annotations

import json
from binascii import hexlify
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from assurebot.audit.lines import (
    HASH_KEY,
    HASH_ONLY,
    HEX_LENGTH,
    MAC_KEY,
    MAX_LINE_BYTES,
    PREV_KEY,
    Fact,
    Key,
    hash_content,
)
from assurebot.errors import AuditError
from assurebot.values import AuditEntry

_FACTS = (
    *("type", "phase", "closes", "event", "turn", "step", "actor", "user", "action", "target"),
    *("decision", "rule", "approval_required", "approved_by", "result", "evidence"),
    *("path", "status", "exit", "path_changes", "model", "tokens", "cost_usd", "job"),
    *("duration_ms", "error"),
)
_TRACE = frozenset({"event", "turn", "step", "actor", "user"})
_CONTENT = ("text", "response", "command")
_LISTS_OPEN = frozenset({"startup", "shutdown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain stands: the last seq and its mac."""

    seq: int = 0
    mac: bytes = b"0" * HEX_LENGTH

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac.decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry made ready: all but seq, prev and mac, which its place in the chain decides."""

    type: str
    phase: str | None
    closes: int | None
    facts: bytes
    content_hash: bytes = b""
    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """Drafts with their place in the chain: what to write, and how things stand afterwards."""

    data: bytes
    seqs: tuple[int, ...]
    head: Head
    open_seqs: frozenset[int]


def draft(
    entry: AuditEntry,
    *,
    at: datetime,
    redact: Callable[[str], str],
    key: Key,
    salt: bytes | None,
) -> Draft:
    """Make an entry ready to be linked; every string value goes through `redact` first.

    Args:
        entry: What to record.
        at: Its time, aware.
        redact: Applied before anything is hashed.
        key: The key of the chain.
        salt: 16 random bytes, or `None` to keep only the hash of the content.

    Raises:
        AuditError: The line would be too long.
        ValueError: A result that names no intent.
    """
    if entry.phase == "result" and entry.closes is None:
        raise ValueError("a result must name the intent that it closes")
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    facts = b"".join(
        b"," + _pair(name, value, redact) for name, value in [("ts", stamp), *_facts(entry)]
    )
    kept = [(name, getattr(entry, name)) for name in _CONTENT]
    content = b",".join(_pair(name, value, redact) for name, value in kept if value is not None)
    if len(facts) + len(content) > MAX_LINE_BYTES - 1024:
        raise AuditError("an audit line of this length cannot be written")
    tail = b""
    content_hash = b""
    if content:
        if salt is None:
            digest = hash_content(key.derive_salt(facts), content)
            content_hash = HASH_ONLY + HASH_KEY + digest + b'"'
        else:
            content_hash = HASH_KEY + hash_content(salt, content) + b'"'
            tail = b"," + content + b',"salt":"' + hexlify(salt) + b'"'
    return Draft(
        type=entry.type,
        phase=entry.phase,
        closes=entry.closes,
        facts=facts,
        content_hash=content_hash,
        content=tail,
    )


def link(
    drafts: Sequence[Draft],
    head: Head,
    key: Key,
    *,
    open_seqs: Iterable[int] = (),
    follows: tuple[int, str] | None = None,
) -> Linked:
    """Give drafts their place after `head`.

    Args:
        drafts: In the order in which they will stand.
        head: The end of the chain so far.
        key: The key of the chain.
        open_seqs: Intents without a result so far.
        follows: Number of the new file and name of the one before, when a file begins here.
    """
    lines: list[bytes] = []
    still_open = set(open_seqs)
    seq, mac = head.seq, head.mac
    for item in drafts:
        seq += 1
        extra = b""
        if follows and not lines:
            extra = b',"file":%d,"follows":%b' % (follows[0], json.dumps(follows[1]).encode())
        if still_open and (extra or item.type in _LISTS_OPEN):
            listed = ",".join(str(one) for one in sorted(still_open))
            extra += b',"open":"' + listed.encode() + b'"'
        body = b'{"seq":%d%b%b%b%b%b"' % (
            *(seq, item.facts, extra, item.content_hash),
            *(PREV_KEY, mac),
        )
        mac = key.seal(mac, body)
        lines.append(b'%b%b%b"%b}\n' % (body, MAC_KEY, mac, item.content))
        still_open.discard(item.closes or 0)
        if item.phase == "intent":
            still_open.add(seq)
    return Linked(
        data=b"".join(lines),
        seqs=tuple(range(head.seq + 1, seq + 1)),
        head=Head(seq=seq, mac=mac),
        open_seqs=frozenset(still_open),
    )


def _facts(entry: AuditEntry) -> Iterator[tuple[str, Fact]]:
    for name in _FACTS:
        value = getattr(entry.trace if name in _TRACE else entry, name)
        # An effect without an event has the empty text there.
        if value is not None and not (value == "" and name in _TRACE):
            yield name, value


def _pair(name: str, value: Fact, redact: Callable[[str], str]) -> bytes:
    if isinstance(value, str):
        text = json.dumps(redact(value), ensure_ascii=False)
        # Half a surrogate pair has no UTF-8 form; two halves of one are joined.
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return b'"%b":%b' % (name.encode(), whole.encode())
    if isinstance(value, bool):
        return b'"%b":%b' % (name.encode(), b"true" if value else b"false")
    if isinstance(value, int):
        return b'"%b":%d' % (name.encode(), value)
    raise TypeError(f"{name} must be text, a whole number or a boolean")
