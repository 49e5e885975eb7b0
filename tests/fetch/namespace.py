"""A network of our own where every address is local, and what a fetch does in it.

Run by `unshare --net --mount`, as root. A listener on all addresses sees each connection and the
address that was really chosen (`getsockname`); a name server answers as each case says. So it
needs no mock and no knowledge of the client. Prints one JSON document.
"""

import asyncio
import contextlib
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from assurebot.agent.tools.fetch_url import FetchUrl
from assurebot.errors import ToolError
from assurebot.fetch.client import AiohttpFetcher
from assurebot.ports import ToolContext
from assurebot.values import FetchLimits, Person, Place, Trace
from tests.fetch.behaviours import CAP, CASES, OTHER, SECONDS, Answer, page
from tests.fetch.corpus import Row, corpus
from tests.fetch.dns import NameServer, Zone

PORTS = (22, 80, 443, 1900, 6379, 8080, 11211)
CONTEXT = ToolContext(place=Place(chat_id=1), actor=Person(user_id=1), trace=Trace())
RESOLV = "nameserver 127.0.0.1\noptions timeout:30 attempts:1\nsearch inner.example.net\n"
HOSTS = "10.0.0.8 hosts.example.net only-hosts.example.net\n"


class Canary:
    """Listens on every address.

    Attributes:
        seen: Each connection, as address:port, with the path once it was asked for.
        heads: The requests.
        answers: By path.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.heads: list[str] = []
        self.names: list[str] = []
        self.answers: Mapping[str, Answer] = {}
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self, certificate: Path) -> None:
        """Start."""
        secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        secure.load_cert_chain(certificate)
        secure.sni_callback = lambda _socket, name, _context: self.names.append(name or "")
        for port in PORTS:
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - every address of a namespace
                listener = socket.create_server((host, port), family=family, backlog=100)
                listener.setblocking(False)
                self._listeners.append(listener)
                asyncio.get_running_loop().add_reader(listener, self._accept, listener, secure)

    def _accept(self, listener: socket.socket, secure: ssl.SSLContext) -> None:
        # Accepted by hand: a failed TLS handshake is a connection too.
        connection, _ = listener.accept()
        address, port = connection.getsockname()[:2]
        self.seen.append(f"{ipaddress.ip_address(address.partition('%')[0])}:{port}")
        task = asyncio.create_task(
            self._serve(connection, secure if port == 443 else None, len(self.seen) - 1)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, connection: socket.socket, secure: ssl.SSLContext | None, number: int
    ) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=secure
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ")[1]
                self.seen[number] += path
                self.heads.append(head)
                answer = self.answers.get(path, page("no such page", status="404 Not Found"))
                if callable(answer):
                    await answer(writer)
                else:
                    writer.write(answer)
                    await writer.drain()
            finally:
                writer.close()


class World:
    """The listener and the name server together."""

    def __init__(self) -> None:
        self.canary = Canary()
        self.names = NameServer()

    async def play(
        self, tool: FetchUrl, url: str, answers: Mapping[str, Answer] | None = None
    ) -> dict[str, Any]:
        """Call the tool and tell what it said, what was seen, and how long it took."""
        self.canary.answers = answers or {"/": page()}
        began, start = time.monotonic(), len(self.canary.seen)
        try:
            says = (await tool.run(json.dumps({"url": url}), CONTEXT)).text
        except ToolError as error:
            says = f"{error}"
        seconds = time.monotonic() - began
        await asyncio.sleep(0.005)  # a connection that was begun shall be seen
        return {"says": says, "seen": self.canary.seen[start:], "seconds": seconds}

    async def corpus(self, rows: Sequence[Row], zone: Zone) -> list[dict[str, Any]]:
        """Fetch every URL of the file."""
        self.names.use(zone)
        found = []
        async with AiohttpFetcher() as fetcher:
            for row in rows:
                result = await self.play(FetchUrl(fetcher), row.url)
                found.append({"expected": row.expected, "url": row.url, **result})
        return found

    async def unguarded(self, rows: Sequence[Row]) -> int:
        """Count the forbidden URLs of the file that a plain client connects for."""
        self.names.use({"*": [["10.0.0.8"]]})
        count = 0
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for row in rows:
                start = len(self.canary.seen)
                with contextlib.suppress(aiohttp.ClientError, OSError, ValueError, AssertionError):
                    async with session.get(row.url, allow_redirects=False):
                        pass
                await asyncio.sleep(0.005)
                count += row.expected == "B" and len(self.canary.seen) > start
        return count

    async def behaviours(self) -> dict[str, Any]:
        """Play every case."""
        found = {}
        limits = FetchLimits(seconds=SECONDS, body_bytes=CAP)
        for name, case in CASES.items():
            self.names.use(case.zone)
            self.canary.heads.clear()
            self.canary.names.clear()
            async with AiohttpFetcher(limits=limits) as fetcher:
                tool = FetchUrl(fetcher)
                played = [await self.play(tool, url, case.answers) for url in case.url]
            found[name] = {
                "says": [each["says"] for each in played],
                "seen": [seen for each in played for seen in each["seen"]],
                "seconds": max(each["seconds"] for each in played),
                "heads": list(self.canary.heads),
                "names": list(self.canary.names),
            }
        return found


async def report(rows: Sequence[Row], certificate: Path) -> dict[str, Any]:
    """Do everything."""
    world = World()
    await world.canary.listen(certificate)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: world.names, local_addr=("127.0.0.1", 53)
    )
    found = {
        "public names": await world.corpus(rows, {"*": [[OTHER]]}),
        "private names": await world.corpus(rows, {"*": [["10.0.0.8"]]}),
        "unguarded": await world.unguarded(rows),
        "behaviours": await world.behaviours(),
    }
    transport.close()
    await world.canary.close()
    return found


def main() -> None:
    """Set up the network and print the report."""
    certificate, scratch = map(Path, sys.argv[1:])
    for name, text in (
        ("resolv.conf", RESOLV),
        ("hosts", HOSTS),
        ("nsswitch.conf", "hosts: files dns\n"),
    ):
        (scratch / name).write_text(text)
        subprocess.run(
            [shutil.which("mount") or "mount", "--bind", scratch / name, f"/etc/{name}"], check=True
        )
    for command in (
        "link set lo up",
        "route add local 0.0.0.0/0 dev lo",
        "-6 route add local ::/0 dev lo",
    ):
        subprocess.run([shutil.which("ip") or "ip", *command.split()], check=True)
    found = asyncio.run(report(corpus(), certificate))
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
