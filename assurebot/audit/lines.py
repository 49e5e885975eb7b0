"""Reading lines of the audit log, strict on bytes: pure functions, no I/O.

Nothing is parsed as JSON before its mac is found good: JSON readers differ on repeated keys,
blanks and escapes, bytes do not. The format is described in `chain`.
"""

from __future__ import annotations

import hmac
import json
import re
from binascii import hexlify, unhexlify
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Longer lines are neither written nor looked for."""

Fact = str | int | bool
"""What a fact can be: no floats, whose text forms differ between writers."""

MAC_KEY = b',"mac":"'
PREV_KEY = b',"prev":"'
HASH_KEY = b',"content_hash":"'
HASH_ONLY = b',"content":"hash"'
HEX_LENGTH = 64
_MAC_LENGTH = len(MAC_KEY) + HEX_LENGTH
# The end of a body: `,"content_hash":"<hex>","prev":"<hex>"`, the first of the two or neither.
_PREV = slice(-HEX_LENGTH - 1, -1)
_PREV_AT = _PREV.start - len(PREV_KEY)
_PREV_KEY = slice(_PREV_AT, _PREV.start)
_HASH = slice(_PREV_AT - HEX_LENGTH - 1, _PREV_AT - 1)
_HASH_AT = _HASH.start - len(HASH_KEY)
_HASH_KEY = slice(_HASH_AT, _HASH.start)
_HASH_ONLY = slice(_HASH_AT - len(HASH_ONLY), _HASH_AT)
_HEAD = re.compile(
    rb'\{"seq":([1-9][0-9]*),"ts":"([0-9T:.Z-]{24})","type":"([a-z]+)"'
    rb'(?:,"phase":"(intent|result)")?(?:,"closes":([1-9][0-9]*))?,'
)
_SALT = re.compile(rb',"salt":"([0-9a-f]{32})"\}')
_SALT_LENGTH = 43


class LineError(ValueError):
    """The bytes are not a line of this format; the text says why."""


class Line(NamedTuple):
    """A line in its pieces (a named tuple, because `verify` makes millions of them).

    `content` is the exact bytes that `content_hash` covers; both are `None` when not there.
    """

    body: bytes
    prev: bytes
    mac: bytes
    seq: int
    ts: bytes
    type: bytes
    phase: bytes | None
    closes: int | None
    content_hash: bytes | None
    hash_only: bool
    content: bytes | None
    salt: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a chain, begun once: copying the state is faster than starting anew."""

    start: hmac.HMAC

    @classmethod
    def of(cls, key: bytes) -> Key:
        """Take the key from its bytes."""
        return cls(hmac.new(key, digestmod="sha256"))

    def seal(self, prev: bytes, body: bytes) -> bytes:
        """Return the mac of a line, as hex."""
        state = self.start.copy()
        state.update(prev + body)
        return hexlify(state.digest())

    def derive_salt(self, facts: bytes) -> bytes:
        """Return the salt of content that is not kept: unknown to those without the key."""
        state = self.start.copy()
        state.update(facts)
        return state.digest()


def hash_content(salt: bytes, content: bytes) -> bytes:
    """Return the `content_hash` of content in its exact bytes, without the braces."""
    return hexlify(hmac.digest(salt, b"{" + content + b"}", "sha256"))


def parse(raw: bytes) -> Line:
    r"""Take a line (without its `\n`) apart; every byte of it ends up under a check.

    Raises:
        LineError: It has another form than the one that is written.
    """
    cut = raw.find(MAC_KEY)
    body = raw[:cut]
    head = _HEAD.match(body)
    if cut < 0 or head is None or body[_PREV_KEY] != PREV_KEY or body[-1:] != b'"':
        raise LineError("is not a line of an audit log")
    start = cut + _MAC_LENGTH
    content, salt = None, b""
    if raw[start:] != b'"}':
        found = _SALT.fullmatch(raw, max(len(raw) - _SALT_LENGTH, start + 2))
        if found is None or raw[start : start + 2] != b'",':
            raise LineError("has other bytes after its mac than content")
        content, salt = raw[start + 2 : found.start()], found[1]
    hashed = body[_HASH_KEY] == HASH_KEY
    seq, ts, kind, phase, closes = head.groups()
    return Line(
        body,
        body[_PREV],
        raw[start - HEX_LENGTH : start],
        int(seq),
        ts,
        kind,
        phase,
        int(closes) if closes else None,
        body[_HASH] if hashed else None,
        hashed and body[_HASH_ONLY] == HASH_ONLY,
        content,
        salt,
    )


def flaw(line: Line, key: Key) -> str | None:
    """Say what is wrong with a line taken alone: its mac or its content; `None` if nothing is."""
    if key.seal(line.prev, line.body) != line.mac:
        return "does not match its mac: it was changed, or the key is another one"
    if line.content is not None and (
        line.hash_only or hash_content(unhexlify(line.salt), line.content) != line.content_hash
    ):
        return "does not match its content_hash: its content was changed"
    return None


def facts_of(line: Line) -> dict[str, Fact]:
    """Return all facts of a line by name; use it on lines without a flaw only."""
    facts: dict[str, Fact] = json.loads(line.body + b"}")
    return facts


def read_seqs(text: str) -> Iterator[tuple[int, int]]:
    """Read `3,7-9` as ranges, both ends included; `open` and the evidence of `erased` have it.

    Raises:
        LineError: It is not such a list.
    """
    for piece in text.split(",") if text else ():
        found = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", piece, re.ASCII)
        if found is None:
            raise LineError("has a list of seqs that cannot be read")
        yield int(found[1]), int(found[2] or found[1])
