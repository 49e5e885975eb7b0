"""Approvals: calls that wait for a press, from the question to the decision.

The file is long because every way in which a call is decided stands here, side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import structlog

from assurebot.agent.loop import Asleep
from assurebot.errors import AuditError, StoreError, StoreUnwell
from assurebot.guard.arguments import digest
from assurebot.ports import AuditLog, Clock, Decided, Incoming, Sleep, Store
from assurebot.turns.asking import who
from assurebot.turns.commits import carried_out, demand_not_cancelled, patiently
from assurebot.turns.endings import trace_of
from assurebot.turns.notices import Notices
from assurebot.turns.outbox import Outbox
from assurebot.values import (
    Approval,
    ApprovalState,
    AuditEntry,
    Person,
    Piece,
    Place,
    StoredEvent,
    Trace,
)

log = structlog.get_logger(__name__)

NO_LONGER = "This button is no longer in use."


class Lanes(Protocol):
    """What is done to turns when their calls are decided: `Runner`."""

    def wake(self, stored: StoredEvent) -> None:
        """Put a turn that has slept into its lane."""
        ...

    def cut(self, event_id: int, note: str) -> None:
        """Let a turn that waits in its lane end with a note."""
        ...


class Approvals:
    """Asks, takes presses, lets time run out; a turn sleeps in between.

    Args:
        approvers: Who may press instead of the requester, if the operator named any.
        wait_seconds: How long there is to press.
    """

    def __init__(
        self,
        *,
        store: Store,
        audit: AuditLog,
        outbox: Outbox,
        notices: Notices,
        clock: Clock,
        lanes: Lanes,
        owner: int,
        approvers: tuple[int, ...] | None,
        wait_seconds: float,
        disk_seconds: float,
    ) -> None:
        self._store = store
        self._audit = audit
        self._outbox = outbox
        self._notices = notices
        self._clock = clock
        self._lanes = lanes
        self._owner = owner
        self._approvers = approvers
        self._wait_seconds = wait_seconds
        self._disk_seconds = disk_seconds
        self._changed = asyncio.Event()
        self._broken: set[int] = set()

    # --- asking

    async def ask(self, stored: StoredEvent, asleep: Asleep, said: tuple[Piece, ...]) -> None:
        """Put a turn to sleep: what it said, and the question, in one commit."""
        event = stored.event
        approvals = self._new(stored, asleep)
        for each in approvals:
            entry = self._entry(each, "asked", event.key, command=each.arguments)
            await self._audit.record(entry)
        elsewhere = sorted(set(approvals[0].approvers) - {event.actor.user_id})
        places = [event.place, *(Place(chat_id=each) for each in elsewhere)]
        notices, buttons = await self._notices.made(approvals, places)
        sleep = Sleep(
            place=event.place,
            trace=trace_of(stored, self._owner),
            pieces=said,
            notices=notices,
            steps=asleep.steps,
            approvals=approvals,
            buttons=buttons,
        )

        async def commit() -> None:
            self._outbox.push(await self._store.sleep(stored.id, sleep))
            self._changed.set()

        await patiently(lambda: carried_out(commit()), self._disk_seconds)

    def _new(self, stored: StoredEvent, asleep: Asleep) -> tuple[Approval, ...]:
        event = stored.event
        expires_at = self._clock.now() + timedelta(seconds=self._wait_seconds)
        return tuple(
            Approval(
                event_id=stored.id,
                n=ask.n,
                place=event.place,
                requester=event.actor,
                approvers=self._approvers or (event.actor.user_id,),
                tool=ask.call.name,
                arguments=ask.call.arguments,
                digest=digest(ask.call.arguments),
                rule=ask.decision.rule,
                reason=ask.decision.reason,
                frees=ask.decision.frees,
                afresh=asleep.by_history and not event.afresh,
                expires_at=expires_at,
            )
            for ask in asleep.asks
        )

    # --- presses

    async def press(self, stored: StoredEvent, kind: str) -> str:
        """Take a press on *Approve* or *Deny*; return what to tell the presser."""
        verb, _, call = kind.partition(":")
        event_id, n = map(int, call.split("."))
        presser, key = stored.event.actor, stored.event.key
        found = [each for each in await self._store.approvals(event_id) if each.n == n]
        if not found:
            return NO_LONGER
        approval = found[0]
        if approval.press == key:  # decided by this very press, before a crash
            return f"{approval.state.capitalize()}."
        refusal = self._refusal(approval, presser)
        if refusal is not None:
            tried = replace(approval, decided_by=presser)
            entry = self._entry(tried, "refused", key, error=refusal)
            await self._audit.record(entry)
            return refusal
        state: ApprovalState = "approved" if verb == "approve" else "denied"
        entry = self._entry(replace(approval, state=state, decided_by=presser), state, key)
        intent, outcome = await self._audit.intent(entry), "error"
        try:
            decided = await self._decide(event_id, [n], state, presser, key)
            outcome = "ok" if decided.changed else "decided before"
        finally:
            end = replace(entry, phase="result", closes=intent, result=outcome)
            await self._audit.record(end)
        if not decided.changed:
            return "That was decided before."
        left = sum(each.state == "pending" for each in decided.approvals)
        more = f" {left} more to decide." if left else ""
        return f"{state.capitalize()}.{more}"

    def _refusal(self, approval: Approval, presser: Person) -> str | None:
        may = set(approval.approvers) & set(self._approvers or approval.approvers)
        if presser.user_id not in may:
            return "Only those who were asked may decide this."
        late = approval.state == "pending" and approval.expires_at <= self._clock.now()
        if late or approval.state == "expired":
            return "That was too late: it has expired."
        if approval.state != "pending":
            by = "" if approval.decided_by is None else f" by {who(approval.decided_by)}"
            return f"It was {approval.state} before{by}.".replace("`", "")
        if digest(approval.arguments) != approval.digest:
            return "Its arguments have changed since it was asked. It is not done."
        return None

    # --- time, /stop and /new

    async def run(self) -> None:
        """Let approvals expire, until cancelled."""
        while True:
            self._changed.clear()
            try:
                waiting = await self._store.pending()
                await self._expire(waiting)
                now = self._clock.now()
                later = [e.expires_at for e in waiting if e.event_id not in self._broken]
                left = [(at - now).total_seconds() for at in later if at > now]
                async with asyncio.timeout(min(left, default=None)):
                    await self._changed.wait()
            except TimeoutError:
                continue
            except (AuditError, StoreError) as error:
                log.warning("approvals wait for the disk", error=str(error))
                await asyncio.sleep(self._disk_seconds)

    async def _expire(self, waiting: Sequence[Approval]) -> None:
        now, due = self._clock.now(), dict[int, list[int]]()
        for each in waiting:
            if each.expires_at <= now and each.event_id not in self._broken:
                due.setdefault(each.event_id, []).append(each.n)
        for event_id, steps in due.items():
            try:
                await self._decide(event_id, steps, "expired", None)
            except StoreUnwell:
                raise
            except StoreError as error:  # one that cannot be read must not hold up the others
                log.error("an approval cannot expire", turn=event_id, reason=str(error))  # noqa: TRY400 - no bug of ours
                self._broken.add(event_id)
            demand_not_cancelled()

    async def withdraw(
        self,
        place: Place,
        note: str,
        *,
        before: int | None = None,
        turn: int | None = None,
        again: Incoming | None = None,
    ) -> tuple[int, StoredEvent | None]:
        """End turns that wait, or go on after a wait; see `Store.withdraw`.

        Returns:
            How many calls will not be done, and the event that is to be worked instead.
        """
        found: list[tuple[int, StoredEvent | None]] = []

        async def commit() -> None:
            withdrawn, added = await self._store.withdraw(
                place, note, before=before, turn=turn, again=again
            )
            for decided in withdrawn:
                self._lanes.cut(decided.event.id, note)
                if decided.resumed:
                    self._lanes.wake(decided.event)
            found.append((sum(len(each.changed) for each in withdrawn), added))
            for decided in withdrawn:
                await self._told(decided, "expired")

        await carried_out(commit())
        return found[0]

    async def _decide(
        self,
        event_id: int,
        steps: Sequence[int],
        state: ApprovalState,
        by: Person | None,
        press: str = "",
    ) -> Decided:
        """Commit a decision with all that follows from it: go on, tell."""
        found: list[Decided] = []

        async def commit() -> None:
            decided = await self._store.decide(event_id, steps, state, by, press)
            found.append(decided)
            if decided.resumed:
                self._lanes.wake(decided.event)
            await self._told(decided, state)

        await carried_out(commit())
        return found[0]

    async def _told(self, decided: Decided, state: ApprovalState) -> None:
        self._changed.set()
        if not decided.changed:
            return
        if state == "expired":  # a press has its own two lines
            for each in decided.changed:
                await self._audit.record(self._entry(each, state, decided.event.event.key))
        await self._notices.rewrite(decided)

    def _entry(
        self,
        approval: Approval,
        action: str,
        event: str,
        *,
        command: str | None = None,
        error: str | None = None,
    ) -> AuditEntry:
        by = approval.decided_by or approval.requester
        role = "owner" if by.user_id == self._owner else "user"
        actor = "system" if action == "expired" else f"{role}:{by.user_id}"
        return AuditEntry(
            type="approval",
            trace=Trace(
                event=event,
                turn=approval.event_id,
                step=approval.n,
                actor=actor,
                user=by.user_id,
            ),
            action=action,
            target=f"{approval.name} {approval.tool}",
            decision="ask",
            rule=approval.rule,
            approval_required=True,
            approved_by=by.user_id if action == "approved" else None,
            evidence=f"sha256:{approval.digest}",
            command=command,
            error=error,
        )
