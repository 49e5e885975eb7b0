"""Speech to text and back, over OpenAI's audio API or that of a server that speaks like it."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TypeVar

from assurebot.errors import ProviderRejected
from assurebot.ports import Sound
from assurebot.providers.attempts import Attempts, intent
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.values import AuditEntry, ModelRef, Trace, Usage

T = TypeVar("T", str, bytes)

KINDS = (".flac", ".m4a", ".mp3", ".mp4", ".mpeg", ".mpga", ".ogg", ".wav", ".webm")
"""What the API reads, by the end of the file's name (openai 3.51)."""

OGG = (".oga", ".opus")
"""Other names of `.ogg` that it does not know; Telegram's voice files are `.oga`."""

LEAST_BYTES_A_SECOND = 750
"""Opus, the thriftiest, takes 6 kbit/s (RFC 6716 2.1.1): hardly a file sounds longer."""

MOST_SECONDS = 86_400
"""A longer duration in an answer is none."""

VOICE = "alloy"


class AudioAccount(OpenAIAccount):
    """See `OpenAIAccount`; no answer comes before all of it was heard, so it may take long."""

    resources = ("audio.transcriptions", "audio.speech")

    def __init__(self, api_key: str, base_url: str | None = None, seconds: float = 180.0) -> None:
        super().__init__(api_key, base_url=base_url, read_seconds=seconds, answer_seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioModel:
    """A model of an account.

    Attributes:
        price_usd: For `per` seconds of audio or characters; `None` where nobody knows it.
    """

    account: AudioAccount
    ref: ModelRef
    price_usd: Decimal | None
    per: int

    def cost(self, seconds_or_characters: float) -> Decimal:
        """Return the price of so many, begun ones too; without one nothing may be asked."""
        if self.price_usd is None:
            raise ProviderRejected(f"nobody knows the price of {self.ref.name}")
        return math.ceil(seconds_or_characters) * self.price_usd / self.per


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Implements `ports.Transcriber`.

    Attributes:
        hearing: Writes down what is said.
        speaking: Says what is written; `None` refuses that.
        attempts: How they are asked. Audio is set aside by the seconds that a file of its size can
            have, and settled by those that the answer tells of, if it does.
    """

    hearing: AudioModel
    speaking: AudioModel | None
    attempts: Attempts

    async def transcribe(self, audio: bytes, name: str, seconds: float, trace: Trace) -> str:
        """See `Transcriber.transcribe`; a kind that the API does not read is rejected unsent."""
        model, suffix = self.hearing, PurePosixPath(name).suffix.lower()
        suffix = ".ogg" if suffix in OGG else suffix
        if suffix not in KINDS:
            raise ProviderRejected(f"only {', '.join(KINDS)} can be listened to")
        most_usd = model.cost(max(seconds, len(audio) / LEAST_BYTES_A_SECOND))
        # Its own name may be a stranger's words, which are nobody's business.
        body = {"model": model.ref.name, "file": (f"audio{suffix}", audio)}

        def read(raw: bytes) -> tuple[str, Decimal]:
            answer = json.loads(raw)
            text, heard = answer["text"].strip(), (answer.get("usage") or {}).get("seconds")
            if isinstance(heard, (int, float)) and 0 <= heard <= MOST_SECONDS:
                return text, model.cost(heard)
            return text, most_usd

        async def hear() -> tuple[str, Decimal]:
            return await model.account.fetch("audio.transcriptions", body, read)

        line = intent("transcribe", model.ref, trace)
        return await self._paid("transcription", model.ref, most_usd, line, hear)

    @property
    def speaks(self) -> bool:
        """See `Transcriber.speaks`."""
        return self.speaking is not None

    async def speak(self, text: str, trace: Trace) -> bytes:
        """See `Transcriber.speak`; the API refuses more than 4,096 characters."""
        if (model := self.speaking) is None:
            raise ProviderRejected("nobody speaks: set OPENAI_API_KEY (own server: SPEECH_MODEL)")
        cost_usd = model.cost(len(text))
        body = {"model": model.ref.name, "input": text, "voice": VOICE, "response_format": "opus"}

        async def say() -> tuple[bytes, Decimal]:
            return await model.account.fetch("audio.speech", body, _ogg), cost_usd

        line = intent("speak", model.ref, trace, text)
        return await self._paid("speech", model.ref, cost_usd, line, say)

    async def aclose(self) -> None:
        """Finish what is being recorded and close the connections."""
        await self.attempts.aclose()
        for model in filter(None, (self.hearing, self.speaking)):
            await model.account.aclose()

    async def _paid(
        self,
        kind: Sound,
        model: ModelRef,
        most_usd: Decimal,
        line: AuditEntry,
        call: Callable[[], Awaitable[tuple[T, Decimal]]],
    ) -> T:
        """Call until there is an answer; it comes with what it cost."""
        budget = self.attempts.budget

        async def attempt(ref: ModelRef) -> T:
            reserved = await budget.reserve_other(kind, str(ref), most_usd, line.trace)
            result, cost_usd = await self.attempts.one(reserved, line, call, _answered)
            await budget.settle(reserved, Usage(cost_usd=cost_usd))
            return result

        return await self.attempts.until([model], attempt)


def _answered(end: AuditEntry, answer: tuple[str | bytes, Decimal]) -> AuditEntry:
    result, cost_usd = answer
    said = result if isinstance(result, str) else None
    return replace(end, result="ok", response=said, cost_usd=str(cost_usd))


def _ogg(sound: bytes) -> bytes:
    if not sound.startswith(b"OggS"):
        raise ValueError("it is no Ogg")
    return sound
