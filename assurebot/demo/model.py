"""A stand-in for the model APIs: a real HTTP server on loopback that answers by a script.

It speaks Anthropic Messages, OpenAI Responses and Chat Completions, streaming only, and OpenAI's
transcription and speech, and it misbehaves on demand. Nothing of it is a language model.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from assurebot.demo import model_anthropic, model_audio, model_chat, model_responses
from assurebot.demo.model_media import refused
from assurebot.demo.model_script import (
    Ask,
    Call,
    Fault,
    Script,
    Shown,
    Spoken,
    Turn,
    Wire,
    always,
    chatty,
    echo,
    sequence,
)

__all__ = [
    "Ask",
    "Call",
    "Fault",
    "ModelServer",
    "Script",
    "Shown",
    "Turn",
    "Wire",
    "always",
    "chatty",
    "echo",
    "sequence",
]


NONSENSE = b'event: message_delta\ndata: {"type": "message_delta", \n\n'


UNFAIR = Turn(status=400, error_type="invalid_request_error")
"""For a search of ours that is offered beside other tools, or more than once, and bad files."""

HEARD = Turn(text="This is what was said.")
"""By default what is heard in every sound."""

AUDIO = {
    "transcription": (model_audio.hear, "application/json"),
    "speech": (model_audio.speak, "audio/ogg"),
}


class _WireFormat(Protocol):
    def read(self, n: int, authorization: str, raw: dict[str, Any]) -> Ask: ...

    def speak(self, ask: Ask, turn: Turn) -> Spoken: ...

    def refusal(self, turn: Turn) -> dict[str, Any]: ...


class ModelServer:
    """Serves answers of a script while its context is open.

    Args:
        script: Asked once per request, in order of arrival.
        hearing: The same for requests of transcription and speech; by default it hears `HEARD`.
        port: 0 takes a free one.
        keep: How many of the latest requests are kept.

    Attributes:
        requests: What was asked.
        aborted: How many requests the client gave up before the answer was complete.
        gone: Set when a client gave up.
    """

    def __init__(
        self,
        script: Script,
        *,
        hearing: Script | None = None,
        port: int = 0,
        keep: int = 10_000,
    ) -> None:
        self.script = script
        self.hearing = hearing or always(HEARD)
        self.requests: deque[Ask] = deque(maxlen=keep)
        self.aborted = 0
        self.gone = asyncio.Event()
        self._count = 0
        self._port = port
        self._runner: web.AppRunner | None = None
        self._bound = 0

    @property
    def url(self) -> str:
        """The Anthropic base URL, without a path."""
        return f"http://127.0.0.1:{self._bound}"

    @property
    def openai_url(self) -> str:
        """The OpenAI base URL, `/v1` included."""
        return f"{self.url}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/messages", self._serve(model_anthropic))
        app.router.add_post("/v1/responses", self._serve(model_responses))
        app.router.add_post("/v1/chat/completions", self._serve(model_chat))
        app.router.add_post("/v1/audio/transcriptions", self._serve_audio("transcription"))
        app.router.add_post("/v1/audio/speech", self._serve_audio("speech"))
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )
        self._runner = runner
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._bound = runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _serve(self, wire: _WireFormat) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = json.loads(await request.read())
            self._count += 1
            ask = wire.read(self._count, request.headers.get("Authorization", ""), raw)
            self.requests.append(ask)
            turn = _fair(ask) or self.script(ask)
            spoken = wire.speak(ask, turn)
            return await self._finish(_answer(request, turn, spoken, wire.refusal(turn)))

        return handle

    def _serve_audio(self, wire: Wire) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await model_audio.parsed(request)
            self._count += 1
            key = request.headers.get("Authorization", "")
            ask = model_audio.read(wire, self._count, key, raw)
            self.requests.append(ask)
            turn = _fair(ask) or self.hearing(ask)
            make, kind = AUDIO[wire]
            refusal = model_audio.refusal(turn)
            return await self._finish(_answer(request, turn, make(turn), refusal, kind))

        return handle

    async def _finish(self, answer: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        try:
            return await answer
        except (asyncio.CancelledError, ConnectionError):
            self.aborted += 1
            self.gone.set()
            raise


def _fair(ask: Ask) -> Turn | None:
    """Return the refusal of a request that the real API would not take."""
    if why := refused(ask):
        return replace(UNFAIR, error_code=why)
    if not ask.search:
        return None
    tools = ask.raw["tools"]
    uses = {"anthropic": tools[0].get("max_uses"), "responses": ask.raw.get("max_tool_calls")}
    return None if len(tools) == 1 and uses.get(ask.wire) == 1 else UNFAIR


async def _answer(
    request: web.Request,
    turn: Turn,
    spoken: Spoken,
    refusal: dict[str, Any],
    kind: str = "text/event-stream",
) -> web.StreamResponse:
    if turn.delay_seconds:
        await asyncio.sleep(turn.delay_seconds)
    if turn.status != 200:
        return _refuse(turn, refusal)
    if turn.fault in {"none", "half_call"} and not turn.chunk_seconds:
        body = b"".join((spoken.start, *spoken.pieces, spoken.end))
        return web.Response(body=body, content_type=kind)
    response = web.StreamResponse(headers={"Content-Type": kind})
    await response.prepare(request)
    await response.write(spoken.start)
    for piece in spoken.pieces:
        if turn.chunk_seconds:
            await asyncio.sleep(turn.chunk_seconds)
        await response.write(piece)
    await _end(request, response, spoken, turn)
    return response


async def _end(
    request: web.Request, response: web.StreamResponse, spoken: Spoken, turn: Turn
) -> None:
    if turn.fault == "drop":
        if request.transport is not None:
            # Without the last chunk of the chunked body: the client sees a broken answer.
            request.transport.close()
        return
    if turn.fault == "stall":
        await asyncio.sleep(turn.stall_seconds)
    if turn.fault == "nonsense":
        await response.write(NONSENSE)
    elif turn.fault == "error_event":
        await response.write(spoken.error)
    elif turn.fault != "cut":
        await response.write(spoken.end)
    await response.write_eof()


def _refuse(turn: Turn, refusal: dict[str, Any]) -> web.Response:
    headers = {"Retry-After": turn.retry_after} if turn.retry_after else {}
    if turn.html:
        page = "<html><body><h1>Bad gateway</h1></body></html>"
        return web.Response(
            status=turn.status, text=page, content_type="text/html", headers=headers
        )
    return web.json_response(refusal, status=turn.status, headers=headers)
