"""The one way outward: every address is judged when it is found and again when it is connected to.

A resolver alone is no guard (aiohttp does not ask it for literal addresses), so the socket factory
judges too. Redirects are followed here, each through the same strict parser.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
import threading
import zlib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from assurebot.errors import FetchFailed, FetchRefused
from assurebot.fetch.addresses import no_other_port, rebuild, refusal
from assurebot.values import Fetched, FetchLimits, Page

_HEADERS = {
    "User-Agent": "AssureBot",
    "Accept": "text/html, text/*;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
}
_TEXT = re.compile(r"text/|application/([\w.-]+\+)?(json|xml|yaml|javascript|x-ndjson|x-yaml|toml)")
_TEXT_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from assurebot.fetch.text import main; main()"
)
_TEXT_SECONDS = 5.0
_LIMITS = FetchLimits()
_LOOKUPS = 16
_CONNECT_SECONDS = 8.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "the host name was not found"),
    (aiohttp.ClientSSLError, "the certificate of the host is not valid for it"),
    (aiohttp.ClientConnectorError, "the host does not take the connection"),
    (Exception, "the answer broke off or made no sense"),
)

Judge = Callable[[str], str | None]


class _Refusal(OSError):
    """A verdict on an address, in the form that aiohttp passes on."""


class AiohttpFetcher:
    """`Fetcher` over aiohttp: a new connection and a new look-up for every request."""

    def __init__(
        self,
        judge: Judge = refusal,
        other_port: Callable[[str, int], bool] = no_other_port,
        limits: FetchLimits = _LIMITS,
    ) -> None:
        self._judge, self._other_port, self._limits = judge, other_port, limits
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open; nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(self._judge),
                socket_factory=self._socket,
                use_dns_cache=False,
                force_close=True,
                limit=_LOOKUPS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str, limits: FetchLimits) -> Fetched:
        """See `Fetcher.get`."""
        try:
            async with asyncio.timeout(limits.seconds):
                return await self._follow(url, limits)
        except TimeoutError as error:
            raise FetchFailed("no whole answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            raise _translated(error) from error

    async def read(self, url: str, chars: int) -> Page:
        """See `Fetcher.read`."""
        found = await self.get(url, self._limits)
        kind, _, rest = found.content_type.lower().partition(";")
        if not _TEXT.match(kind) and (kind or b"\0" in found.body[:2000]):
            raise FetchFailed("it is a file that is not text (a picture, an archive, a PDF, ...)")
        html = "html" in kind or (not kind and found.body.lstrip().startswith(b"<"))
        charsets = re.findall(r"""charset=["']?([\w-]{1,40})""", rest)
        ask = {"url": found.url, "html": html, "charset": (*charsets, "")[0], "chars": chars}
        answer = await _made_text(json.dumps(ask).encode() + b"\n" + found.body)
        return Page(url=found.url, status=found.status, content_type=found.content_type, **answer)

    async def _follow(self, url: str, limits: FetchLimits) -> Fetched:
        target = rebuild(url, self._judge, self._other_port)
        for _ in range(limits.redirects + 1):
            answer = await self._ask(target, limits.body_bytes)
            if isinstance(answer, Fetched):
                return answer
            before, target = target, rebuild(answer, self._judge, self._other_port)
            if before.startswith("https:") and not target.startswith("https:"):
                raise FetchRefused("a redirect leads from https to http")
        raise FetchFailed(f"more than {limits.redirects} redirects")

    async def _ask(self, url: str, cap: int) -> Fetched | str:
        """Ask once; text is where a redirect leads."""
        assert self._session is not None
        async with self._session.get(URL(url, encoded=True), allow_redirects=False) as response:
            if response.status in _REDIRECTS and "Location" in response.headers:
                location = response.headers["Location"]
                # The joining would drop what `rebuild` refuses.
                return urljoin(url, location) if location.isprintable() else location
            return Fetched(
                url=url,
                status=response.status,
                content_type=response.headers.get("Content-Type", ""),
                body=await _body(response, cap),
            )

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, address = info
        _public(address[0], self._judge)
        return socket.socket(family, kind, proto)


class _Resolver(AbstractResolver):
    """The system's look-up of whole names, in threads that nothing ever has to wait for.

    The event loop's own threads would do, but a dead name server holds one for 30 s: some such
    names would stop all else that uses them, and the end of the program.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._slots = asyncio.Semaphore(_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return all addresses of a name; one that is not public spoils all."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any] | OSError] = loop.create_future()

        def settle(found: list[Any] | OSError) -> None:
            self._slots.release()
            if not answer.done():
                answer.set_result(found)

        def look_up() -> None:
            found = _addresses(host, port, family)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, found)

        await self._slots.acquire()
        threading.Thread(target=look_up, daemon=True).start()
        found = await answer
        if isinstance(found, OSError):
            raise found
        judged = [(*each, _public(each[-1][0], self._judge)) for each in found]
        return [
            ResolveResult(hostname=host, host=at, port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, _, at in judged
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _addresses(host: str, port: int, family: int) -> list[Any] | OSError:
    try:
        # The final dot keeps out search domains and the hosts file.
        return socket.getaddrinfo(f"{host}.", port, family, socket.SOCK_STREAM)
    except OSError as error:
        return error


def _public(address: str, judge: Judge) -> str:
    if reason := judge(address):
        raise _Refusal(reason)
    return address


async def _body(response: aiohttp.ClientResponse, cap: int) -> bytes:
    """Read and unpack a body; neither form may be larger than `cap`."""
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packing not in {"", "identity", "gzip", "x-gzip"}:
        raise FetchFailed("it is packed in a way that was not asked for")
    too_large = FetchFailed(f"it is larger than {cap} bytes")
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > cap:
            raise too_large
    if not body or "gzip" not in packing:
        return bytes(body)
    stream = zlib.decompressobj(wbits=31)
    unpacked = stream.decompress(body, cap + 1)
    if len(unpacked) > cap:
        raise too_large
    if not stream.eof or stream.unused_data:
        raise zlib.error
    return unpacked


async def _made_text(data: bytes) -> dict[str, Any]:
    """Let the text program work, for a limited time and with an empty environment."""
    command = (sys.executable, "-I", "-c", _TEXT_PROGRAM, str(Path(__file__).parents[2]))
    try:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}
        )
    except OSError as error:
        raise FetchFailed("this machine could not start the program that reads pages") from error
    try:
        async with asyncio.timeout(_TEXT_SECONDS):
            out, _ = await child.communicate(data)
        answer: dict[str, Any] = json.loads(out)
    except (TimeoutError, ValueError) as error:
        raise FetchFailed("its text could not be read: it is too large or tangled") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return answer


def _translated(error: Exception) -> FetchRefused | FetchFailed:
    """Say what happened, without the words of libraries: they quote the URL."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, _Refusal):
        return FetchRefused(str(cause))
    return FetchFailed(next(says for kind, says in _FAILURES if isinstance(error, kind)))
