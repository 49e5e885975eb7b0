"""Pressed buttons: each is taken, acknowledged and recorded, whatever it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from assurebot.errors import ChatError
from assurebot.ports import AuditLog, Chat, Incoming, Pressed, Store
from assurebot.turns.approvals import NO_LONGER, Approvals
from assurebot.turns.commits import carried_out
from assurebot.turns.effects import effect
from assurebot.turns.endings import AGAIN, Endings, trace_of
from assurebot.values import AuditEntry, Event, StoredEvent

log = structlog.get_logger(__name__)

AFRESH = "🧹 Given up, to be run again without earlier content."


class Presses:
    """Works the events of pressed buttons."""

    def __init__(
        self,
        *,
        store: Store,
        audit: AuditLog,
        chat: Chat,
        endings: Endings,
        approvals: Approvals,
        owner: int,
        submit: Callable[[StoredEvent], None],
    ) -> None:
        self._store = store
        self._audit = audit
        self._chat = chat
        self._endings = endings
        self._approvals = approvals
        self._owner = owner
        self._submit = submit

    async def work(self, stored: StoredEvent) -> None:
        """Do what a button stands for, once; tell whoever pressed it, and end the event."""
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
        pressed = await self._store.button(stored.event.press)
        if pressed is None:
            return NO_LONGER
        if pressed.kind.startswith(("approve:", "deny:")):
            return await self._approvals.press(stored, pressed.kind)
        if pressed.event.event.actor.user_id != stored.event.actor.user_id:
            return NO_LONGER
        if pressed.kind == AGAIN:
            taken = await self._run_again(stored, pressed.event.event, pressed.event.id)
            return "Trying again." if taken else "It was tried again already."
        return await self._afresh(stored, pressed)

    async def _afresh(self, stored: StoredEvent, pressed: Pressed) -> str:
        """Run a turn that waits for a press again, without what taints it."""
        turn = pressed.event
        again = _again(stored, replace(turn.event, afresh=True))
        withdrawn, fresh = await self._approvals.withdraw(
            turn.event.place, AFRESH, turn=turn.id, again=again
        )
        if fresh is not None:
            self._submit(fresh)  # behind the one that it replaces
        return (
            "Running it again without earlier content." if withdrawn else "It was decided before."
        )

    async def _run_again(self, stored: StoredEvent, event: Event, continues: int) -> bool:
        """Take an event up again, if that is not done; tell whether it was not."""
        taken: list[StoredEvent] = []

        async def take() -> None:
            taken.extend(await self._store.add([_again(stored, event, continues)]))
            for fresh in taken:
                self._submit(fresh)

        await carried_out(take())
        return bool(taken)


def _again(press: StoredEvent, event: Event, continues: int | None = None) -> Incoming:
    """Make an event that is worked once for a press."""
    key = f"again:{press.event.press}"
    at = press.event.received_at
    return Incoming(
        source=event.source,
        key=key,
        event=replace(event, key=key, received_at=at),
        raw="",
        received_at=at,
        continues=continues,
    )
