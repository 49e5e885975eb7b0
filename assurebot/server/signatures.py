"""Is a post from whoever knows the secret, and by which keys is the same post known again.

A source named github, stripe or slack is judged by its own signature alone. Any other is judged by
Standard Webhooks (Svix) if one of its headers is there, and then by nothing else; without them
by the plain token. All is compared as bytes, on the raw body, before anything is parsed.

Two posts are the same if they share one key. A key holds what the secret covers: the signed id, or
the signed timestamp with the body. GitHub signs the body alone, so its posts have two keys, and
only a post that was taken may store them (a duplicate stores none): a captured body under a new
id is known by its hash, and cannot use that id up against the real event. Whoever holds a captured
body that is older than the window can have it run once more: GitHub signs no time.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from assurebot.errors import AccessDenied

TOLERANCE_SECONDS = 300
DAY_SECONDS = 86_400.0
BURST_SECONDS = 30.0
MIN_SECRET_CHARS = 16
MIN_KEY_BYTES = 16
MAX_SIGNATURES = 20

_OWN = ("github", "stripe", "slack")
_STANDARD = tuple(
    f"{kind}-{of}" for kind in ("webhook", "svix") for of in ("id", "timestamp", "signature")
)
_TOKENS = ("x-assurebot-token", "x-moltbot-token", "authorization")
# Not X-Request-Id: proxies make a new one for each try, so a repeated post would look new.
_IDS = ("idempotency-key", "x-delivery-id", "x-github-delivery")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A post that its sender proved.

    Attributes:
        keys: One or two, of at most 80 ASCII characters; if one is known, the post is a duplicate.
        window_seconds: How long they count; `None` is for ever.
    """

    scheme: Literal["github", "stripe", "slack", "standard", "token"]
    keys: tuple[str, ...]
    window_seconds: float | None = None


def check_secret(source: str, secret: str) -> str | None:
    """Say what is wrong with a secret for the source, in words that follow its variable's name."""
    if secret != secret.strip():
        return "must not begin or end with blanks"
    if len(secret) < MIN_SECRET_CHARS:
        return f"must be at least {MIN_SECRET_CHARS} characters"
    if source not in _OWN and len(_standard_key(secret)) < MIN_KEY_BYTES:
        return f"must be, after `whsec_`, the base64 of at least {MIN_KEY_BYTES} bytes"
    return None


class Verifier:
    """Judges the posts to one source."""

    def __init__(self, source: str, secrets: Sequence[str]) -> None:
        """Take the source in lower case, and its secrets, of which each one proves a post.

        Raises:
            ValueError: `check_secret` finds fault with one of them.
        """
        if any(check_secret(source, secret) for secret in secrets):
            raise ValueError("a secret is not fit for signatures")
        self._source = source
        self._secrets = [_bytes(secret) for secret in secrets]
        self._standard_keys = [_standard_key(secret) for secret in secrets]

    def verify(self, headers: Mapping[str, Sequence[str]], body: bytes, now: float) -> Verified:
        """Return how the post is known.

        Args:
            headers: All values by lower-case name, their bytes decoded as Latin-1.
            body: As it came: not decompressed, not decoded.
            now: Seconds since 1970.

        Raises:
            AccessDenied: Anything that is not proven.
        """
        post = _Post(headers=headers, body=body, now=now, keys=self._secrets)
        match self._source:
            case "github":
                return _github(post)
            case "stripe":
                return _stripe(post)
            case "slack":
                return _slack(post)
        if any(headers.get(name) for name in _STANDARD):
            return _standard(replace(post, keys=self._standard_keys))
        return _token(post)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Post:
    headers: Mapping[str, Sequence[str]]
    body: bytes
    now: float
    keys: Sequence[bytes]

    def find(self, name: str) -> bytes:
        """Return the one value of a header, empty if there is none."""
        values = self.headers.get(name) or ("",)
        if len(values) > 1:
            raise AccessDenied(f"the header {name} stands twice")
        try:
            return values[0].encode("latin-1")
        except UnicodeEncodeError:
            raise AccessDenied(f"the header {name} is no text of bytes") from None

    def prove_fresh(self, timestamp: bytes) -> None:
        """Refuse a time that is not written in plain digits, or too far from now."""
        # A pattern, for int() also takes blanks, signs, underscores and digits of other scripts.
        if not re.fullmatch(rb"[0-9]{1,12}", timestamp):
            raise AccessDenied("the timestamp is missing or no plain number")
        if abs(self.now - int(timestamp)) > TOLERANCE_SECONDS:
            raise AccessDenied(f"the timestamp is more than {TOLERANCE_SECONDS} s off")

    def prove_signed(self, given: Sequence[bytes], signed: bytes, *, base64: bool = False) -> None:
        """Refuse unless one of the signatures given is that of one of the keys."""
        macs = [hmac.digest(key, signed, "sha256") for key in self.keys]
        _prove(given[:MAX_SIGNATURES], [b64encode(m) if base64 else m.hex().encode() for m in macs])


def _github(post: _Post) -> Verified:
    given = post.find("x-hub-signature-256")
    post.prove_signed(_after(b"sha256=", [given]), post.body)
    delivery = post.find("x-github-delivery")
    keys = (_key("body", post.body), *([_key("id", delivery)] if delivery else []))
    return Verified(scheme="github", keys=keys, window_seconds=DAY_SECONDS)


def _stripe(post: _Post) -> Verified:
    fields = post.find("stripe-signature").split(b",")
    timestamps = _after(b"t=", fields)
    if len(timestamps) != 1:
        raise AccessDenied("the signature has no timestamp, or two")
    post.prove_fresh(timestamps[0])
    signed = timestamps[0] + b"." + post.body
    post.prove_signed(_after(b"v1=", fields), signed)
    return Verified(scheme="stripe", keys=(_signed_id(post.body, "id", signed),))


def _slack(post: _Post) -> Verified:
    timestamp = post.find("x-slack-request-timestamp")
    post.prove_fresh(timestamp)
    signed = b"v0:" + timestamp + b":" + post.body
    post.prove_signed(_after(b"v0=", [post.find("x-slack-signature")]), signed)
    return Verified(scheme="slack", keys=(_signed_id(post.body, "event_id", signed),))


def _standard(post: _Post) -> Verified:
    kind = "webhook" if post.headers.get("webhook-signature") else "svix"
    name, timestamp = post.find(f"{kind}-id"), post.find(f"{kind}-timestamp")
    # With a dot in the id, one signed text could be read as two different posts.
    if not name or b"." in name:
        raise AccessDenied("the id is missing, or has a dot in it")
    post.prove_fresh(timestamp)
    given = _after(b"v1,", post.find(f"{kind}-signature").split(b" "))
    post.prove_signed(given, b".".join((name, timestamp, post.body)), base64=True)
    return Verified(scheme="standard", keys=(_key("id", name),))


def _token(post: _Post) -> Verified:
    header = next((name for name in _TOKENS if post.headers.get(name)), _TOKENS[0])
    given = post.find(header)
    if header == "authorization":
        scheme, _, given = given.partition(b" ")
        given = given if scheme.lower() == b"bearer" else b""
    _prove([given], post.keys)
    name = next((found for header in _IDS if (found := post.find(header))), b"")
    if name:
        return Verified(scheme="token", keys=(_key("id", name),), window_seconds=DAY_SECONDS)
    return Verified(scheme="token", keys=(_key("body", post.body),), window_seconds=BURST_SECONDS)


def _prove(given: Iterable[bytes], right: Iterable[bytes]) -> None:
    """Refuse unless one equals one; all are compared, so that the time tells not which."""
    if not sum(hmac.compare_digest(one, other) for one in given for other in right):
        raise AccessDenied("the signature or token is missing or wrong")


def _after(prefix: bytes, texts: Iterable[bytes]) -> list[bytes]:
    return [text.removeprefix(prefix) for text in texts if text.startswith(prefix)]


def _key(kind: str, text: bytes) -> str:
    return f"{kind}:{sha256(text).hexdigest()}"


def _signed_id(body: bytes, field: str, signed: bytes) -> str:
    """Make the key of the id in a proven JSON body; without one, of all that was signed."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    name = found.get(field) if isinstance(found, dict) else None
    if isinstance(name, str) and name:
        return _key("id", name.encode("utf-8", "surrogatepass"))
    return _key("post", signed)


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogateescape")  # as bytes stand in the environment


def _standard_key(secret: str) -> bytes:
    """Return the key that a secret stands for; empty if it is meant as base64 and is none."""
    if not secret.startswith("whsec_"):
        return _bytes(secret)
    text = secret.removeprefix("whsec_")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
