"""A site on loopback, and a fetcher that may reach it and nothing else that is inner."""

import asyncio
from collections.abc import Callable
from typing import Self

from assurebot.fetch.addresses import refusal
from assurebot.fetch.client import AiohttpFetcher


class Site:
    """Answers every request alike.

    Attributes:
        asked: How many connections there were.
    """

    def __init__(self, body: bytes, kind: str = "text/plain") -> None:
        self._answer = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.asked = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()
        writer.close()


def local(site: Site, judge: Callable[[str], str | None] | None = None) -> AiohttpFetcher:
    """Return a fetcher for one site."""

    def allow(address: str) -> str | None:
        return None if address == "127.0.0.1" else refusal(address)

    return AiohttpFetcher(
        judge=judge or allow, other_port=lambda host, port: (host, port) == ("127.0.0.1", site.port)
    )
