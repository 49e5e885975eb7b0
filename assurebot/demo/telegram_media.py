"""Sending files: just enough of it to see what arrived."""

from __future__ import annotations

from functools import partial

from assurebot.demo.telegram_chats import Room, SentFile, SentMessage, World, moment
from assurebot.demo.telegram_methods import Method, answered
from assurebot.demo.telegram_rules import CAPTION_UNITS, Refused, check_markup, check_text
from assurebot.demo.telegram_wire import Json, Params, Upload


def media_methods(world: World) -> dict[str, Method]:
    """Return the methods by their name in lower case."""
    kinds = ("photo", "document", "voice", "audio", "video")
    single: dict[str, Method] = {f"send{kind}": partial(_send, world, kind) for kind in kinds}
    return single | {"sendmediagroup": partial(_send_group, world)}


def _send(world: World, kind: str, params: Params) -> Json:
    room = world.room(params.get("chat_id"))
    return world.show(room, _message(world, room, kind, params, params))


def _send_group(world: World, params: Params) -> list[Json]:
    room = world.room(params.get("chat_id"))
    items = params.get("media")
    if not isinstance(items, list) or not 2 <= len(items) <= 10:
        raise Refused("wrong number of items in the album: 2 to 10 are allowed")
    album = f"album-{room.last_id + 1}"
    messages = [
        _message(world, room, str(item.get("type")), item, params, album=album) for item in items
    ]
    return [world.show(room, message) for message in messages]


def _message(
    world: World, room: Room, kind: str, item: Params, params: Params, *, album: str | None = None
) -> SentMessage:
    caption, entities = str(item.get("caption") or ""), item.get("caption_entities")
    checked = check_text(caption, entities, limit=CAPTION_UNITS, may_be_empty=True)
    world.add_violations(f"send {kind}", room.chat_id, checked.violations)
    file = _file(world, kind, item.get("media" if album else kind), params)
    reply_to = answered(params, room)
    message_id = room.next_id()
    world.files[f"sent-{room.chat_id}-{message_id}"] = file.content
    return SentMessage(
        message_id=message_id,
        chat_id=room.chat_id,
        text=checked.text,
        entities=checked.entities,
        reply_to=reply_to,
        buttons=check_markup(params.get("reply_markup")),
        at=moment(),
        thread_id=params.get("message_thread_id"),
        parse_mode=item.get("parse_mode"),
        file=file,
        album=album,
    )


def _file(world: World, kind: str, given: object, params: Params) -> SentFile:
    """Find the file: in the request itself, attached under another name, or known by its id."""
    if isinstance(given, str) and given.startswith("attach://"):
        given = params.get(given.removeprefix("attach://"))
    if isinstance(given, Upload):
        if not given.content:
            raise Refused("file must be non-empty")
        return SentFile(kind=kind, name=given.name, content=given.content)
    if isinstance(given, str) and given in world.files:
        return SentFile(kind=kind, name=given, content=world.files[given])
    raise Refused(f"there is no {kind} in the request")
