"""Files in a message: each is fetched, read or heard once, kept, and shown to the model.

The file is long because all that can become of an enclosure, and every sentence on it, stands here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from assurebot.agent.files import described, sized
from assurebot.agent.jobs import redacted, without_secrets
from assurebot.agent.prompt import one_line
from assurebot.errors import (
    AssureBotError,
    BudgetSpent,
    ChatRejected,
    ChatUnavailable,
    ProviderError,
    ProviderRejected,
)
from assurebot.guard.visible import visible
from assurebot.ports import Chat, Clock, Reader, Redact, Store, Transcriber
from assurebot.turns.commits import patiently
from assurebot.turns.endings import trace_of
from assurebot.turns.outbox import Outbox
from assurebot.turns.preview import Preview
from assurebot.values import (
    BoxFile,
    ChatFile,
    Enclosure,
    Media,
    ModelRef,
    StoredEvent,
    TextPart,
    untrusted,
)

FETCHED_BYTES = 20 << 20
"""What a bot is given of a file. Source: Bot API, `getFile`."""

HEARD_SECONDS, HEARD_CHARS = 20 * 60, 40_000
"""So long a recording is some 20,000 characters: as much as a turn takes of any document. Only its
sender says how long it is, so of a longer one the rest is dropped."""

CUT = "[… it is longer than it says: the rest was not kept]"

PICTURE_BYTES, PICTURE_SIDES, PICTURE_TOKENS = 5 << 20, 8_000, 5_000
PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""What models look at, and what it takes of their input at most. Source: documentation of
Anthropic's API; OpenAI's takes more."""

PDF_BYTES, PDF_LEAVES, LEAF_TOKENS = 8 << 20, 30, 3_000
"""A longer PDF is read as text. Each page counts as a picture and its text; a full one as more."""

WHOLE_CHARS, WHOLE_PAGES = 24_000, 200
"""Of longer documents a turn begins with so much, and the model reads the rest by a tool."""

NAME_CHARS = 100

_SOUNDS = {name: name for name in ("flac", "mp3", "mp4", "m4a", "ogg", "wav", "webm")}
_SOUNDS |= {"oga": "ogg", "opus": "ogg", "mpeg": "mp3", "mpga": "mp3"}
_SOUNDS |= {"x-m4a": "m4a", "x-wav": "wav"}
"""Kinds of sound that transcribers know, by ending or media type."""

_HEARD = {
    "voice": ("voice message", "ogg"),
    "audio": ("recording", "mp3"),
    "video_note": ("video message", "mp4"),
}
"""What is listened to: its name, and which kind of sound it is if it does not say."""

NO_EARS = (
    "I have nothing to listen with: set OPENAI_API_KEY, or TRANSCRIBE_BASE_URL and "
    "TRANSCRIBE_MODEL for a server of your own"
)
CHECK_EARS = (
    " If that stays so, check TRANSCRIBE_MODEL, and the key and address that it is asked by."
)
TOO_LARGE = (
    f"it is larger than {sized(FETCHED_BYTES)}, and bots are given no more: send it in parts"
)
TOO_LONG = f"it is longer than {HEARD_SECONDS // 60} minutes: send it in parts"


class NotReceived(AssureBotError):
    """Something could not be fetched or heard for now: another try may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came with a message, for the model.

    Attributes:
        sorry: What to say instead of asking the model, where there is nothing to be answered.
    """

    parts: tuple[TextPart, ...] = ()
    sorry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """An enclosure before the model; `sorry` tells people why nothing of it can be read."""

    part: TextPart
    sorry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """Receives the enclosures of events.

    Attributes:
        natively: Tells whether a model takes PDFs as they are.
        owner: For the trace of transcriptions.
    """

    store: Store
    chat: Chat
    reader: Reader
    transcriber: Transcriber | None
    outbox: Outbox
    clock: Clock
    redact: Redact
    natively: Callable[[ModelRef], bool]
    owner: int
    disk_seconds: float

    async def parts(
        self, stored: StoredEvent, model: ModelRef, preview: Preview | None = None
    ) -> Received:
        """Return what a model shall see of the enclosures of an event, in their order.

        What was received before a restart is not fetched, paid or told again. Without `preview`,
        where progress shows, only that is returned.

        Raises:
            NotReceived: Telegram or the transcriber did not answer, or the money is spent.
            AuditError, StoreError: Something could not be recorded.
        """
        event = stored.event
        if not event.enclosures:
            return Received()
        known = {file.n: file for file in await self.store.event_files(stored.id)}
        shown: list[_Shown] = []
        try:
            for n, enclosure in enumerate(event.enclosures):
                file: ChatFile | str | None = known.get(n)
                if file is None and preview is not None:
                    file = await self._received(stored, n, enclosure, preview)
                if isinstance(file, ChatFile):
                    shown.append(await self._shown(stored, file, model, tell=preview is not None))
                elif file is not None:
                    shown.append(_missed(enclosure, file))
        finally:
            if preview is not None:  # what it said was no answer
                preview.on_text("")
        words = any(part.text.strip() and not part.quoted for part in event.parts)
        sorry = [] if words else [each.sorry for each in shown]
        parts = tuple(each.part for each in shown)
        return Received(parts=parts, sorry="\n".join(sorry) if all(sorry) else "")

    # --- from Telegram into the store

    async def _received(
        self, stored: StoredEvent, n: int, enclosure: Enclosure, preview: Preview
    ) -> ChatFile | str:
        """Fetch, read or hear, and keep; or say why that cannot be."""
        heard = enclosure.kind in _HEARD
        if (enclosure.size or 0) > FETCHED_BYTES:
            return TOO_LARGE
        if heard and self.transcriber is None:
            return NO_EARS
        if heard and enclosure.seconds > HEARD_SECONDS:
            return TOO_LONG
        doing = "🎧 Listening…" if heard else f"📄 Reading {_code(_name(enclosure))}…"
        if stored.event.place.private or not heard:  # what it writes elsewhere becomes the answer,
            preview.on_text(doing, whole=True)  # which is to stand behind the transcript
        try:
            data = await self.chat.download(enclosure.file_id, FETCHED_BYTES)
        except ChatRejected as error:
            return f"Telegram does not give it to me ({error})"
        except ChatUnavailable as error:
            raise NotReceived(f"Telegram did not give me the file: {error}.") from error
        file = ChatFile(
            event_id=stored.id,
            n=n,
            kind="voice",
            name="",
            mime=enclosure.mime,
            size=len(data),
            label=enclosure.label,
            at=self.clock.now(),
        )
        if heard:
            return await self._heard(stored, file, enclosure, data)
        return await self._read(stored, file, enclosure, data)

    async def _heard(
        self, stored: StoredEvent, file: ChatFile, enclosure: Enclosure, data: bytes
    ) -> ChatFile | str:
        seconds = max(enclosure.seconds, _ogg_seconds(data))
        if seconds > HEARD_SECONDS or self.transcriber is None:
            return TOO_LONG
        name, trace = _sound_name(enclosure), trace_of(stored, self.owner)
        try:
            text = await self.transcriber.transcribe(data, name, seconds, trace)
        except (BudgetSpent, ProviderError) as error:
            check = CHECK_EARS if isinstance(error, ProviderRejected) else ""
            raise NotReceived(f"I could not listen to it: {error}.{check}") from error
        text = visible(self.redact(text.strip()))
        text = text if len(text) <= HEARD_CHARS else f"{text[:HEARD_CHARS]} {CUT}"
        return await self._kept(stored, file, b"", (text,) if text else ())

    async def _read(
        self, stored: StoredEvent, file: ChatFile, enclosure: Enclosure, data: bytes
    ) -> ChatFile:
        given = BoxFile(name=_name(enclosure), data=data)
        clean = await asyncio.to_thread(without_secrets, given, self.redact)
        reading = await self.reader.read(clean.data, clean.name)
        pages = await asyncio.to_thread(_clean, reading.pages, self.redact)
        label = untrusted("picture" if reading.kind == "picture" else "document")
        file = replace(
            file, kind=reading.kind, name=clean.name, mime=reading.mime, size=len(clean.data)
        )
        file = replace(
            file, sides=reading.sides, leaves=reading.leaves, note=reading.note, label=label
        )
        return await self._kept(stored, file, clean.data, pages)

    async def _kept(
        self, stored: StoredEvent, file: ChatFile, data: bytes, pages: Sequence[str]
    ) -> ChatFile:
        add, chat = self.store.add_file, stored.event.place.chat_id
        return await patiently(lambda: add(chat, file, data, pages), self.disk_seconds)

    # --- from the store to the model

    async def _shown(
        self, stored: StoredEvent, file: ChatFile, model: ModelRef, *, tell: bool
    ) -> _Shown:
        if file.kind == "voice":
            return await self._transcript(stored, file, tell=tell)
        if not file.number:
            return _ours("a file that came with this was removed")
        media = _media(file, natively=self.natively(model))
        if media is None and file.pages:
            return _Shown(part=_part(file, await self._text(file)))
        about = f"file {file.number}: {described(file, f'“{file.name}”')}"
        if media is not None:
            more = "; read_document reads its text" * bool(file.pages)
            return _Shown(part=replace(_part(file, f"[{about}{more}]"), media=media))
        why = file.note or "it cannot be read as text"
        if file.kind == "picture":
            why = "it is too large or of a kind that I cannot look at"
        named = f"file {file.number}: {described(file, _code(file.name))}"
        return _Shown(
            part=_part(file, f"[{about}: {why}; run_code can have it]"),
            sorry=f"📎 I keep {named}. I cannot look into it by myself: {why}. "
            "You can ask me to work on it with code.",
        )

    async def _transcript(self, stored: StoredEvent, file: ChatFile, *, tell: bool) -> _Shown:
        text = "".join(await self.store.file_pages(file.id, 1, 1))
        if not text:
            return _ours("I heard no words in the recording")
        if tell:
            first, *rest = self.outbox.notice(f"🎧 “{text}”")
            pieces = (replace(first, reply_to=stored.event.message_id), *rest)
            place, trace = stored.event.place, trace_of(stored, self.owner)
            once = f"heard:{file.id}"
            self.outbox.push(await self.store.say(place, pieces, trace, once=once))
        return _Shown(part=TextPart(text=text, label=file.label))

    async def _text(self, file: ChatFile) -> str:
        """Return the text of a document, or its first pages."""
        room = WHOLE_CHARS
        lines = [f"[file {file.number}: {described(file, f'“{file.name}”')}]"]
        for n, page in enumerate(await self.store.file_pages(file.id, 1, WHOLE_PAGES), start=1):
            room -= len(page)
            if room < 0 and n > 1:
                break
            lines += [f"--- page {n}", page] if file.pages > 1 else [page]
        if (shown := len(lines) // 2) < file.pages:
            rest = f"[… file {file.number} has {file.pages} pages, these are {shown}; "
            lines.append(f"{rest}read_document reads and searches the rest]")
        return "\n".join([*lines, f"[{file.note}]"] if file.note else lines)


def _missed(enclosure: Enclosure, why: str) -> _Shown:
    if enclosure.kind in _HEARD:
        return _ours(f"{_HEARD[enclosure.kind][0]} of {enclosure.seconds} s: {why}")
    name = _name(enclosure)
    part = TextPart(text=f"[“{name}” is not here: {why}]", label=untrusted("document"))
    return _Shown(part=part, sorry=f"📎 I have not got {_code(name)}: {why}.")


def _name(enclosure: Enclosure) -> str:
    name = one_line(enclosure.name.replace("\\", "/").rpartition("/")[2])
    return name[-NAME_CHARS:] or enclosure.kind  # the end tells what it is


def _ours(text: str) -> _Shown:
    """Make a sentence without a word of others; it does not count as typed."""
    return _Shown(
        part=TextPart(text=f"[{text}]", quoted=True), sorry=f"🎧 {text[0].upper()}{text[1:]}."
    )


def _part(file: ChatFile, text: str) -> TextPart:
    return TextPart(text=text, label=file.label, file=file.number)


def _media(file: ChatFile, *, natively: bool) -> Media | None:
    """Return what a model can look at itself."""
    tokens = 0
    if file.kind == "picture" and file.mime in PICTURES:
        fits = file.size <= PICTURE_BYTES and 0 < max(file.sides) <= PICTURE_SIDES
        tokens = PICTURE_TOKENS * fits
    if file.kind == "pdf" and natively and file.size <= PDF_BYTES:
        leaves = max(file.leaves, file.pages)  # any amount of text may stand on one of them
        tokens = LEAF_TOKENS * leaves * (leaves <= PDF_LEAVES)
    return Media(file=file.id, mime=file.mime, tokens=tokens) if tokens else None


def _code(name: str) -> str:
    name = name.replace("`", "'")
    return f"`{name}`"


def _sound_name(enclosure: Enclosure) -> str:
    """Name a recording by the kind of sound alone; its own name goes nowhere."""
    said = (enclosure.name.rpartition(".")[2], enclosure.mime.rpartition("/")[2])
    found = (_SOUNDS[each.lower()] for each in said if each.lower() in _SOUNDS)
    return f"{enclosure.kind}.{next(found, _HEARD[enclosure.kind][1])}"


def _ogg_seconds(data: bytes) -> float:
    """Return how long Opus sound lasts, by the position in its last page; 0 for all else.

    What a message says of that comes from its sender. Source: RFC 3533, 6; RFC 7845, 4.
    """
    last = data.rfind(b"OggS")
    if last < 0 or b"OpusHead" not in data[:100]:
        return 0.0
    return int.from_bytes(data[last + 6 : last + 14], "little", signed=True) / 48_000


def _clean(pages: Sequence[str], redact: Redact) -> list[str]:
    """Return pages without secrets, be it one that goes over the end of a page."""
    done: list[str] = []
    for page in pages:
        text = redacted(page, redact)
        if done and redact(done[-1] + text) != done[-1] + text:
            done[-1], text = redact(done[-1] + text), "(See the page before.)"
        done.append(text)
    return list(map(visible, done))
