"""What the program is made of: the parts that can be exchanged, and those that are open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime

from assurebot.agent.jobs import SettledSandbox
from assurebot.agent.toolbox import Gate
from assurebot.audit.log import JsonlAudit
from assurebot.boxes import box_of
from assurebot.documents.worker import LimitedReader
from assurebot.fetch.client import AiohttpFetcher
from assurebot.guard.policy import Policy
from assurebot.guard.rates import ToolRates
from assurebot.guard.redact import Redactor
from assurebot.guard.rules import Rules
from assurebot.ports import Clock, Fetcher, Reader, Tool, Transcriber
from assurebot.providers.attempts import Attempts
from assurebot.settings import Settings
from assurebot.store.database import SqlStore
from assurebot.telegram.client import TelegramClient
from assurebot.telegram.poller import PollTimes
from assurebot.turns.pace import Rates
from assurebot.turns.preview import PreviewTimes
from assurebot.values import Place
from assurebot.voices import voice_of

HOLDER_SECONDS = 60.0
"""How long to wait for another process to let go of the data."""

TURN_GRACE_SECONDS = 5.0
"""What running turns get at a stop; ten seconds are all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What tests and benches exchange; the defaults are the product.

    Attributes:
        tools: More tools than the shipped ones.
        gate: Makes what decides on tool calls.
        tool_rates: Makes what limits how often tools are called.
        fetcher: Opens the way to pages.
        box: Makes the box for programs.
        reader: Makes what reads files.
        transcriber: Makes what listens and speaks, if there is anything for that.
        store: Opens the database.
        audit: Opens the audit log.
        chat: Opens the way to Telegram.
        rates: How fast messages may leave.
        preview: How an answer in the making shows.
        poll: How polling waits.
        holder_seconds: How long to wait for another process on the same data.
        grace_seconds: What running turns, and unsent messages at most, get at a stop.
        disk_seconds: How long work waits when a disk takes nothing.
        fold_seconds: How far messages about one webhook source lie apart.
        gather_seconds: How long the next message of a burst or an album is waited for.
    """

    tools: Sequence[Tool] = ()
    gate: Callable[[Rules], Gate] = lambda rules: Policy(rules=rules)
    tool_rates: Callable[[], ToolRates] = ToolRates
    fetcher: Callable[..., AbstractAsyncContextManager[Fetcher]] = AiohttpFetcher
    box: Callable[..., AbstractAsyncContextManager[SettledSandbox]] = box_of
    reader: Callable[[], Reader] = LimitedReader
    transcriber: Callable[[Settings, Attempts], Transcriber | None] = voice_of
    store: Callable[..., SqlStore] = SqlStore
    audit: Callable[..., JsonlAudit] = JsonlAudit
    chat: Callable[..., TelegramClient] = TelegramClient
    rates: Rates = field(default_factory=Rates)
    preview: PreviewTimes = field(default_factory=PreviewTimes)
    poll: PollTimes = field(default_factory=PollTimes)
    holder_seconds: float = HOLDER_SECONDS
    grace_seconds: float = TURN_GRACE_SECONDS
    disk_seconds: float = 5.0
    fold_seconds: float = 30.0
    gather_seconds: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What is open before anything moves, and the values that many parts take."""

    settings: Settings
    parts: Parts
    clock: Clock
    started: datetime
    redact: Redactor
    chat: TelegramClient
    audit: JsonlAudit
    store: SqlStore
    box: SettledSandbox
    fetcher: Fetcher
    rules: Rules

    @property
    def owner(self) -> Place:
        """The owner's private chat."""
        return Place(chat_id=self.settings.owner)
