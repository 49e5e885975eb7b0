"""Which posts are proven, and which are the same post again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assurebot.errors import AccessDenied
from assurebot.server.signatures import Verified, Verifier, check_secret
from tests.server.signing import (
    BODIES,
    NOW,
    SCHEMES,
    STAMP,
    Sender,
    Vector,
    new_secret,
    senders,
)
from tests.server.vectors import vectors


def chance(seed: int) -> Random:
    """Return a source of made-up keys and bodies that can be had again."""
    return Random(seed)  # noqa: S311 - nothing is kept secret with it


OFFICIAL = Path(__file__).with_name("webhooks.json")
SECRETS = {scheme: new_secret(scheme, chance(5)) for scheme in SCHEMES}
DAY = 86_400.0


def judged(vector: Vector) -> Verified | None:
    """Return what is made of it, nothing if it is refused; any other error goes through."""
    verifier = Verifier(vector.source, vector.secrets)
    try:
        return verifier.verify(vector.headers, vector.body, NOW)
    except AccessDenied:
        return None


def proven(sender: Sender, stamp: str = STAMP, **headers: str) -> Verified:
    """Return what is made of a post that is signed well, with headers added (`_` for `-`)."""
    more = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    signed = sender.headers(sender.formula(stamp), stamp=stamp)
    verifier = Verifier(sender.source, [sender.secret])
    return verifier.verify({**signed, **more}, sender.body, NOW)


def key(kind: str, text: bytes) -> str:
    """Return the key that stands for a text."""
    return f"{kind}:{sha256(text).hexdigest()}"


@pytest.mark.parametrize("seed", [1, 2])
def test_none_is_wrongly_accepted_or_refused(seed: int) -> None:
    """Of all vectors only the proven ones are accepted, and refusing raises one error alone."""
    made = list(vectors(chance(seed)))
    wrong = [v.name for v in made if (judged(v) is not None) is not v.accepted]
    assert wrong == []
    counted = Counter(vector.accepted for vector in made)
    assert (len(made) >= 400, counted[True] >= 200, counted[False] >= 800) == (True, True, True)


def test_official_vectors_are_accepted() -> None:
    """The published examples hold, and not one of them with another body or under another name."""
    examples = json.loads(OFFICIAL.read_text(encoding="utf-8"))
    accepted = []
    for row in examples:
        headers = {name: (value,) for name, value in row["headers"].items()}
        body = row["body"].encode()
        accepted.append(Verifier(row["source"], [row["secret"]]).verify(headers, body, row["now"]))
        for source in ("github", "stripe", "slack", "monitor"):
            named_so = source == row["source"] or (source, row["source"]) == ("monitor", "standard")
            with pytest.raises(AccessDenied):
                Verifier(source, [row["secret"]]).verify(
                    headers, body + b" " if named_so else body, row["now"]
                )
    assert [found.scheme for found in accepted] == ["github", "slack", "standard"]


def test_formula_is_that_of_the_official_packages() -> None:
    """Where Stripe's, Slack's and Standard Webhooks' own code can sign, it signs the same."""
    compared = 0
    for sender in senders(chance(3)):
        texts = [body for name, body in BODIES.items() if name not in ("invalid UTF-8", "gzip")]
        for body in (sender.body, *texts):
            one = replace(sender, body=body)
            assert one.formula() == one.official()
            compared += 1
    assert compared == 3 * len(SCHEMES) * (len(BODIES) - 1)


@pytest.mark.parametrize("source", ["github", "stripe", "slack", "monitor"])
def test_without_a_secret_nothing_is_proven(source: str) -> None:
    """A source without a secret refuses all, also what is signed with an empty key."""
    for scheme in SCHEMES:
        sender = Sender(scheme=scheme, secret="")
        for headers in (sender.headers(sender.formula()), {"x-assurebot-token": ("",)}):
            with pytest.raises(AccessDenied):
                Verifier(source, []).verify(headers, b"{}", NOW)


HEADERS = st.sampled_from(
    sorted(
        {name for scheme in SCHEMES for name in Sender(scheme=scheme, secret="").headers("")}
        | {"authorization", "x-assurebot-token", "x-moltbot-token", "idempotency-key"}
    )
)
VALUES = st.text(max_size=50) | st.sampled_from(
    [
        *("", STAMP, "Bearer ", "sha256=", f"t={STAMP},v1=", "v0=", "v1,", "v1, v1,"),
        *(start + "0" * 64 for start in ("sha256=", f"t={STAMP},v1=", "v0=", "v1,", "Bearer ")),
    ]
)


@given(
    source=st.sampled_from(["github", "stripe", "slack", "monitor"]),
    headers=st.dictionaries(HEADERS, st.lists(VALUES, max_size=2)),
    body=st.binary(max_size=50),
)
def test_whatever_is_not_signed_is_refused(
    source: str, headers: dict[str, list[str]], body: bytes
) -> None:
    """No headers and no body raise anything else, or prove anything."""
    secrets = (SECRETS["stripe"] if source == "stripe" else SECRETS["standard"], "x" * 16)
    with pytest.raises(AccessDenied):
        Verifier(source, secrets).verify(headers, body, NOW)


@given(scheme=st.sampled_from(SCHEMES), body=st.binary(max_size=200))
@example(scheme="stripe", body=BODIES["deep"])
def test_whatever_is_signed_is_accepted(scheme: str, body: bytes) -> None:
    """No body that is signed well is refused, or raises anything."""
    found = proven(Sender(scheme=scheme, secret=SECRETS[scheme], body=body))
    assert found.scheme == scheme.replace("svix", "standard")
    assert [len(one) <= 80 and one.isascii() for one in found.keys] == [True] * len(found.keys)


def test_github_is_known_by_body_and_by_id() -> None:
    """Its id is not signed, so either makes it a duplicate, for a day."""
    sender = Sender(scheme="github", secret=SECRETS["github"], delivery="one")
    body = key("body", b"{}")
    assert proven(sender) == Verified(
        scheme="github", keys=(body, key("id", b"one")), window_seconds=DAY
    )
    assert proven(sender, x_github_delivery="") == Verified(
        scheme="github", keys=(body,), window_seconds=DAY
    )


@pytest.mark.parametrize(("scheme", "field"), [("stripe", "id"), ("slack", "event_id")])
def test_signed_id_in_the_body_is_the_key(scheme: str, field: str) -> None:
    """A repeat with a new time is the same post by its id; without an id each time is its own."""
    later = str(int(STAMP) + 9)
    body = json.dumps({field: "evt_1", "n": 1}).encode()
    named = Sender(scheme=scheme, secret=SECRETS[scheme], body=body)
    changed = replace(named, body=body.replace(b"1}", b"2}"))
    same = proven(named)
    assert same.keys == (key("id", b"evt_1"),)
    assert same.window_seconds is None
    assert [proven(named, later), proven(changed)] == [same, same]
    for odd in (b"token=1", b"[1]", b"{}", b'{"%s": ""}' % field.encode(), *BODIES.values()):
        plain = Sender(scheme=scheme, secret=SECRETS[scheme], body=odd)
        assert proven(plain) == proven(plain)
        if odd != BODIES["lone surrogate"]:
            assert proven(plain).keys != proven(plain, later).keys


def test_standard_webhook_is_known_by_its_id() -> None:
    """The id is signed: the same one is a duplicate in any form, another one is another post."""
    for scheme in ("standard", "svix"):
        sender = Sender(scheme=scheme, secret=SECRETS[scheme], delivery="msg_1")
        found = proven(sender)
        assert found == Verified(
            scheme="standard", keys=(key("id", b"msg_1"),), window_seconds=None
        )
        assert proven(sender, str(int(STAMP) + 9)) == found
        signatures = sender.headers("AAAA", sender.formula())
        assert Verifier("monitor", [sender.secret]).verify(signatures, b"{}", NOW) == found
        assert proven(replace(sender, delivery="msg_2")).keys == (key("id", b"msg_2"),)


def test_token_post_is_known_by_an_id_header_or_shortly_by_its_body() -> None:
    """With an id it counts for a day whatever the body; without one the body counts for 30 s."""
    secret = "a plain token of some length"

    def found(body: bytes, **headers: str) -> Verified:
        more = {name.replace("_", "-"): (value,) for name, value in headers.items()}
        return Verifier("monitor", [secret]).verify(
            {"x-assurebot-token": (secret,), **more}, body, NOW
        )

    named = Verified(scheme="token", keys=(key("id", b"7"),), window_seconds=DAY)
    plain = Verified(scheme="token", keys=(key("body", b"{}"),), window_seconds=30.0)
    assert found(b"{}") == plain
    assert found(b"{}", idempotency_key="", x_request_id="7") == plain
    assert found(b"{}", idempotency_key="7") == named
    assert found(b"[]", x_delivery_id="7") == named
    assert found(b"", x_github_delivery="7") == named
    assert found(b"", idempotency_key="7", x_delivery_id="8") == named


def test_weak_secrets_are_named() -> None:
    """Blank and short secrets are refused, and a Standard Webhooks secret without a key."""
    short = "must be at least 16 characters"
    blank = "must not begin or end with blanks"
    no_key = "must be, after `whsec_`, the base64 of at least 16 bytes"
    assert {
        (source, secret): check_secret(source, secret)
        for source, secret in (
            ("github", ""),
            ("github", "x" * 15),
            ("github", "x" * 16),
            ("github", " " * 20),
            ("monitor", "x" * 16 + "\n"),
            ("monitor", "whsec_"),
            ("monitor", "whsec_" + "A" * 20),
            ("monitor", "whsec_" + "A" * 22),
            ("monitor", "whsec_" + "A" * 22 + "=="),
            ("monitor", "whsec_" + "A" * 24 + "----"),
            ("monitor", "whsec_" + "\u00e9" * 32),
            ("stripe", "whsec_" + "-" * 22),
        )
    } == {
        ("github", ""): short,
        ("github", "x" * 15): short,
        ("github", "x" * 16): None,
        ("github", " " * 20): blank,
        ("monitor", "x" * 16 + "\n"): blank,
        ("monitor", "whsec_"): short,
        ("monitor", "whsec_" + "A" * 20): no_key,
        ("monitor", "whsec_" + "A" * 22): None,
        ("monitor", "whsec_" + "A" * 22 + "=="): None,
        ("monitor", "whsec_" + "A" * 24 + "----"): no_key,
        ("monitor", "whsec_" + "\u00e9" * 32): no_key,
        ("stripe", "whsec_" + "-" * 22): None,
    }
    with pytest.raises(ValueError, match="not fit"):
        Verifier("monitor", ["x" * 16, ""])
