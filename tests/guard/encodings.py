"""The 14 encodings of a secret, made by the standard library, for every test of redaction."""

import html
import json
import re
import shlex
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus


def all_percent(secret: str) -> str:
    """Percent-encode every byte."""
    return "".join(f"%{byte:02X}" for byte in secret.encode())


def known_base64(secret: str, shift: int, encode: Callable[[bytes], bytes]) -> str:
    """Return the part of the base64 that does not depend on what surrounds the secret."""
    low, high = (
        encode(byte * shift + secret.encode() + byte * 2).decode().rstrip("=")
        for byte in (b"\0", b"\xff")
    )
    same = [one == other for one, other in zip(low, high, strict=True)]
    first = same.index(True) if shift else 0
    last = len(same) - same[::-1].index(True)
    return low[first:last]


ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "raw": str,
    "json": lambda secret: json.dumps(secret)[1:-1],
    "repr": lambda secret: repr(secret)[1:-1],
    "percent": lambda secret: quote(secret, safe=""),
    "percent, lower case": lambda secret: all_percent(secret).lower(),
    "percent, form": quote_plus,
    "percent, every byte": all_percent,
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "percent twice, every byte": lambda secret: quote(all_percent(secret), safe=""),
    "base64 at 0": lambda secret: known_base64(secret, 0, b64encode),
    "base64 at 1": lambda secret: known_base64(secret, 1, b64encode),
    "base64 at 2": lambda secret: known_base64(secret, 2, b64encode),
    "URL-safe base64 at 0": lambda secret: known_base64(secret, 0, urlsafe_b64encode),
    "URL-safe base64 at 1": lambda secret: known_base64(secret, 1, urlsafe_b64encode),
    "URL-safe base64 at 2": lambda secret: known_base64(secret, 2, urlsafe_b64encode),
    "hex": lambda secret: secret.encode().hex(),
    "hex, upper case": lambda secret: secret.encode().hex().upper(),
    "html": html.escape,
    "shell": lambda secret: shlex.quote(secret).removeprefix("'").removesuffix("'"),
    "UTF-16, little end first": lambda secret: secret.encode("utf-16-le").decode("latin-1"),
    "UTF-16, big end first": lambda secret: secret.encode("utf-16-be").decode("latin-1"),
}


UNBROKEN_CHARACTERS = [
    name for name in ENCODINGS if re.match("raw|hex|.*base64|percent.*every byte", name)
]
"""Encodings in which a line break may stand anywhere; in others it may not cut an escape."""


def broken_over_lines(form: str) -> Iterator[str]:
    """Break a form at every position, in every style of line end and indentation."""
    for at in range(1, len(form)):
        for gap in ("\n", "\r\n", "\n    ", "\r\n\t"):
            yield form[:at] + gap + form[at:]
