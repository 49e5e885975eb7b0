"""What a message costs in trips to the disk before its answer leaves."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assurebot.app import Parts, serve
from assurebot.audit.log import JsonlAudit
from assurebot.demo.model import ModelServer, echo
from assurebot.demo.telegram import TelegramServer
from assurebot.demo.telegram_wire import Received
from assurebot.settings import load_settings
from assurebot.store.database import SqlStore

USER = 42
QUIET_SECONDS = 0.8
"""Longer than the audit log keeps the lines of the message before in memory."""


@dataclass(slots=True, kw_only=True)
class _Meter:
    """Reads the counters of the running program; also hands out the parts that it reads."""

    stores: list[SqlStore] = field(default_factory=list)
    audits: list[JsonlAudit] = field(default_factory=list)
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def store(self, *arguments: Any, **options: Any) -> SqlStore:
        self.stores.append(SqlStore(*arguments, **options))
        return self.stores[-1]

    def audit(self, *arguments: Any, **options: Any) -> JsonlAudit:
        self.audits.append(JsonlAudit(*arguments, **options))
        return self.audits[-1]

    async def handed_out(self, _call: Received) -> None:
        self.marks["update"] = self._read()

    async def arrived(self, call: Received) -> None:
        self.marks[str(call.params["text"])] = self._read()

    def spent(self, text: str) -> tuple[int, int]:
        """Return commits and fsyncs from the last update to the arrival of this text."""
        before, after = self.marks["update"], self.marks[text]
        return after[0] - before[0], after[1] - before[1]

    def _read(self) -> tuple[int, int]:
        return self.stores[0].commits, self.audits[0].fsyncs


async def _costs(folder: Path, words: list[str]) -> list[tuple[int, int]]:
    """Say these to the real program, one after the other, and return what each cost."""
    meter, stop = _Meter(), asyncio.Event()
    async with AsyncExitStack() as stack:
        telegram = await stack.enter_async_context(TelegramServer())
        model = await stack.enter_async_context(ModelServer(echo()))
        settings = load_settings(
            {
                "TELEGRAM_BOT_TOKEN": telegram.token,
                "TELEGRAM_API_URL": telegram.api_url,
                "ALLOWED_USERS": str(USER),
                "ANTHROPIC_API_KEY": "sk-stand-in-123456789",
                "ANTHROPIC_BASE_URL": model.url,
                "DATA_DIR": str(folder),
                "PORT": "0",
            }
        )
        parts = Parts(store=meter.store, audit=meter.audit)
        bot = await stack.enter_async_context(asyncio.TaskGroup())
        bot.create_task(serve(settings, stop, parts))
        stack.callback(stop.set)
        await telegram.wait_for("getUpdates", lambda call: bool(call.params.get("timeout")))
        telegram.on_call("getUpdates", meter.handed_out, "after")
        telegram.on_call("sendMessage", meter.arrived)
        person = telegram.person(USER)
        costs = []
        for text in words:
            await asyncio.sleep(QUIET_SECONDS)
            person.say(text)
            await telegram.wait_for_message(USER, contains=text, timeout_seconds=20)
            costs.append(meter.spent(text))
        return costs


async def test_an_answer_waits_for_four_commits_and_two_fsyncs_at_most(tmp_path: Path) -> None:
    """From an update to its first send: taken, begun, paid for, ended; model and send intended.

    What the call may cost is set aside in a commit of its own: that has to be there before the
    call, or a crash in it would forget the money; and it can be refused, which beginning cannot.
    """
    # The first message loads the SDK of the model, so that the other is over at once.
    _, *costs = await _costs(tmp_path, ["first", "second"])

    assert costs == [(4, 2)]
