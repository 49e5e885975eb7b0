"""The questions about calls, as messages: sent, sent again, and written over with what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from assurebot.ports import Decided, Renderer, Store
from assurebot.turns.asking import Question, long_arguments
from assurebot.turns.media import kept, media_pieces
from assurebot.turns.outbox import Outbox
from assurebot.values import Approval, Piece, Place, StoredEvent, ToolResult


class Notices:
    """Puts questions before people.

    Args:
        chats: Those that may still be written to.
        may_press: Who may still be asked.
    """

    def __init__(
        self,
        *,
        store: Store,
        outbox: Outbox,
        render: Renderer,
        chats: frozenset[int],
        may_press: frozenset[int],
        disk_seconds: float,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._render = render
        self._chats = chats
        self._may_press = may_press
        self._disk_seconds = disk_seconds

    async def made(
        self, approvals: Sequence[Approval], places: Sequence[Place]
    ) -> tuple[tuple[tuple[Place, tuple[Piece, ...]], ...], tuple[tuple[str, str], ...]]:
        """Return the question for each place, and what all their buttons mean."""
        files = await self._files(approvals)
        notices, granted = [], list[tuple[str, str]]()
        for place in places:
            pieces, buttons = Question(approvals).pieces(self._render, place)
            notices.append((place, (*files, *pieces)))
            granted += buttons
        return tuple(notices), tuple(granted)

    async def show(self, stored: StoredEvent) -> int:
        """Send what waits for this person again, with buttons; return how many calls there are."""
        user, place = stored.event.actor.user_id, stored.event.place
        turns: dict[int, list[Approval]] = {}
        for each in await self._store.pending():
            asked = place.private and user in each.approvers and user in self._may_press
            if each.place == place or asked:
                turns.setdefault(each.event_id, []).append(each)
        for approvals in turns.values():
            pieces, buttons = Question(approvals).pieces(self._render, place)
            pieces = (*await self._files(approvals), *pieces)
            self._outbox.push(await self._store.notify(approvals, place, pieces, buttons))
        return sum(map(len, turns.values()))

    async def tell(self, stored: StoredEvent, results: Mapping[int, ToolResult]) -> None:
        """Write over the questions of a turn with what came of its calls."""
        if await self._store.approvals(stored.id):
            # With no step to decide on, this only reads.
            decided = await self._store.decide(stored.id, (), "expired", None)
            await self.rewrite(decided, results)

    async def rewrite(
        self, decided: Decided, results: Mapping[int, ToolResult] | None = None
    ) -> None:
        """Write over the questions of a turn with how they stand."""
        asked = {each.n: each.expires_at for each in decided.approvals}
        for notice in decided.notices:
            # Those of one question were asked at one time.
            at = asked.get(notice.n)
            same = [each for each in decided.approvals if each.expires_at == at]
            if notice.message_id is None or not same or notice.place.chat_id not in self._chats:
                continue
            pieces, buttons = Question(same, results=results).pieces(self._render, notice.place)
            last = replace(pieces[-1], replaces=notice.message_id)
            self._outbox.push(await self._store.notify(same, notice.place, [last], buttons))

    async def _files(self, approvals: Sequence[Approval]) -> tuple[Piece, ...]:
        event_id, files = approvals[0].event_id, long_arguments(approvals)
        return media_pieces(await kept(self._store, event_id, files, self._disk_seconds))
