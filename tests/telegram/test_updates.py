"""Updates, read: who and where by ids alone, and what of the content becomes an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.demo.telegram_kinds import every_kind
from assurebot.telegram.reading import Albums, Self
from assurebot.telegram.updates import ALLOWED_UPDATES, arrival
from assurebot.values import Event, Person, Place, TextPart

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ME = Self(user_id=99, username="the_bot")
ANN = {"id": 42, "is_bot": False, "first_name": "Ann", "last_name": "Lee"}
BEN = {"id": 43, "is_bot": False, "first_name": "Ben"}
BOT = {"id": 99, "is_bot": True, "first_name": "Bot", "username": "the_bot"}
OTHER_BOT = {"id": 98, "is_bot": True, "first_name": "Gif", "username": "gif"}
HOME = {"id": 42, "type": "private", "first_name": "Ann"}
TEAM = {"id": -1001, "type": "supergroup", "title": "Team"}
HIDDEN = {"type": "hidden_user", "sender_user_name": "Somebody", "date": 1}
SOMEBODY = "(Forwarded from user Somebody, 1970-01-01 00:00 UTC)"


def command(length: int, offset: int = 0) -> list[dict[str, Any]]:
    """The entity that Telegram finds in a command."""
    return [{"type": "bot_command", "offset": offset, "length": length}]


def message(chat: dict[str, Any] = HOME, **fields: Any) -> dict[str, Any]:
    """A message of Ann."""
    return {"message_id": 5, "date": 1, "chat": chat, "from": ANN, **fields}


def read(raw: dict[str, Any]) -> Event | None:
    """Read an update as if it were accepted."""
    return arrival({"update_id": 1, **raw}, ME, NOW, Albums()).read()


def brief(raw: dict[str, Any]) -> tuple[Any, ...] | None:
    """Kind, command and (text, label) pairs of what an update becomes."""
    found = read(raw)
    if found is None:
        return None
    return found.kind, found.command, [(part.text, part.label) for part in found.parts]


def test_plain_message_is_read_whole() -> None:
    """Every field of an event has its place in the message."""
    assert read({"message": message(text="hello")}) == Event(
        source="telegram",
        key="message:42:5",
        kind="message",
        actor=Person(user_id=42, name="Ann Lee"),
        place=Place(chat_id=42),
        received_at=NOW,
        parts=(TextPart(text="hello"),),
        message_id=5,
    )


def test_topic_is_a_place_of_its_own() -> None:
    """A thread counts for topics only, not for threads of replies."""
    topic = message(TEAM, text="@the_bot hi", message_thread_id=7, is_topic_message=True)
    thread = message(TEAM, text="@the_bot hi", message_thread_id=7)
    places = [event.place for raw in (topic, thread) if (event := read({"message": raw}))]
    assert places == [
        Place(chat_id=-1001, thread_id=7, private=False),
        Place(chat_id=-1001, private=False),
    ]


VIA_BOT = "untrusted:message by another bot"
QUOTED, FORWARDED, MINE = "untrusted:quoted message", "untrusted:forwarded message", "owner"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "/help", "entities": command(5)}, ("command", "help", [])),
        (
            {"text": "/Model@The_Bot  a b ", "entities": command(14)},
            ("command", "model", [("a b", MINE)]),
        ),
        (
            {"text": "/help@other", "entities": command(11)},
            ("message", "", [("/help@other", MINE)]),
        ),
        (
            {"text": "see /help", "entities": command(5, 4)},
            ("message", "", [("see /help", MINE)]),
        ),
        (
            {
                "text": "/sh echo date > init",
                "entities": [
                    *command(3),
                    {"type": "code", "offset": 9, "length": 4},
                    {"type": "italic", "offset": 16, "length": 4},
                ],
            },
            ("command", "sh", [("echo `date` > __init__", MINE)]),
        ),
        (
            {
                "text": "/py 😀\nx = '```'\n",
                "entities": [*command(3), {"type": "pre", "offset": 7, "length": 9}],
            },
            ("command", "py", [("😀\n\n````\nx = '```'\n````", MINE)]),
        ),
        ({"text": "/help"}, ("message", "", [("/help", MINE)])),
        (
            {"text": "/stop", "entities": command(5), "forward_origin": HIDDEN},
            ("message", "", [(f"{SOMEBODY}\n/stop", FORWARDED)]),
        ),
        (
            {"text": "evil", "forward_origin": HIDDEN},
            ("message", "", [(f"{SOMEBODY}\nevil", FORWARDED)]),
        ),
        ({"text": "evil", "via_bot": OTHER_BOT}, ("message", "", [("evil", VIA_BOT)])),
        (
            {"text": "/stop", "entities": command(5), "via_bot": OTHER_BOT},
            ("message", "", [("/stop", VIA_BOT)]),
        ),
        (
            {"text": "why?", "reply_to_message": message(text="evil", via_bot=OTHER_BOT)},
            ("message", "", [("evil", QUOTED), ("why?", MINE)]),
        ),
        (
            {"text": "why?", "reply_to_message": message(**{"from": BEN}, text="theirs")},
            ("message", "", [("theirs", QUOTED), ("why?", MINE)]),
        ),
        (
            {"text": "why?", "reply_to_message": message(**{"from": BOT}, text="ours")},
            ("message", "", [("why?", MINE)]),
        ),
        (
            {
                "text": "why?",
                "reply_to_message": message(**{"from": BOT}, text="ours, all of it"),
                "quote": {"text": "all of it", "position": 6},
            },
            ("message", "", [("all of it", QUOTED), ("why?", MINE)]),
        ),
        (
            {
                "caption": "look",
                "photo": [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}],
            },
            ("message", "", [("look", MINE)]),
        ),
        (
            {"dice": {"emoji": "🎲", "value": 3}},
            ("message", "", [("(dice) emoji: 🎲; value: 3", MINE)]),
        ),
        ({"invention": {"x": 1}}, ("unsupported", "", [("a message of a newer kind", MINE)])),
        ({"new_chat_members": [BEN]}, None),
    ],
)
def test_private_messages(fields: dict[str, Any], expected: tuple[Any, ...] | None) -> None:
    """What a private message becomes, and whose words its parts are."""
    assert brief({"message": message(**fields)}) == expected


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"text": "just talk"}, None),
        ({"text": "@the_bot, hello"}, "hello"),
        ({"text": "hello @The_Bot"}, "hello @The_Bot"),
        ({"text": "hi", "reply_to_message": message(TEAM, **{"from": BOT}, text="ours")}, "hi"),
        ({"text": "hi", "reply_to_message": message(TEAM, **{"from": BEN}, text="x")}, None),
        ({"text": "/help@other_bot", "entities": command(15)}, None),
        ({"photo": [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}]}, None),
    ],
)
def test_group_messages_are_read_if_they_address_the_bot(
    fields: dict[str, Any], text: str | None
) -> None:
    """In groups only a mention, a reply to us or a command of ours is for us."""
    found = read({"message": message(TEAM, **fields)})
    assert (None if found is None else found.parts[-1].text) == text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "/py 1", "entities": command(3)}, ("edit", "py", [("1", MINE)])),
        ({"text": "better"}, ("edit", "", [("better", MINE)])),
        (
            {"video": {"file_id": "a"}},
            ("edit", "", [("(With a video, which cannot be read yet.)", MINE)]),
        ),
        ({"location": {"latitude": 1.5, "longitude": 2}}, None),
    ],
)
def test_edit_holds_all_of_the_message_and_names_it(
    fields: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    """Even that of a command is never one; a live location, which moves by itself, is no edit."""
    edited = {"edited_message": message(**fields, edit_date=9)}
    assert brief(edited) == expected
    found = read(edited)
    if found is not None:
        assert (found.key, found.press) == ("edit:42:5:9:1", "message:42:5")


def test_press_carries_the_buttons_id_and_the_presser() -> None:
    """The actor is who pressed, not who wrote the message."""
    pressed = {
        "id": "q1",
        "from": BEN,
        "chat_instance": "1",
        "data": "b1",
        "message": message(TEAM, **{"from": BOT}, text="ours"),
    }
    found = arrival({"update_id": 1, "callback_query": pressed}, ME, NOW, Albums())
    assert (found.user_id, found.chat_id, found.chat_kind, found.key) == (
        *(43, -1001, "group"),
        "press:q1",
    )
    event = found.read()
    assert event is not None
    assert (event.kind, event.press, event.actor, event.place) == (
        *("press", "b1"),
        Person(user_id=43, name="Ben"),
        Place(chat_id=-1001, private=False),
    )


def test_stop_of_a_draft_is_the_command() -> None:
    """The button of a draft in a private chat means /stop by the person of that chat."""
    raw = {"update_id": 8, "stopped_message_generation": {"chat": HOME, "draft_id": 3}}
    found = arrival(raw, ME, NOW, Albums())
    assert (found.user_id, found.key) == (42, "update:8")
    event = found.read()
    assert event is not None
    assert (event.kind, event.command, event.place) == ("command", "stop", Place(chat_id=42))


@pytest.mark.parametrize("chat", [HOME, TEAM])
def test_every_kind_names_its_person_or_nobody(chat: dict[str, Any]) -> None:
    """The id comes from the fields that Telegram fills in itself, in every kind of update."""
    found = {
        each.what: (each.user_id, each.chat_id)
        for update in every_kind(ANN, chat)
        for each in [arrival({"update_id": 1, **update}, ME, NOW, Albums())]
    }
    nobody = {what for what, (user_id, _) in found.items() if user_id is None}
    assert nobody == {
        *("channel_post", "edited_channel_post", "deleted_business_messages", "poll"),
        *("chat_boost", "removed_chat_boost", "message_reaction_count"),
        *(() if chat is HOME else ("stopped_message_generation",)),
    }
    assert {user_id for user_id, _ in found.values()} == {42, None}
    assert set(ALLOWED_UPDATES) <= set(found)


@pytest.mark.parametrize("name", ["sender_chat", "actor_chat"])
def test_who_speaks_as_a_chat_is_nobody(name: str) -> None:
    """The stand-in id beside `sender_chat` is never taken for a person."""
    raw = {"update_id": 1, "message": message(TEAM, text="x", **{name: TEAM})}
    assert arrival(raw, ME, NOW, Albums()).user_id is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "chat", "id", "type", "message", "user", "text", "data"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["update_id", *ALLOWED_UPDATES]), json_values, max_size=3))
def test_no_shape_makes_the_gate_raise(raw: dict[str, Any]) -> None:
    """Whatever stands in an update, who and where are found without an error, and can be kept."""
    found = arrival(raw, ME, NOW, Albums())
    assert isinstance(found.user_id, int | None)
    assert found.raw.encode()


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00"])
def test_half_of_a_surrogate_pair_becomes_a_mark(text: str) -> None:
    """What no store can keep is replaced; whole pairs become their character."""
    found = read({"message": message(text=text)})
    assert found is not None
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert found.text == expected
    assert found.text.encode()


def test_unknown_field_changes_nothing_of_a_text() -> None:
    """A field that a newer Telegram adds to a message with words is no attachment."""
    future = {"field_of_the_future": {"x": 1}}
    assert brief({"message": message(text="hi", **future)}) == ("message", "", [("hi", MINE)])
    assert brief({"message": message(**future)}) == (
        "unsupported",
        "",
        [("a message of a newer kind", MINE)],
    )


def test_bare_mention_is_a_message() -> None:
    """Nothing but the bot's name still says something to it."""
    assert brief({"message": message(TEAM, text="@the_bot")}) == (
        "message",
        "",
        [("@the_bot", MINE)],
    )


def test_only_what_passed_the_gate_is_read() -> None:
    """Of an update with two kinds the one whose sender was checked counts, and no other."""
    foreign = message(**{"from": BEN}, text="evil")
    found = arrival({"poll_answer": {"user": ANN}, "message": foreign}, ME, NOW, Albums())
    assert (found.what, found.user_id, found.read()) == ("poll_answer", 42, None)
