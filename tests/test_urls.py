"""One strict reading of URLs."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.urls import Url, parsed

MAPPED = "[0000:0000:0000:0000:0000:ffff:0102:0304]"


@pytest.mark.parametrize(
    ("text", "url", "normal"),
    [
        (
            "HTTPS://EXAMPLE.com.?q=\u00fc#f",
            Url(scheme="https", host="example.com", port=443, path="/", query="?q=%C3%BC"),
            "https://example.com/?q=%C3%BC",
        ),
        (
            "http://b\u00fccher.example:443/../{b}",
            Url(
                scheme="http", host="xn--bcher-kva.example", port=443, path="/../%7Bb%7D", query=""
            ),
            "http://xn--bcher-kva.example:443/../%7Bb%7D",
        ),
        (
            "https://[2606:4700:0::0:1]:8443/",
            Url(scheme="https", host="[2606:4700::1]", port=8443, path="/", query=""),
            "https://[2606:4700::1]:8443/",
        ),
        (
            "http://[::ffff:1.2.3.4]:80/",
            Url(scheme="http", host=MAPPED, port=80, path="/", query=""),
            f"http://{MAPPED}/",
        ),
    ],
)
def test_a_url_has_one_normal_form(text: str, url: Url, normal: str) -> None:
    """Scheme, host and default port are normal; the path is only quoted."""
    assert (parsed(text), parsed(text).text) == (url, normal)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://example.com/", "only complete http:// and https:// URLs can be fetched"),
        ("example.com", "only complete http:// and https:// URLs can be fetched"),
        ("https://a@example.com/", "the URL holds a user name or an @ before the host"),
        ("https://a:b:c/", "the host of the URL cannot be read"),
        ("https:///x", "the host of the URL cannot be read"),
        ("https://[1:2]/", "the host of the URL is no IP address"),
        ("https://999.1.1.1/", "the host of the URL is no IP address"),
        ("https://secret/", "the host is no public name, nor a plain IP address"),
        ("https://0x7f.1/", "the host is no public name, nor a plain IP address"),
        ("https://stra\u00dfe.example/", "the host name has characters with two readings"),
    ],
)
def test_what_is_doubtful_is_no_url(url: str, problem: str) -> None:
    """The error says why, and no word of it is the URL's."""
    with pytest.raises(ValueError, match=r"URL|host") as caught:
        parsed(url)
    assert str(caught.value) == problem


def test_odd_characters_and_length_are_refused() -> None:
    """Nothing is stripped, no backslash is turned, and 4,000 characters are enough."""
    for url in (
        " https://a.bc/",
        "https://a.bc\\x",
        "https://a.bc/\n",
        f"https://a.bc/{'a' * 4000}",
    ):
        with pytest.raises(ValueError, match="longer than 4000 characters, or holds spaces"):
            parsed(url)


@given(st.one_of(st.text(), st.text().map("https://{}".format)))
def test_a_normal_form_stays_as_it_is(text: str) -> None:
    """What comes out is read again as the same URL."""
    try:
        url = parsed(text)
    except ValueError:
        return
    assert parsed(url.text) == url


def test_a_long_foreign_name_costs_nothing() -> None:
    """IDNA takes quadratic time, so what is too long for a host never gets there."""
    name = "".join(chr(0x4E00 + (7 * n) % 20_000) for n in range(3_900))
    began = time.monotonic()
    with pytest.raises(ValueError, match="host"):
        parsed(f"https://{name}.example/")
    assert time.monotonic() - began < 0.5
