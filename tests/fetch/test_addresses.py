"""Verdicts on addresses and URLs: strict, stable, and the same on every Python."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from assurebot.errors import FetchRefused
from assurebot.fetch.addresses import rebuild, refusal

PUBLIC = ("93.184.216.34", "192.0.1.1", "2606:4700:4700::1111", "2a00:1450::1")
INNER = (
    "10.1.2.3",
    "127.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.9",
    "255.255.255.255",
    "::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "2001::1",
    "2606:4700::5efe:8.8.8.8",
    "2606:4700::300:5efe:8.8.8.8",
    "fec0::1",
    "4000::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "no address",
    "",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    """There is nothing to say against an ordinary address."""
    assert refusal(address) is None


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused(address: str) -> None:
    """What is private, special, or wraps an IPv4 address (even a public one) is not public."""
    assert refusal(address) is not None


@pytest.mark.parametrize(
    ("url", "rebuilt"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:0443/a?b#c", "https://example.com/a?b"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("http://example.com./a/../b", "http://example.com/a/../b"),
        ("http://example.com?q=a%20b&c={d}", "http://example.com/?q=a%20b&c=%7Bd%7D"),
        ("http://b\u00fccher.example/\u00fc", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://[2606:4700:4700:0:0:0:0:1111]/", "http://[2606:4700:4700::1111]/"),
        ("http://93.184.216.34", "http://93.184.216.34/"),
    ],
)
def test_a_url_is_made_anew(url: str, rebuilt: str) -> None:
    """One spelling comes out: lower case, no default port, no fragment, ASCII."""
    assert rebuild(url) == rebuilt


@pytest.mark.parametrize(
    "url",
    [
        "http://stra\u00dfe.example/",
        "http://a.b\u200d.example/",
        "http://example.com:8080/",
        "http://example.com:/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://-a.example/",
        f"http://{'a' * 64}.example/",
        f"http://{'a.' * 127}example/",
        f"http://{chr(0xFC) * 300}.example/",
        "http://[1.2.3.4]/",
        "http://example.com/\ud800",
        "http://example.com/a b",
        f"http://example.com/{'a' * 4000}",
        "http://",
        "",
    ],
)
def test_what_is_not_strict_is_refused(url: str) -> None:
    """Doubtful names, other ports and odd characters are refused, not repaired."""
    with pytest.raises(FetchRefused):
        rebuild(url)


def test_a_port_is_opened_for_one_host() -> None:
    """A rule may name another port, and frees it for that host alone."""

    def rule(host: str, port: int) -> bool:
        return (host, port) == ("example.com", 8443)

    assert rebuild("https://example.com:8443/", other_port=rule) == "https://example.com:8443/"
    for url in ("https://www.example.com:8443/", "https://example.com:8444/"):
        with pytest.raises(FetchRefused):
            rebuild(url, other_port=rule)


HOSTS = st.from_regex(r"[a-z0-9.@:\[\]%\\#?/_\u3002\u2460\uff11-]{1,30}", fullmatch=True)


@given(st.one_of(st.text(), HOSTS.map("http://{}".format), HOSTS.map("https://a.bc/{}".format)))
def test_whatever_comes_out_is_read_alike_by_the_client(url: str) -> None:
    """A URL is refused, or comes out in a form that changes no more and that all parsers share."""
    try:
        rebuilt = rebuild(url)
    except FetchRefused:
        return
    parts = re.fullmatch(r"(https?)://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:80|:443)?/[!-~]*", rebuilt)
    assert parts is not None
    read = URL(rebuilt, encoded=True)
    assert (read.scheme, read.raw_host, read.user) == (parts[1], parts[2].strip("[]"), None)
    assert read.port in {80, 443}
    assert rebuild(rebuilt) == rebuilt


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_the_table_refuses_all_that_python_calls_inner(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Our table is never freer than the flags of `ipaddress`."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(str(address)) is not None
