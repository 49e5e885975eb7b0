"""An answer in the making: drafts in private chats, edits of one message elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import structlog

from assurebot.errors import AuditError, ChatError, ChatUnavailable
from assurebot.ports import AuditLog, Chat, Links, Renderer
from assurebot.turns.effects import effect
from assurebot.turns.outbox import Outbox
from assurebot.values import AuditEntry, Piece, Place, Trace

log = structlog.get_logger(__name__)

END_SECONDS = 1.0
"""How long a draft or an edit on its way may hold up the answer, or a stop."""

INLINE_CHARS = 2000
"""Longer texts are rendered in a thread: the loop must not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewTimes:
    """Seconds: before anything shows, between drafts or edits, and before what fades is renewed.

    Source: Bot API 10; a draft lives 30 s, a chat action 5 s. Edits count as messages (20/min).
    """

    first: float = 0.4
    drafts: float = 1.0
    edits: float = 3.0
    typing: float = 4.5
    renewal: float = 20.0


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
        streaming: Callable[[str], str],
        times: PreviewTimes,
        place: Place,
        trace: Trace,
    ) -> None:
        self.text = ""
        self._whole = False
        self.links: Links = frozenset()
        self.shown = 0
        self.message_id: int | None = None
        self._chat = chat
        self._outbox = outbox
        self._audit = audit
        self._render = render
        self._streaming = streaming
        self._times = times
        self._place = place
        self._trace = trace
        self._grown = asyncio.Event()
        self._on_its_way = asyncio.Lock()

    def on_text(self, text: str, *, whole: bool = False, links: Links = None) -> None:
        """Take the answer so far; a `whole` one is a program's: clean, shown to its end, no link.

        Of any other, only `links` may be links.
        """
        self.text, self._whole, self.links = text, whole, frozenset() if whole else links
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
            if self.text:
                await asyncio.sleep(
                    self._times.drafts if self._place.private else self._times.edits
                )
            if self.text == seen:
                await self._growth(self._times.renewal if seen else self._times.typing)

    async def _growth(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._grown.wait()
        except TimeoutError:
            return

    async def _show(self, seen: str) -> str:
        """Show the newest text, or that there is none yet; return what is seen now."""
        text = self.text
        piece = await self._piece(text)
        if piece is None:
            await self._chat.typing(self._place)
            return text
        async with self._on_its_way:
            if self._place.private:
                draft_id = self._trace.turn or 1
                self.shown += 1  # before it leaves: one that is cut off may show all the same
                await self._chat.draft(self._place, draft_id, piece.text, piece.entities)
            elif text != seen:
                self.shown += 1
                await self._write(piece)
        return text

    async def _piece(self, text: str) -> Piece | None:
        settled = text if self._whole else self._streaming(text)
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
            self.message_id = await self._chat.send(self._place, piece)
