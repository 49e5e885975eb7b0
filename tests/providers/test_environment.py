"""Nothing that we did not set goes out, and nothing goes where we did not send it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from assurebot.demo.model import Wire
from assurebot.errors import ProviderRejected
from tests.providers.wires import WIRES, ignore, provider, question


class Refusing:
    """Answers everything with one status and keeps what came in."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.seen: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Keep a request and refuse it."""
        self.seen.append(request)
        return web.json_response({}, status=self.status, headers=self.headers)


@asynccontextmanager
async def refusing(status: int, **headers: str) -> AsyncIterator[tuple[Refusing, str]]:
    """Serve refusals on a free port of loopback; give the server and its address."""
    server = Refusing(status, headers)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield server, f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("wire", WIRES)
async def test_environment_adds_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies, organisations and headers that the SDKs would take from the environment are not."""
    async with refusing(403) as (proxy, proxy_url), refusing(403) as (server, url):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy_url)
        monkeypatch.setenv("NO_PROXY", "")
        for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            monkeypatch.setenv(name, "canary")
        for name in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"):
            monkeypatch.setenv(name, "X-Canary: canary\nAuthorization: Bearer canary")
        async with provider(wire, url) as asked:
            with pytest.raises(ProviderRejected):
                await asked.ask(question(wire), ignore)
    (request,) = server.seen
    assert ("canary" in str(request.headers), proxy.seen) == (False, [])


@pytest.mark.parametrize("wire", WIRES)
async def test_redirects_are_not_followed(wire: Wire) -> None:
    """A server that sends us elsewhere is refused: the key goes to the set address alone."""
    async with refusing(403) as (other, other_url), refusing(307, Location=other_url) as (_, url):
        async with provider(wire, url) as asked:
            with pytest.raises(ProviderRejected, match="HTTP 307"):
                await asked.ask(question(wire), ignore)
        assert other.seen == []
