"""Pages become text that a model can read, and no page can hold up the program."""

import asyncio
import time
from pathlib import Path

import pytest

from assurebot.errors import FetchFailed
from assurebot.fetch.text import decoded, readable
from assurebot.values import Page
from tests.fetch.site import Site, local

BASE = "https://a.example/dir/page"

HTML = """<!doctype html><html><head><title> A
 &amp; B </title><style>p {}</style></head><body><script>evil()</script><!-- no -->
<h1>Head</h1><p>One <b>two</b>
 three <a href="/x?y=1">link</a>, <a href="#top">top</a>, <a href="javascript:x()">js</a>.</p>
<noscript>no</noscript><pre>def f():
    return 1</pre><table><tr><td>a<td>b<tr><td>c</table><ul><li>1<li>2</ul>tail<br>end</body>"""


def test_a_page_is_readable() -> None:
    """Words, links and lines stay; scripts, styles and comments go; code keeps its indent."""
    assert readable(HTML, BASE) == (
        "A & B",
        (
            "Head\nOne two three link (https://a.example/x?y=1), top, js.\ndef f():\n"
            "    return 1\na b\nc\n1\n2\ntail\nend"
        ),
    )


@pytest.mark.parametrize(
    "html", ["", "<", "<a href='http://['>x</a>", "<frameset><frame></frameset>"]
)
def test_a_poor_page_is_a_short_page(html: str) -> None:
    """Nothing that stands for a page is an error."""
    assert readable(html, BASE)[1] in {"", "<", "x"}


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("\u00e9".encode(), "", "\u00e9"),
        ("\ufeff\u00e9".encode(), "", "\u00e9"),
        ("\u00e9".encode("latin-1"), "iso-8859-1", "\u00e9"),
        ("\u00e9".encode("utf-16"), "", "\u00e9"),
        (b'<meta charset="windows-1251">\xef', "", '<meta charset="windows-1251">\u043f'),
        (b"\xff!", "", "\ufffd!"),
        (b"a", "unicode_escape", "a"),
        (b"a-", "punycode", "a-"),
        (b"a", "utf-8x", "a"),
    ],
)
def test_charsets(body: bytes, charset: str, text: str) -> None:
    """The named charset decides if it is one for text, else UTF-8, and no byte is an error."""
    assert decoded(body, charset) == text


def children() -> set[str]:
    """Return the processes that this one has started and not ended."""
    return set(
        " ".join(each.read_text() for each in Path("/proc/self/task").glob("*/children")).split()
    )


async def test_a_long_page_is_cut() -> None:
    """What is left out is told."""
    async with Site(b"x" * 300) as site, local(site) as fetcher:
        assert await fetcher.read(site.url, 100) == Page(
            url=site.url, status=200, content_type="text/plain", title="", text="x" * 100, cut=True
        )


async def test_a_tangled_page_does_not_stop_the_program() -> None:
    """While a page made to keep the parser busy is read, all else goes on; then it is given up."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    async with Site(b"<div>" * 390_000, "text/html") as site, local(site) as fetcher:
        watching = asyncio.create_task(watch())
        with pytest.raises(FetchFailed, match="too large or tangled"):
            await fetcher.read(site.url, 100)
        watching.cancel()
    assert longest < 1


async def test_a_stopped_fetch_leaves_no_process() -> None:
    """Cancelling ends the text program too."""
    before = children()
    async with Site(b"<div>" * 390_000, "text/html") as site, local(site) as fetcher:
        reading = asyncio.create_task(fetcher.read(site.url, 100))
        async with asyncio.timeout(10):
            while children() == before:  # noqa: ASYNC110 - another program starts, none tells
                await asyncio.sleep(0.01)
        began = time.monotonic()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert (children(), time.monotonic() - began < 1) == (before, True)
