"""Groups on the other side of the stand-in."""

from __future__ import annotations

from assurebot.demo.telegram_chats import Room, World, moment
from assurebot.demo.telegram_methods import membership
from assurebot.demo.telegram_people import Person


class Group:
    """A supergroup; people write in it by `person.say(text, group.chat_id)`."""

    def __init__(self, world: World, room: Room) -> None:
        self._world = world
        self._room = room
        self.chat_id = room.chat_id

    def add(self, person: Person, by: Person | None = None) -> None:
        """Let somebody in: a service message, and a `chat_member` update for bots that ask."""
        self._tell_member(person, by or person, "left", "member")
        message = {
            "message_id": self._room.next_id(),
            "from": (by or person).wire,
            "chat": self._room.wire,
            "date": int(moment().timestamp()),
            "new_chat_members": [person.wire],
        }
        self._world.tell(self._room, {"message": message})

    def remove(self, person: Person, by: Person | None = None) -> None:
        """Let somebody go."""
        self._tell_member(person, by or person, "member", "left")

    def add_bot(self, by: Person) -> None:
        """Take the bot in."""
        self._room.standing = "in"
        self._world.queue.put(membership(self._room, by.wire, "left", "member"))

    def remove_bot(self, by: Person) -> None:
        """Throw the bot out."""
        self._room.standing = "kicked"
        self._world.queue.put(membership(self._room, by.wire, "member", "kicked"))

    def migrate(self, new_id: int) -> None:
        """Move to another id: sends to the old one are refused and name the new one."""
        self._world.rooms[new_id] = Room({**self._room.wire, "id": new_id})
        self._room.migrated_to = new_id

    @property
    def bot_is_in(self) -> bool:
        """Whether the bot is a member now."""
        return self._room.standing == "in"

    def _tell_member(self, person: Person, by: Person, old: str, new: str) -> None:
        change = membership(self._room, by.wire, old, new)["my_chat_member"]
        for side in ("old_chat_member", "new_chat_member"):
            change[side]["user"] = person.wire
        self._world.tell(self._room, {"chat_member": change})
