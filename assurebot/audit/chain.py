"""The line format of the audit log: entries into lines, lines into checked pieces; no I/O.

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

Nothing is parsed as JSON before its mac is found good: JSON readers differ on repeated keys,
blanks and escapes, bytes do not.
"""

from __future__ import annotations

import hmac
import json
import re
from binascii import hexlify, unhexlify
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from assurebot.errors import AuditError
from assurebot.values import AuditEntry

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Longer lines are neither written nor looked for."""

TRACE = ("event", "turn", "step", "actor", "user")
_FACTS = (
    *("type", "phase", "closes", *TRACE, "action", "target"),
    *("decision", "rule", "approval_required", "approved_by", "result", "evidence"),
    *("path", "status", "exit", "path_changes", "model", "tokens", "cost_usd", "job"),
    *("duration_ms", "error"),
)
_CONTENT = ("text", "response", "command")
_LISTS_OPEN = frozenset({"startup", "shutdown"})

_HEX_LENGTH = 64
_HASH_ONLY = b',"content":"hash"'
_HASH_KEY = b',"content_hash":"'
_MAC_KEY = b',"mac":"'
_PREV = slice(-_HEX_LENGTH - 1, -1)
_FACTS_AND_HASH = slice(-len(',"prev":""') - _HEX_LENGTH)
_BEGIN = re.compile(
    rb'\{"seq":([1-9][0-9]*),"ts":"([0-9T:.Z-]{24})","type":"([a-z]+)"'
    rb'(?:,"phase":"(intent|result)")?(?:,"closes":([1-9][0-9]*))?,'
)
_END = re.compile(rb'([0-9a-f]{64})"(?:,(.*),"salt":"([0-9a-f]{32})")?\}\n', re.DOTALL)


class LineError(ValueError):
    """The bytes are not a line as it was written; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain stands: the last seq and its mac."""

    seq: int = 0
    mac: bytes = b"0" * _HEX_LENGTH

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac.decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry made ready: all but what its place in the chain decides."""

    entry: AuditEntry
    facts: bytes
    content: bytes
    salt: bytes | None


class Linked(NamedTuple):
    """Drafts in their place: what to write, and how things stand afterwards."""

    data: bytes
    head: Head
    open_seqs: frozenset[int]


class Line(NamedTuple):
    """A good line in its pieces (a named tuple, because `verify` makes millions of them).

    `stripped` means that there was content, and it is gone.
    """

    body: bytes
    prev: bytes
    mac: bytes
    seq: int
    ts: bytes
    type: bytes
    phase: bytes | None
    closes: int | None
    stripped: bool

    def facts(self) -> dict[str, Any]:
        """Return all facts by name."""
        facts: dict[str, Any] = json.loads(self.body + b"}")
        return facts

    def open_seqs(self) -> set[int] | None:
        """Return the intents that were open before it; `None` if it does not list them."""
        if self.type.decode() not in _LISTS_OPEN and b',"follows":"' not in self.body:
            return None
        return {int(seq) for seq in self.facts().get("open", "").split(",") if seq}


def draft(
    entry: AuditEntry, *, at: datetime, redact: Callable[[str], str], salt: bytes | None
) -> Draft:
    """Make an entry ready to be linked; every string goes through `redact` before it is hashed.

    Args:
        entry: What to record.
        at: Its time, aware.
        redact: Replaces what must not be written.
        salt: 16 random bytes, or `None` to keep only the hash of the content.

    Raises:
        AuditError: The line would be too long.
        ValueError: A result that names no intent.
    """
    if entry.phase == "result" and entry.closes is None:
        raise ValueError("a result must name the intent that it closes")
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    values = [(name, getattr(entry.trace if name in TRACE else entry, name)) for name in _FACTS]
    # An effect without an event has the empty text there.
    named = [(name, value) for name, value in values if value != "" or name not in TRACE]
    facts = b"," + _pairs([("ts", stamp), *named], redact)
    content = _pairs([(name, getattr(entry, name)) for name in _CONTENT], redact)
    if len(facts) + len(content) > MAX_LINE_BYTES - 1024:
        raise AuditError("an audit line of this length cannot be written")
    return Draft(entry=entry, facts=facts, content=content, salt=salt)


def _pairs(values: Iterable[tuple[str, Any]], redact: Callable[[str], str]) -> bytes:
    pairs = []
    for name, value in values:
        if value is not None:
            kept = redact(value) if isinstance(value, str) else value
            pairs.append(f'"{name}":{json.dumps(kept, ensure_ascii=False)}')
    # Half a surrogate pair has no UTF-8 form; two halves of one are joined.
    whole = ",".join(pairs).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.encode()


def link(
    drafts: Sequence[Draft],
    head: Head,
    key: hmac.HMAC,
    *,
    open_seqs: frozenset[int] = frozenset(),
    follows: tuple[int, str] | None = None,
) -> Linked:
    """Give drafts their place after `head`, in order.

    Args:
        drafts: What to link.
        head: The end of the chain so far.
        key: The key of the chain.
        open_seqs: Intents without a result so far.
        follows: Number of the new file and name of the one before, when a file begins here.
    """
    lines: list[bytes] = []
    still_open = set(open_seqs)
    seq, mac = head.seq, head.mac
    for one in drafts:
        seq += 1
        placed = b""
        if follows and not lines:
            placed = b',"file":%d,"follows":%b' % (follows[0], json.dumps(follows[1]).encode())
        if still_open and (placed or one.entry.type in _LISTS_OPEN):
            placed += b',"open":"%b"' % ",".join(map(str, sorted(still_open))).encode()
        hashed, content = _hash(one, key)
        body = b'{"seq":%d%b%b%b,"prev":"%b"' % (seq, one.facts, placed, hashed, mac)
        mac = seal(key, mac + body)
        lines.append(b'%b,"mac":"%b"%b}\n' % (body, mac, content))
        still_open.discard(one.entry.closes or 0)
        if one.entry.phase == "intent":
            still_open.add(seq)
    return Linked(b"".join(lines), Head(seq=seq, mac=mac), frozenset(still_open))


def _hash(one: Draft, key: hmac.HMAC) -> tuple[bytes, bytes]:
    """Return the facts about the content, and the content as it is kept."""
    if not one.content:
        return b"", b""
    if one.salt is None:
        digest = _content_hash(unhexlify(seal(key, one.facts)), one.content)
        return b'%b%b%b"' % (_HASH_ONLY, _HASH_KEY, digest), b""
    kept = b',%b,"salt":"%b"' % (one.content, hexlify(one.salt))
    return b'%b%b"' % (_HASH_KEY, _content_hash(one.salt, one.content)), kept


def seal(key: hmac.HMAC, data: bytes) -> bytes:
    """Return an HMAC as hex; copying the state that the key begins is faster than beginning it."""
    state = key.copy()
    state.update(data)
    return hexlify(state.digest())


def _content_hash(salt: bytes, content: bytes) -> bytes:
    return hexlify(hmac.digest(salt, b"{" + content + b"}", "sha256"))


def parse(raw: bytes, key: hmac.HMAC) -> Line:
    r"""Take a line (its `\n` included) apart; every byte of it is under a check.

    Raises:
        LineError: It has another form, mac or content than the one that was written.
    """
    body, _, rest = raw.partition(_MAC_KEY)
    begin, end = _BEGIN.match(body), _END.fullmatch(rest)
    if begin is None or end is None:
        raise LineError("is not a line of an audit log")
    seq, ts, kind, phase, closes = begin.groups()
    mac, content, salt = end.groups()
    prev = body[_PREV]
    if seal(key, prev + body) != mac:
        raise LineError("does not match its mac: it was changed, or the key is another one")
    facts, hashed, digest = body[_FACTS_AND_HASH].rpartition(_HASH_KEY)
    hash_only = facts.endswith(_HASH_ONLY)
    if content is not None and (
        hash_only or not hashed or _content_hash(unhexlify(salt), content) != digest[:-1]
    ):
        raise LineError("does not match its content_hash: its content was changed")
    return Line(
        *(body, prev, mac, int(seq), ts, kind, phase, int(closes) if closes else None),
        stripped=bool(hashed) and content is None and not hash_only,
    )
