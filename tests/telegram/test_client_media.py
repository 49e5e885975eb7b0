"""Files out, over a real socket: the method, the bytes and the name that arrive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_chats import SentFile
from assurebot.demo.telegram_faults import Hang, Refuse
from assurebot.demo.telegram_wire import Upload
from assurebot.errors import ChatRejected, ChatUnavailable
from assurebot.telegram.client import TelegramClient
from assurebot.values import Attachment, Button, Entity, Piece, Place
from tests.pictures import broken_png, jpeg, png

OWNER = 42
HERE = Place(chat_id=OWNER)


def piece(*names: str, photo: bool = False, text: str = "") -> Piece:
    """A piece that carries files of these names."""
    kind = "photo" if photo else "document"
    media = tuple(
        Attachment(blob=n, name=name, size=1, kind=kind)  # type: ignore[arg-type] # one of both
        for n, name in enumerate(names)
    )
    return Piece(text=text, media=media)


async def send(
    server: TelegramServer, what: Piece, media: Sequence[bytes], place: Place = HERE
) -> int:
    """Send by a client of its own."""
    async with TelegramClient(server.token, server.api_url) as opened:
        return await opened.send(place, what, media)


async def test_one_photo() -> None:
    """A photo arrives as a photo, with its bytes, as an answer, with caption and buttons."""
    async with TelegramServer() as server:
        said = server.person(OWNER).say("draw")
        what = Piece(
            text="a plot",
            entities=(Entity(type="bold", offset=2, length=4),),
            buttons=(Button(label="More", id="more"),),
            reply_to=said,
            media=piece("plot.png", photo=True).media,
        )
        message_id = await send(server, what, [png()])
        (message,) = server.messages(OWNER)
        assert message.message_id == message_id
        assert message.file == SentFile(kind="photo", name="plot.png", content=png())
        assert (message.text, message.entities) == (what.text, what.entities)
        assert (message.reply_to, message.buttons) == (said, what.buttons)
        assert (message.parse_mode, message.album, server.violations) == (None, None, [])


async def test_one_document_is_not_looked_into() -> None:
    """A document arrives as it is, and Telegram is told not to make something else of it."""
    async with TelegramServer() as server:
        server.group(-1001)
        place = Place(chat_id=-1001, thread_id=7, private=False)
        await send(server, piece("data.csv"), [b"a,b\n"], place)
        (message,) = server.messages(-1001)
        assert message.file == SentFile(kind="document", name="data.csv", content=b"a,b\n")
        assert (message.text, message.thread_id, message.reply_to) == ("", 7, None)
        (call,) = server.calls("sendDocument")
        assert call.params["disable_content_type_detection"] == "true"


@pytest.mark.parametrize("photo", [True, False])
async def test_album(*, photo: bool) -> None:
    """Up to ten files of a kind arrive as one album, in order, and the first one's id is given."""
    async with TelegramServer() as server:
        said = server.person(OWNER).say("draw")
        names = [f"{n}.jpg" for n in range(10)]
        media = [jpeg(100 + n) for n in range(10)]
        what = replace(piece(*names, photo=photo, text="all of it"), reply_to=said)
        message_id = await send(server, what, media)
        messages = server.messages(OWNER)
        kind = "photo" if photo else "document"
        assert [message.file for message in messages] == [
            SentFile(kind=kind, name=name, content=data)
            for name, data in zip(names, media, strict=True)
        ]
        assert messages[0].message_id == message_id
        assert len({message.album for message in messages}) == 1
        assert [message.text for message in messages] == ["all of it", *[""] * 9]
        assert {message.reply_to for message in messages} == {said}
        assert [call.method for call in server.requests] == ["sendMediaGroup"]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("photo", [True, False])
@pytest.mark.parametrize(
    "name",
    ["file:///etc/passwd", "/etc/passwd", "http://x", "attach://a", 'a"\r\nb: c', "имя.png", "\0"],
)
async def test_name_is_only_a_name(name: str, *, photo: bool, count: int) -> None:
    """Whatever a file is called, its own bytes arrive: no path is read and no URL is sent."""
    async with TelegramServer() as server:
        server.person(OWNER)
        await send(server, piece(*[name] * count, photo=photo), [png()] * count)
        messages = server.messages(OWNER)
        assert [message.file.content for message in messages if message.file] == [png()] * count
        assert server.violations == []


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "file:///etc/passwd", "http://x/y.ogg", "attach://a", "answer.ogg"]
)
async def test_voice_is_its_own_bytes(name: str) -> None:
    """A voice message arrives as one, whatever it is called, as an answer."""
    async with TelegramServer() as server:
        said = server.person(OWNER).say("speak")
        media = (Attachment(blob=1, name=name, size=4, kind="voice"),)
        message_id = await send(server, Piece(text="", media=media, reply_to=said), [b"OggS"])
        (message,) = server.messages(OWNER)
        assert message.message_id == message_id
        assert message.file is not None
        assert (message.file.kind, message.file.content) == ("voice", b"OggS")
        assert (message.reply_to, server.violations) == (said, [])


KINDS = ("photo", "document", "voice")
NAMES = ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x", "attach://x", "AgACAgIAAx0")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2])
async def test_no_media_parameter_is_text(kind: str, count: int) -> None:
    """Over the wire each media is bytes of a part, or the name of such a part: never a given name.

    A name of a file here, a URL or another chat's file id would be read, fetched or sent.
    """
    if kind == "voice" and count > 1:
        count = 1  # there are no albums of those
    for name in NAMES:
        async with TelegramServer() as server:
            server.person(OWNER)
            media = tuple(
                Attachment(blob=n, name=name, size=9, kind=kind)  # type: ignore[arg-type] # of a parameter
                for n in range(count)
            )
            await send(server, Piece(text="", media=media), [png()] * count)
            (call,) = server.requests
            given = [call.params.get(each) for each in KINDS if each in call.params]
            items = call.params.get("media")
            if items is not None:
                given = [call.params[i["media"].removeprefix("attach://")] for i in _read(items)]
                assert all(i["media"].removeprefix("attach://") != "x" for i in _read(items))
            assert [type(each) for each in given] == [Upload] * count
            assert server.violations == []


def _read(items: object) -> list[dict[str, str]]:
    found = json.loads(items) if isinstance(items, str) else items
    assert isinstance(found, list)
    return found


async def test_file_in_the_working_folder_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is a file here does not bring that file along."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("a secret")
    for name in ("secret", str(tmp_path / "secret"), (tmp_path / "secret").as_uri()):
        async with TelegramServer() as server:
            server.person(OWNER)
            await send(server, piece(name), [b"mine"])
            (message,) = server.messages(OWNER)
            assert message.file is not None
            assert message.file.content == b"mine"


async def test_bytes_must_be_those_of_the_piece() -> None:
    """Files without bytes, or the other way round, are not sent at all."""
    async with TelegramServer() as server:
        server.person(OWNER)
        for media in ([], [b"1", b"2", b"3"]):
            with pytest.raises(ValueError, match="argument 2"):
                await send(server, piece("a", "b"), media)
        assert list(server.requests) == []


@pytest.mark.parametrize(
    ("what", "data", "reason"),
    [
        (piece("a.png", photo=True), broken_png(), "Image_process_failed"),
        (piece("a.png", photo=True), png(1, 30), "Photo_invalid_dimensions"),
        (piece("a", photo=True), b"text", "Image_process_failed"),
        (piece("a"), b"", "File must be non-empty"),
        (piece("a"), bytes((50 << 20) + 1), "too large"),
        (piece("a"), bytes(60 << 20), "too large"),
    ],
    ids=["broken", "thin", "text", "empty", "50 MB", "60 MB"],
)
async def test_what_is_refused_for_good(what: Piece, data: bytes, reason: str) -> None:
    """A file that Telegram will never take is a refusal, not a reason to try again."""
    async with TelegramServer() as server:
        server.person(OWNER)
        with pytest.raises(ChatRejected, match=reason):
            await send(server, what, [data])
        assert server.messages(OWNER) == ()


async def test_flood_control_names_its_wait() -> None:
    """Flood control on an upload is a wait like any other."""
    async with TelegramServer() as server:
        server.person(OWNER)
        server.faults.add("sendPhoto", 1, Refuse(status=429, description="x", retry_after=7))
        with pytest.raises(ChatUnavailable) as caught:
            await send(server, piece("a.png", photo=True), [png()])
        assert (caught.value.retry_after, caught.value.maybe_delivered) == (7.0, False)


async def test_upload_has_an_end() -> None:
    """An upload that nobody answers is given up, and may have arrived."""
    async with TelegramServer() as server:
        server.person(OWNER)
        server.faults.add("sendDocument", 1, Hang())
        async with TelegramClient(server.token, server.api_url, upload_seconds=0.2) as client:
            with pytest.raises(ChatUnavailable) as caught:
                await client.send(HERE, piece("a"), [b"1"])
        assert caught.value.maybe_delivered
