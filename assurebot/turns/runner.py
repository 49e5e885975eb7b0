"""Lanes: one turn at a time per conversation, in order; many conversations side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from assurebot.errors import StoreError
from assurebot.ports import Clock, Stopped, Store
from assurebot.turns.delays import Delays
from assurebot.turns.endings import trace_of
from assurebot.turns.gathering import Gathering
from assurebot.turns.lanes import Lane, lane_of
from assurebot.turns.preview import Preview
from assurebot.turns.slots import SUSPECT_STARTS, Slots
from assurebot.turns.worker import Worker
from assurebot.values import Event, Person, Place, StoredEvent, Trace

log = structlog.get_logger(__name__)

STOP_SECONDS = 1.5
"""A stopped turn that has not ended by itself after this is left behind."""

STOPPED = "⏹ Stopped."

Previews = Callable[[Place, Trace, int | None], Preview]
"""Makes what shows an answer while it grows, in reply to a message."""


class Runner:
    """Starts the work on events, holds it, stops it; implements `ports.Control`."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        delays: Delays,
        gathering: Gathering,
        max_turns: int,
        owner: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._delays = delays
        self._gathering = gathering
        self._owner = owner
        self._newest: dict[str, int] = {}
        self._slots = Slots(max_turns)
        self._door: asyncio.Queue[tuple[StoredEvent, bool]] = asyncio.Queue()
        self._lanes: dict[str, Lane] = {}
        self._cut_at_start: dict[int, str] = {}
        self._go = asyncio.Event()
        self._held: str | None = None  # since when, and by whom
        self._closing = False
        self._strays: set[asyncio.Task[None]] = set()

    def submit(self, stored: StoredEvent) -> None:
        """Take a stored event; it is worked as soon as its lane is free."""
        self._door.put_nowait((stored, False))

    def wake(self, stored: StoredEvent) -> None:
        """Take up a turn that has slept."""
        # It is no new one: its pace was kept before, and /stop may end it.
        self._door.put_nowait((replace(stored, starts=max(1, stored.starts)), True))

    def cut(self, event_id: int, note: str) -> None:
        """Let a turn end with a note when it is taken up."""
        self._cut_at_start[event_id] = note

    def newest(self, place: Place) -> int:
        """Return the id of the last message that people sent to a conversation; 0: none yet."""
        return self._newest.get(place.key, 0)

    async def amend(self, event: Event) -> tuple[StoredEvent | None, bool]:
        """See `Store.amend`; a lane that has taken the message keeps the former."""
        async with self._gathering.lock:
            lanes = self._lanes.values()
            for lane in lanes:
                if lane.current is not None and lane.current.event.key == event.key:
                    return lane.current, False
            former, amended = await self._store.amend(event.key, event)
            for lane in lanes:
                for n, each in enumerate(lane.queue):
                    if amended and former is not None and each.id == former.id:
                        lane.queue[n] = replace(each, event=event)
            return former, amended

    async def run(
        self,
        worker: Worker,
        urgent: Callable[[Event], bool],
        preview: Previews,
    ) -> None:
        """Work what was left unfinished, then whatever is submitted, until cancelled."""
        self._held = await self._store.fact("held")
        if self._held is None:
            self._go.set()
        left = await self._store.unfinished()
        newest = left[-1].id if left else 0

        def start(stored: StoredEvent) -> None:
            place, message_id = stored.event.place, stored.event.message_id or 0
            if stored.event.kind != "press":  # its message is ours
                self._newest[place.key] = max(self.newest(place), message_id)
            if urgent(stored.event):
                work = worker.work(stored, preview(stored.event.place, Trace(), None))
                lanes.create_task(work, name=f"urgent {stored.id}")
                return
            key = lane_of(stored.event)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = Lane()
                serving = self._serve(key, lane, worker, preview)
                lane.task = lanes.create_task(serving, name=f"lane {key}")
            lane.queue.append(stored)
            if self._held is not None and stored.event.kind not in ("job", "webhook"):
                lanes.create_task(self._delays.say_held(stored, self._held, self.held_by))

        async with asyncio.TaskGroup() as lanes:
            # A stop that was not carried out any more comes before what it was to stop.
            # Then what has to be alone, while nothing else runs.
            for stored in sorted(
                left, key=lambda each: (not urgent(each.event), each.starts < SUSPECT_STARTS)
            ):
                start(stored)
            while True:
                stored, slept = await self._door.get()
                if slept or stored.id > newest:  # else it was among those left unfinished
                    start(stored)

    async def _serve(self, key: str, lane: Lane, worker: Worker, preview: Previews) -> None:
        while lane.queue and not self._closing:
            await self._go.wait()
            await self._paced(lane.queue[0], worker)
            await self._gather(lane)
            first = lane.queue[0]
            async with self._slots.slot(first, in_box=worker.runs_in_box(first.event)):
                async with self._gathering.lock:
                    if not self._may_start():
                        continue
                    lane.current = lane.queue.popleft()
                try:
                    await self._one(lane, lane.current, worker, preview)
                finally:
                    lane.current = lane.turn = lane.note = None
        del self._lanes[key]

    async def _gather(self, lane: Lane) -> None:
        """Let the head of a lane become one with what belongs to it."""
        members = await self._gathering.complete(lane)
        for each in members[1:]:
            self._cut_at_start.pop(each.id, None)
        place, answered = members[0].event.place.key, lane.queue[0].event.message_id
        if self._newest.get(place) in {each.event.message_id for each in members}:
            self._newest[place] = answered or 0

    async def _paced(self, stored: StoredEvent, worker: Worker) -> None:
        """Put off a turn; of a webhook, until more than one post can be told of."""
        if stored.event.hook:
            await asyncio.sleep(worker.wait_seconds(stored))
        elif not stored.starts and worker.is_turn(stored.event):
            await self._delays.pace(stored)

    def _may_start(self) -> bool:
        return not self._closing and self._held is None

    async def _one(
        self,
        lane: Lane,
        stored: StoredEvent,
        worker: Worker,
        preview: Previews,
    ) -> None:
        """Work one event in a task of its own, so that a stop ends it and not the lane."""
        event = stored.event
        shown = preview(event.place, trace_of(stored, self._owner), event.message_id)
        if (note := self._cut_at_start.pop(stored.id, stored.cut)) is not None:
            await worker.work(stored, shown, note)
            return
        lane.left_behind.clear()
        lane.turn = asyncio.create_task(worker.work(stored, shown), name=f"turn {stored.id}")
        given_up = asyncio.create_task(lane.left_behind.wait())
        try:
            await asyncio.wait({lane.turn, given_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not lane.turn.done():
                lane.turn.cancel()
                self._keep(lane.turn)
            given_up.cancel()
            await asyncio.wait({given_up})
        if lane.turn.done() and not lane.turn.cancelled():
            lane.turn.result()
        elif lane.note is not None:
            await worker.work(stored, shown, lane.note)
        else:
            try:
                await self._store.release(stored.id)
            except StoreError as error:
                log.warning("a start was not taken back", turn=stored.id, reason=str(error))

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Hold a task that does not end until it does."""
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)

    # --- ports.Control

    async def stop(self, place: Place, before: int) -> Stopped:
        """See `Control.stop`."""

        def is_meant(stored: StoredEvent | None) -> bool:
            return stored is not None and stored.event.place.key == place.key and stored.id < before

        running, resumed = list[Lane](), 0
        for lane in self._lanes.values():
            first = lane.queue[0] if lane.queue else None
            if lane.turn is not None and is_meant(lane.current):
                running.append(lane)
            elif first and (first.starts or lane.gathering) and is_meant(first):
                # It was running when the program went down, and has not been resumed yet; or it
                # has not begun because more of it may come.
                if lane.gathering:
                    lane.stopped_at = before
                    lane.gathering.set()
                for each in self._gathering.members(lane):
                    self._cut_at_start[each.id] = STOPPED
                resumed += 1
        await asyncio.gather(*(self._end(lane, STOPPED) for lane in running))
        own = self._lanes.get(place.key, Lane())
        waiting = sum(each.cut is None and each.id not in self._cut_at_start for each in own.queue)
        return Stopped(was_running=bool(running) or resumed > 0, waiting=waiting)

    async def end_job(self, job_id: int) -> bool:
        """End the run of a job that was deleted, without a word; false if there is none."""
        running = [
            lane
            for lane in self._lanes.values()
            if lane.turn is not None and lane.current and lane.current.event.job == job_id
        ]
        await asyncio.gather(*(self._end(lane, "") for lane in running))
        return bool(running)

    async def panic(self, by: Person) -> int:
        """See `Control.panic`."""
        # At once, even if it cannot be stored: its event stays open until it is.
        self._held = f"{self._clock.now().isoformat()} {by.name or by.user_id}"
        self._go.clear()
        running = [lane for lane in self._lanes.values() if lane.turn is not None]
        try:
            await self._store.set_fact("held", self._held)
        finally:
            await asyncio.gather(*(self._end(lane, f"{STOPPED} (/panic)") for lane in running))
        return len(running)

    async def resume(self) -> bool:
        """See `Control.resume`."""
        was_held, self._held = self._held is not None, None
        self._go.set()
        await self._store.set_fact("held", None)
        return was_held

    @property
    def held_by(self) -> str | None:
        """See `Control.held_by`."""
        return None if self._held is None else self._held.partition(" ")[2]

    def running(self) -> int:
        """See `Control.running`."""
        return sum(lane.turn is not None for lane in self._lanes.values())

    async def drain(self, grace_seconds: float) -> None:
        """Start nothing more; give running turns some time, then put them off until next time."""
        self._closing = True
        lanes = [lane for lane in self._lanes.values() if lane.turn is not None]
        turns = {lane.turn for lane in lanes if lane.turn is not None}
        if turns:
            _, late = await asyncio.wait(turns, timeout=grace_seconds)
            for turn in late:
                turn.cancel()
            # Not the turns alone: their lanes have to take the counted starts back.
            serving = {lane.task for lane in lanes if lane.task is not None}
            await asyncio.wait(serving, timeout=STOP_SECONDS)

    async def _end(self, lane: Lane, note: str) -> None:
        turn = lane.turn
        if turn is None:
            return
        lane.note = note
        turn.cancel()
        _, late = await asyncio.wait({turn}, timeout=STOP_SECONDS)
        if late:
            log.warning("a stopped turn does not end; it is left behind", turn=turn.get_name())
            lane.left_behind.set()
