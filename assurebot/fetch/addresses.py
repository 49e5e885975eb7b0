"""Which addresses and URLs are public: pure verdicts, the same on every Python version.

The ranges are our own table (the flags of `ipaddress` change between versions), from the IANA
special-purpose registries for IPv4 and IPv6. Reasons hold no word of the URL: they reach the
model as ours, and the target of a redirect is a stranger's text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from assurebot.errors import FetchRefused
from assurebot.urls import parsed

_RANGES = {
    # Nearly all of these lie in ranges below; here they get their name.
    "a cloud's metadata service": """169.254.169.254 169.254.170.2 169.254.170.23 169.254.42.42
        168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254
        fd00:42::42 fe80::a9fe:a9fe""",
    "this machine": "127.0.0.0/8 0.0.0.0/8 ::/127",
    "a private network": """10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16
        fc00::/7 fe80::/9""",
    "a group of machines": "224.0.0.0/4 ff00::/8",
    # What maps, translates or tunnels to IPv4 is refused whole, whatever it wraps.
    "a wrapped IPv4 address": """::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48
        2001::/32 2002::/16""",
    "an address of special purpose": """192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24
        192.88.99.0/24 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
        2001::/23 2001:db8::/32 2620:4f:8000::/48 3fff::/20""",
    "outside of the public internet": "::/3 4000::/2 8000::/1",
}
_TABLE = [
    (ipaddress.ip_network(each), kind) for kind, text in _RANGES.items() for each in text.split()
]
_ISATAP = re.compile(r".{20}0[0-3]00:5efe:")  # RFC 5214: a wrapped IPv4 address in any network

_INNER_NAME = re.compile(
    r"(.*\.)?(localhost|localdomain|local|internal|intranet|lan|home|corp|private|svc|home\.arpa"
    r"|metadata\.(tencentyun\.com|packet\.net|platformequinix\.com))"
)


def refusal(address: str) -> str | None:
    """Say why an IP address is not public, or `None` if it is."""
    try:
        plain = ipaddress.ip_address(address.replace("%", " "))
    except ValueError:
        return "it is not a plain IP address"
    kind = next((kind for network, kind in _TABLE if plain in network), None)
    if kind is None and _ISATAP.match(plain.exploded):
        kind = "a wrapped IPv4 address"
    return f"{address} is {kind}" if kind else None


def no_other_port(host: str, port: int) -> bool:
    """Allow no port beside 80 and 443."""
    del host, port
    return False


def rebuild(
    url: str,
    judge: Callable[[str], str | None] = refusal,
    other_port: Callable[[str, int], bool] = no_other_port,
) -> str:
    """Return the URL made anew from its parts, so that no other parser can read it otherwise.

    Args:
        url: From anyone.
        judge: Says why an address must not be reached, or `None`.
        other_port: Tells whether this host may be asked on a port that is not 80 or 443.

    Raises:
        FetchRefused: It is no strict http(s) URL, or leads to what is not public.
    """
    try:
        parts = parsed(url)
    except ValueError as error:
        raise FetchRefused(str(error)) from error
    # The last label of a name begins with a letter, that of an address never does.
    if parts.host.rpartition(".")[2][0].isalpha():
        inner = _INNER_NAME.fullmatch(parts.host)
        reason = "the host is a name of an inner network" if inner else None
    else:
        reason = judge(parts.host.strip("[]"))
    if reason:
        raise FetchRefused(reason)
    if parts.port not in {80, 443} and not other_port(parts.host, parts.port):
        raise FetchRefused("only the ports 80 and 443 are open; POLICY_ALLOW can name another")
    return parts.text
