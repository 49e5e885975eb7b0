"""The HTTP side: is the loop turning, and are the parts well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from assurebot.errors import ConfigError
from assurebot.ports import Check


class Site:
    """Serves `/live` and `/health` from the first moment on; what it shows holds no secrets.

    Attributes:
        checks: The parts that must be well, by name; `/health` is 200 only if all are.
        notes: What `/health` tells beside that.
    """

    def __init__(self, host: str, port: int) -> None:
        self.checks: Mapping[str, Check] = {"start": lambda: "not finished"}
        self.notes: Mapping[str, Callable[[], str]] = {}
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_get("/live", self._live)
        for path in ("/health", "/healthz", "/ready"):
            app.router.add_get(path, self._health)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=15, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
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
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it really listens on."""
        addresses = self._runner.addresses
        return int(addresses[0][1])

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def _health(self, _request: web.Request) -> web.Response:
        said = {name: check() for name, check in self.checks.items()}
        problems = {name: problem for name, problem in said.items() if problem is not None}
        notes = {name: note() for name, note in self.notes.items()}
        body = {"status": "unwell" if problems else "ok", "problems": problems, **notes}
        return web.json_response(body, status=503 if problems else 200)
