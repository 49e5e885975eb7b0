"""An answer in the making: drafts in private chats, edits of one message elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import structlog

from assurebot.errors import AuditError, ChatError, ChatUnavailable
from assurebot.ports import AuditLog, Chat, Links, Redact, Renderer
from assurebot.turns.effects import effect
from assurebot.turns.outbox import Outbox
from assurebot.values import AuditEntry, Button, Piece, Place, Trace

log = structlog.get_logger(__name__)

END_SECONDS = 1.0
"""How long a draft or an edit on its way may hold up the answer, or a stop."""

STOP = Button(label="⏹ Stop", id="stop")
"""Under an answer in the making, outside private chats, whose drafts have one of their own."""

MAX_UNITS = 4096

INLINE_CHARS = 2000
"""Longer texts are rendered in a thread: the loop must not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewTimes:
    """Seconds: before anything shows, between drafts or edits, and before what fades is renewed.

    Source: Bot API 10; a draft lives 30 s, a chat action 5 s. Edits count as messages (20/min).

    Attributes:
        status: How long nothing must have come before it is told what goes on.
        elapsed: Between edits that only tell how long that took so far.
    """

    first: float = 0.4
    drafts: float = 1.0
    edits: float = 3.0
    typing: float = 4.5
    renewal: float = 20.0
    status: float = 3.0
    elapsed: float = 10.0


async def rendered(render: Renderer, text: str, links: Links) -> tuple[Piece, ...]:
    """Render a text; a long one in a thread."""
    if len(text) > INLINE_CHARS:
        return await asyncio.to_thread(render, text, links)
    return render(text, links)


class Preview:
    """Shows what is there of one answer; it may fail without harm to the answer.

    Attributes:
        text: The whole answer so far, as the model gave it.
        links: The URLs in it that may be links; `None` where nothing untrusted is in it.
        shown: Drafts and edits shown.
        message_id: The message that is being edited, outside private chats.
    """

    def __init__(
        self,
        *,
        chat: Chat,
        outbox: Outbox,
        audit: AuditLog,
        render: Renderer,
        redact: Redact,
        streaming: Redact,
        times: PreviewTimes,
        place: Place,
        trace: Trace,
        reply_to: int | None = None,
    ) -> None:
        """Take the parts; a message of its own, outside private chats, names `reply_to`."""
        self.text = ""
        self._whole = False
        self.links: Links = frozenset()
        self.shown = 0
        self.message_id: int | None = None
        self._chat = chat
        self._outbox = outbox
        self._audit = audit
        self._render = render
        self._redact = redact
        self._streaming = streaming
        self._times = times
        self._place = place
        self._trace = trace
        self._doing: str | None = None
        self._since = self._next_edit = 0.0  # the next that only tells what goes on
        self._reply_to = reply_to
        self._grown = asyncio.Event()
        self._on_its_way = asyncio.Lock()

    def on_text(self, text: str, *, whole: bool = False, links: Links = None) -> None:
        """Take the answer so far; a `whole` one is a program's: clean, shown to its end, no link.

        Of any other, only `links` may be links.
        """
        self.text, self._whole, self.links = text, whole, frozenset() if whole else links
        self._since = time.monotonic()
        self._grown.set()

    def on_doing(self, name: str) -> None:
        """Take what begins now: a call of the tool with this name; without one, the model's work.

        Shown while it lasts, it is no part of `text`.
        """
        self._doing, self._since, self._next_edit = name, time.monotonic(), 0.0
        self._grown.set()

    @asynccontextmanager
    async def showing(self) -> AsyncIterator[None]:
        """Show while the block lasts; after it, nothing of the preview is on its way any more."""
        task = asyncio.create_task(self._run(), name=f"preview {self._place.key}")
        try:
            yield
        finally:
            try:
                # Given up on its way, it might show after the answer, or beside it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(END_SECONDS), self._on_its_way:
                        pass
            finally:
                task.cancel()
                await asyncio.wait({task}, timeout=END_SECONDS)

    async def _run(self) -> None:
        await asyncio.sleep(self._times.first)
        seen = ""
        while True:
            self._grown.clear()
            try:
                if not self._outbox.frozen(self._place.chat_id):
                    seen = await self._show(seen)
            except ChatUnavailable as error:
                if error.retry_after is not None:
                    self._outbox.freeze(self._place.chat_id, error.retry_after)
            except (ChatError, AuditError) as error:
                log.info("no preview", reason=str(error))
                return
            if self.text or self._status():
                await asyncio.sleep(
                    self._times.drafts if self._place.private else self._times.edits
                )
            if self.text in {"", seen}:  # it is empty again after the words about a file
                await self._growth(self._patience())

    async def _growth(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._grown.wait()
        except TimeoutError:
            return

    def _patience(self) -> float:
        """Return how long to wait for more text before something is shown anew."""
        longest = self._times.renewal if self.text else self._times.typing
        if self._doing is None:
            return longest
        left = self._times.status - (time.monotonic() - self._since)
        if left > 0:
            return min(left, longest)
        return 0 if self._place.private else self._times.elapsed - self._times.edits

    def _status(self) -> str:
        """Say what goes on, and how long that is, if it takes its time; never any arguments."""
        seconds = time.monotonic() - self._since
        if self._doing is None or seconds < self._times.status:
            return ""
        sign = "🌐" if self._doing in ("fetch_url", "web_search") else "⚙️"
        what = f"{sign} {self._doing}" if self._doing else "💭 thinking"
        return f"{what}, {seconds:.0f} s"

    async def _show(self, seen: str) -> str:
        """Show the newest text and what goes on; return the text that is seen now."""
        text, status = self.text, self._status()
        piece = _with_status(await self._piece(text), status)
        if piece is None:
            await self._chat.typing(self._place)
            return text
        async with self._on_its_way:
            if self._place.private:
                draft_id = self._trace.turn or 1
                self.shown += 1  # before it leaves: one that is cut off may show all the same
                await self._chat.draft(self._place, draft_id, piece.text, piece.entities)
            elif text != seen or (status and time.monotonic() >= self._next_edit):
                self.shown += 1
                self._next_edit = time.monotonic() + self._times.elapsed
                await self._write(replace(piece, buttons=(STOP,)))
        return text

    async def _piece(self, text: str) -> Piece | None:
        settled = text
        if not self._whole:  # before a call the text has its end, so nothing of it is held back
            settled = self._redact(text) if self._doing else self._streaming(text)
        pieces = await rendered(self._render, settled, self.links)
        return pieces[-1] if pieces else None

    async def _write(self, piece: Piece) -> None:
        if self.message_id is not None:
            edit = replace(piece, replaces=self.message_id)
            self.message_id = await self._chat.send(self._place, edit)
            return
        target = f"chat:{self._place.key}"
        entry = AuditEntry(type="send", trace=self._trace, action="preview", target=target)
        async with effect(self._audit, entry):
            first = replace(piece, reply_to=self._reply_to)
            self.message_id = await self._chat.send(self._place, first)


def _with_status(piece: Piece | None, status: str) -> Piece | None:
    if piece is None or not status:
        return piece or (Piece(text=status) if status else None)
    text = f"{piece.text}\n\n{status}"
    fits = len(text.encode("utf-16-le")) <= 2 * MAX_UNITS
    return replace(piece, text=text) if fits else piece
