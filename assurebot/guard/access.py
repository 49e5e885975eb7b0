"""Who may reach the bot, decided on ids alone, before anything is read, fetched or asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ChatKind = Literal["private", "group", "channel", "none"]

SHARED_USERS = frozenset((136_817_688, 777_000, 1_087_968_824))
"""Ids that Telegram puts in place of a sender: channels, linked posts, anonymous admins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What access says, and by which rule; `leave` asks to leave the group or channel."""

    allowed: bool
    rule: str
    leave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The allowlists; an id that is on none is refused.

    Attributes:
        owner: One of `users`; who is told of strangers.
        chats: Groups in which listed users are answered. A channel is never answered.
    """

    owner: int
    users: frozenset[int]
    chats: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.owner not in self.users:
            raise ValueError("the owner must be among the allowed users")

    def decide(self, user_id: int | None, chat_id: int | None, chat_kind: ChatKind) -> Verdict:
        """Decide on one update.

        Args:
            user_id: The sender; `None` where there is none, or where a chat stands in for one
                (`sender_chat`: anonymous admins, channel posts).
            chat_id: Where it happened, if it happened in a chat.
            chat_kind: `none` for updates outside of any chat.
        """
        leave = chat_kind in ("group", "channel") and chat_id not in self.chats
        if chat_kind == "channel":
            return Verdict(allowed=False, rule="channel", leave=leave)
        if leave:
            return Verdict(allowed=False, rule="chat:not-listed", leave=True)
        if user_id is None or user_id in SHARED_USERS:
            return Verdict(allowed=False, rule="no-sender")
        if user_id not in self.users:
            return Verdict(allowed=False, rule="user:not-listed")
        return Verdict(allowed=True, rule="user:listed")
