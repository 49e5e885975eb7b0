"""Pressed buttons: each is taken, acknowledged and recorded, whatever it stands for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from assurebot.errors import ChatError
from assurebot.ports import AuditLog, Chat, Incoming, Pressed, Store
from assurebot.turns.approvals import NO_LONGER, Approvals
from assurebot.turns.commits import carried_out
from assurebot.turns.edits import edited
from assurebot.turns.effects import effect
from assurebot.turns.endings import AGAIN, EDITED, LOOK, Endings, trace_of
from assurebot.turns.preview import STOP
from assurebot.turns.schedules import Schedules
from assurebot.values import AuditEntry, Event, StoredEvent, TextPart

log = structlog.get_logger(__name__)

LOOK_INTO = "Look into this: what does it mean, and what should be done about it?"

CHOICES = ("model:", "help:")
"""Buttons of commands, which say what words behind the command would."""

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
        schedules: Schedules,
        owner: int,
        submit: Callable[[StoredEvent], None],
        end_job: Callable[[int], Awaitable[bool]],
        command: Callable[[StoredEvent, str], Awaitable[tuple[str, str]]],
    ) -> None:
        self._store = store
        self._audit = audit
        self._chat = chat
        self._endings = endings
        self._approvals = approvals
        self._schedules = schedules
        self._owner = owner
        self._submit = submit
        self._end_job = end_job
        self._command = command

    async def work(self, stored: StoredEvent) -> None:
        """Do what a button stands for, once; tell whoever pressed it, and end the event."""
        note, text = await self._taken(stored)
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
        await self._endings.end(stored, text, action=f"press: {note}")

    async def _taken(self, stored: StoredEvent) -> tuple[str, str]:
        """Do it; return the note, and a text if there is one."""
        if stored.event.press == STOP.id:
            return await self._command(stored, STOP.id)
        pressed = await self._store.button(stored.event.press)
        if pressed is None:
            return NO_LONGER, ""
        if pressed.kind.startswith(CHOICES) and _same(pressed, stored):
            return await self._command(stored, pressed.kind)
        if pressed.kind.startswith("job:") and _same(pressed, stored):
            _, verb, number = pressed.kind.split(":")
            job = await self._schedules.find(pressed.event.event.place.chat_id, number)
            answer = await self._schedules.press(verb, job, stored.event.key)
            if verb == "delete" and job is not None and not job.name:
                await self._end_job(job.id)
            return answer
        return await self._decided(stored, pressed), ""

    async def _decided(self, stored: StoredEvent, pressed: Pressed) -> str:
        if pressed.kind.startswith(("approve:", "deny:")):
            return await self._approvals.press(stored, pressed.kind)
        if pressed.kind == LOOK:
            taken = await self._run_again(stored, _looking(stored.event))
            return "Looking into it." if taken else "That was begun already."
        if pressed.kind.startswith("job:") or not _same(pressed, stored):
            return NO_LONGER
        if pressed.kind.startswith("file:"):
            chat, number = pressed.event.event.place.chat_id, pressed.kind.partition(":")[2]
            gone = await self._store.remove_file(chat, int(number))
            return f"File {number} is removed." if gone else f"There is no file {number} here."
        if pressed.kind in (AGAIN, EDITED):
            former, new = pressed.event, pressed.kind == EDITED
            event = edited(former.event) if new else former.event
            taken = await self._run_again(stored, event, None if new else former.id)
            return "Running it again." if taken else "It was run again already."
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

    async def _run_again(
        self, stored: StoredEvent, event: Event, continues: int | None = None
    ) -> bool:
        """Take an event up again, if that is not done; tell whether it was not."""
        taken: list[StoredEvent] = []

        async def take() -> None:
            taken.extend(await self._store.add([_again(stored, event, continues)]))
            for fresh in taken:
                self._submit(fresh)

        await carried_out(take())
        return bool(taken)


def _looking(press: Event) -> Event:
    """Make the message of whoever pressed, in reply to the one with the button."""
    return Event(
        source="telegram",
        key="",
        kind="message",
        actor=press.actor,
        place=press.place,
        received_at=press.received_at,
        parts=(TextPart(text=LOOK_INTO),),
        message_id=press.message_id,
        reply_to=press.message_id,
    )


def _same(pressed: Pressed, stored: StoredEvent) -> bool:
    """Tell whether whom a button was made for has pressed it."""
    return pressed.event.event.actor.user_id == stored.event.actor.user_id


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
