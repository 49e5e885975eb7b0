"""Messages, read: which files and things they carry, whose they are, and where they come from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Message

from assurebot.telegram.kinds import PICTURE_BYTES
from assurebot.telegram.raw import TEXT_CHARS
from assurebot.telegram.reading import Albums, Self
from assurebot.telegram.updates import arrival
from assurebot.values import Enclosure, Event, TextPart
from tests.telegram.shapes import EDITS, SAID, SERVICE, SHAPES, cast

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ME = Self(user_id=987_654_321, username="stand_in_bot")
ANN = {"id": 42, "is_bot": False, "first_name": "Ann"}
HOME = {"id": 42, "type": "private", "first_name": "Ann"}
TEAM = {"id": -1001, "type": "supergroup", "title": "Team"}

MINE, QUOTED, FORWARDED = "owner", "untrusted:quoted message", "untrusted:forwarded message"
NEWS = "channel News of the day (@news_of_the_day), 2026-01-01 23:45 UTC"
CHANNEL = f"(Forwarded from {NEWS})"
POINT = "latitude: 52.516; longitude: 13.377"
VOTES = "text: Here; voter count: 0; text: There; voter count: 1"


def read(update: dict[str, Any], albums: Albums | None = None) -> Event | None:
    """Read an update as if it were accepted."""
    given_albums = Albums() if albums is None else albums
    return arrival({"update_id": 1, **update}, ME, NOW, given_albums).read()


def shape(name: str) -> Event:
    """Read a recorded shape."""
    found = read(cast(name, ANN, HOME, 5))
    assert found is not None
    return found


def said(name: str) -> list[tuple[str, str]]:
    """Text and label of what a recorded shape says."""
    return [(part.text, part.label) for part in shape(name).parts]


def files(name: str) -> list[tuple[Any, ...]]:
    """All but the ids of the files of a recorded shape."""
    return [
        (each.kind, each.name, each.mime, each.size, each.seconds, each.label)
        for each in shape(name).enclosures
    ]


def test_no_recorded_message_is_nothing() -> None:
    """All that is said becomes a message, a command or a polite no; service messages nothing."""
    kinds = {name: shape(name).kind for name in SAID}
    assert {name for name, kind in kinds.items() if kind == "unsupported"} == {
        *("video", "animation", "animation by a bot", "story"),
        *("passport", "rich message without words", "newer kind"),
    }
    assert {name for name, kind in kinds.items() if kind == "command"} == {
        *("command", "command with words", "unknown command"),
    }
    assert set(kinds.values()) == {"message", "command", "unsupported"}
    assert [read(cast(name, ANN, HOME, 5)) for name in SERVICE] == [None] * len(SERVICE)


BESIDE = {
    *("animation", "author_signature", "business_connection_id", "caption", "caption_entities"),
    *(
        "chat",
        "date",
        "direct_messages_topic",
        "edit_date",
        "effect_id",
        "entities",
        "external_reply",
    ),
    *("forward_origin", "from_user", "guest_bot_caller_chat", "guest_bot_caller_user"),
    *("guest_query_id", "has_media_spoiler", "has_protected_content", "is_automatic_forward"),
    *("is_from_offline", "is_paid_post", "is_topic_message", "link_preview_options"),
    *("media_group_id", "message_id", "message_thread_id", "paid_star_count", "quote"),
    *("reply_markup", "reply_to_checklist_task_id", "reply_to_message", "reply_to_poll_option_id"),
    *("reply_to_story", "sender_boost_count", "sender_business_bot", "sender_chat", "sender_tag"),
    *("show_caption_above_media", "suggested_post_info", "text", "via_bot"),
}
"""Fields that only go along with what a message is."""


def test_every_kind_that_the_library_knows_is_recorded() -> None:
    """A new kind in a new release of it must be read, or be known to be silent."""
    known = {name for name in Message.__slots__ if not name.startswith("_")}
    recorded = {name for update in SHAPES.values() for body in update.values() for name in body}
    assert known - recorded - BESIDE == set()


@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"newer kind"}))
def test_recorded_shapes_are_those_of_the_library(name: str) -> None:
    """They hold what the Bot API says they do; only rich messages are newer than the library."""
    (body,) = SHAPES[name].values()
    unknown = set(Message.de_json(body, None).api_kwargs)
    former = {"new_chat_member", "new_chat_participant", "left_chat_participant"}
    unknown -= former | {field for field in unknown if field.startswith("forward_")}
    assert unknown == ({"rich_message"} if "rich message" in name else set())


def test_edits_hold_what_the_message_does() -> None:
    """An edit is read as the message is; only a live location, which moves by itself, is none."""
    found = {name: read(cast(name, ANN, HOME, 5)) for name in EDITS}
    assert found.pop("edit: live location") is None
    edits = [event for event in found.values() if event is not None]
    assert len(edits) == len(found)
    assert {(edit.kind, edit.press) for edit in edits} == {("edit", "message:42:5")}
    assert {edit.command for edit in edits} == {"", "help"}
    assert shape("edit: album caption").album == shape("album photo").album != ""
    assert [len(shape(f"edit: {name}").enclosures) for name in ("caption", "document")] == [1, 1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo", ("photo", "", "image/jpeg", 151_208, 0, "untrusted:picture")),
        ("live photo", ("photo", "", "image/jpeg", 151_208, 0, "untrusted:picture")),
        ("voice", ("voice", "", "audio/ogg", 12_000, 3, MINE)),
        ("video note", ("video_note", "", "video/mp4", 300_000, 5, MINE)),
        ("audio", ("audio", "song.mp3", "audio/mpeg", 2_900_000, 181, "untrusted:audio file")),
        (
            "document pdf",
            ("document", "paper.pdf", "application/pdf", 1_234, 0, "untrusted:document"),
        ),
        ("document image", ("document", "plan.png", "image/png", 1_234, 0, "untrusted:document")),
        ("forwarded voice", ("voice", "", "audio/ogg", 12_000, 3, FORWARDED)),
        ("forwarded video note", ("video_note", "", "video/mp4", 300_000, 5, FORWARDED)),
        ("forwarded photo", ("photo", "", "image/jpeg", 151_208, 0, FORWARDED)),
        ("reply to photo", ("photo", "", "image/jpeg", 151_208, 0, QUOTED)),
        ("reply to document", ("document", "a.pdf", "application/pdf", 1_234, 0, QUOTED)),
        ("reply to voice", ("voice", "", "audio/ogg", 12_000, 3, QUOTED)),
        ("reply elsewhere", ("photo", "", "image/jpeg", 151_208, 0, QUOTED)),
        ("voice as a reply", ("voice", "", "audio/ogg", 12_000, 3, MINE)),
    ],
)
def test_files_are_named_and_labelled(name: str, expected: tuple[Any, ...]) -> None:
    """Only what one speaks oneself is one's own; what is shown or passed on never is."""
    assert files(name) == [expected]


@pytest.mark.parametrize("name", ["animation", "video", "paid media", "reply to video", "sticker"])
def test_files_that_nothing_reads_are_not_fetched(name: str) -> None:
    """A video is named only, and so is an animation, though it is sent as a document as well."""
    assert files(name) == []


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(90, 1_000), (800, PICTURE_BYTES), (2_000, PICTURE_BYTES + 1)], "1"),
        ([(800, 9), (90, None)], "0"),
        ([(2_000, PICTURE_BYTES + 2), (800, PICTURE_BYTES + 1)], "1"),
    ],
)
def test_largest_size_that_is_not_too_large_is_chosen(
    sizes: list[tuple[int, int | None]], expected: str
) -> None:
    """Of those that are all too large the smallest: what is fetched is bounded elsewhere too."""
    photo = [
        {"file_id": str(n), "width": width, "height": width, "file_size": size}
        for n, (width, size) in enumerate(sizes)
    ]
    found = read({"message": {"message_id": 5, "from": ANN, "chat": HOME, "photo": photo}})
    assert found is not None
    assert [each.file_id for each in found.enclosures] == [expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sticker", [("(a sticker) emoji: 😃", MINE)]),
        ("dice", [("(dice) emoji: 🎲; value: 4", MINE)]),
        ("location", [(f"(a location) {POINT}", MINE)]),
        (
            "venue",
            [
                (
                    f"(a venue) {POINT}; title: Old Mill; address: 1 River Road",
                    "untrusted:venue",
                )
            ],
        ),
        (
            "contact",
            [
                (
                    "(a contact) phone number: +490000000000; first name: Kim; last name: Lake",
                    "untrusted:contact",
                )
            ],
        ),
        (
            "poll",
            [
                (
                    f"(a poll) question: Where do we eat?; {VOTES}",
                    "untrusted:poll",
                )
            ],
        ),
        ("gift", [("(a gift) star count: 15; text: for you", "untrusted:gift")]),
        (
            "rich message",
            [("Report\nIt is done.\n1.\none\na | b\n1 | 2\nx = 1\na view", MINE)],
        ),
        (
            "forwarded rich message",
            [
                (
                    f"{CHANNEL}\nReport\nIt is done.\n1.\none\na | b\n1 | 2\nx = 1\na view",
                    FORWARDED,
                )
            ],
        ),
        (
            "forward from user",
            [("(Forwarded from user Kim, 2026-01-01 23:45 UTC)\nwords of others", FORWARDED)],
        ),
        (
            "forward from hidden user",
            [
                (
                    "(Forwarded from user Somebody Hidden, 2026-01-01 23:45 UTC)\nwords of others",
                    FORWARDED,
                )
            ],
        ),
        (
            "forward from chat",
            [
                (
                    "(Forwarded from supergroup Chess club, 2026-01-01 23:45 UTC)\nwords of others",
                    FORWARDED,
                )
            ],
        ),
        ("forward from channel", [(f"{CHANNEL}\nwords of others", FORWARDED)]),
        ("forwarded photo", [(f"{CHANNEL}\nbreaking", FORWARDED)]),
        (
            "forwarded video",
            [(CHANNEL, FORWARDED), ("(With a video, which cannot be read yet.)", MINE)],
        ),
        (
            "video with caption",
            [("my trip", MINE), ("(With a video, which cannot be read yet.)", MINE)],
        ),
        ("album video", [("(With a video, which cannot be read yet.)", MINE)]),
        (
            "reply to photo",
            [("(in reply to a photo)\na view", MINE), ("what is this?", MINE)],
        ),
        ("reply to document", [("(in reply to a document)", MINE), ("sum it up", MINE)]),
        (
            "reply to poll",
            [
                (
                    f"(in reply to a poll)\n(a poll) question: Where do we eat?; {VOTES}",
                    "untrusted:poll",
                ),
                ("who won?", MINE),
            ],
        ),
        ("reply to own text", [("(in reply to a message)\nmy words", MINE), ("and now?", MINE)]),
        ("reply with quote", [("long", QUOTED), ("why this?", MINE)]),
        ("reply to story", [("(in reply to a story)", QUOTED), ("nice", MINE)]),
        (
            "reply elsewhere",
            [
                (
                    f"(in reply to a photo from {NEWS})\nthe news",
                    QUOTED,
                ),
                ("is that so?", MINE),
            ],
        ),
        ("newer kind", [("a message of a newer kind", MINE)]),
    ],
)
def test_what_words_can_tell_is_told(name: str, expected: list[tuple[str, str]]) -> None:
    """Words that another one chose are never the sender's own, and forwards say where from."""
    assert said(name) == expected


def test_what_is_passed_on_and_what_is_an_album() -> None:
    """Forwards and what other bots wrote are passed on; those of an album share its name."""
    passed = {name for name in SAID if shape(name).passed_on}
    assert passed == {name for name in SAID if "forward_origin" in str(SHAPES[name])} | {
        *("game", "text by another bot"),
    } - {"animation by a bot"}
    albums = {name: shape(name).album for name in SAID if shape(name).album}
    assert set(albums) == {name for name in SAID if "album" in name}
    assert albums["album photo"] == albums["album photo with caption"]


def test_names_of_strangers_stay_on_one_short_line() -> None:
    """What others chose to be called, or call their files, is cleaned and cut."""
    name = "x\n\x00(Forwarded from\u2028channel Y)" + "z" * 200
    origin = {"type": "hidden_user", "sender_user_name": name, "date": 0}
    document = {"file_id": "a", "file_name": name, "mime_type": name}
    person, text = {**ANN, "first_name": name}, "a\x00\x1b[1mb\n\u0085" + "c" * 99_999
    message = {"message_id": 5, "from": person, "chat": HOME, "text": text, "document": document}
    found = read({"message": {**message, "forward_origin": origin}})
    assert found is not None
    clean = ("x (Forwarded from channel Y)" + "z" * 200)[:100]
    (part,) = found.parts
    head, rest = part.text.split("\n", 1)
    assert head == f"(Forwarded from user {clean}, 1970-01-01 00:00 UTC)"
    assert (rest[:8], len(part.text)) == ("a[1mb\ncc", TEXT_CHARS)
    assert found.enclosures == (
        Enclosure(kind="document", file_id="a", name=clean, mime=clean, label=FORWARDED),
    )
    assert found.actor.name == clean


def group(**fields: Any) -> dict[str, Any]:
    """A message of Ann in a group."""
    return {"message": {"message_id": 5, "from": ANN, "chat": TEAM, **fields}}


def test_rest_of_an_album_follows_its_caption() -> None:
    """The album is known by the message that addressed us, in that group, and not for ever."""
    albums = Albums(maxlen=2)
    photo = [{"file_id": "a"}]
    item = group(photo=photo, media_group_id="7")
    ours = group(photo=photo, media_group_id="7", caption="@stand_in_bot look")
    assert read(item, albums) is None
    assert read(ours, albums) is not None
    assert read(item, albums) is not None
    elsewhere = {"message": {**item["message"], "chat": {**TEAM, "id": -1002}}}
    assert read(elsewhere, albums) is None
    for number in (8, 9):
        assert read(group(text="@stand_in_bot", media_group_id=str(number)), albums) is not None
    assert (read(item, albums), len(albums)) == (None, 2)


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        (
            {
                "text": "Stand-in, hello",
                "entities": [
                    {"type": "text_mention", "offset": 0, "length": 8, "user": {"id": ME.user_id}}
                ],
            },
            True,
        ),
        (
            {
                "caption": "Ben, look",
                "caption_entities": [
                    {"type": "text_mention", "offset": 0, "length": 3, "user": {"id": 43}}
                ],
            },
            False,
        ),
        ({"rich_message": {"blocks": [{"text": ["hey ", {"text": "@stand_in_bot"}]}]}}, True),
        (
            {
                "text": "hi",
                "reply_to_message": {
                    "message_id": 1,
                    "from": {"id": ME.user_id},
                    "forum_topic_created": {"name": "x"},
                },
            },
            False,
        ),
    ],
)
def test_who_is_meant_in_a_group(fields: dict[str, Any], *, meant: bool) -> None:
    """A mention without a name counts; being in a topic that the bot opened does not."""
    assert (read(group(**fields)) is not None) == meant


@given(st.sampled_from(SAID), st.data())
def test_no_odd_value_becomes_words_of_the_owner(name: str, data: st.DataObject) -> None:
    """Whatever stands in a forward, nothing of it is taken for what the owner typed."""
    update = cast(name, ANN, HOME, 5)
    message = update["message"]
    field = data.draw(st.sampled_from(sorted(set(message) - {"from", "chat"})))
    message[field] = data.draw(
        st.none() | st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.none(), max_size=2)
    )
    message["forward_origin"] = {"type": "hidden_user", "sender_user_name": "X", "date": 0}
    message.pop("quote", None)
    message.pop("reply_to_message", None)
    found = read(update)
    if found is not None:
        notes = "(With ", "a message of", "a "
        own = [part for part in found.parts if part.label == MINE]
        assert all(part.text.startswith(notes) for part in own)
        assert all(each.label != MINE for each in found.enclosures)


def test_plain_words_have_no_frame() -> None:
    """The commonest message of all is what was typed and nothing else."""
    assert shape("text").parts == (TextPart(text="hello there"),)
