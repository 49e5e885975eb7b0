"""The HTTP side of the stand-in: takes calls in, has them worked, and fails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Literal, assert_never

from aiohttp import web

from assurebot.demo.telegram_chats import World, moment
from assurebot.demo.telegram_faults import (
    Answer,
    Cut,
    Delay,
    Drop,
    Fault,
    FaultPlan,
    FloodControl,
    FloodLimits,
    Hang,
    Refuse,
)
from assurebot.demo.telegram_media import media_methods
from assurebot.demo.telegram_methods import FOLDER, Methods
from assurebot.demo.telegram_rules import Refused
from assurebot.demo.telegram_setup import SetupMethods
from assurebot.demo.telegram_watch import Watch
from assurebot.demo.telegram_wire import Received, integer, read_params, refusal, success

Hook = Callable[[Received], Awaitable[Fault | None]]
When = Literal["before", "after"]

_POLL, _FILE = "getupdates", "file"
_MAX_BODY_BYTES = 60 * 1024 * 1024
_PACED = ("send", "edit")  # what flood control counts, but for drafts and actions
_UNPACED = frozenset(("sendmessagedraft", "sendchataction"))


class Site:
    """Answers the calls of one bot.

    Attributes:
        faults: What goes wrong next.
        requests: The latest calls, oldest first.
        statuses: Answers by method and status; a call that got none is counted under 0.
        worked: Told each call once it took effect or failed; a poll once it began.
        unfinished: Serials of the calls that are being worked.
    """

    def __init__(
        self, world: World, *, port: int, token: str, keep_requests: int, flood: FloodLimits | None
    ) -> None:
        self._world = world
        self.port = port
        self._token = token
        self.faults = FaultPlan()
        self.requests: deque[Received] = deque(maxlen=keep_requests)
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.worked: Watch[Received] = Watch()
        self.unfinished: set[int] = set()
        self._flood = FloodControl(flood) if flood is not None else None
        self._methods = Methods(world).table() | SetupMethods(world).table() | media_methods(world)
        self._hooks: list[tuple[str, When, Hook]] = []
        self._serial = 0
        self._kept: set[asyncio.Task[bytes | Fault]] = set()
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen; once a port was picked, on that one again."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]

    async def close(self) -> None:
        """Break all connections and refuse new ones."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in list(runner.sites):
            await site.stop()
        for connection in runner.server.connections if runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()
        for task in self._kept:
            task.cancel()
        await asyncio.gather(*self._kept, return_exceptions=True)
        await runner.cleanup()

    def add_hook(self, method: str, when: When, hook: Hook) -> Callable[[], None]:
        """Have a hook awaited at each call of a method (`*`: any); return its removal."""
        entry = (method, when, hook)
        self._hooks.append(entry)
        return lambda: self._hooks.remove(entry)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        kind, _, method = request.path.removeprefix("/").partition("/")
        path = ""
        if kind == _FILE:
            (kind, _, path), method = method.partition("/"), _FILE
        try:
            self._check_address(kind, method)
            received = await self._receive(request, method, path)
        except Refused as refused:
            return refusal(refused)
        outcome: bytes | Fault
        try:
            outcome = await self._work(received)
        except Refused as refused:
            self.statuses[method, refused.status] += 1
            return refusal(refused)
        if isinstance(outcome, bytes):
            self.statuses[method, 200] += 1
            return web.Response(body=outcome) if method == _FILE else success(outcome)
        return await self._fail(request, method, outcome)

    def _check_address(self, kind: str, method: str) -> None:
        if not kind.startswith("bot") or not method:
            raise Refused("Not Found", 404)
        if kind != f"bot{self._token}":
            raise Refused("Unauthorized", 401)

    async def _receive(self, request: web.Request, method: str, path: str) -> Received:
        body, params = await read_params(request)
        if method == _FILE:
            params["path"] = path
        self._serial += 1
        received = Received(
            serial=self._serial, method=method, params=params, at=moment(), body=body
        )
        self.requests.append(received)
        self.unfinished.add(received.serial)
        return received

    def _done(self, received: Received) -> None:
        if received.serial in self.unfinished:
            self.unfinished.remove(received.serial)
            self.worked.tell(received)

    async def _work(self, received: Received) -> bytes | Fault:
        if received.method.lower() == _POLL or not (self._hooks or self.faults):
            return await self._stages(received)
        # The request has arrived: a client that leaves now does not undo it.
        task = asyncio.create_task(self._stages(received))
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return await asyncio.shield(task)

    async def _stages(self, received: Received) -> bytes | Fault:
        try:
            fault = await self._ask_hooks(received, "before") or self.faults.take(received)
            if fault is not None and not fault.after_effect:
                if not isinstance(fault, Delay):
                    return fault
                await asyncio.sleep(fault.seconds)
                fault = None
            result = await self._effect(received)
            fault = await self._ask_hooks(received, "after") or fault
        finally:
            self._done(received)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
            return result
        return result if fault is None else fault

    async def _ask_hooks(self, received: Received, now: When) -> Fault | None:
        for method, when, hook in tuple(self._hooks):
            if when == now and method in ("*", received.method):
                fault = await hook(received)
                if fault is not None:
                    return fault
        return None

    async def _effect(self, received: Received) -> bytes:
        name = received.method.lower()
        if name == _POLL:
            return await self._poll(received)
        if name == _FILE:
            return self._file(str(received.params["path"]))
        method = self._methods.get(name)
        if method is None:
            raise Refused("Not Found", 404)
        self._pace(name, received)
        return json.dumps(method(received.params)).encode()

    def _file(self, path: str) -> bytes:
        content = self._world.files.get(path.removeprefix(FOLDER))
        if content is None or not path.startswith(FOLDER):
            raise Refused("Not Found", 404)
        return content

    async def _poll(self, received: Received) -> bytes:
        params, queue = received.params, self._world.queue
        if isinstance(allowed := params.get("allowed_updates"), list):
            queue.allowed = tuple(allowed)
        return await queue.poll(
            integer(params, "offset", 0),
            integer(params, "limit", 100),
            integer(params, "timeout", 0),
            lambda: self._done(received),
        )

    def _pace(self, name: str, received: Received) -> None:
        chat_id = received.chat_id
        counted = name.startswith(_PACED) and name not in _UNPACED
        if self._flood is None or chat_id is None or not counted:
            return
        if self._flood.closed(chat_id):
            self._world.add_violations(received.method, chat_id, ["called before retry_after"])
        if (wait := self._flood.wait_of(chat_id)) is not None:
            raise Refused(f"Too Many Requests: retry after {wait}", 429, retry_after=wait)

    async def _fail(self, request: web.Request, method: str, fault: Fault) -> web.StreamResponse:
        status = fault.status if isinstance(fault, Refuse | Answer) else 0
        self.statuses[method, status] += 1
        match fault:
            case Refuse():
                return refusal(Refused.worded(fault.description, fault.status, fault.retry_after))
            case Answer():
                return web.Response(status=status, body=fault.body, content_type=fault.content_type)
            case Cut():
                promised = {"Content-Length": str(len(fault.body) + 1)}
                response = web.StreamResponse(headers=promised)
                await response.prepare(request)
                await response.write(fault.body)
                if fault.stall:
                    await asyncio.Event().wait()
                _reset(request)
            case Hang():
                await asyncio.Event().wait()  # ends when the client leaves or the server stops
            case Drop():
                _reset(request)
            case Delay():
                raise AssertionError("a delay is over before an answer is made")
            case _:
                assert_never(fault)
        return web.Response()  # nobody reads it


def _reset(request: web.Request) -> None:
    """Close the connection so that the client sees a reset, not an end."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
