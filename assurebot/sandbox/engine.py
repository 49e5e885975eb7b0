"""The container engine: control calls by the `docker` package, and streams of our own.

`docker` is synchronous, so its calls run in threads of their own, each with a limit. The stream to
a container is ours because asyncio refuses the socket that `docker` hands out under TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog

from assurebot.errors import SandboxUnavailable
from assurebot.sandbox.profile import LABEL, EngineAddress

THREADS = 32
CALL_SECONDS = 20.0
DOUBT_SECONDS = 3.0
"""After so long a call is doubted: it goes on only if the engine answers a ping."""

PING_SECONDS = 4.0
CLOSE_SECONDS = 5.0
HELD = ("MemoryLimit", "SwapLimit", "PidsLimit")
"""What an engine says that it can hold; without it a limit is asked for and nothing holds it."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Stream:
    """The way to the runner of one container: its input, and its output without what it logs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._data = bytearray()
        self.closed = False
        self.said = b""
        """The end of what the runner wrote to its standard error: why it did not start."""

    async def exactly(self, count: int) -> bytes:
        """Return the next `count` bytes of its output."""
        while len(self._data) < count:
            head = await self._reader.readexactly(8)
            left = int.from_bytes(head[4:], "big")
            while left:
                piece = await self._reader.read(min(left, 1 << 16))
                if not piece:
                    raise EOFError
                left -= len(piece)
                if head[0] == 1:
                    self._data += piece
                else:
                    self.said = (self.said + piece)[-500:]
        taken = bytes(self._data[:count])
        del self._data[:count]
        return taken

    async def write(self, data: bytes) -> None:
        """Send bytes to its input."""
        self._writer.write(data)
        await self._writer.drain()

    def alive(self) -> bool:
        """Tell whether the other side is there, as far as is known."""
        return not self._writer.is_closing() and not self._reader.at_eof()

    def close(self) -> None:
        """Hang up; what is on its way is lost."""
        self.closed = True
        self._writer.transport.abort()


class Engine:
    """One engine; `connect` comes first, and again after it was lost.

    Raises (every call): SandboxUnavailable, with what would help.
    """

    def __init__(self, address: EngineAddress) -> None:
        self._address = address
        self._url = urlsplit(address.url)
        self._secure = address.tls_verify or self._url.scheme == "https"
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="engine")
        self._client: Any = None  # the stubs leave out what is called here
        self._version = ""
        self._names: set[str] = set()

    async def connect(self, runtime: str | None) -> None:
        """Connect, and see that the engine holds limits and has an OCI runtime."""
        await self.ping()
        before, self._client = self._client, await self._call(self._connected)
        if before is not None:
            before.close()
        info = await self._call(lambda client: client.info())
        if missing := [name for name in HELD if not info.get(name)]:
            raise SandboxUnavailable(f"the engine holds no limits: it has no {', '.join(missing)}")
        if runtime and runtime not in info.get("Runtimes", ()):
            raise SandboxUnavailable(
                f"the engine has no runtime {runtime}; register it, or unset SANDBOX_RUNTIME"
            )

    async def ping(self) -> None:
        """See that the engine answers, whatever its other calls wait for."""
        with self._translated():
            async with asyncio.timeout(PING_SECONDS):
                _, writer, head = await self._asked("GET /_ping")
            writer.transport.abort()
            found = re.search(rb"(?im)^api-version: *([\d.]+)", head)
            if found is None:
                raise ValueError("it names no version")
            self._version = found[1].decode()

    async def image(self, name: str) -> str:
        """Return the id of an image, which is never pulled."""
        try:
            found = await self._call(lambda client: client.inspect_image(name))
        except SandboxUnavailable as error:
            if "no such image" not in str(error).lower():
                raise
            raise SandboxUnavailable(
                f"the engine has no image {name}; build it: make sandbox-image, then start anew"
            ) from error
        return str(found["Id"])

    async def create(self, name: str, config: dict[str, Any]) -> None:
        """Make a container, which is ours until `remove` or `discard`; both may overtake it."""

        def make(client: Any) -> None:
            client.create_container_from_config(config, name)
            if name not in self._names:
                _remove(client, name)

        self._names.add(name)
        await self._call(make)

    async def start(self, name: str) -> None:
        """Start a container."""
        await self._call(lambda client: client.start(name))

    async def remove(self, name: str) -> None:
        """Kill and remove a container, or find that it is gone or going; a failure is logged."""
        self._names.discard(name)
        try:
            await self._call(lambda client: _remove(client, name))
        except SandboxUnavailable as error:
            log.warning("sandbox_box_left", box=name, reason=str(error))

    def discard(self, name: str) -> None:
        """Remove a container without waiting for it, also one that is just being made."""
        self._names.discard(name)
        with contextlib.suppress(RuntimeError):  # closed: the next start sweeps
            self._threads.submit(self._reached, lambda client: _remove(client, name))

    async def sweep(self, instance: str) -> int:
        """Remove the containers of an installation that are not ours any more; return how many."""
        label = {"label": f"{LABEL}={instance}"}
        found = await self._call(lambda client: client.containers(all=True, filters=label))
        lost = {str(name).lstrip("/") for one in found for name in one["Names"]} - self._names
        await asyncio.gather(*map(self.remove, lost))
        return len(lost)

    async def attach(self, name: str) -> Stream:
        """Return the stream to a container not started yet, so that nothing is missed."""
        path = f"/v{self._version}/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        with self._translated():
            async with asyncio.timeout(DOUBT_SECONDS + PING_SECONDS):
                reader, writer, _ = await self._asked(
                    f"POST {path}", "Upgrade: tcp\r\nConnection: Upgrade\r\n"
                )
            return Stream(reader, writer)

    async def close(self) -> None:
        """Let go of the engine, when what is under way is done or takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            self._client.close()

    async def _call(self, work: Callable[[Any], T]) -> T:
        """Return what a thread came to; it has longer while the engine answers."""
        with self._translated():
            waiter = asyncio.wrap_future(self._threads.submit(self._reached, work))
            try:
                done, _ = await asyncio.wait({waiter}, timeout=DOUBT_SECONDS)
                if not done:
                    await self.ping()
                    done, _ = await asyncio.wait({waiter}, timeout=CALL_SECONDS)
                if not done:
                    raise TimeoutError("no answer in time")
                return waiter.result()
            finally:
                waiter.cancel()

    def _reached(self, work: Callable[[Any], T]) -> T:
        """Work, but fail where no engine listens: `docker` would leave a socket open then."""
        if self._url.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(PING_SECONDS)
                probe.connect(self._url.path)
        return work(self._client)

    def _connected(self, _: Any) -> Any:
        import docker  # noqa: PLC0415 - costs time that only its users should pay
        from docker.tls import TLSConfig  # noqa: PLC0415 - as above

        tls: Any = self._secure
        if self._secure and (folder := self._address.cert_path):
            cert, key, ca = (str(folder / f"{name}.pem") for name in ("cert", "key", "ca"))
            tls = TLSConfig((cert, key), ca, verify=True)
        url, seconds = self._address.url, int(CALL_SECONDS)
        client = docker.APIClient(url, self._version, seconds, tls, max_pool_size=THREADS)
        client.trust_env = False  # no proxy of the environment stands before an engine
        return client

    async def _asked(
        self, what: str, headers: str = ""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """Ask something on a connection of our own; return it, and the head of the answer."""
        if self._url.scheme == "unix":
            reader, writer = await asyncio.open_unix_connection(self._url.path)
        else:
            host, port = self._url.hostname or "", self._url.port or 0
            reader, writer = await asyncio.open_connection(host, port, ssl=self._tls_context())
        try:
            writer.write(
                f"{what} HTTP/1.1\r\nHost: engine\r\n{headers}Content-Length: 0\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if head.split(b" ", 2)[1] not in {b"101", b"200"}:
                raise ValueError(repr(head.partition(b"\r\n")[0]))  # noqa: TRY301 - closed as on all
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer, head

    def _tls_context(self) -> ssl.SSLContext | None:
        folder = self._address.cert_path
        if not self._secure:
            return None
        context = ssl.create_default_context(cafile=folder / "ca.pem" if folder else None)
        if folder:
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn failures below into ours, with what would help."""
        try:
            yield
        except SandboxUnavailable:
            raise
        except Exception as error:
            text, where = f"{type(error).__name__}: {error}", self._address.url
            if explanation := getattr(error, "explanation", None):  # docker.errors.APIError
                told = f"the engine refused: {explanation}"
            elif "ermission denied" in text:
                told = f"permission denied at {where}; join its group, or set DOCKER_HOST"
            elif "SSL" in text or "TLS" in text or (self._secure and "FileNotFound" in text):
                told = f"no secure connection to {where}; check DOCKER_CERT_PATH ({text})"
            else:
                told = f"no container engine answers at {where}; start Docker or set DOCKER_HOST"
                told += f" ({text})"
            raise SandboxUnavailable(told) from error


def _remove(client: Any, name: str) -> None:
    from docker.errors import APIError  # noqa: PLC0415 - as in `_connected`

    try:
        client.remove_container(name, v=True, force=True)
    except APIError as error:
        if error.status_code == HTTPStatus.CONFLICT:  # it removes itself: be there when it has
            with contextlib.suppress(APIError):
                client.wait(name, timeout=CLOSE_SECONDS, condition="removed")
        elif error.status_code != HTTPStatus.NOT_FOUND:
            raise
