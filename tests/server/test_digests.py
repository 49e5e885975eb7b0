"""A webhook post becomes a few honest lines, whatever is in it."""

import json
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.visible import visible
from assurebot.server.digests import Digest, digest

JSON = "application/json"


def read(source: str, post: object, **headers: str) -> Digest:
    """Digest a JSON post; `_` in the names of headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return digest(source, named, JSON, json.dumps(post).encode())


def test_other_json_shows_its_first_fields() -> None:
    """Scalars and the scalars of objects, at most 12; title and link where one finds them."""
    issue = {"title": "KeyError", "level": "error", "web_url": "https://s.example.com/issues/1/"}
    assert read("ops", {"action": "created", "data": {"issue": issue}, "n": 1.5}) == Digest(
        title="KeyError",
        facts=(("action", "created"), ("n", "1.5")),
        url="https://s.example.com/issues/1/",
        kind="other",
    )
    wide = {f"f{n}": {"a": n, "b": []} for n in range(50)}
    assert read("ops", wide).facts == tuple((f"f{n}", f"a={n}") for n in range(12))
    assert read("ops", [{"a": 1}, 2]).text == "Untitled\n1: a=1\n2: 2"
    assert read("ops", {}).text == "Untitled"


def test_a_known_sender_with_nothing_known_in_it_is_shown_as_it_is() -> None:
    """A name or a field that promises a sender does not hide what was really sent."""
    assert read("slack", {"alien": 5}).text == "Untitled\nalien: 5"
    assert read("ops", {"pusher": 3, "alien": 5}, X_GitHub_Event="push").text == (
        "Untitled\npusher: 3\nalien: 5"
    )


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("text/plain", b"disk \r\nfull", "text, 11 bytes\ntext: disk full"),
        ("", b'"just words"', 'text, 12 bytes\ntext: "just words"'),
        (JSON, b'{"cut": ', 'text, 8 bytes\ntext: {"cut":'),
        ("text/plain", b"caf\xe9", "text, 4 bytes\ntext: caf\ufffd"),
        ("text/plain", b"x" * 5000, f"text, 5,000 bytes\ntext: {'x' * 499}…"),
        (
            "image/png",
            b"\x89PNG\0",
            (
                "binary, 5 bytes\n"
                "sha256: ad91235e882292469812e16da0b8fc77075a7c6d6f8760c24be14a5c792508cf"
            ),
        ),
    ],
)
def test_what_is_no_json_is_shown_as_text_or_told_by_its_hash(
    content_type: str, body: bytes, said: str
) -> None:
    """Text by its start; what is no text by size and hash."""
    assert digest("ops", {}, content_type, body).text == said


def test_nothing_hides_and_no_line_is_forged() -> None:
    """A value cannot begin a line, hide a character or grow; nor can a name."""
    post = {"title": "a\nb\u202ec\x00", "x\ny": "1\r\n2\u2028\ud800", "long": "é" * 5000}
    assert read("ops", post) == Digest(
        title="a b<U+202E>c␀",
        facts=(
            ("title", "a b<U+202E>c␀"),
            ("x y", "1 2<U+2028><U+D800>"),
            ("long", "é" * 199 + "…"),
        ),
        url="",
        kind="other",
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "https://Example.com/ä?q=\u202e#a\u202eb",
            "https://example.com/%C3%A4?q=%E2%80%AE#a%E2%80%AEb",
        ),
        ("https://a@example.com/", ""),
        ("javascript:alert(1)", ""),
        ("https://example.com/#\ud800", ""),
        ("https://example.com/" + "a" * 490, ""),
        (["https://example.com/list"], "https://example.com/list"),
        ({"href": "https://example.com/"}, ""),
        (17, ""),
    ],
)
def test_only_a_strict_short_url_becomes_a_link(url: object, said: str) -> None:
    """Others are left out; a fragment stays, with what would hide in it quoted."""
    assert read("ops", {"url": url}).url == said


WORDS = (
    "action alerts amount annotations channel check_run check_suite comment commits compare "
    "currency data event externalURL forkee groupLabels head_commit heartbeat html_url id issue "
    "labels livemode monitor monitorFriendlyName monitorURL msg name number object payload "
    "pull_request pusher ref release repository review ruleName sender startsAt status team_id "
    "text thing title type url user values x-github-event"
)
NAMES = WORDS.split()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**40, 10**400)
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["firing", "jpy", "https://example.com/x", "refs/heads/x", "usd"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=8)
    ),
    max_leaves=40,
)
SOURCES = st.sampled_from(["github", "stripe", "slack", "alertmanager", "uptime", "ops"])
HEADERS = st.dictionaries(
    st.sampled_from(["X-GitHub-Event", "Stripe-Signature", "X-Slack-Signature"]), st.text()
)
TYPES = st.sampled_from(
    ["", JSON, "text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "\ud800"]
)


def check(made: Digest) -> None:
    """Assert what holds for every digest."""
    lines = [made.title, made.kind, *(part for fact in made.facts for part in fact)]
    assert [" ".join(visible(line).split()) for line in lines] == lines
    assert len(made.text) <= 1500
    assert len(made.facts) <= 12
    assert max(map(len, lines)) <= 500
    assert made.text.endswith(made.url)


@given(SOURCES, HEADERS, TYPES, VALUES)
def test_no_json_raises_or_grows(
    source: str, headers: Mapping[str, str], content_type: str, post: object
) -> None:
    """Wrong types anywhere make a poorer digest, never an error, never a longer one."""
    check(digest(source, headers, content_type, json.dumps(post).encode()))


@given(SOURCES, HEADERS, TYPES, st.binary())
def test_no_bytes_raise_or_grow(
    source: str, headers: Mapping[str, str], content_type: str, body: bytes
) -> None:
    """Nor does anything that is no JSON."""
    check(digest(source, headers, content_type, body))


MIB = 1 << 20


@pytest.mark.parametrize(
    "body",
    [
        b"[" * MIB,
        b'{"a":' * (MIB // 5),
        b"[" * 900 + b"1" + b"]" * 900,
        b"[" + b"[]," * (MIB // 3) + b"1]",
        b'{"alerts":[' + b'{"status":"firing"},' * (MIB // 21) + b'1],"groupLabels":{}}',
        b'{"livemode":1,"data":{"object":{"amount":' + b"9" * 4000 + b',"currency":"x"}}}',
        b"1" * MIB,
        b'{"a":1.' + b"1" * MIB + b"}",
        b'{"text":"' + b"\\u202e" * (MIB // 6) + b'"}',
        b'{"' + b"k" * MIB + b'":{"a":1,"b":2}}',
        b"payload=" + b"%5B" * (MIB // 3),
        b"a=1&" * (MIB // 4),
        b" " * MIB,
        b"\xff" * MIB,
    ],
    ids=range(14),
)
@pytest.mark.parametrize("content_type", [JSON, "application/x-www-form-urlencoded", "multipart/x"])
def test_a_full_size_body_is_read_in_no_time(content_type: str, body: bytes) -> None:
    """One MiB of the worst costs a part of a second, here given room for a busy machine."""
    begun = time.perf_counter()
    check(digest("ops", {}, content_type, body))
    assert time.perf_counter() - begun < 5
