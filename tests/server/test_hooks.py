"""Hostile HTTP against the door for webhooks, over bare sockets to the running program."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import aiohttp
import pytest

from assurebot.demo.model import Ask, Turn
from assurebot.server import hooks
from assurebot.server.site import Site
from assurebot.store.database import SqlStore
from tests.doubles import ListAudit
from tests.posting import HOOKS, SECRET, TOKEN, post, push, pushed, signed
from tests.server.signing import NOW, Sender, Vector
from tests.server.vectors import vectors
from tests.store.making import HERE, SetClock
from tests.world import World, running

BEARER = f"Authorization: Bearer {SECRET}"
SLOW = 600
HEADER_BYTES = 8_000


def brief(_ask: Ask) -> Turn:
    """Sum up anything."""
    return Turn(text="It happened.")


async def talk(
    world: World | Site, *pieces: bytes, pause: float = 0.0, wait: float = 15.0
) -> bytes:
    """Send pieces on one connection; return all that comes back until it is closed or silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    answer = b""

    async def listen() -> None:
        nonlocal answer
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                answer += chunk

    listening = asyncio.create_task(listen())
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.wait({listening}, timeout=pause)
            if listening.done():
                break
        await asyncio.wait({listening}, timeout=wait)
        return answer
    finally:
        listening.cancel()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def asked(
    *headers: str,
    body: bytes = b"",
    path: str = "/hooks/ci",
    method: str = "POST",
    length: int | None = -1,
) -> bytes:
    """Make a request that closes its connection; `length` lies, and `None` leaves it out."""
    size = [] if length is None else [f"Content-Length: {len(body) if length < 0 else length}"]
    lines = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close", *size, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of all answers."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def memory() -> int:
    """Return how many MiB this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


def taken(world: World) -> int:
    """Count the posts in the store."""
    return int(world.rows("SELECT count(*) FROM inbox WHERE source LIKE 'webhook:%'")[0][0])


BODY = b'{"title": "x"}'
CHUNKED = b"7\r\n" + BODY[:7] + b"\r\n7\r\n" + BODY[7:] + b"\r\n0\r\n\r\n"
ZIPPED = gzip.compress(b"0" * 30_000_000)

ODD: dict[str, tuple[bytes, list[int], int]] = {
    "as it should be": (asked(BEARER, body=BODY), [202], 1),
    "empty body": (asked(BEARER), [202], 1),
    "chunked": (
        asked(BEARER, "Transfer-Encoding: chunked", body=CHUNKED, length=None),
        [202],
        1,
    ),
    "bad chunk": (
        asked(BEARER, "Transfer-Encoding: chunked", body=b"zz\r\nx", length=None),
        [400],
        0,
    ),
    "length and chunked": (asked(BEARER, "Transfer-Encoding: chunked", body=CHUNKED), [400], 0),
    "two lengths": (asked(BEARER, "Content-Length: 3", body=BODY), [400], 0),
    "length is no number": (asked(BEARER, "Content-Length: x", body=BODY, length=None), [400], 0),
    "negative length": (asked(BEARER, "Content-Length: -1", body=BODY, length=None), [400], 0),
    "no length": (asked(BEARER, body=BODY, length=None), [400], 0),
    "too long by its length": (asked(BEARER, length=(1 << 20) + 1), [413], 0),
    "absurd length": (asked(BEARER, length=10**30), [400], 0),
    "just not too long": (asked(BEARER, body=b"x" * (1 << 20)), [202], 1),
    "a bomb stays packed": (
        asked(BEARER, "Content-Encoding: gzip", body=ZIPPED),
        [202],
        1,
    ),
    "expect continue": (asked(BEARER, "Expect: 100-continue", body=BODY), [100, 202], 1),
    "expect else": (asked(BEARER, "Expect: 200-ok", body=BODY), [417], 0),
    "get": (asked(BEARER, method="GET"), [405], 0),
    "put": (asked(BEARER, body=BODY, method="PUT"), [405], 0),
    "options": (asked(BEARER, method="OPTIONS"), [405], 0),
    "no method": (asked(BEARER, method="P\x00ST"), [400], 0),
    "odd method": (asked(BEARER, method="FOO"), [400], 0),
    "double slash": (asked(BEARER, body=BODY, path="//hooks/ci"), [404], 0),
    "slash at the end": (asked(BEARER, body=BODY, path="/hooks/ci/"), [404], 0),
    "parent": (asked(BEARER, body=BODY, path="/hooks/ci/../ci"), [404], 0),
    "encoded parent": (asked(BEARER, body=BODY, path="/hooks/%2e%2e/ci"), [404], 0),
    "encoded slash": (asked(BEARER, body=BODY, path="/hooks%2fci"), [404], 0),
    "no source": (asked(BEARER, body=BODY, path="/hooks/"), [404], 0),
    "long source": (asked(BEARER, body=BODY, path="/hooks/" + "a" * 41), [404], 0),
    "bad escape": (asked(BEARER, body=BODY, path="/hooks/%zz"), [404], 0),
    "bytes in the path": (asked(BEARER, body=BODY, path="/hooks/\xff\xfe"), [400], 0),
    "upper case is the same source": (asked(BEARER, body=BODY, path="/HOOKS/CI"), [404], 0),
    "source in capitals": (asked(BEARER, body=BODY, path="/hooks/CI?x=1"), [202], 1),
    "token in the query": (asked(body=BODY, path=f"/hooks/ci?token={SECRET}"), [401], 0),
    "header twice": (asked(BEARER, BEARER, body=BODY), [401], 0),
    "bytes in a header": (asked("Authorization: Bearer \xff\xfe", body=BODY), [401], 0),
    "long header": (asked(BEARER, "X: " + "a" * 1_000_000, body=BODY), [400], 0),
    "many headers": (asked(BEARER, *[f"X-{n}: 1" for n in range(500)], body=BODY), [400], 0),
    "no http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400], 0),
    "upgrade": (asked(BEARER, "Upgrade: websocket", body=BODY), [202], 1),
    "forwarded for": (asked("X-Forwarded-For: 127.0.0.1", body=BODY), [401], 0),
}


async def test_odd_requests_are_answered_by_their_rule(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each gets the status of its rule, never a 5xx; proven posts alone are stored, none logged."""
    async with running(tmp_path, brief, **HOOKS) as world:
        await world.ask("/panic", "Everything is held")
        found, expected = {}, {}
        for name, (request, told, stored) in ODD.items():
            before = taken(world)
            world.rows("DELETE FROM seen")
            answer = await talk(world, request)
            found[name] = (statuses(answer), taken(world) - before)
            expected[name] = (told, stored)
        assert found == expected
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_pipelined_posts_are_answered_in_order(tmp_path: Path) -> None:
    """Two on one connection are two posts."""
    async with running(tmp_path, brief, **HOOKS) as world:
        first = asked(BEARER, body=b"{}").replace(b"Connection: close\r\n", b"")
        answer = await talk(world, first + asked(BEARER, body=BODY))
        assert (statuses(answer), taken(world)) == ([202, 202], 2)


@pytest.mark.slow
async def test_slow_headers_and_slow_bodies_are_cut_off(tmp_path: Path) -> None:
    """Headers get five seconds, a body ten, whether nothing comes or a byte now and then."""
    async with running(tmp_path, brief, **HOOKS) as world:
        head, drip = asked(BEARER, length=100), [b"x"] * 30

        async def timed(*pieces: bytes) -> tuple[list[int], float]:
            began = time.monotonic()
            answer = await talk(world, *pieces, pause=0.5)
            return statuses(answer), time.monotonic() - began

        (none, some), (nothing, after_none), (body, after_body) = await asyncio.gather(
            timed(b"POST /hooks/ci HTTP/1.1\r\n", *[b"X: y\r\n"] * 30),
            timed(b""),
            timed(head, *drip),
        )
        assert (none, nothing, body) == ([], [], [408])
        assert some < 17
        assert after_none < 8
        assert after_body < 17
        assert taken(world) == 0


@pytest.mark.parametrize("kind", ["headers", "bodies", "megabytes"])
@pytest.mark.slow
async def test_slow_connections_keep_nobody_waiting(
    tmp_path: Path, kind: str, figures: Callable[[str, str], None]
) -> None:
    """Beside 600 that send half a request a proven post is answered within 2 s."""
    begun = {
        "headers": b"POST /hooks/github HTTP/1.1\r\nHost: a\r\n",
        "bodies": asked(length=1000, path="/hooks/github") + b"x",
        "megabytes": asked(length=1 << 20, path="/hooks/github") + b"x" * 500_000,
    }[kind]
    async with running(tmp_path, brief, **HOOKS) as world:
        before = memory()
        writers = []
        for _ in range(SLOW):
            _, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(begun)
            writers.append(writer)
        took = []
        for number in range(1, 6):
            began = time.monotonic()
            assert await push(world, number) == 202
            took.append(time.monotonic() - began)
        grown = memory() - before
        for writer in writers:
            writer.transport.abort()
        figures(f"hooks {kind}", f"slowest of 5 posts beside 600 slow {kind}: {max(took):.3f} s")
        figures(f"hooks {kind} memory", f"600 slow {kind}: {grown} MiB more in test and program")
        assert max(took) <= 2


async def test_more_connections_than_there_is_room_for(tmp_path: Path) -> None:
    """The oldest that has proven nothing makes room for the newest."""
    async with running(tmp_path, brief, **HOOKS) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        others = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(1024)]
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        assert await push(world) == 202
        for _, each in [*others, (reader, writer)]:
            each.transport.abort()


async def test_nothing_is_taken_before_the_core_is_up() -> None:
    """While the start is not over it is 503, with a time to come again."""
    async with (
        Site("127.0.0.1", 0, "/hooks") as site,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{site.port}/hooks/ci", data=BODY) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")


async def test_refused_posts_leave_one_line_a_second(tmp_path: Path) -> None:
    """Many wrong posts at once are one audit line; the next one tells how many there were."""
    async with running(tmp_path, brief, **HOOKS) as world:
        body = pushed()
        for _ in range(30):
            await post(world, "github", body, signed(body, secret="y" * 20))
        await asyncio.sleep(hooks.LINE_SECONDS)
        await post(world, "github", body, TOKEN)
        await world.stop()
        lines = world.audit(type="webhook")
        told = sum(int(line.get("evidence", "and 0").split()[1]) for line in lines)
        assert (len(lines) <= 5, told + len(lines)) == (True, 31)
        assert {(line["path"], line["status"]) for line in lines} == {("/hooks/github", 401)}


def wire(vector: Vector) -> bytes | None:
    """Make the request of a vector; `None` where HTTP cannot carry it, trims it or caps it."""
    lines = []
    for name, values in vector.headers.items():
        for value in values:
            if value != value.strip() or re.search("[\\r\\n\\0]|[^\\0-\xff]", value):
                return None
            if vector.accepted and len(value) > HEADER_BYTES:
                return None
            lines.append(f"{name}: {value}")
    return asked(*lines, body=vector.body, path=f"/hooks/{vector.source}")


async def test_each_signature_vector_over_http(
    tmp_path: Path, figures: Callable[[str, str], None]
) -> None:
    """What is proven is taken, all else is refused, and nothing is an error of ours."""
    clock = SetClock(datetime.fromtimestamp(NOW, UTC))
    wrong, count = [], 0
    async with (
        SqlStore(tmp_path / "test.db", clock) as store,
        Site("127.0.0.1", 0, "/hooks") as site,
    ):
        for number, vector in enumerate(vectors(Random(7))):  # noqa: S311 - made up again
            request = wire(vector)
            if request is None or len(vector.secrets) != 1:
                continue
            door = hooks.Hooks(
                keys={vector.source: vector.secrets[0]},
                common=None,
                place=lambda _source: HERE,
                store=store,
                audit=ListAudit(),
                clock=clock,
                redact=str,
                submit=lambda _stored: None,
                per_minute=10_000,
            )
            site.hooks = door.post
            (status,) = statuses(await talk(site, request))
            count += 1
            if status not in ((200, 202) if vector.accepted else (400, 401)):
                wrong.append((number, vector.name, status))
    figures("hooks vectors", f"{count} signature vectors over HTTP: {len(wrong)} wrong")
    assert wrong == []
    assert count >= 400


async def test_slack_gets_its_challenge_back(tmp_path: Path) -> None:
    """Signed as it should be, its question about the URL is answered, and is no event."""
    async with running(tmp_path, brief, WEBHOOK_SECRET_SLACK=SECRET) as world:
        stamp, body = str(int(time.time())), b'{"type": "url_verification", "challenge": "xyz"}'
        slack = Sender(scheme="slack", secret=SECRET, body=body)
        signed_by = slack.headers(slack.official(stamp), stamp=stamp)
        headers = {name: values[0] for name, values in signed_by.items()}
        assert await post(world, "slack", body, headers) == (200, {"challenge": "xyz"})
        assert (await post(world, "slack", body, {}))[0] == 401
        assert taken(world) == 0
        await world.stop()
        lines = [(line["path"], line["status"]) for line in world.audit(type="webhook")]
        assert lines == [("/hooks/slack", 200), ("/hooks/slack", 401)]
