"""Rules of the line format."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.audit import chain
from assurebot.audit.chain import Head, LineError
from assurebot.values import AuditEntry, Trace
from tests.audit.making import KEY, tool, unchanged

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
SALT = bytes(range(16))
SEALER = hmac.new(KEY, digestmod="sha256")
FULL = AuditEntry(
    type="sandbox",
    phase="result",
    closes=3,
    trace=Trace(event="telegram:7", turn=5, step=2, actor="alice", user=42),
    action="run_code",
    target="python",
    decision="allow",
    rule="table",
    approval_required=True,
    approved_by=42,
    result="ok",
    evidence="e",
    path="/p",
    status=200,
    exit=0,
    path_changes=1,
    model="m",
    tokens=10,
    cost_usd="0.01",
    job="j",
    duration_ms=12,
    error="none",
    text="t",
    response="r",
    command="c",
)


def _line(
    entry: AuditEntry, *, salt: bytes | None = SALT, at: datetime = AT, head: Head | None = None
) -> bytes:
    draft = chain.draft(entry, at=at, redact=unchanged, salt=salt)
    return chain.link([draft], head or Head(), SEALER).data


def _mac(prev: str, body: str) -> str:
    return hmac.new(KEY, (prev + body).encode(), hashlib.sha256).hexdigest()


def test_a_line_stands_in_the_byte_order_of_the_format() -> None:
    """Facts, content_hash, prev, mac, then content and salt; computed here by hand."""
    content = '"text":"t","response":"r","command":"c"'
    content_hash = hmac.new(SALT, ("{" + content + "}").encode(), hashlib.sha256).hexdigest()
    prev = "ab" * 32
    body = (
        '{"seq":8,"ts":"2026-01-02T03:04:05.678Z","type":"sandbox","phase":"result","closes":3,'
        '"event":"telegram:7","turn":5,"step":2,"actor":"alice","user":42,"action":"run_code",'
        '"target":"python","decision":"allow","rule":"table","approval_required":true,'
        '"approved_by":42,"result":"ok","evidence":"e","path":"/p","status":200,"exit":0,'
        '"path_changes":1,"model":"m","tokens":10,"cost_usd":"0.01","job":"j","duration_ms":12,'
        f'"error":"none","content_hash":"{content_hash}","prev":"{prev}"'
    )
    expected = f'{body},"mac":"{_mac(prev, body)}",{content},"salt":"{SALT.hex()}"}}\n'
    assert _line(FULL, head=Head(seq=7, mac=prev.encode())) == expected.encode()


def test_what_is_none_is_left_out() -> None:
    """A line has only the facts that were given; the first one follows 64 zeros."""
    body = (
        '{"seq":1,"ts":"2026-01-02T03:04:05.678Z","type":"startup","actor":"system",'
        f'"prev":"{"0" * 64}"'
    )
    expected = f'{body},"mac":"{_mac("0" * 64, body)}"}}\n'
    assert _line(AuditEntry(type="startup")) == expected.encode()


def test_times_are_utc() -> None:
    """A time of another zone is written in UTC, cut to milliseconds."""
    at = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert json.loads(_line(tool(), at=at))["ts"] == "2026-01-02T03:04:05.678Z"


def test_hash_mode_keeps_the_hash_and_says_so() -> None:
    """Content and salt are left out; a holder of the key can check a claimed text."""
    raw = _line(AuditEntry(type="message", text="secret words"), salt=None)
    line = json.loads(raw)
    facts = raw[raw.index(b',"ts"') : raw.index(b',"content":"hash"')]
    salt = hmac.new(KEY, facts, hashlib.sha256).digest()
    claimed = hmac.new(salt, b'{"text":"secret words"}', hashlib.sha256).hexdigest()
    assert list(line) == ["seq", "ts", "type", "actor", "content", "content_hash", "prev", "mac"]
    assert (line["content"], line["content_hash"]) == ("hash", claimed)


def test_half_a_surrogate_pair_is_replaced() -> None:
    """Text that has no UTF-8 form is written with a replacement; a whole pair stays."""
    line = json.loads(_line(tool(target="a\ud800b\ud83d\ude00", text="\udfff")))
    assert (line["target"], line["text"]) == ("a\ufffdb\U0001f600", "\ufffd")


def test_a_result_must_name_its_intent() -> None:
    """A result that closes nothing is a mistake of the caller."""
    with pytest.raises(ValueError, match="must name the intent"):
        _line(tool(phase="result"))


@given(st.text(), st.text(), st.integers(), st.booleans())
def test_any_text_comes_back(target: str, text: str, status: int, keep: bool) -> None:  # noqa: FBT001 (Hypothesis gives it)
    """Whatever the text, the line is one line, and is read back as good."""
    entry = tool(target=target, text=text, status=status, evidence='","mac":"' + text)
    raw = _line(entry, salt=SALT if keep else None)
    facts = chain.parse(raw, SEALER).facts()
    assert raw.count(b"\n") == 1
    assert (facts["target"], facts["status"]) == (target, status)
    assert json.loads(raw).get("text") == (text if keep else None)


@given(st.data())
def test_every_byte_of_a_line_is_under_a_check(data: st.DataObject) -> None:
    """Changing, removing or adding any one byte makes the line a bad one."""
    raw = _line(FULL)
    at = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.binary(min_size=0, max_size=2).filter(lambda new: new != raw[at : at + 1]))
    changed = raw[:at] + byte + raw[at + 1 :]
    with pytest.raises(LineError):
        chain.parse(changed, SEALER)
