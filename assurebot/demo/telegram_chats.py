"""The chats as Telegram's server knows them: who is in, what was said, what is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from assurebot.demo.telegram_queue import UpdateQueue
from assurebot.demo.telegram_rules import Refused
from assurebot.demo.telegram_watch import Watch
from assurebot.demo.telegram_wire import Json
from assurebot.values import Button, Entity

BOT_ID = 987_654_321
BOT: Json = {"id": BOT_ID, "is_bot": True, "first_name": "Stand-in", "username": "stand_in_bot"}

KEPT_MESSAGES = 2_000  # of people, per chat; older ones can be replied to but not shown in a reply
KEPT_DRAFTS = 2_000  # per chat

# How the bot stands to a chat, and how Telegram refuses it there.
Standing = Literal["in", "blocked", "kicked", "left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A file that the bot sent with a message."""

    kind: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """A message of the bot as it stands now.

    Attributes:
        text: Its text, or its caption.
        buttons: All inline buttons, row after row; `id` is the callback data (or the URL).
        edits: How often it was changed.
        at: When it was sent.
        edited_at: When it was changed last.
        link_preview_disabled: Whether the last send or edit switched previews off.
        parse_mode: The mode asked for; its markup is not read here.
    """

    message_id: int
    chat_id: int
    text: str
    at: datetime
    entities: tuple[Entity, ...] = ()
    reply_to: int | None = None
    buttons: tuple[Button, ...] = ()
    edits: int = 0
    edited_at: datetime | None = None
    thread_id: int | None = None
    link_preview_disabled: bool = False
    parse_mode: str | None = None
    file: SentFile | None = None
    album: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDraft:
    """A draft as it was shown at one moment."""

    draft_id: int
    chat_id: int
    text: str
    at: datetime
    entities: tuple[Entity, ...] = ()
    thread_id: int | None = None
    parse_mode: str | None = None
    can_stop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that Telegram does not refuse but mends, drops or punishes."""

    method: str
    chat_id: int
    rule: str


class Room:
    """One chat.

    Attributes:
        wire: The chat as updates show it.
        said: Messages of people, as updates show them.
        sent: Messages of the bot.
        drafts: Every draft shown, oldest first.
        last_id: Id of the newest message of anyone.
    """

    def __init__(self, wire: Json) -> None:
        self.wire = wire
        self.said: dict[int, Json] = {}
        self.sent: dict[int, SentMessage] = {}
        self.deleted: set[int] = set()
        self.drafts: deque[ShownDraft] = deque(maxlen=KEPT_DRAFTS)
        self.last_id = 0
        self.standing: Standing = "in"
        self.migrated_to: int | None = None

    @property
    def chat_id(self) -> int:
        """Its id; that of the person in a private chat."""
        return int(self.wire["id"])

    @property
    def private(self) -> bool:
        """Whether it is a chat with one person."""
        return bool(self.wire["type"] == "private")

    def next_id(self) -> int:
        """Take the next message id."""
        self.last_id += 1
        return self.last_id

    def exists(self, message_id: int) -> bool:
        """Tell whether there is such a message."""
        return 0 < message_id <= self.last_id and message_id not in self.deleted

    def keep_said(self, message: Json) -> None:
        """Keep a person's message, new or edited."""
        self.said[message["message_id"]] = message
        if len(self.said) > KEPT_MESSAGES:
            del self.said[next(iter(self.said))]

    def delete(self, message_id: int) -> None:
        """Take a message away for everybody."""
        self.deleted.add(message_id)
        self.sent.pop(message_id, None)
        self.said.pop(message_id, None)

    def message(self, message_id: int) -> Json | None:
        """Return anyone's message as updates show it."""
        if message_id in self.said:
            return self.said[message_id]
        if message_id in self.sent:
            return show(self.sent[message_id], self)
        return None


class World:
    """Everything behind the Bot API that outlives a call.

    Attributes:
        queue: Updates for the bot.
        rooms: Chats by id.
        files: Contents by file id.
        open_queries: Pressed buttons that were not answered yet.
        toasts: Texts with which presses were answered, by query id.
        reactions: Emoji of the bot by chat and message.
        commands: The registered command list by scope, as JSON.
    """

    def __init__(self) -> None:
        self.queue = UpdateQueue()
        self.rooms: dict[int, Room] = {}
        self.files: dict[str, bytes] = {}
        self.open_queries: set[str] = set()
        self.toasts: dict[str, str] = {}
        self.reactions: dict[tuple[int, int], tuple[str, ...]] = {}
        self.commands: dict[str, list[Json]] = {}
        self.violations: list[Violation] = []
        self.shown: Watch[SentMessage] = Watch()
        self.drafted: Watch[ShownDraft] = Watch()

    def room(self, chat_id: object) -> Room:
        """Return a chat that the bot may write to.

        Raises:
            Refused: There is none, or the bot is not welcome there.
        """
        if chat_id is None or chat_id == "":
            raise Refused("chat_id is empty")
        room = self.rooms.get(chat_id) if isinstance(chat_id, int) else None
        if room is None:
            raise Refused("chat not found")
        if room.migrated_to is not None:
            raise Refused(
                "group chat was upgraded to a supergroup chat", migrate_to=room.migrated_to
            )
        if room.standing != "in":
            raise Refused(_turned_away(room), 403)
        return room

    def tell(self, room: Room, update: Json) -> None:
        """Queue what a person did, unless the bot is out of that chat and cannot see it."""
        if room.standing == "in":
            self.queue.put(update)

    def show(self, room: Room, message: SentMessage) -> Json:
        """Put a message of the bot, new or edited, into its chat; return what the bot gets."""
        room.sent[message.message_id] = message
        self.shown.tell(message)
        return show(message, room)

    def show_draft(self, room: Room, draft: ShownDraft) -> None:
        """Put a draft into its chat."""
        room.drafts.append(draft)
        self.drafted.tell(draft)

    def add_violations(self, method: str, chat_id: int, rules: Sequence[str]) -> None:
        """Keep what was wrong with a call that was accepted all the same."""
        self.violations += [Violation(method=method, chat_id=chat_id, rule=rule) for rule in rules]


def _turned_away(room: Room) -> str:
    kind = "private chat" if room.private else f"{room.wire['type']} chat"
    if room.standing == "blocked":
        return "bot was blocked by the user"
    if room.standing == "kicked":
        return f"bot was kicked from the {kind}"
    return f"bot is not a member of the {kind}"


def moment() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def show(message: SentMessage, room: Room) -> Json:
    """Make the JSON of a message of the bot."""
    wire: Json = {
        "message_id": message.message_id,
        "from": BOT,
        "chat": room.wire,
        "date": int(message.at.timestamp()),
    }
    in_file = message.file is not None
    if message.text:
        wire["caption" if in_file else "text"] = message.text
    if message.entities:
        name = "caption_entities" if in_file else "entities"
        wire[name] = [_show_entity(entity) for entity in message.entities]
    if message.file is not None:
        wire |= show_file(message.file, f"sent-{message.chat_id}-{message.message_id}")
    if message.buttons:
        wire["reply_markup"] = {"inline_keyboard": [[_show_button(b)] for b in message.buttons]}
    if message.edited_at is not None:
        wire["edit_date"] = int(message.edited_at.timestamp())
    optional = {"message_thread_id": message.thread_id, "media_group_id": message.album}
    wire |= {name: value for name, value in optional.items() if value is not None}
    if message.reply_to is not None:
        parent = room.said.get(message.reply_to)
        if parent is None and (own := room.sent.get(message.reply_to)) is not None:
            parent = show(replace(own, reply_to=None), room)
        if parent is not None:
            shown = {name: value for name, value in parent.items() if name != "reply_to_message"}
            wire["reply_to_message"] = shown
    return wire


def show_file(file: SentFile, file_id: str) -> Json:
    """Make the JSON of a file in a message."""
    about: Json = {
        "file_id": file_id,
        "file_unique_id": f"u-{file_id}",
        "file_size": len(file.content),
    }
    if file.kind == "photo":
        return {"photo": [{**about, "width": 320, "height": 240}]}
    if file.kind in ("voice", "audio", "video", "video_note", "animation"):
        about |= {"duration": 1}
    if file.kind in ("video", "animation"):
        about |= {"width": 320, "height": 240}
    if file.kind == "video_note":
        about |= {"length": 240}
    if file.kind not in ("voice", "video_note"):
        about |= {"file_name": file.name}
    return {file.kind: about}


def _show_entity(entity: Entity) -> Json:
    wire: Json = {"type": entity.type, "offset": entity.offset, "length": entity.length}
    if entity.url is not None:
        wire["url"] = entity.url
    if entity.language is not None:
        wire["language"] = entity.language
    return wire


def _show_button(button: Button) -> Json:
    field = "url" if button.id.startswith(("http://", "https://", "tg://")) else "callback_data"
    return {"text": button.label, field: button.id}
