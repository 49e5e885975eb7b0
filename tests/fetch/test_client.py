"""The second guard, and the limits, on loopback."""

import pytest

from assurebot.errors import FetchFailed, FetchRefused
from assurebot.fetch.client import AiohttpFetcher
from assurebot.values import Fetched, FetchLimits
from tests.fetch.site import Site, local


async def test_the_bytes_of_an_answer() -> None:
    """Below the text there are plain bytes for whatever else goes outward."""
    async with Site(b"\0\1", "application/x") as site, local(site) as fetcher:
        assert await fetcher.get(site.url, FetchLimits()) == Fetched(
            url=site.url, status=200, content_type="application/x", body=b"\0\1"
        )


async def test_the_address_is_judged_again_when_it_is_connected_to() -> None:
    """Were the first verdict wrong or deceived, the one on the real address still refuses."""
    judged: list[str] = []

    def judge(address: str) -> str | None:
        judged.append(address)
        return "late" if len(judged) > 1 else None

    async with Site(b"hello") as site, local(site, judge) as fetcher:
        with pytest.raises(FetchRefused) as caught:
            await fetcher.get(site.url, FetchLimits())
        assert (str(caught.value), judged, site.asked) == ("late", ["127.0.0.1"] * 2, 0)


async def test_a_limit_of_the_caller_holds() -> None:
    """A body of exactly the limit passes, one byte more does not."""
    async with Site(b"x" * 10) as site, local(site) as fetcher:
        found = await fetcher.get(site.url, FetchLimits(body_bytes=10))
        assert found.body == b"x" * 10
        with pytest.raises(FetchFailed, match="larger than 9 bytes"):
            await fetcher.get(site.url, FetchLimits(body_bytes=9))


async def test_nobody_there() -> None:
    """A closed port is told as what it is."""
    async with Site(b"") as site:
        pass
    async with local(site) as fetcher:
        with pytest.raises(FetchFailed, match="does not take the connection"):
            await fetcher.get(site.url, FetchLimits())


async def test_it_refuses_loopback_unless_told() -> None:
    """Without a judge of its own nothing here is reachable."""
    async with Site(b"hello") as site, AiohttpFetcher() as fetcher:
        with pytest.raises(FetchRefused):
            await fetcher.get(site.url, FetchLimits())
        assert site.asked == 0
