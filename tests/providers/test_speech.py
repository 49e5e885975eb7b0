"""Speech to text and back over a real socket: bodies, faults, money and the record.

The file is long because hearing and speaking go through the same faults side by side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from assurebot.demo.model import Ask, ModelServer, Script, Shown, Turn, always, echo, sequence
from assurebot.demo.model_media import ogg_opus
from assurebot.errors import (
    AuditError,
    BudgetSpent,
    ProviderError,
    ProviderGarbled,
    ProviderRejected,
    ProviderUnavailable,
)
from assurebot.ports import Sound, Transcriber
from assurebot.providers.account import MAX_ANSWER_BYTES
from assurebot.providers.attempts import Attempts
from assurebot.providers.speech import AudioAccount, AudioModel, Speech
from assurebot.values import AuditEntry, ModelRef, ModelRequest, Trace, Usage
from tests.doubles import ListAudit
from tests.providers.test_environment import refusing
from tests.providers.wires import KEY, gateway

TRACE = Trace(event="telegram:1", turn=1, actor="user:42", user=42)
OGG = ogg_opus(400)
WHISPER = ModelRef(provider="openai", name="whisper-1")
TTS = ModelRef(provider="openai", name="tts-1")
PRICE = Decimal("0.36")
DOWN = Turn(status=500, error_type="server_error")


class ListBudget:
    """Sets money aside up to a sum, and keeps what becomes of it.

    Attributes:
        charges: Kind, model and cost of each reservation; its id is its place, from 1.
        ends: What each of them was settled at, or `None` where it was given back.
    """

    def __init__(self, usd: str = "100") -> None:
        self.charges: list[tuple[str, str, Decimal]] = []
        self.ends: dict[int, Decimal | None] = {}
        self._left = Decimal(usd)

    async def reserve(self, request: ModelRequest) -> tuple[int, ModelRequest]:
        """Set nothing aside: no model is asked here."""
        raise NotImplementedError

    async def reserve_other(
        self,
        kind: Sound,
        model: str,
        cost_usd: Decimal,
        trace: Trace,
    ) -> int:
        """Set aside what fits."""
        assert trace == TRACE
        if cost_usd > self._left:
            raise BudgetSpent("the budget")
        self._left -= cost_usd
        self.charges.append((kind, model, cost_usd))
        return len(self.charges)

    async def settle(self, reservation: int, usage: Usage) -> None:
        """Note what it cost."""
        assert usage == Usage(cost_usd=usage.cost_usd)
        self.ends[reservation] = usage.cost_usd

    async def release(self, reservation: int) -> None:
        """Note that it was given back."""
        self.ends[reservation] = None

    async def settled(self, reservation: int, request: ModelRequest, usage: Usage) -> None:
        """Settle no model."""
        raise NotImplementedError


@asynccontextmanager
async def speech(
    url: str,
    *,
    budget: ListBudget | None = None,
    audit: ListAudit | None = None,
    seconds: float = 5.0,
    speaks: bool = True,
) -> AsyncIterator[Transcriber]:
    """A transcriber at this address (with `/v1`), impatient."""
    account = AudioAccount(KEY, url, seconds)
    made = Speech(
        hearing=AudioModel(account=account, ref=WHISPER, price_usd=PRICE, per=3600),
        speaking=AudioModel(account=account, ref=TTS, price_usd=Decimal(15), per=1_000_000)
        if speaks
        else None,
        attempts=Attempts(
            budget=budget or ListBudget(),
            audit=audit or ListAudit(),
            redact=lambda text: text.replace("openai", "[gone]"),
            patience_seconds=0.2,
            pause_seconds=(0.02, 0.05),
        ),
    )
    try:
        yield made
    finally:
        await made.aclose()


def hearing(script: Script) -> ModelServer:
    """A stand-in that hears by this script."""
    return ModelServer(echo(), hearing=script)


async def test_a_voice_message_is_heard() -> None:
    """The file, its kind by a name of ours, the model and the key arrive; the text comes back."""
    async with hearing(always(Turn(text=" Hello there. "))) as server:
        async with speech(server.openai_url) as heard:
            text = await heard.transcribe(OGG, "my secret.OGA", 2, TRACE)
        (ask,) = server.requests
    assert text == "Hello there."
    assert ask == Ask(
        wire="transcription",
        n=1,
        model="whisper-1",
        system="",
        user_texts=(),
        tool_names=(),
        tool_results=(),
        authorization=f"Bearer {KEY}",
        raw={
            "model": "whisper-1",
            "filename": "audio.ogg",
            "mime": "audio/ogg",
            "file": OGG,
        },
        files=(Shown(mime="audio/ogg", data=OGG),),
    )


async def test_words_are_spoken() -> None:
    """The words, the voice and the form arrive; what comes back is Ogg with Opus."""
    async with hearing(always(Turn())) as server:
        async with speech(server.openai_url) as spoken:
            sound = await spoken.speak("Good morning", TRACE)
        (ask,) = server.requests
    assert (sound, ask.authorization) == (ogg_opus(), f"Bearer {KEY}")
    assert ask.raw == {
        "model": "tts-1",
        "input": "Good morning",
        "voice": "alloy",
        "response_format": "opus",
    }


@pytest.mark.parametrize(
    ("seconds", "size", "told", "held", "settled"),
    [
        (60, 100, 59.2, "0.006", "0.006"),
        (60, 100, 30, "0.006", "0.003"),
        (60.01, 100, None, "0.0061", "0.0061"),  # it is not told: what was held stays
        (1, 750_000, 900.0, "0.1", "0.09"),  # the size shows that the duration is a lie
        (1, 750_001, None, "0.1001", "0.1001"),
        (60, 100, -1, "0.006", "0.006"),
        (60, 100, 1e9, "0.006", "0.006"),
        (60, 100, 0, "0.006", "0"),
    ],
)
async def test_hearing_costs_its_seconds(
    seconds: float, size: int, told: float | None, held: str, settled: str
) -> None:
    """Set aside are the seconds said, or those of so many bytes; paid those that were heard."""
    budget, audio = ListBudget(), OGG[:100].ljust(size, b"\0")
    async with (
        hearing(always(Turn(text="a", seconds=told))) as server,
        speech(server.openai_url, budget=budget) as heard,
    ):
        await heard.transcribe(audio, "voice.ogg", seconds, TRACE)
    assert budget.charges == [("transcription", "openai:whisper-1", Decimal(held))]
    assert budget.ends == {1: Decimal(settled)}


async def test_speech_costs_its_characters() -> None:
    """Characters are paid, and their number is known before."""
    budget = ListBudget()
    async with (
        hearing(always(Turn())) as server,
        speech(server.openai_url, budget=budget) as spoken,
    ):
        await spoken.speak("é" * 1000, TRACE)
    assert budget.charges == [("speech", "openai:tts-1", Decimal("0.015"))]
    assert budget.ends == {1: Decimal("0.015")}


async def test_both_are_recorded_around_the_call() -> None:
    """An intent before and a result after, with what was heard and said, and what it cost."""
    audit = ListAudit()
    async with (
        hearing(always(Turn(text="Hello", seconds=10))) as server,
        speech(server.openai_url, audit=audit) as made,
    ):
        await made.transcribe(OGG, "voice.ogg", 30, TRACE)
        await made.speak("Hi", TRACE)
    heard = AuditEntry(
        type="model",
        phase="intent",
        action="transcribe",
        target="openai:whisper-1",
        model="whisper-1",
        trace=TRACE,
    )
    spoken = replace(heard, action="speak", target="openai:tts-1", model="tts-1", text="Hi")
    ended = replace(heard, phase="result", closes=1, result="ok", response="Hello")
    said = replace(spoken, phase="result", closes=3, result="ok", text=None)
    assert [replace(entry, duration_ms=None) for entry in audit.entries] == [
        heard,
        replace(ended, cost_usd="0.001"),
        spoken,
        replace(said, cost_usd="0.00003"),
    ]


@pytest.mark.parametrize("suffix", ["mp3", "M4A", "mp4", "wav", "flac", "webm", "opus", "mpga"])
async def test_other_kinds_keep_their_name(suffix: str) -> None:
    """What the API reads is sent under its own suffix; Opus is Ogg there."""
    async with hearing(always(Turn(text="a"))) as server:
        async with speech(server.openai_url) as heard:
            await heard.transcribe(OGG, f"a.b.{suffix}", 1, TRACE)
        (ask,) = server.requests
    assert ask.raw["filename"] == f"audio.{suffix.lower()}".replace("opus", "ogg")


@pytest.mark.parametrize("name", ["a.aac", "voice", "", 'a."\r\nX: y', "a.ogg\r\n"])
async def test_other_files_are_not_sent(name: str) -> None:
    """What the API would refuse, and what is no kind at all, costs no call."""
    budget, audit = ListBudget(), ListAudit()
    async with hearing(always(Turn(text="a"))) as server:
        async with speech(server.openai_url, budget=budget, audit=audit) as heard:
            with pytest.raises(ProviderRejected, match="can be listened to"):
                await heard.transcribe(OGG, name, 1, TRACE)
        assert (list(server.requests), budget.charges, audit.entries) == ([], [], [])


FAULTS: dict[str, tuple[Turn, type[ProviderError], str, int, Decimal | None]] = {
    "429": (
        Turn(status=429, error_type="rate_limit_error", retry_after="7"),
        *(ProviderUnavailable, "HTTP 429 rate_limit_error", 1, None),
    ),
    "no money": (
        Turn(status=429, error_type="insufficient_quota", error_code="insufficient_quota"),
        *(ProviderRejected, "HTTP 429 insufficient_quota", 1, None),
    ),
    "401": (
        Turn(status=401, error_type="authentication_error", error_code="invalid_api_key"),
        *(ProviderRejected, "HTTP 401 invalid_api_key", 1, None),
    ),
    "page": (Turn(status=502, html=True), ProviderUnavailable, "HTTP 502", 0, None),
    "dropped": (
        Turn(text="half", fault="drop"),
        *(ProviderGarbled, "RemoteProtocolError", 2, PRICE),
    ),
    "stalled": (Turn(text="half", fault="stall"), ProviderUnavailable, "no complete", 0, PRICE),
    "no byte": (Turn(delay_seconds=60.0), ProviderUnavailable, "APITimeoutError|no com", 0, PRICE),
    "nonsense": (
        Turn(text="half", fault="nonsense"),
        *(ProviderGarbled, "the answer cannot be read", 2, PRICE),
    ),
}


@pytest.mark.parametrize("does", ["transcribe", "speak"])
@pytest.mark.parametrize("name", FAULTS)
async def test_misbehaviour_becomes_one_error(name: str, does: str) -> None:
    """Tried again where that may help; what may have been worked on stays set aside."""
    turn, family, words, times, held = FAULTS[name]
    budget, audit = ListBudget(), ListAudit()
    async with hearing(always(turn)) as server:
        async with speech(server.openai_url, budget=budget, audit=audit, seconds=0.3) as made:
            with pytest.raises(family, match=f"openai: ({words})"):
                await ask(made, does)
        tries = len(server.requests)
    assert tries == times or times == 0 < tries < 8
    assert len(budget.charges) == tries
    assert budget.ends == ({} if held else dict.fromkeys(range(1, tries + 1)))
    ends = [entry for entry in audit.entries if entry.phase == "result"]
    assert [(end.result, (end.error or "")[:8]) for end in ends] == [
        (family.__name__, "[gone]: ")
    ] * tries


async def ask(made: Transcriber, does: str) -> str | bytes:
    """Hear or speak."""
    if does == "speak":
        return await made.speak("Hi", TRACE)
    return await made.transcribe(OGG, "voice.ogg", 1, TRACE)


@pytest.mark.parametrize("does", ["transcribe", "speak"])
@pytest.mark.parametrize("turn", [DOWN, Turn(text="half", fault="drop")])
async def test_the_next_try_may_succeed(turn: Turn, does: str) -> None:
    """After a passing fault it is asked again, with money of its own."""
    budget = ListBudget()
    async with hearing(sequence([turn, Turn(text="fine")])) as server:
        async with speech(server.openai_url, budget=budget) as made:
            assert await ask(made, does) in {"fine", ogg_opus()}
        assert len(server.requests) == 2
    assert (len(budget.charges), 2 in budget.ends, budget.ends.get(1)) == (2, True, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"text": null}',
        b'{"text": 5}',
        b"[" * 100_000,
        b"\xff",
    ],
)
async def test_a_transcript_of_a_wrong_shape_is_garbled(body: bytes) -> None:
    """Whatever a server answers is a transcript or an error of ours."""
    async with answering(body) as url, speech(url) as heard:
        with pytest.raises(ProviderGarbled, match="the answer cannot be read"):
            await heard.transcribe(OGG, "voice.ogg", 1, TRACE)


@pytest.mark.parametrize(
    "usage", [None, [], {"seconds": "9"}, {"seconds": None}, {"seconds": float("nan")}, {}]
)
async def test_a_strange_report_of_use_leaves_what_was_held(usage: Any) -> None:
    """Only a number of seconds settles; without one the transcript is good all the same."""
    budget = ListBudget()
    body = json.dumps({"text": "fine", "usage": usage}).encode()
    async with answering(body) as url, speech(url, budget=budget) as heard:
        assert await heard.transcribe(OGG, "voice.ogg", 10, TRACE) == "fine"
    assert budget.ends == {1: Decimal("0.001")}


@pytest.mark.parametrize("does", ["transcribe", "speak"])
async def test_an_endless_answer_is_not_read(does: str) -> None:
    """More than any answer can have is given up."""
    async with answering(b"OggS" + bytes(MAX_ANSWER_BYTES)) as url, speech(url) as made:
        with pytest.raises(ProviderGarbled, match="too large"):
            await ask(made, does)


@asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[str]:
    """The address of a server that answers everything with this."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("does", ["transcribe", "speak"])
async def test_whoever_reads_and_hangs_up_may_have_to_be_paid(does: str) -> None:
    """Only what surely never began is given back."""
    budget = ListBudget()
    async with gateway() as url, speech(f"{url}/v1", budget=budget) as made:
        with pytest.raises(ProviderUnavailable, match="APIConnectionError"):
            await ask(made, does)
    assert (len(budget.charges) > 0, budget.ends) == (True, {})


@pytest.mark.parametrize("does", ["transcribe", "speak"])
async def test_nothing_is_sent_over_the_cap(does: str) -> None:
    """Where the most that it can cost does not fit, nothing is asked, nor written as tried."""
    audit = ListAudit()
    async with hearing(always(Turn(text="a"))) as server:
        async with speech(server.openai_url, budget=ListBudget("0.00001"), audit=audit) as made:
            with pytest.raises(BudgetSpent):
                await ask(made, does)
        assert (list(server.requests), audit.entries) == ([], [])


@pytest.mark.parametrize("does", ["transcribe", "speak"])
async def test_nothing_is_sent_that_cannot_be_recorded(does: str) -> None:
    """Without its line it is not done, and its money is given back."""
    budget = ListBudget()
    async with hearing(always(Turn(text="a"))) as server:
        async with speech(server.openai_url, budget=budget, audit=ListAudit(broken=True)) as made:
            with pytest.raises(AuditError):
                await ask(made, does)
        assert (list(server.requests), budget.ends) == ([], {1: None})


async def test_cancelling_ends_the_request() -> None:
    """A stop closes the connection; the server sees it, and what was set aside stays."""
    budget, audit = ListBudget(), ListAudit()
    asked = asyncio.Event()

    def stall(_ask: Ask) -> Turn:
        asked.set()
        return Turn(text="so far", fault="stall")

    async with (
        hearing(stall) as server,
        speech(server.openai_url, budget=budget, audit=audit) as heard,
    ):
        task = asyncio.create_task(ask(heard, "transcribe"))
        async with asyncio.timeout(30):
            await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            await server.gone.wait()
    assert (budget.ends, [entry.result for entry in audit.entries]) == ({}, [None, "cancelled"])


async def test_nobody_speaks_where_nobody_was_named() -> None:
    """The error says what is missing, and nothing is sent."""
    async with hearing(always(Turn())) as server:
        async with speech(server.openai_url, speaks=False) as made:
            with pytest.raises(ProviderRejected, match="nobody speaks: set OPENAI_API_KEY"):
                await made.speak("Hi", TRACE)
        assert list(server.requests) == []


@pytest.mark.parametrize("does", ["transcribe", "speak"])
async def test_the_key_goes_only_to_its_own_server(
    does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the environment nor a redirect leads it elsewhere, and the former adds nothing."""
    async with refusing(403) as (other, other_url), refusing(307, Location=other_url) as (one, url):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OPENAI_BASE_URL"):
            monkeypatch.setenv(name, other_url)
        for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY"):
            monkeypatch.setenv(name, "canary")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Canary: canary")
        monkeypatch.setenv("NO_PROXY", "")
        async with speech(f"{url}/v1") as made:
            with pytest.raises(ProviderRejected, match="HTTP 307"):
                await ask(made, does)
    (request,) = one.seen
    assert (request.headers["Authorization"], other.seen) == (f"Bearer {KEY}", [])
    assert "canary" not in str(request.headers)
