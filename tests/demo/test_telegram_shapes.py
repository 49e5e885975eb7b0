"""What people of the stand-in send has the shapes that the library knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from telegram import Message

from assurebot.demo import telegram_shapes as shapes
from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_people import Person
from assurebot.demo.telegram_wire import Json

OWNER = 42


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    """A server that runs."""
    async with TelegramServer() as opened:
        yield opened


@pytest.fixture
def person(server: TelegramServer) -> Person:
    """Somebody who writes to the bot."""
    return server.person(OWNER, "Ann")


def sent(server: TelegramServer, message_id: int) -> Message:
    """Return a message as the library reads it."""
    return Message.de_json(server.world.rooms[OWNER].said[message_id], None)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (shapes.contact("Kim", "+49000"), "contact"),
        (shapes.location(1.5, 2), "location"),
        (shapes.venue("Mill", "1 Road"), "venue"),
        (shapes.poll("Where?", "here", "there"), "poll"),
        (shapes.dice("\N{GAME DIE}", 4), "dice"),
        (shapes.sticker("\N{CAT FACE}"), "sticker"),
        (shapes.story("News"), "story"),
        (shapes.checklist("Trip", "pack", "go"), "checklist"),
    ],
)
async def test_things(server: TelegramServer, person: Person, content: Json, kind: str) -> None:
    """Each is what it is called, and nothing of it is unknown."""
    message = sent(server, person.send(content))
    assert getattr(message, kind)
    assert message.api_kwargs == {}


async def test_rich_message_is_new_to_the_library(server: TelegramServer, person: Person) -> None:
    """It arrives without a text, in a field that the library does not know."""
    message = sent(server, person.send(shapes.rich("one", "two")))
    assert (message.text, list(message.api_kwargs)) == (None, ["rich_message"])


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        (shapes.from_user({"id": 7, "is_bot": False, "first_name": "Kim"}), "user"),
        (shapes.from_hidden("Kim"), "hidden_user"),
        (shapes.from_chat("Club"), "chat"),
        (shapes.from_channel("News"), "channel"),
    ],
)
async def test_forwards(server: TelegramServer, person: Person, origin: Json, kind: str) -> None:
    """Words and files come from anywhere that the Bot API names."""
    for said in (
        person.forward("theirs", origin=origin),
        person.attach("voice", b"...", forward_origin=origin),
    ):
        found = sent(server, said).forward_origin
        assert found is not None
        assert (found.type, found.api_kwargs) == (kind, {})


async def test_photo_has_sizes(server: TelegramServer, person: Person) -> None:
    """The last one is what was sent; each can be fetched."""
    photo = sent(server, person.attach("photo", b"whole")).photo
    assert [size.width for size in photo] == [90, 320, 1280]
    assert server.world.files[photo[-1].file_id] == b"whole"
    assert {len(server.world.files[size.file_id]) - (size.file_size or 0) for size in photo} == {0}


async def test_what_sounds_has_a_length(server: TelegramServer, person: Person) -> None:
    """Voice, audio and video notes last as long as is said, and may reply to something."""
    said = person.say("first")
    for kind in ("voice", "audio", "video_note"):
        message = sent(server, person.attach(kind, b"...", seconds=7, reply_to=said))
        assert getattr(message, kind).to_dict()["duration"] == 7
        assert message.reply_to_message is not None


async def test_album_is_several_messages(server: TelegramServer, person: Person) -> None:
    """They share a name, and the caption stands on the first; another album has another name."""
    items = [("photo", b"1"), ("video", b"2"), ("photo", b"3")]
    one = [sent(server, said) for said in person.album(items, caption="look @stand_in_bot")]
    two = [sent(server, said) for said in person.album(items)]
    assert [message.caption for message in one] == ["look @stand_in_bot", None, None]
    assert len(one[0].caption_entities) == 1
    names = [message.media_group_id for message in (*one, *two)]
    assert (len(set(names[:3])), len(set(names))) == (1, 2)


async def test_caption_can_be_edited(server: TelegramServer, person: Person) -> None:
    """An edit changes the words that the message has, and leaves its file."""
    said = person.attach("photo", b"1", caption="https://a.example")
    person.edit(said, "see https://b.example")
    message = sent(server, said)
    assert (message.caption, message.text, len(message.photo)) == ("see https://b.example", None, 3)
    assert message.edit_date is not None
