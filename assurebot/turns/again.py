"""*Try again*: a button under an answer that the model did not give, and what a press comes to."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import structlog

from assurebot.errors import ChatError
from assurebot.ports import AuditLog, Chat, Incoming, Store
from assurebot.turns.commits import carried_out
from assurebot.turns.effects import effect
from assurebot.turns.endings import Endings, trace_of
from assurebot.turns.preview import Preview
from assurebot.values import AuditEntry, Button, StoredEvent

log = structlog.get_logger(__name__)


class TryAgain:
    """Offers to go on with a turn, and goes on with it once."""

    def __init__(
        self,
        *,
        store: Store,
        audit: AuditLog,
        chat: Chat,
        endings: Endings,
        owner: int,
        submit: Callable[[StoredEvent], None],
    ) -> None:
        self._store = store
        self._audit = audit
        self._chat = chat
        self._endings = endings
        self._owner = owner
        self._submit = submit

    async def offer(self, stored: StoredEvent, preview: Preview, note: str) -> None:
        """End a turn that the model did not answer; what was done and said before is sent."""
        text = "\n\n".join(part for part in (preview.text, note) if part)
        button = Button(label="🔁 Try again", id=secrets.token_urlsafe(12))
        await self._endings.end(stored, text, buttons=(button,), preview=preview)

    async def press(self, stored: StoredEvent) -> None:
        """Go on with the event of the button; a second press finds it done already."""
        note = await self._taken(stored)
        answer = AuditEntry(
            type="send",
            trace=trace_of(stored, self._owner),
            action="acknowledge",
            target=f"chat:{stored.event.place.key}",
            text=note,
        )
        try:
            async with effect(self._audit, answer):
                await self._chat.acknowledge(stored.event.key.removeprefix("press:"), note)
        except ChatError as error:
            log.info("a press was not acknowledged", reason=str(error))
        await self._endings.end(stored, "", action=f"press: {note}")

    async def _taken(self, stored: StoredEvent) -> str:
        """Take the event up again, if that is not done; say what came of it."""
        event = stored.event
        pressed = await self._store.button(event.press)
        if pressed is None or pressed.event.event.actor.user_id != event.actor.user_id:
            return "This button is no longer in use."
        key = f"again:{event.press}"
        again = replace(pressed.event.event, key=key, received_at=event.received_at)
        incoming = Incoming(
            source=event.source,
            key=key,
            event=again,
            raw="",
            received_at=event.received_at,
            continues=pressed.event.id,
        )
        taken: list[StoredEvent] = []

        async def take() -> None:
            taken.extend(await self._store.add([incoming]))
            for fresh in taken:
                self._submit(fresh)

        await carried_out(take())
        return "Trying again." if taken else "It was tried again already."
