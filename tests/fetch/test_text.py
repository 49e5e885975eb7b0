"""No page can hold up the program, and what is left out of one is told."""

import asyncio
import time
from pathlib import Path

import pytest

from assurebot.errors import FetchFailed
from assurebot.values import Page
from tests.fetch.site import Site, local


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
