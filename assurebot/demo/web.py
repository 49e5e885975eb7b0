"""A stand-in for the web: a site on loopback with a few pages, that keeps what it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from aiohttp import web


class PageServer:
    """Serves HTML pages while its context is open; any other path is answered by 404.

    Args:
        pages: HTML by path; `{url}` in it becomes the address of the site.

    Attributes:
        requests: Path and query of every request, oldest first.
    """

    def __init__(self, pages: Mapping[str, str]) -> None:
        self.requests: list[str] = []
        self._pages = pages
        self._port = 0

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        page = self._pages.get(request.path)
        if page is None:
            return web.Response(status=404, text="no such page")
        return web.Response(text=page.replace("{url}", self.url), content_type="text/html")
