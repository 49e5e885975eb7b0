"""The HTTP side: is the loop turning, are the parts well, and the door for webhooks."""

from __future__ import annotations

import asyncio
import logging
import resource
from asyncio import Protocol
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from assurebot.errors import ConfigError
from assurebot.ports import Check

HEADER_SECONDS = 5
"""So long a connection may take for the headers of a request, and idle between two."""

FILES = 4096
"""As many open files are asked of the system; a quarter may be connections, or wait for it."""

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Site:
    """Serves `/live` and `/health` from the first moment on; what it shows holds no secrets.

    Attributes:
        checks: The parts that must be well, by name; `/health` is 200 only if all are.
        notes: What `/health` tells beside that.
        hooks: Answers posts to `hooks_path`, without which there are none; 503 until it is set.
    """

    def __init__(self, host: str, port: int, hooks_path: str | None = None) -> None:
        self.hooks: Handler = _not_yet
        self._hooks_path = hooks_path
        self.checks: Mapping[str, Check] = {"start": lambda: "not finished"}
        self.notes: Mapping[str, Callable[[], str]] = {}
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_get("/live", self._live)
        for path in ("/health", "/healthz", "/ready"):
            app.router.add_get(path, self._health)
        if self._hooks_path is not None:
            app.router.add_post(self._hooks_path + "/{source:[A-Za-z0-9_-]{1,40}}", self._hook)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,  # a signature is that of the raw body
            keepalive_timeout=HEADER_SECONDS,
            lingering_time=1,
            logger=_log(),
            shutdown_timeout=1,
        )
        await self._runner.setup()
        self._connections = _raise_files() // 4
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection, self._host, self._port, backlog=self._connections
            )
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"HOST and PORT: cannot listen on {self._host}:{self._port} "
                f"({error.strerror or error}); choose another PORT or end what uses it"
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it really listens on."""
        return int(self._server.sockets[0].getsockname()[1])

    def _connection(self) -> Protocol:
        """Make room for a new connection: where there are too many, the oldest goes."""
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= self._connections:
            alive = [each for each in server.connections if each.transport is not None]
            if len(alive) >= self._connections:
                alive[0].force_close()
        return server()

    async def _hook(self, request: web.Request) -> web.Response:
        return await self.hooks(request)

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def _health(self, _request: web.Request) -> web.Response:
        said = {name: check() for name, check in self.checks.items()}
        problems = {name: problem for name, problem in said.items() if problem is not None}
        notes = {name: note() for name, note in self.notes.items()}
        body = {"status": "unwell" if problems else "ok", "problems": problems, **notes}
        return web.json_response(body, status=503 if problems else 200)


async def _not_yet(_request: web.Request) -> web.Response:
    return web.json_response({"status": "not ready"}, status=503, headers={"Retry-After": "10"})


def _log() -> logging.Logger:
    """Return where the server logs to; a bad request, which anybody can make, is no error."""
    log = logging.getLogger("assurebot.server.http")
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


def _raise_files() -> int:
    """Ask for as many open files as this takes; return how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        soft = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(soft, FILES)
