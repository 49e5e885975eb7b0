"""Sending files: what arrives is kept, and what Telegram would not take is refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assurebot.demo.telegram_chats import Room, SentFile, SentMessage, World, moment
from assurebot.demo.telegram_methods import Method, answered
from assurebot.demo.telegram_pictures import check_photo
from assurebot.demo.telegram_rules import CAPTION_UNITS, Refused, check_markup, check_text
from assurebot.demo.telegram_wire import Json, Params, Upload

MAX_UPLOAD_BYTES = 50 << 20
_ALBUM_KINDS = ("photo", "video", "document", "audio")


def media_methods(world: World) -> dict[str, Method]:
    """Return the methods by their name in lower case."""
    kinds = ("photo", "document", "voice", "audio", "video")
    single: dict[str, Method] = {f"send{kind}": partial(_send, world, kind) for kind in kinds}
    return single | {"sendmediagroup": partial(_send_group, world)}


def _send(world: World, kind: str, params: Params) -> Json:
    room = world.room(params.get("chat_id"))
    file = _file(world, room, kind, params.get(kind), params)
    return world.show(room, _message(world, room, file, params, params))


def _send_group(world: World, params: Params) -> list[Json]:
    room = world.room(params.get("chat_id"))
    items = params.get("media")
    if not isinstance(items, list) or not 2 <= len(items) <= 10:
        raise Refused("wrong number of items in the album: 2 to 10 are allowed")
    _check_kinds([str(item.get("type")) for item in items])
    files = [_file(world, room, item["type"], item.get("media"), params) for item in items]
    album = f"album-{room.last_id + 1}"
    messages = [
        _message(world, room, file, item, params, album=album)
        for file, item in zip(files, items, strict=True)
    ]
    return [world.show(room, message) for message in messages]


def _check_kinds(kinds: Sequence[str]) -> None:
    """Refuse albums of other kinds than photos and videos, documents alone, audio alone."""
    for kind in kinds:
        if kind not in _ALBUM_KINDS:
            raise Refused("can't parse InputMedia: wrong type of the InputMedia")
        if kind in ("document", "audio") and set(kinds) != {kind}:
            raise Refused(f"{kind} can't be mixed with other media types")


def _message(
    world: World,
    room: Room,
    file: SentFile,
    item: Params,
    params: Params,
    *,
    album: str | None = None,
) -> SentMessage:
    caption, entities = str(item.get("caption") or ""), item.get("caption_entities")
    checked = check_text(caption, entities, limit=CAPTION_UNITS, may_be_empty=True)
    world.add_violations(f"send {file.kind}", room.chat_id, checked.violations)
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


def _file(world: World, room: Room, kind: str, given: object, params: Params) -> SentFile:
    """Find the file: in the request itself, attached under another name, or known by its id.

    Telegram would fetch a URL, and a server of one's own would read a path: both are violations.
    """
    if isinstance(given, str) and given.startswith("attach://"):
        given = params.get(given.removeprefix("attach://"))
    if isinstance(given, Upload):
        _check_upload(kind, given.content)
        return SentFile(kind=kind, name=given.name, content=given.content)
    if isinstance(given, str) and given in world.files:
        return SentFile(kind=kind, name=given, content=world.files[given])
    if isinstance(given, str):
        world.add_violations(f"send {kind}", room.chat_id, [f"{kind} by a URL or path: {given!r}"])
        raise Refused("wrong file identifier/HTTP URL specified")
    raise Refused(f"there is no {kind} in the request")


def _check_upload(kind: str, content: bytes) -> None:
    if not content:
        raise Refused("file must be non-empty")
    if len(content) > MAX_UPLOAD_BYTES:
        raise Refused("Request Entity Too Large", 413)
    if kind == "photo":
        check_photo(content)
