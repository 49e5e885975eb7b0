"""How every event ends: recorded, then answer, history and state in one commit, then sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from assurebot.ports import AuditLog, Ending, Links, Redact, Renderer, Store
from assurebot.turns.code_files import lifted
from assurebot.turns.commits import carried_out, patiently
from assurebot.turns.media import kept, media_pieces
from assurebot.turns.outbox import Outbox
from assurebot.turns.preview import Preview, rendered
from assurebot.values import (
    WEBHOOKS,
    Attachment,
    AuditEntry,
    Button,
    Event,
    Exchange,
    Piece,
    Place,
    Step,
    StoredEvent,
    Trace,
)

AGAIN, LOOK, EDITED = "again", "look", "edited"
"""The kinds of a *Try again* button, of *Look into it* under what a webhook told, and of the one
that runs an edited message."""

NO_WORDS = "☑️"
"""Written over a preview that no words came of."""


def trace_of(stored: StoredEvent, owner: int) -> Trace:
    """Name an event and its actor for the audit."""
    if stored.event.hook:
        actor = f"webhook:{stored.event.hook}"
        return Trace(event=stored.event.key, turn=stored.id, actor=actor, user=WEBHOOKS)
    user = stored.event.actor.user_id
    role = "owner" if user == owner else "user"
    return Trace(
        event=stored.event.key,
        turn=stored.id,
        actor=f"{role}:{user}",
        user=user,
        job=stored.event.job,
    )


class Endings:
    """Ends events."""

    def __init__(
        self,
        *,
        store: Store,
        audit: AuditLog,
        outbox: Outbox,
        render: Renderer,
        redact: Redact,
        owner: int,
        newest: Callable[[Place], int],
        disk_seconds: float,
    ) -> None:
        """Take the parts; `newest` is the id of the last message in a place, as far as known."""
        self._store = store
        self._audit = audit
        self._outbox = outbox
        self._render = render
        self._redact = redact
        self._owner = owner
        self._newest = newest
        self._disk_seconds = disk_seconds

    async def end(
        self,
        stored: StoredEvent,
        text: str,
        *,
        exchange: Exchange | None = None,
        steps: tuple[Step, ...] = (),
        files: Sequence[Attachment] = (),
        buttons: tuple[tuple[Button, str], ...] = (),
        preview: Preview | None = None,
        links: Links = frozenset(),
        error: str | None = None,
        fresh_start: bool = False,
        action: str | None = None,
        failure: str = "",
        seen: str | None = None,
        also: tuple[int, ...] | None = None,
        whole: bool = False,
    ) -> None:
        """Record and commit an ending, and hand its messages to the outbox: text, then files.

        Long code in the text goes as a file, unless the text is `whole`. Only `links` in it may be
        links. Each button comes with its kind; `failure` and
        `seen` are those of `Ending`. With `also`, more posts to a webhook that it tells of, its
        exchange stands aside.
        """
        event = stored.event
        trace = trace_of(stored, self._owner)
        named = [replace(file, name=self._redact(file.name)) for file in files]
        shown, code = await self._shown(stored, text, links, whole=whole)
        buttoned, carried = tuple(each for each, _ in buttons), (*code, *named)
        pieces = self._pieces(shown, event, buttoned, preview, carried)
        await self._audit.record(
            AuditEntry(
                type="message",
                trace=trace,
                action=action or (f"/{event.command}" if event.command else None),
                result="done" if error is None else "dead",
                error=error,
                job=None if event.job is None else f"{event.job}",
                text=event.text,
                response=text or None,
            )
        )
        ending = Ending(
            place=event.place,
            trace=trace,
            pieces=pieces,
            exchange=exchange,
            steps=steps,
            buttons=tuple((button.id, kind) for button, kind in buttons),
            error=error,
            fresh_start=fresh_start,
            failure=self._redact(failure),
            seen=seen,
            aside=also is not None,
            also=also or (),
        )
        drafts = 0 if preview is None else preview.shown
        await patiently(lambda: self._commit(stored.id, ending, drafts), self._disk_seconds)

    async def pieces(
        self, stored: StoredEvent, text: str, *, links: Links, preview: Preview
    ) -> tuple[Piece, ...]:
        """Return the messages of what a turn has said, which ends nothing yet."""
        shown, code = await self._shown(stored, text, links)
        return self._pieces(shown, stored.event, (), preview, code)

    async def _shown(
        self, stored: StoredEvent, text: str, links: Links, *, whole: bool = False
    ) -> tuple[tuple[Piece, ...], tuple[Attachment, ...]]:
        """Return the messages of a text, and the long code in it as files."""
        text = self._redact(text)
        text, files = (text, ()) if whole else lifted(text)
        code = await kept(self._store, stored.id, files, self._disk_seconds)
        return await rendered(self._render, text, links), code

    async def _commit(self, event_id: int, ending: Ending, drafts: int) -> None:
        async def commit() -> None:
            self._outbox.push(await self._store.finish(event_id, ending), drafts)

        await carried_out(commit())

    def _pieces(
        self,
        shown: Sequence[Piece],
        event: Event,
        buttons: tuple[Button, ...],
        preview: Preview | None,
        files: Sequence[Attachment],
    ) -> tuple[Piece, ...]:
        replaces = None if preview is None else preview.message_id
        # Without a word, what goes on and its button would stand there for ever.
        pieces = list(shown) or [Piece(text=NO_WORDS)] * (replaces is not None)
        if pieces:
            pieces[-1] = replace(pieces[-1], buttons=buttons)
        pieces += media_pieces(files)
        if pieces:
            reply_to = None if replaces else self._reply_to(event)
            pieces[0] = replace(pieces[0], reply_to=reply_to, replaces=replaces)
        return tuple(pieces)

    def _reply_to(self, event: Event) -> int | None:
        """Return the message that has to be named, because others stand around it."""
        others = self._newest(event.place) > (event.message_id or 0)
        named = not event.place.private or event.kind == "edit" or others
        return event.message_id if named else None
