"""Posts that must be accepted, and all that can be wrong with each."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from string import ascii_lowercase, ascii_uppercase, digits

from tests.server.signing import (
    BODIES,
    ODD_STAMPS,
    OFFSETS,
    SCHEMES,
    STAMP,
    Sender,
    Vector,
    new_secret,
    senders,
)


def vectors(rng: Random) -> Iterator[Vector]:
    """Make all of them."""
    for sender in senders(rng):
        yield from _signatures(sender, rng)
        yield from _several(sender, rng)
        yield from _headers(sender)
        yield from _bodies(sender, rng)
        yield from _secrets(sender, rng)
        yield from _downgrades(sender)
        if sender.scheme != "github":
            yield from _timestamps(sender)
        if sender.scheme in ("standard", "svix"):
            yield from _base64(sender)
            yield from _ids(sender)
        if sender.scheme == "stripe":
            yield from _stripe(sender)
        if sender.scheme == "github":
            yield from _github(sender)
    yield from _tokens(rng)


def _signatures(sender: Sender, rng: Random) -> Iterator[Vector]:
    right = sender.official()
    yield sender.vector("right", sender.headers(right), accepted=True)
    at = rng.randrange(40)
    wrong = {
        "one letter changed": right[:at] + ("0" if right[at] != "0" else "1") + right[at + 1 :],
        "one letter less": right[:-1],
        "one letter more": right + right[-1],
        "first letter gone": right[1:],
        "twice as long": right * 2,
        "case swapped": right.swapcase(),
        "blank before": " " + right,
        "tab after": right + "\t",
        "NUL after": right + "\0",
        "new line after": right + "\n",
        "in quotes": f'"{right}"',
        "empty": "",
        "blank": " ",
        "Latin letter": "\xe9" + right[1:],
        "no byte": "\u0660" + right[1:],
        "surrogate": "\udcff" + right[1:],
        "1 MB": "0" * 1_000_000,
        "1 MB of commas": "," * 1_000_000,
        "the secret": sender.secret,
        "all zero": "0" * len(right),
    }
    for name, signature in wrong.items():
        yield sender.vector(name, sender.headers(signature))
    # In a list that is parted by blanks there is no signature behind it.
    listed = sender.source == "monitor"
    yield sender.vector("blank after", sender.headers(right + " "), accepted=listed)
    for version in ("", "v1", "v2=", "v1a,", "v0=", "v1=", "v1,", "sha1=", "SHA256=", "V0=", "="):
        if sender.headers(right, version=version) != sender.headers(right):
            yield sender.vector(f"version {version!r}", sender.headers(right, version=version))


def _several(sender: Sender, rng: Random) -> Iterator[Vector]:
    right = sender.official()
    wrong = [replace(sender, secret=new_secret(sender.scheme, rng)).official() for _ in range(20)]
    many = sender.scheme not in ("github", "slack")  # these two send one
    for name, signatures, accepted in (
        ("right first", [right, *wrong[:1]], many),
        ("right last", [*wrong[:2], right], many),
        ("right is the 20th", [*wrong[:19], right], many),
        ("right is the 21st", [*wrong, right], False),
        ("none right", wrong[:3], False),
    ):
        yield sender.vector(name, sender.headers(*signatures), accepted=accepted)


def _headers(sender: Sender) -> Iterator[Vector]:
    right = sender.headers(sender.official())
    decides = [name for name in right if name != "x-github-delivery"]
    yield sender.vector("no header at all", {})
    for name in right:
        yield sender.vector(f"{name} twice", {**right, name: right[name] * 2})
        yield sender.vector(f"{name} twice, one empty", {**right, name: (*right[name], "")})
        yield sender.vector(f"{name} is no byte", {**right, name: ("\u0660",)})
    for name in decides:
        yield sender.vector(f"{name} missing", {key: right[key] for key in right if key != name})
        yield sender.vector(f"{name} without a value", {**right, name: ()})
        yield sender.vector(f"{name} empty", {**right, name: ("",)})
    yield sender.vector("another header twice", {**right, "x-more": ("a", "b")}, accepted=True)


def _bodies(sender: Sender, rng: Random) -> Iterator[Vector]:
    right = sender.headers(sender.official())
    body = bytearray(sender.body)
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    other_order = json.dumps(json.loads(sender.body), sort_keys=True, ensure_ascii=False).encode()
    wrong = {
        "one bit flipped": bytes(body),
        "other key order": other_order,
        "blank after": sender.body + b" ",
        "BOM before": b"\xef\xbb\xbf" + sender.body,
        "cut": sender.body[:-1],
        "gone": b"",
    }
    for name, other in wrong.items():
        yield sender.vector(f"body: {name}", right, body=other)
    for name, odd in BODIES.items():
        of_it = replace(sender, body=odd)
        yield of_it.vector(f"body {name}", of_it.headers(of_it.formula()), accepted=True)


def _secrets(sender: Sender, rng: Random) -> Iterator[Vector]:
    right = sender.headers(sender.official())
    other, third = new_secret(sender.scheme, rng), new_secret(sender.scheme, rng)
    yield sender.vector("wrong secret", right, secrets=(other,))
    yield sender.vector("two wrong secrets", right, secrets=(other, third))
    yield sender.vector("rotated, old", right, secrets=(other, sender.secret), accepted=True)
    yield sender.vector("rotated, new", right, secrets=(sender.secret, other), accepted=True)
    if sender.scheme in ("stripe", "github", "slack"):  # their secrets are no base64
        plain = replace(sender, secret="whsec_short and no base64!")
        yield plain.vector("prefix", plain.headers(plain.official()), accepted=True)


def _downgrades(sender: Sender) -> Iterator[Vector]:
    right = sender.headers(sender.official())
    wrong = sender.headers(sender.official()[::-1])
    several = sender.scheme in ("slack", "standard", "svix")
    for name, value in (
        ("authorization", f"Bearer {sender.secret}"),
        *((name, sender.secret) for name in ("x-assurebot-token", "x-moltbot-token")),
    ):
        token = {name: (value,)}
        yield sender.vector("token beside a wrong signature", {**wrong, **token})
        yield sender.vector("wrong token", {**right, name: (value[::-1],)}, accepted=True)
        for own in right if several else ():
            yield sender.vector(f"token and only {own}", {own: right[own], **token})
            yield sender.vector(f"token and empty {own}", {own: ("",), **token})
        if sender.source != "monitor":
            yield sender.vector("only a token", token)
    for scheme in SCHEMES:
        other = Sender(scheme=scheme, secret=sender.secret, body=sender.body)
        if scheme != sender.scheme and other.source != "monitor":
            yield sender.vector(f"signed as {scheme}", other.headers(other.official()))


def _timestamps(sender: Sender) -> Iterator[Vector]:
    for stamp in ODD_STAMPS:
        name = f"stamp {stamp[:20]!r}"
        yield sender.vector(name, sender.headers(sender.formula(stamp), stamp=stamp))
    for offset, accepted in OFFSETS.items():
        stamp = str(int(STAMP) + offset)
        headers = sender.headers(sender.official(stamp), stamp=stamp)
        yield sender.vector(f"{offset} s", headers, accepted=accepted)
    other = str(int(STAMP) + 1)
    yield sender.vector("stamp changed", sender.headers(sender.official(), stamp=other))
    yield sender.vector("stamp padded", sender.headers(sender.official(), stamp=f"0{STAMP}"))


def _base64(sender: Sender) -> Iterator[Vector]:
    """Vary the base64; the bytes stay right (a short id is tried until both odd letters come)."""
    n = next(n for n in range(1_000) if {*"+/"} <= {*replace(sender, delivery=f"m{n}").official()})
    of_it = replace(sender, delivery=f"m{n}")
    right = of_it.official()
    letters = ascii_uppercase + ascii_lowercase + digits + "+/"
    yield of_it.vector("right with + and /", of_it.headers(right), accepted=True)
    for name, signature in {
        "base64url": right.replace("+", "-").replace("/", "_"),
        "no padding": right.rstrip("="),
        "more padding": right + "=",
        "loose last bits": right[:-2] + letters[letters.index(right[-2]) | 3] + "=",
        "hex": b64decode(right).hex(),
        "blank inside": right[:9] + " " + right[9:],
        "new line inside": right[:9] + "\n" + right[9:],
        "percent": right.replace("+", "%2B"),
    }.items():
        yield of_it.vector(name, of_it.headers(signature))
    asymmetric_first = of_it.headers(f"AAAA v1,{right}", version="v1a,")
    yield of_it.vector("v1a first", asymmetric_first, accepted=True)
    other = replace(of_it, scheme="svix" if of_it.scheme == "standard" else "standard")
    both = {**of_it.headers(right), **other.headers("AAAA")}
    yield of_it.vector("wrong beside it", both, accepted=of_it.scheme == "standard")


def _ids(sender: Sender) -> Iterator[Vector]:
    right = sender.headers(sender.official())
    name = next(iter(right))
    yield sender.vector("id changed", {**right, name: (sender.delivery + "0",)})
    for odd, accepted in (
        ("", False),
        ("a.b", False),
        ("m" * 10_000, True),
        ("m\xe9", True),
    ):
        of_it = replace(sender, delivery=odd)
        headers = of_it.headers(of_it.formula())
        yield of_it.vector(f"id {odd[:9]!r}", headers, accepted=accepted)
    # The text that was signed, cut at another dot: other id, other body.
    inner = replace(sender, body=f"{STAMP}.{{}}".encode())
    moved = replace(sender, delivery=f"{sender.delivery}.{STAMP}", body=b"{}")
    yield moved.vector("cut at another dot", moved.headers(inner.formula()))


def _stripe(sender: Sender) -> Iterator[Vector]:
    right = sender.official()
    for name, value, accepted in (
        ("v0 beside", f"t={STAMP},v1={right},v0={right}", True),
        ("unknown fields", f"t={STAMP},x=1,,y,v1={right}", True),
        ("other order", f"v1={right},t={STAMP}", True),
        ("two stamps", f"t={STAMP},t={STAMP},v1={right}", False),
        ("no stamp", f"v1={right}", False),
        ("no signature", f"t={STAMP}", False),
        ("blanks", f"t={STAMP}, v1={right}", False),
        ("semicolons", f"t={STAMP};v1={right}", False),
        ("upper-case names", f"T={STAMP},V1={right}", False),
    ):
        yield sender.vector(name, {"stripe-signature": (value,)}, accepted=accepted)


def _github(sender: Sender) -> Iterator[Vector]:
    right = sender.official()
    sha1 = hmac.digest(sender.secret.encode(), sender.body, "sha1").hex()
    both = {"x-hub-signature": (f"sha1={sha1}",), **sender.headers(right)}
    yield sender.vector("SHA-1 beside", both, accepted=True)
    yield sender.vector("SHA-1 only", {"x-hub-signature": (f"sha1={sha1}",)})
    yield sender.vector("SHA-1 in its place", sender.headers(sha1, version="sha1="))
    yield sender.vector("SHA-1 as SHA-256", sender.headers(sha1))
    only = {"x-hub-signature-256": sender.headers(right)["x-hub-signature-256"]}
    yield sender.vector("no delivery id", only, accepted=True)
    long = replace(sender, delivery="d" * 10_000)
    yield long.vector("id of 10 kB", long.headers(right), accepted=True)


def _tokens(rng: Random) -> Iterator[Vector]:
    for secret in ("pass phrase with \u00e9", *(new_secret("standard", rng) for _ in range(2))):
        text = secret.encode().decode("latin-1")
        right = {
            "bearer": {"authorization": (f"Bearer {text}",)},
            "bearer in lower case": {"authorization": (f"bearer {text}",)},
            "own": {"x-assurebot-token": (text,)},
            "old": {"x-moltbot-token": (text,)},
            "beside Basic": {"authorization": ("Basic eA==",), "x-moltbot-token": (text,)},
        }
        wrong: dict[str, dict[str, tuple[str, ...]]] = {
            "nothing": {},
            "Basic": {"authorization": (f"Basic {b64encode(secret.encode()).decode()}",)},
            "Basic password": {"authorization": (f"Basic {text}",)},
            "no scheme": {"authorization": (text,)},
            "no blank": {"authorization": (f"Bearer{text}",)},
            "two blanks": {"authorization": (f"Bearer  {text}",)},
            "bearer empty": {"authorization": ("Bearer ",)},
            "bearer alone": {"authorization": ("Bearer",)},
            "bearer in its own": {"x-assurebot-token": (f"Bearer {text}",)},
            "empty": {"x-assurebot-token": ("",)},
            "prefix": {"x-assurebot-token": (text[:-1],)},
            "longer": {"x-assurebot-token": (text + "x",)},
            "other case": {"x-assurebot-token": (text.swapcase(),)},
            "no byte": {"x-assurebot-token": (text + "\u0660",)},
            "1 MB": {"x-assurebot-token": ("x" * 1_000_000,)},
            "twice": {"x-assurebot-token": (text, text)},
            "bearer twice": {"authorization": (f"Bearer {text}",) * 2},
            "wrong before right": {"x-assurebot-token": ("x",), "x-moltbot-token": (text,)},
            "in the query": {"x-original-url": (f"/hooks/monitor?token={text}",)},
        }
        for name, headers in (right | wrong).items():
            for body in (b"", rng.randbytes(50)):
                yield Vector(f"token: {name}", "monitor", (secret,), headers, body, name in right)
        doubled = {"authorization": (f"Bearer {text}",), "idempotency-key": ("a", "a")}
        yield Vector("token: id twice", "monitor", (secret,), doubled, b"", accepted=False)
        own = {"x-hub-signature-256": ("sha256=00",), "stripe-signature": ("t=1",)}
        plain = {**own, "x-assurebot-token": (text,)}
        yield Vector("token: others' headers", "monitor", (secret,), plain, b"", accepted=True)
