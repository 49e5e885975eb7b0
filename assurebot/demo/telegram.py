"""A stand-in for Telegram: a real HTTP server on loopback that speaks the Bot API.

It keeps the semantics that a bot's promises rest on (`getUpdates` offsets, 409, validation of
sends) and fails on demand. It outlives the bot: what was not confirmed is handed out again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from assurebot.demo.telegram_chats import (
    Room,
    SentMessage,
    ShownDraft,
    Violation,
    World,
)
from assurebot.demo.telegram_faults import (
    FaultPlan,
    FloodLimits,
)
from assurebot.demo.telegram_groups import Group
from assurebot.demo.telegram_people import Person, private_chat
from assurebot.demo.telegram_site import Hook, Site, When
from assurebot.demo.telegram_wire import Json, Received

TOKEN = "987654321:LOCAL-STAND-IN-NOT-A-REAL-TOKEN-0001"


class TelegramServer:
    """Serves the Bot API while its context is open.

    Args:
        port: Where to listen on 127.0.0.1; 0 picks a free one.
        token: The only token that is accepted.
        keep_requests: How many calls `requests` remembers.
        flood: Real limits; without them nothing is counted.

    Attributes:
        world: The chats, for what no method here offers.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        token: str = TOKEN,
        keep_requests: int = 10_000,
        flood: FloodLimits | None = None,
    ) -> None:
        self.token = token
        self.world = World()
        self._site = Site(
            self.world, port=port, token=token, keep_requests=keep_requests, flood=flood
        )

    @property
    def faults(self) -> FaultPlan:
        """What goes wrong next."""
        return self._site.faults

    @property
    def requests(self) -> deque[Received]:
        """The latest calls, oldest first."""
        return self._site.requests

    @property
    def statuses(self) -> Counter[tuple[str, int]]:
        """Answers by method and status; a call that got none is counted under 0."""
        return self._site.statuses

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._site.port

    @property
    def api_url(self) -> str:
        """What `TELEGRAM_API_URL` is set to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What the client library calls `base_url`."""
        return f"{self.api_url}/bot"

    @property
    def base_file_url(self) -> str:
        """What the client library calls `base_file_url`."""
        return f"{self.api_url}/file/bot"

    async def __aenter__(self) -> Self:
        await self.come_back()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.go_away()

    async def go_away(self) -> None:
        """Break all connections and refuse new ones; everything known stays."""
        await self._site.close()

    async def come_back(self) -> None:
        """Listen; after `go_away` on the same port as before."""
        await self._site.open()

    # --- the other side -----------------------------------------------------------------------

    def person(self, user_id: int, name: str = "Owner") -> Person:
        """Return somebody who has started the bot; their private chat exists from now on."""
        self.world.rooms.setdefault(user_id, Room(private_chat(user_id, name)))
        return Person(self.world, user_id, name)

    def group(self, chat_id: int, title: str = "Group") -> Group:
        """Return a group that the bot is in; ids of groups are negative."""
        wire = {"id": chat_id, "type": "supergroup", "title": title}
        return Group(self.world, self.world.rooms.setdefault(chat_id, Room(wire)))

    def raw_update(self, update: Json, *, unasked: bool = False) -> int | None:
        """Queue any update under the next id; `None` if its kind is not among `allowed_updates`.

        `unasked` hands it out all the same, as Telegram does with what was queued before.
        """
        return self.world.queue.put(update, unasked=unasked)

    def repeat_update(self, update: Json) -> None:
        """Hand out an update with the id it has, once, even if that was confirmed before."""
        self.world.queue.repeat(update)

    def pending(self) -> int:
        """Count the updates that are not confirmed."""
        return len(self.world.queue)

    @property
    def last_update_id(self) -> int:
        """Id of the newest update."""
        return self.world.queue.last_id

    @property
    def confirmed_offset(self) -> int:
        """Updates with a lower id were acknowledged by the bot."""
        return self.world.queue.confirmed_offset

    # --- what the bot did ---------------------------------------------------------------------

    def messages(self, chat_id: int) -> tuple[SentMessage, ...]:
        """Return the bot's messages in a chat as they stand now, in the order of sending."""
        return tuple(self.world.rooms[chat_id].sent.values())

    def drafts(self, chat_id: int) -> tuple[ShownDraft, ...]:
        """Return every draft shown in a chat, oldest first."""
        return tuple(self.world.rooms[chat_id].drafts)

    def calls(self, method: str) -> tuple[Received, ...]:
        """Return the remembered calls of a method."""
        return tuple(call for call in self.requests if call.method == method)

    @property
    def violations(self) -> Sequence[Violation]:
        """What Telegram would not refuse but mend, drop or punish."""
        return self.world.violations

    def toast(self, query_id: str) -> str | None:
        """Return the note that answered a press; `None` while nothing did."""
        return self.world.toasts.get(query_id)

    # --- waiting ------------------------------------------------------------------------------

    async def wait_for_message(
        self,
        chat_id: int,
        predicate: Callable[[SentMessage], bool] | None = None,
        *,
        contains: str = "",
        after: int = 0,
        timeout_seconds: float = 5.0,
    ) -> SentMessage:
        """Return the first message of the bot that fits, as it stands; wait if there is none yet.

        Args:
            chat_id: The chat to look at.
            predicate: What it must be.
            contains: What its text must contain.
            after: Only messages with a higher id.
            timeout_seconds: The limit.

        Raises:
            TimeoutError: None came in time; the text tells what came instead.
        """

        def fits(message: SentMessage) -> bool:
            return (
                message.chat_id == chat_id
                and message.message_id > after
                and contains in message.text
                and (predicate is None or predicate(message))
            )

        for message in self.world.rooms[chat_id].sent.values():
            if fits(message):
                return message

        def what() -> str:
            texts = [message.text[:200] for message in self.messages(chat_id)[-5:]]
            return f"no message {contains!r} in chat {chat_id}; the latest are {texts}"

        return await self.world.shown.next(fits, timeout_seconds, what)

    async def wait_for_draft(
        self, chat_id: int, *, contains: str = "", timeout_seconds: float = 5.0
    ) -> ShownDraft:
        """Return the next draft in a chat, from now on.

        Raises:
            TimeoutError: None came in time.
        """
        return await self.world.drafted.next(
            lambda draft: draft.chat_id == chat_id and contains in draft.text,
            timeout_seconds,
            lambda: f"no draft {contains!r} in chat {chat_id}",
        )

    async def wait_for(
        self,
        method: str,
        predicate: Callable[[Received], bool] | None = None,
        *,
        after: int = 0,
        timeout_seconds: float = 5.0,
    ) -> Received:
        """Return the first call that fits and has been worked; a poll counts as it begins.

        Args:
            method: Method of the Bot API.
            predicate: What the call must be.
            after: Only calls with a higher serial.
            timeout_seconds: The limit.

        Raises:
            TimeoutError: None came in time.
        """

        def fits(call: Received) -> bool:
            return (
                call.method == method
                and call.serial > after
                and (predicate is None or predicate(call))
            )

        for call in self.requests:
            if call.serial not in self._site.unfinished and fits(call):
                return call
        return await self._site.worked.next(
            fits, timeout_seconds, lambda: f"no call of {method}; answered: {dict(self.statuses)}"
        )

    async def wait_confirmed(
        self, update_id: int | None = None, *, timeout_seconds: float = 5.0
    ) -> None:
        """Wait until an update, by default the newest one, was acknowledged.

        Raises:
            TimeoutError: It was not.
        """
        queue = self.world.queue
        wanted = queue.last_id if update_id is None else update_id
        if queue.confirmed_offset <= wanted:
            await queue.confirmations.next(
                lambda offset: offset > wanted,
                timeout_seconds,
                lambda: f"update {wanted} is not confirmed, offset {queue.confirmed_offset}",
            )

    def on_call(self, method: str, hook: Hook, when: When = "before") -> Callable[[], None]:
        """Have `hook` awaited before or after the effect of each call; return its removal.

        A fault that it returns is injected. The effect takes place even if the client is gone by
        then: the request had arrived.
        """
        return self._site.add_hook(method, when, hook)
