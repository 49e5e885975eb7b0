"""One strict reading of http(s) URLs, for all who judge them: what is doubtful is no URL.

The texts of the errors hold no word of the URL: they reach the model as ours.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

_URL_CHARS = 4000
_ODD = re.compile(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff]")
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f]*:[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_IPV4 = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")
# The last label begins with a letter: else a resolver may take the name for a number (0x7f.1).
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?!.{{254}})({_LABEL}\.)+(?=[a-z]){_LABEL}")
_KEPT = "!$%&'()*+,-./:;=?@_~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A URL in its one normal form.

    Attributes:
        host: A name in lower-case ASCII without a final dot, or an IP address (v6 in brackets).
        path: Percent-quoted; `.` and `..` stand as they came.
        query: With its `?`, or empty.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        """Scheme, host, and the port if it is not the usual one."""
        usual = 80 if self.scheme == "http" else 443
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port != usual else "")

    @property
    def text(self) -> str:
        """The whole URL, without its fragment."""
        return f"{self.origin}{self.path}{self.query}"


def parsed(url: str) -> Url:
    """Read a URL from anyone.

    Raises:
        ValueError: It is no strict http(s) URL; the text says why.
    """
    if len(url) > _URL_CHARS or _ODD.search(url):
        raise ValueError(
            f"the URL is longer than {_URL_CHARS} characters, or holds spaces, control characters "
            "or backslashes (write them as %20 and so on)"
        )
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ValueError("only complete http:// and https:// URLs can be fetched")
    scheme, authority = parts[1].lower(), parts[2]
    if "@" in authority:
        raise ValueError("the URL holds a user name or an @ before the host")
    split = _AUTHORITY.fullmatch(authority)
    if split is None:
        raise ValueError("the host of the URL cannot be read")
    return Url(
        scheme=scheme,
        host=_literal(split[1]) or _name(split[1]),
        port=int(split[2] or (80 if scheme == "http" else 443)),
        path=quote(parts[3] or "/", safe=_KEPT),
        query=quote(parts[4] or "", safe=_KEPT),
    )


def _literal(host: str) -> str:
    """Return the canonical form of an IP address, empty text for a name."""
    if not (host[0] == "[" or _IPV4.fullmatch(host)):
        return ""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise ValueError("the host of the URL is no IP address") from error
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    # The short form of a mapped IPv4 address differs between versions of Python.
    return f"[{address.packed.hex(':', 2) if address.ipv4_mapped else address}]"


def _name(host: str) -> str:
    """Return a host name in its ASCII form, without the final dot."""
    name = host.lower()[:300]  # too long all the same, and IDNA takes quadratic time
    try:
        name = name if name.isascii() else _ascii(name)
    except UnicodeError as error:
        raise ValueError("the host name has characters with two readings") from error
    name = name.removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ValueError("the host is no public name, nor a plain IP address")
    return name


def _ascii(name: str) -> str:
    """Encode by IDNA 2003, but only what no step of it changes."""
    encoded = name.encode("idna")
    digits = any(char.isdigit() and not char.isascii() for char in name)
    if digits or unicodedata.normalize("NFKC", name) != name or encoded.decode("idna") != name:
        raise UnicodeError
    return encoded.decode()
