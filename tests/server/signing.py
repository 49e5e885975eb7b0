"""Senders of webhooks, who sign by the official packages or by the book.

The packages of Stripe, Slack and Standard Webhooks cannot express all (bytes that are no text, odd
timestamps); there a plain formula signs, which a test holds against them.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook
from stripe import WebhookSignature

NOW = 1_750_000_000.0
STAMP = "1750000000"
SCHEMES = ("github", "stripe", "slack", "standard", "svix")


BODIES = {
    "empty": b"",
    "one byte": b"x",
    "NUL": b'{"a": "\0"}\0',
    "BOM": b'\xef\xbb\xbf{"a": 1}',
    "CRLF": b'{\r\n"a": 1\r\n}\r\n',
    "invalid UTF-8": b'{"a": "\xff\xfe\x80"}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "deep": b"[" * 100_000,
    "long number": b'{"id": ' + b"9" * 5_000 + b"}",
    "lone surrogate": b'{"id": "\\ud800", "event_id": "\\ud800"}',
    "id is no text": b'{"id": {"a": 1}, "event_id": [1]}',
}

ODD_STAMPS = (
    *("", "0", "-1", "-1750000000", "+1750000000", "1_750_000_000", "1750000000.0", "1.75e9"),
    *(" 1750000000", "1750000000 ", "1750000000\n", "0x684ee180", "1" + "0" * 20, "9" * 5_000),
    *("\uff11\uff17\uff15".encode().decode("latin-1"), "\xb2", "nan", "inf", "1750000000000"),
)
"""Properly signed, and yet no time of now."""

OFFSETS = {-299: True, -300: True, -301: False, 299: True, 300: True, 301: False, 10**9: False}
"""Seconds from now, and whether they are accepted."""


class Vector(NamedTuple):
    """One post, and whether it is proven."""

    name: str
    source: str
    secrets: tuple[str, ...]
    headers: Mapping[str, tuple[str, ...]]
    body: bytes
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Whoever signs by one scheme."""

    scheme: str
    secret: str
    body: bytes = b"{}"
    delivery: str = "msg_1"

    @property
    def source(self) -> str:
        """What the source has to be called."""
        return self.scheme if self.scheme in ("github", "stripe", "slack") else "monitor"

    def official(self, stamp: str = STAMP) -> str:
        """Return the bare signature, made by the official package (GitHub has none in Python)."""
        text = self.body.decode()
        match self.scheme:
            case "stripe":
                header = WebhookSignature.generate_signature_header(text, self.secret, stamp)
                return str(header).rpartition("v1=")[2]
            case "slack":
                verifier = SignatureVerifier(self.secret)
                signature = verifier.generate_signature(timestamp=stamp, body=text)
                return str(signature).removeprefix("v0=")
            case "standard" | "svix":
                at = datetime.fromtimestamp(int(stamp), UTC)
                return Webhook(self.secret).sign(self.delivery, at, text).removeprefix("v1,")
        return self.formula(stamp)

    def formula(self, stamp: str = STAMP) -> str:
        """Return the bare signature, made by the book."""
        at, key = stamp.encode("latin-1"), self.secret.encode()
        match self.scheme:
            case "stripe":
                signed = at + b"." + self.body
            case "slack":
                signed = b"v0:" + at + b":" + self.body
            case "standard" | "svix":
                signed = self.delivery.encode("latin-1") + b"." + at + b"." + self.body
                key = b64decode(self.secret.removeprefix("whsec_"))
                return b64encode(hmac.digest(key, signed, "sha256")).decode()
            case _:
                signed = self.body
        return hmac.digest(key, signed, "sha256").hex()

    def headers(
        self, *signatures: str, stamp: str = STAMP, version: str | None = None
    ) -> dict[str, tuple[str, ...]]:
        """Return the headers that carry the signatures; nothing is checked."""
        match self.scheme:
            case "github":
                marked = [f"{'sha256=' if version is None else version}{one}" for one in signatures]
                return {
                    "x-hub-signature-256": (",".join(marked),),
                    "x-github-delivery": (self.delivery,),
                }
            case "stripe":
                marked = [f"{'v1=' if version is None else version}{one}" for one in signatures]
                return {"stripe-signature": (",".join([f"t={stamp}", *marked]),)}
            case "slack":
                marked = [f"{'v0=' if version is None else version}{one}" for one in signatures]
                return {
                    "x-slack-request-timestamp": (stamp,),
                    "x-slack-signature": (",".join(marked),),
                }
        marked = [f"{'v1,' if version is None else version}{one}" for one in signatures]
        kind = "webhook" if self.scheme == "standard" else "svix"
        return {
            f"{kind}-id": (self.delivery,),
            f"{kind}-timestamp": (stamp,),
            f"{kind}-signature": (" ".join(marked),),
        }

    def vector(
        self,
        name: str,
        headers: Mapping[str, tuple[str, ...]],
        *,
        accepted: bool = False,
        body: bytes | None = None,
        secrets: tuple[str, ...] = (),
    ) -> Vector:
        """Return a vector for the source."""
        return Vector(
            name=f"{self.scheme}: {name}",
            source=self.source,
            secrets=secrets or (self.secret,),
            headers=headers,
            body=self.body if body is None else body,
            accepted=accepted,
        )


def new_secret(scheme: str, rng: Random) -> str:
    """Make a secret as the senders do."""
    if scheme in ("standard", "svix"):
        return "whsec_" + b64encode(rng.randbytes(rng.choice([24, 32]))).decode()
    return ("whsec_" if scheme == "stripe" else "") + rng.randbytes(16).hex()


def senders(rng: Random) -> Iterator[Sender]:
    """Make three of each scheme, with bodies of different sizes."""
    for scheme in SCHEMES:
        for size in (1, 10, 400):
            values = {f"{rng.random()}": f"\u00e9\U0001f600{rng.random()}" for _ in range(size)}
            body = json.dumps({"b": 1, "a": values}, ensure_ascii=False).encode()
            name = f"msg_{rng.getrandbits(64):x}"
            yield Sender(scheme=scheme, secret=new_secret(scheme, rng), body=body, delivery=name)
