"""What people send beside words and files, and where forwards come from, as updates show it."""

from __future__ import annotations

from assurebot.demo.telegram_chats import moment
from assurebot.demo.telegram_wire import Json


def contact(name: str, phone: str) -> Json:
    """Make somebody's address."""
    return {"contact": {"first_name": name, "phone_number": phone}}


def location(latitude: float, longitude: float, **fields: object) -> Json:
    """Make a point on the map; `live_period` makes one that moves."""
    return {"location": {"latitude": latitude, "longitude": longitude, **fields}}


def venue(title: str, address: str) -> Json:
    """Make a named place; it is sent as a location too."""
    point = location(52.5, 13.25)
    return {**point, "venue": {**point, "title": title, "address": address}}


def poll(question: str, *options: str) -> Json:
    """Make a poll that nobody voted in."""
    choices = [
        {"persistent_id": str(n), "text": text, "voter_count": 0} for n, text in enumerate(options)
    ]
    about = {"id": "900001", "question": question, "options": choices, "total_voter_count": 0}
    return {
        "poll": {
            **about,
            "is_closed": False,
            "is_anonymous": True,
            "type": "regular",
            "allows_multiple_answers": False,
            "allows_revoting": True,
            "members_only": False,
        }
    }


def dice(emoji: str, value: int) -> Json:
    """Make a throw."""
    return {"dice": {"emoji": emoji, "value": value}}


def sticker(emoji: str) -> Json:
    """Make a sticker, whose picture is not there to be fetched."""
    about = {"file_id": "sticker", "file_unique_id": "u-sticker", "type": "regular"}
    looks = {"width": 512, "height": 512, "is_animated": False, "is_video": False}
    return {"sticker": {**about, **looks, "emoji": emoji, "set_name": "Pack"}}


def story(title: str) -> Json:
    """Make a story of a channel, passed on: bots do not get what it shows."""
    return {"story": {"chat": _channel(title), "id": 7}}


def checklist(title: str, *tasks: str) -> Json:
    """Make a list of things to do."""
    items = [{"id": n, "text": text} for n, text in enumerate(tasks, start=1)]
    return {"checklist": {"title": title, "tasks": items}}


def rich(*paragraphs: str) -> Json:
    """Make a rich message (Bot API 10.1), which has no `text`."""
    blocks = [{"type": "paragraph", "text": text} for text in paragraphs]
    return {"rich_message": {"blocks": blocks}}


def from_user(person: Json) -> Json:
    """Make the origin of a message of a person."""
    return _origin("user", {"sender_user": person})


def from_hidden(name: str) -> Json:
    """Make the origin of a message of somebody who does not want to be found."""
    return _origin("hidden_user", {"sender_user_name": name})


def from_chat(title: str) -> Json:
    """Make the origin of a message in the name of a group."""
    group = {"id": -1_001_000_000_002, "type": "supergroup", "title": title}
    return _origin("chat", {"sender_chat": group})


def from_channel(title: str) -> Json:
    """Make the origin of a channel's post."""
    return _origin("channel", {"chat": _channel(title), "message_id": 5})


def _channel(title: str) -> Json:
    return {"id": -1_001_000_000_001, "type": "channel", "title": title, "username": "news"}


def _origin(kind: str, fields: Json) -> Json:
    return {"type": kind, "date": int(moment().timestamp()) - 60, **fields}
