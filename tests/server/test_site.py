"""The HTTP side: what each path answers, and what it does not say."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from assurebot.errors import ConfigError
from assurebot.server.site import Site


async def get(site: Site, path: str) -> tuple[int, Any]:
    """Ask for a path; return status and body."""
    url = f"http://127.0.0.1:{site.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        json = response.content_type == "application/json"
        return response.status, await (response.json() if json else response.text())


async def test_health_names_the_part_that_is_unwell() -> None:
    """Under each of its names it is 503 before the start is over, and 200 only if all is well."""
    paths = ("/health", "/healthz", "/ready")
    async with Site("127.0.0.1", 0) as site:
        starting = (503, {"status": "unwell", "problems": {"start": "not finished"}})
        assert [await get(site, path) for path in paths] == [starting] * 3
        site.checks = {"store": lambda: None, "audit": lambda: "the disk is full"}
        unwell = (503, {"status": "unwell", "problems": {"audit": "the disk is full"}})
        assert [await get(site, path) for path in paths] == [unwell] * 3
        site.checks = {"store": lambda: None}
        assert [await get(site, path) for path in paths] == [
            (200, {"status": "ok", "problems": {}})
        ] * 3


async def test_live_says_only_that_the_process_turns() -> None:
    """It is 200 whatever is unwell; nothing else is served."""
    async with Site("127.0.0.1", 0) as site:
        assert await get(site, "/live") == (200, {"status": "live"})
        assert (await get(site, "/"))[0] == 404
        assert (await get(site, "/metrics"))[0] == 404


async def test_port_that_is_taken_is_named() -> None:
    """The error names the variables and the way out."""
    async with Site("127.0.0.1", 0) as site:
        with pytest.raises(ConfigError, match=r"^HOST and PORT: cannot listen on .*another PORT"):
            async with Site("127.0.0.1", site.port):
                pass
