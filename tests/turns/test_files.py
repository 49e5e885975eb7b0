"""Files that go with an answer: durable, once, in a form that is taken, or missed aloud."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from assurebot.demo.telegram_chats import SentFile
from assurebot.demo.telegram_faults import Drop, Refuse
from assurebot.errors import StoreUnwell
from assurebot.ports import Ending
from assurebot.store.database import SqlStore
from assurebot.telegram.render import plain
from assurebot.turns.endings import Endings
from assurebot.turns.media import attachment, media_pieces
from assurebot.turns.outbox import Outbox
from assurebot.turns.pace import Pace
from assurebot.values import Attachment, BoxFile, Button, OutboxRow, Piece, Place
from tests.doubles import ListAudit
from tests.pictures import broken_png, png
from tests.scripts import LIMIT_SECONDS
from tests.store.making import HERE, THERE, SetClock, event, incoming, store
from tests.world import OWNER, UNLIMITED, USER, World, quick, running

PLOT = BoxFile(name="plot.png", data=png())
BROKEN = BoxFile(name="broken.png", data=broken_png())
TABLE = BoxFile(name="table.csv", data=b"a,b\n1,2\n")


class _WithFiles(SqlStore):
    """Each answer through it carries files; what is read of them can be made to wait or to fail.

    Attributes:
        given: What each ending carries.
        asked: Set when the bytes are asked for.
        free: They are given once this is set.
        ill: So often reading them fails.
    """

    given: ClassVar[tuple[BoxFile, ...]]
    asked: ClassVar[asyncio.Event]
    free: ClassVar[asyncio.Event]
    ill: ClassVar[int]

    async def finish(self, event_id: int, ending: Ending) -> tuple[OutboxRow, ...]:
        """Commit the ending with the files."""
        ids = await self.keep(event_id, self.given)
        media = media_pieces([attachment(*each) for each in zip(ids, self.given, strict=True)])
        return await super().finish(event_id, replace(ending, pieces=(*ending.pieces, *media)))

    async def blobs(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        """Read, wait or fail."""
        self.asked.set()
        await self.free.wait()
        if self.ill:
            type(self).ill -= 1
            raise StoreUnwell("the disk is ill on purpose")
        return await super().blobs(ids)


@pytest.fixture(autouse=True)
def _free() -> None:
    _WithFiles.given, _WithFiles.ill = (PLOT,), 0
    _WithFiles.asked, _WithFiles.free = asyncio.Event(), asyncio.Event()
    _WithFiles.free.set()


def shown(world: World, chat_id: int = OWNER) -> list[str | SentFile]:
    """What the bot has said and sent, in order."""
    return [message.file or message.text for message in world.telegram.messages(chat_id)]


async def quiet(world: World) -> None:
    """Wait until nothing is left to be sent; nothing tells of it by itself."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if world.rows("SELECT count(*) FROM outbox WHERE state = 'open'") == [(0,)]:
                return
            await asyncio.sleep(0.02)


def file(made: BoxFile, kind: str) -> SentFile:
    """A file as it arrives."""
    return SentFile(kind=kind, name=made.name, content=made.data)


async def test_files_arrive_after_the_text(tmp_path: Path) -> None:
    """A photo and a document follow the answer, are recorded by name and size, and forgotten."""
    _WithFiles.given = (TABLE, PLOT)
    async with running(tmp_path, parts=quick(store=_WithFiles)) as world:
        await world.ask("hello", "hello")
        await quiet(world)
        assert shown(world) == ["hello", file(PLOT, "photo"), file(TABLE, "document")]
        assert world.rows("SELECT * FROM blobs") == []
        assert list(world.telegram.violations) == []
        await world.stop()
        lines = world.audit(type="send", phase="intent", action="message")
        assert [(line["target"], line["text"]) for line in lines] == [
            ("chat:42", "hello"),
            ("chat:42", f"plot.png ({len(PLOT.data)} bytes)"),
            ("chat:42", "table.csv (8 bytes)"),
        ]


async def test_stop_between_commit_and_send_loses_no_file(tmp_path: Path) -> None:
    """A program that ends before it could send a picture sends it at its next start, once."""
    async with running(tmp_path, parts=quick(store=_WithFiles)) as world:
        _WithFiles.free.clear()
        await world.ask("hello", "hello")
        async with asyncio.timeout(LIMIT_SECONDS):
            await _WithFiles.asked.wait()
        await world.fall()
        assert (shown(world), world.rows("SELECT count(*) FROM blobs")) == (["hello"], [(1,)])
        _WithFiles.free.set()
        await world.start()
        await quiet(world)
        await world.restart()
        assert shown(world) == ["hello", file(PLOT, "photo")]
        assert world.rows("SELECT * FROM blobs") == []


async def test_photo_that_is_refused_arrives_as_a_document(tmp_path: Path) -> None:
    """What looked like pictures and is none is sent again as documents, and nothing is told."""
    _WithFiles.given = (PLOT, BROKEN)
    async with running(tmp_path, parts=quick(store=_WithFiles)) as world:
        await world.ask("hello", "hello")
        await quiet(world)
        assert shown(world) == ["hello", file(PLOT, "document"), file(BROKEN, "document")]
        assert world.rows("SELECT * FROM blobs") == []


async def test_file_that_is_refused_for_good_is_missed_aloud(tmp_path: Path) -> None:
    """Refused as a document too, it is named in its chat and to the owner; the next one works."""
    refused = Refuse(status=400, description="Bad Request: no")
    async with running(tmp_path, parts=quick(store=_WithFiles)) as world:
        for method in ("sendPhoto", "sendDocument"):
            world.telegram.faults.add(method, None, refused, chat_id=USER)
        await world.ask("hello", "hello", by=world.user)
        size = len(PLOT.data)
        gone = await world.answer(USER, "could not be sent")
        assert gone.text == f"⚠️ These files could not be sent: No\nplot.png ({size} bytes)"
        await world.answer(contains="A message to chat 43 could not be delivered: No")
        await quiet(world)
        calls = [call for call in world.calls_about(USER) if call in ("sendPhoto", "sendDocument")]
        assert calls == ["sendPhoto", "sendDocument"]
        assert world.rows("SELECT * FROM blobs") == []
        world.telegram.faults.clear()
        await world.ask("next", "next", by=world.user)


async def test_lost_file_is_given_up(tmp_path: Path) -> None:
    """Bytes that are gone are told, not waited for, and the next answer comes."""
    async with running(tmp_path, parts=quick(store=_WithFiles)) as world:
        _WithFiles.free.clear()
        await world.ask("hello", "hello")
        world.rows("DELETE FROM blobs")
        _WithFiles.free.set()
        lost = await world.answer(contains="These files could not be sent")
        assert "1 of 1 files are not stored any more" in lost.text
        _WithFiles.given = ()
        assert (await world.ask("next", "next")).text == "next"
        await quiet(world)
        assert world.rows("SELECT state FROM outbox ORDER BY id LIMIT 2") == [("sent",), ("dead",)]


async def test_file_waits_for_network_and_disk(tmp_path: Path) -> None:
    """An upload that breaks off and a disk that cannot be read are tried again."""
    _WithFiles.ill = 2
    async with running(tmp_path, parts=quick(store=_WithFiles)) as world:
        world.telegram.faults.add("sendPhoto", 1, Drop())
        await world.ask("hello", "hello")
        await quiet(world)
        assert (shown(world), _WithFiles.ill) == (["hello", file(PLOT, "photo")], 0)


# --- endings ----------------------------------------------------------------------------------


async def ended(
    folder: Path, text: str, place: Place, files: tuple[Attachment, ...], *buttons: Button
) -> tuple[Piece, ...]:
    """End the event of message 5 and return the pieces that are committed."""
    async with store(folder) as opened:
        said = replace(event("a", place), message_id=5)
        (stored,) = await opened.add([replace(incoming("a", place), event=said)])
        audit = ListAudit()
        outbox = Outbox(
            store=opened,
            chat=None,  # type: ignore[arg-type] # it does not run, so nothing is sent
            audit=audit,
            clock=SetClock(),
            pace=Pace(UNLIMITED),
            plain=plain,
            owner=HERE,
            disk_seconds=0.1,
        )
        endings = Endings(
            store=opened,
            audit=audit,
            outbox=outbox,
            render=lambda text, _links=None: tuple(Piece(text=part) for part in text.split()),
            redact=lambda text: text.replace("secret", "***"),
            owner=42,
            newest=lambda _: 0,
            disk_seconds=0.1,
        )
        await endings.end(stored, text, files=files, buttons=tuple((b, "again") for b in buttons))
        return tuple(row.piece for row in await opened.unsent())


CHART = Attachment(blob=1, name="secret.png", size=9, kind="photo")
SHEET = Attachment(blob=2, name="sheet.csv", size=9)
SHOWN = replace(CHART, name="***.png")


async def test_text_comes_first_with_reply_and_buttons(tmp_path: Path) -> None:
    """The first text answers, the last one has the buttons, and files follow with clean names."""
    button = Button(label="Try again", id="b")
    assert await ended(tmp_path, "one two", THERE, (SHEET, CHART), button) == (
        Piece(text="one", reply_to=5),
        Piece(text="two", buttons=(button,)),
        Piece(text="", media=(SHOWN,)),
        Piece(text="", media=(SHEET,)),
    )


async def test_files_alone_answer_themselves(tmp_path: Path) -> None:
    """Without a text the first message with files is the answer; in private none is quoted."""
    for place, reply_to in ((THERE, 5), (HERE, None)):
        folder = tmp_path / str(place.chat_id)
        folder.mkdir()
        assert await ended(folder, "", place, (CHART, SHEET)) == (
            Piece(text="", media=(SHOWN,), reply_to=reply_to),
            Piece(text="", media=(SHEET,)),
        )


async def test_nothing_to_say_and_no_file_is_no_message(tmp_path: Path) -> None:
    """An ending without text and files sends nothing."""
    assert await ended(tmp_path, "", THERE, ()) == ()
