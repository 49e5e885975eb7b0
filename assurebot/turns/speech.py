"""Answers that are spoken after their text, in conversations that want that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from assurebot.errors import AuditError, BudgetSpent, ProviderError, StoreError
from assurebot.ports import Clock, Store, Transcriber
from assurebot.turns.commits import demand_not_cancelled
from assurebot.turns.endings import trace_of
from assurebot.turns.outbox import Outbox
from assurebot.values import Attachment, BoxFile, Piece, Place, StoredEvent

log = structlog.get_logger(__name__)

SPOKEN_CHARS = 1_500
SPEAK_SECONDS = 60.0
WAITING = 20
"""More answers than this do not wait to be spoken."""

NO_VOICE = (
    "I have no voice here: set `OPENAI_API_KEY`, and for a server of your own `OPENAI_BASE_URL` "
    "and `SPEECH_MODEL`."
)

_UNSPOKEN = re.compile(  # code; links, but for their labels; rules; signs
    r"(```|~~~).*?(?:\1|\Z)|!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,2000}(?:\s[^()\n]{0,200})?\)|"
    r"<?\b[a-z]+://\S+|^[ \t]*[|:\-=*_][|:\-=*_ \t]*$|^[ \t]*(?:\#{1,6}|>|[-*+])[ \t]+|[*`~]+|__+",
    re.DOTALL | re.MULTILINE,
)
_END = re.compile("[.!?:\u2026\u3002\uff01\uff1f]+(?=\\s)|\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Speaks answers one after the other, once at most: one that a crash cuts off is not spoken.

    Attributes:
        speaker: `None`: there is no voice.
        held: Tells whether `/panic` is in force: then nothing is spoken.
    """

    speaker: Transcriber | None
    store: Store
    outbox: Outbox
    clock: Clock
    held: Callable[[], bool]
    owner: int
    answers: asyncio.Queue[tuple[StoredEvent, str]] = field(
        default_factory=lambda: asyncio.Queue(WAITING)
    )

    async def wanted(self, place: Place) -> bool:
        """Tell whether answers in a conversation are spoken."""
        return await self.store.fact(f"voice:{place.key}") is not None

    async def command(self, stored: StoredEvent) -> str:
        """Answer `/voice`, `/voice on` and `/voice off` in Markdown."""
        place, wish = stored.event.place, stored.event.text.strip().lower()
        if wish == "on" and self.speaker is None:
            return NO_VOICE
        if wish in ("on", "off"):
            await self.store.set_fact(f"voice:{place.key}", "on" if wish == "on" else None)
        now = "spoken too, after their text" if await self.wanted(place) else "not spoken"
        return f"Answers here are {now}. `/voice on` and `/voice off` change that."

    def answered(self, stored: StoredEvent, text: str) -> None:
        """Take an answer that is committed."""
        if not self.answers.full():
            self.answers.put_nowait((stored, spoken(text)))

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            stored, text = await self.answers.get()
            if self.speaker is None or not text or self.held():
                continue
            try:
                if await self.wanted(stored.event.place):
                    await self._speak(self.speaker, stored, text)
            except StoreError as error:
                log.warning("an answer was not spoken", turn=stored.id, reason=str(error))

    async def _speak(self, speaker: Transcriber, stored: StoredEvent, text: str) -> None:
        place, trace = stored.event.place, trace_of(stored, self.owner)
        files: tuple[BoxFile, ...] = ()
        try:
            async with asyncio.timeout(SPEAK_SECONDS):
                data = await speaker.speak(text, trace)
        except (BudgetSpent, ProviderError, AuditError, TimeoutError) as error:
            demand_not_cancelled()
            once = f"unspoken:{place.key}:{self.clock.now():%Y-%m-%d}"
            reason = str(error) or "it took too long"
            pieces = self.outbox.notice(f"🔇 I cannot speak this: {reason}.")
        else:
            once, files = f"spoken:{stored.id}", (BoxFile(name="answer.ogg", data=data),)
            voice = Attachment(blob=0, name=files[0].name, size=len(data), kind="voice")
            pieces = (Piece(text="", media=(voice,)),)
        said = await self.store.say(place, pieces, trace, once=once, files=files)
        self.outbox.push(said)


def spoken(markdown: str) -> str:
    """Return the words of an answer, without code, addresses and signs, up to a sentence's end."""
    words = _UNSPOKEN.sub(lambda found: found[2] or "", markdown)
    lines = (" ".join(line.replace("|", " ").split()) for line in words.splitlines())
    text = "\n".join(filter(None, lines))
    if len(text) <= SPOKEN_CHARS:
        return text
    last = max((end.end() for end in _END.finditer(text, 0, SPOKEN_CHARS)), default=0)
    word = text.rfind(" ", 0, SPOKEN_CHARS) + 1
    return text[: last if last > SPOKEN_CHARS // 2 else word or SPOKEN_CHARS].strip()
