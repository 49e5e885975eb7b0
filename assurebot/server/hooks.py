"""Webhooks in: each post is capped, proven and stored before it is acknowledged, then worked once.

Whoever cannot prove anything may hold little: while others come, the oldest of such requests goes.
No forwarded header is read; who is at the other end of the connection decides nothing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count

import structlog
from aiohttp import web

from assurebot.errors import AccessDenied, AuditError, StoreError
from assurebot.guard.rates import MINUTE, Window
from assurebot.ports import AuditLog, Clock, Incoming, Redact, Store
from assurebot.server.signatures import Verified, Verifier
from assurebot.values import WEBHOOKS, AuditEntry, Event, Person, Place, StoredEvent, Trace

log = structlog.get_logger(__name__)

BODY_BYTES = 1 << 20
READ_SECONDS = 10.0
UNPROVEN, UNPROVEN_BYTES = 1000, 32 << 20
"""So many requests that have proven nothing yet, and so much of their bodies, are held at once."""

LINE_SECONDS = 1.0
"""Refused posts have one audit line in this time for each source and status, with their count."""

TELLING = ("x-github-event", "stripe-signature", "x-slack-signature")
"""The headers by which a digest tells the sender; no other is kept, for they hold secrets."""

_INLINE_BYTES = 16_384
_SAID = {
    200: "known",
    202: "accepted",
    401: "refused",
    408: "too slow",
    413: "too large",
    429: "refused too often",
    503: "not ready",
}


class _TooLarge(Exception):
    """The body is longer than it may be."""


class _Asked(Exception):
    """Slack wants its own words back, once, before it posts to a URL."""


class Hooks:
    """Takes the posts of every source.

    Attributes:
        refused: How many posts were not accepted since the start, by source; those without a
            secret of their own together, as empty text.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, str],
        common: str | None,
        place: Callable[[str], Place],
        store: Store,
        audit: AuditLog,
        clock: Clock,
        redact: Redact,
        submit: Callable[[StoredEvent], None],
        per_minute: int,
    ) -> None:
        """Take the secrets by source, one for all others, and where each source is told of."""
        self.refused: Counter[str] = Counter()
        self._keys = keys
        self._common = common
        self._place = place
        self._store = store
        self._audit = audit
        self._clock = clock
        self._redact = redact
        self._submit = submit
        self._run, self._numbers = secrets.token_hex(8), count()
        self._window = Window(per_minute, MINUTE)
        self._reading: dict[asyncio.Timeout, int] = {}
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    async def post(self, request: web.Request) -> web.Response:
        """Answer one post: 202 if it is stored, 200 if it was before, else why it is not."""
        source = request.match_info["source"].lower().replace("-", "_")
        try:
            status = await self._status(source, request)
        except _Asked as asked:
            await self._tell(source, request.path, 200)
            return web.json_response({"challenge": str(asked)})
        except TimeoutError:
            status = 408
        except _TooLarge:
            status = 413
        except (AuditError, StoreError) as error:
            log.warning("a post was not taken", source=source, reason=str(error))
            status = 503
        if status != 202:  # noqa: PLR2004 - that line is written where it is stored
            await self._tell(source, request.path, status)
        waits = {429: {"Retry-After": "60"}, 503: {"Retry-After": "10"}}
        answer = web.json_response(
            {"status": _SAID.get(status, "bad request")}, status=status, headers=waits.get(status)
        )
        if status not in (200, 202):
            answer.force_close()
        return answer

    async def _status(self, source: str, request: web.Request) -> int:
        key = self._keys.get(source, self._common)
        if key is None:
            return 503
        try:
            body = await self._body(request)
        except (web.RequestPayloadError, ConnectionError, RuntimeError):
            return 400  # the last is what is raised of a connection that was closed from here
        headers: dict[str, list[str]] = {}
        for field, value in request.raw_headers:
            headers.setdefault(field.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        now = self._clock.now()
        try:
            proven = Verifier(source, [key]).verify(headers, body, now.timestamp())
        except AccessDenied:
            return self._denied(source)
        if proven.scheme == "slack" and (challenge := _challenge(body)):
            raise _Asked(challenge)
        raw = await self._raw(headers, body)
        name = f"{self._run}-{next(self._numbers)}"
        event = Event(
            source="webhook",
            key=name,
            kind="webhook",
            actor=Person(user_id=WEBHOOKS, name=source),
            place=self._place(source),
            received_at=now,
            hook=source,
        )
        incoming = Incoming(
            source=f"webhook:{source}", key=name, event=event, raw=raw, received_at=now
        )
        return await self._take(incoming, proven, request.path)

    async def _take(self, incoming: Incoming, proven: Verified, path: str) -> int:
        """Store a proven post; the path is under no signature, the common secret is for all."""
        own = incoming.source.removeprefix("webhook:") in self._keys
        scope = incoming.source if own or proven.scheme != "standard" else "webhook:"
        taken = await self._store.take_post(incoming, scope, proven.keys, proven.window_seconds)
        if taken.event is None:
            return 200 if taken.state == "known" else 503
        self._submit(taken.event)
        try:
            await self._audit.record(
                AuditEntry(
                    type="webhook",
                    path=path,
                    status=202,
                    trace=Trace(event=incoming.key, turn=taken.event.id),
                )
            )
        except AuditError as error:  # it is stored, so it must not be sent again
            log.warning("an accepted post was not recorded", reason=str(error))
        return 202

    def _denied(self, source: str) -> int:
        group, now = self._group(source), asyncio.get_running_loop().time()
        if self._window.wait(group, now):
            return 429
        self._window.take(group, now)
        return 401

    def _group(self, source: str) -> str:
        """Count the sources that anybody can make up as one."""
        return source if source in self._keys else ""

    async def _body(self, request: web.Request) -> bytes:
        """Read the body as it came.

        Raises:
            TimeoutError: It took too long, or others need the room.
            _TooLarge: It is too long.
        """
        if (request.content_length or 0) > BODY_BYTES:
            raise _TooLarge
        if request.content.is_eof():  # all of it came with the headers, as it mostly does
            return request.content.read_nowait()
        body = bytearray()
        try:
            async with asyncio.timeout(READ_SECONDS) as limit:
                self._hold(limit, 0)
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > BODY_BYTES:
                        raise _TooLarge
                    self._hold(limit, len(body))
        finally:
            self._reading.pop(limit, None)
        return bytes(body)

    def _hold(self, limit: asyncio.Timeout, size: int) -> None:
        self._reading[limit] = size
        while len(self._reading) > UNPROVEN or sum(self._reading.values()) > UNPROVEN_BYTES:
            oldest = next(iter(self._reading))
            del self._reading[oldest]
            with suppress(RuntimeError):  # its time is up, or it is on its way out
                oldest.reschedule(asyncio.get_running_loop().time())

    async def _raw(self, headers: Mapping[str, list[str]], body: bytes) -> str:
        """Return what is kept of a post, as JSON text without secrets of ours."""

        def made() -> str:
            text = self._redact(body.decode("utf-8", "surrogateescape"))
            github, *_ = TELLING
            told = {name: "" for name in TELLING if name in headers}
            if github in told:
                told[github] = self._redact(headers[github][0])
            kind = (headers.get("content-type") or [""])[0][:200]
            return json.dumps({"headers": told, "type": self._redact(kind), "body": text})

        return made() if len(body) < _INLINE_BYTES else await asyncio.to_thread(made)

    async def _tell(self, source: str, path: str, status: int) -> None:
        """Record a post that was not accepted; of many, one line tells how many."""
        group, now = self._group(source), asyncio.get_running_loop().time()
        self.refused[group] += status != 200  # noqa: PLR2004 - a repeated one is no refused one
        since, count = self._told.get((group, status), (-LINE_SECONDS, 0))
        if now - since < LINE_SECONDS:
            self._told[group, status] = (since, count + 1)
            return
        self._told[group, status] = (now, 0)
        more = f"and {count} before it" if count else None
        try:
            await self._audit.record(
                AuditEntry(
                    type="webhook",
                    path=path,
                    status=status,
                    decision=None if status == 200 else "deny",  # noqa: PLR2004 - known already
                    evidence=more,
                )
            )
        except AuditError as error:
            log.warning("a refused post was not recorded", reason=str(error))


def _challenge(body: bytes) -> str:
    try:
        post = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    asked = isinstance(post, dict) and post.get("type") == "url_verification"
    return str(post.get("challenge")) if asked else ""


def read_raw(raw: str) -> tuple[dict[str, str], str, bytes]:
    """Return headers, content type and body of a post as it was kept."""
    kept = json.loads(raw)
    return kept["headers"], kept["type"], kept["body"].encode("utf-8", "surrogateescape")
