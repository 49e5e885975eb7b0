"""The commands, and what they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from assurebot.errors import ConfigError
from assurebot.guard.code import code_in
from assurebot.ports import Check, Clock, Control, Store
from assurebot.telegram.memory import MemoryCommand
from assurebot.telegram.schedules import COMMANDS as SCHEDULE_COMMANDS
from assurebot.turns.approvals import Approvals
from assurebot.turns.model_turns import TAINTED
from assurebot.turns.models import ModelChoice
from assurebot.turns.notices import Notices
from assurebot.turns.runner import STOPPED
from assurebot.turns.worker import Reply
from assurebot.values import BoxStanding, Event, ModelRef, Program, StoredEvent

COMMANDS: tuple[tuple[str, str], ...] = (
    ("start", "Say hello"),
    ("help", "What I can do"),
    ("new", "Forget this conversation and start afresh"),
    ("clear", "The same as /new"),
    ("stop", "Stop the running answer"),
    ("panic", "Stop everything and hold it"),
    ("resume", "Go on after /panic (owner)"),
    ("status", "How I am"),
    ("approvals", "What waits for a press"),
    ("memory", "What I was asked to remember"),
    ("forget", "Forget a note: /forget NUMBER"),
    ("usage", "What it cost, today and this month"),
    ("model", "Show or choose the model of this chat"),
    ("run", "Run code: /run LANGUAGE CODE"),
    ("python", "Run Python (also /py)"),
    ("js", "Run JavaScript"),
    ("ts", "Run TypeScript"),
    ("bash", "Run a shell script (also /sh, /sandbox)"),
    *SCHEDULE_COMMANDS,
    ("hooks", "What webhooks brought (owner)"),
    ("whoami", "Your name, id and role"),
)
"""All there are, as registered with Telegram."""

_LIST = "\n".join(f"/{name} - {meaning}" for name, meaning in COMMANDS)

HELP = f"""\
Write to me and I answer; the answer appears while it is being made. Code after `/python`, or \
another of these commands, runs in a throw-away box; its output and pictures come back.

{_LIST}

What others wrote (a forward, a page, a search result) may want to make me do things. While I have \
it before me, nothing leaves (but to where you typed, or `POLICY_ALLOW` names) and nothing changes \
unless you press a button. The question shows exactly what would be done; it comes into this chat, \
and in private to whoever else may press. /approvals shows it again.

An answer that such words had a part in ends with {TAINTED}, and links that you did not type are \
code in it. After four more exchanges or half an hour I no longer see them; a reply to it brings \
them back.

I answer only to people on the list of my owner. Every message, model call, tool call and answer \
is recorded in a log that `assurebot audit verify` checks."""

RUNS: Mapping[str, str] = {
    "run": "",
    "python": "python",
    "py": "python",
    "js": "javascript",
    "ts": "typescript",
    "bash": "bash",
    "sh": "bash",
    "sandbox": "bash",
}
"""The commands that run code, and in which language; `/run` is told it."""

FRESH_STARTS = ("new", "clear")
GIVEN_UP = "⏹ Not done: you began afresh."
IN_LANE = (*FRESH_STARTS, "model", *RUNS)
"""These touch the conversation, so they keep their place in it; all others answer at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the commands tell about the program; `checks` by the name of the part."""

    version: str
    started: datetime
    owner: int
    checks: Mapping[str, Check]
    poll_age: Callable[[], float | None]
    parse_model: Callable[[str], Awaitable[ModelRef]]
    """Raises `ConfigError` with the reason when a model cannot be used."""
    box: Callable[[], BoxStanding]
    resumed: Callable[[], None]
    """Told that nothing is held any more."""


HOW_TO_RUN = """\
Write the code after the command, as it is or in a code block:

`/python print(6 * 7)`
`/run bash echo hello`

It runs in a box of its own that is thrown away afterwards. Files and pictures that it writes into \
its working folder come back."""


def _box(box: BoxStanding) -> str:
    if box.grade is None:
        return f"Box: closed: {box.reason}"
    network = ", **with network: not held by configuration**" if box.network else ""
    better = f". Not better, because {box.reason}" if box.reason else ""
    return f"Box: grade {box.grade} ({box.backend}){network}: {', '.join(box.languages)}{better}"


class ChatCommands:
    """Implements `turns.worker.Commands`."""

    def __init__(
        self,
        *,
        store: Store,
        control: Control,
        approvals: Approvals,
        notices: Notices,
        models: ModelChoice,
        clock: Clock,
        facts: Facts,
        memory: MemoryCommand,
        hooks: Callable[[StoredEvent], Awaitable[str]],
        usage: Callable[[StoredEvent], Awaitable[Reply]],
        schedules: Callable[[StoredEvent], Awaitable[Reply]],
    ) -> None:
        self._approvals = approvals
        self._replies = {"usage": usage, **{name: schedules for name, _ in SCHEDULE_COMMANDS}}
        self._notices = notices
        self._store = store
        self._control = control
        self._models = models
        self._clock = clock
        self._facts = facts
        self._answers: Mapping[str, Callable[[StoredEvent], Awaitable[str]]] = {
            "start": self._start,
            "help": self._help,
            "new": self._new,
            "clear": self._new,
            "stop": self._stop,
            "panic": self._panic,
            "resume": self._resume,
            "approvals": self._pending,
            "memory": memory.memory,
            "forget": memory.forget,
            "hooks": hooks,
            "status": self._status,
            "model": self._model,
            "whoami": self._whoami,
        }

    def urgent(self, event: Event) -> bool:
        """See `Commands.urgent`."""
        if event.kind == "press":
            return True  # the button waits, and what it starts has a place in the lane
        return event.kind == "command" and event.command not in IN_LANE

    def program(self, event: Event) -> Program | None:
        """See `Commands.program`."""
        if event.kind == "job" and event.command == "run":
            return code_in(event.text, "")
        if event.kind != "command" or event.command not in RUNS:
            return None
        return code_in(event.text, RUNS[event.command])

    async def answer(self, stored: StoredEvent) -> Reply:
        """See `Commands.answer`."""
        command = stored.event.command
        if command in RUNS:
            return Reply(text=f"{HOW_TO_RUN}\n\n{_box(self._facts.box())}")
        if command in self._replies:
            return await self._replies[command](stored)
        answer = self._answers.get(command)
        if answer is None:
            return Reply(text="I do not know this command. /help shows what I can do.")
        return Reply(
            text=await answer(stored),
            fresh_start=command in FRESH_STARTS,
            links=None if command == "help" else frozenset(),
        )

    async def _start(self, stored: StoredEvent) -> str:
        name = stored.event.actor.name or "there"
        return f"Hello {name}, I am AssureBot.\n\n{HELP}"

    async def _help(self, _stored: StoredEvent) -> str:
        return HELP

    async def _new(self, stored: StoredEvent) -> str:
        await self._approvals.withdraw(stored.event.place, GIVEN_UP, before=stored.id)
        return "🧹 A fresh start: I no longer see what was said before."

    async def _stop(self, stored: StoredEvent) -> str:
        place = stored.event.place
        withdrawn, _ = await self._approvals.withdraw(place, STOPPED, before=stored.id)
        stopped = await self._control.stop(place, stored.id)
        waiting = f" {stopped.waiting} more of your messages wait." if stopped.waiting else ""
        if stopped.was_running or withdrawn:
            return waiting.strip()  # the stopped answer itself says so
        return "Nothing is running here." + waiting

    async def _pending(self, stored: StoredEvent) -> str:
        count = await self._notices.show(stored)
        if not count:
            return "Nothing waits for a press."
        return "This waits for a press." if count == 1 else f"{count} calls wait for a press."

    async def _panic(self, stored: StoredEvent) -> str:
        ended = await self._control.panic(stored.event.actor)
        return (
            f"🛑 Everything is held; {ended} running turns were stopped. "
            "Messages are kept and wait. The owner's /resume lets them go on."
        )

    async def _resume(self, stored: StoredEvent) -> str:
        if stored.event.actor.user_id != self._facts.owner:
            return "Only the owner can /resume."
        if await self._control.resume():
            self._facts.resumed()
            return "▶️ Going on."
        return "Nothing was held."

    async def _status(self, stored: StoredEvent) -> str:
        counts = await self._store.counts()
        now, control = self._clock.now(), self._control
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        spent = await self._store.spent(today, stored.event.actor.user_id)
        age = self._facts.poll_age()
        up = timedelta(seconds=round((now - self._facts.started).total_seconds()))
        said = ((name, check()) for name, check in self._facts.checks.items())
        problems = "; ".join(f"{name}: {problem}" for name, problem in said if problem)
        running = control.running()
        behind = max(0, counts.waiting - running - 1)  # without this command
        waiting = f"{behind} waiting, {counts.unsent} to be sent"
        tokens = f"{spent.input_tokens} tokens in, {spent.output_tokens} out"
        lines = [
            f"**AssureBot {self._facts.version}**, up {up}",
            f"Health: {problems or 'all well'}",
            f"Held: {f'by {control.held_by}' if control.held_by else 'no'}",
            _box(self._facts.box()),
            f"Model here: `{await self._models.get(stored.event.place)}`",
            f"Last poll: {'never' if age is None else f'{age:.0f} s ago'}",
            f"Turns: {running} running, {waiting}",
            f"Dead: {counts.dead}; unreadable: {counts.quarantined}",
            f"You today: {spent.calls} model calls, {tokens}, ${spent.cost_usd}",
        ]
        return "\n".join(lines)

    async def _model(self, stored: StoredEvent) -> str:
        place, wanted = stored.event.place, stored.event.text.strip()
        if not wanted:
            now = await self._models.get(place)
            return (
                f"This chat uses `{now}`. `/model NAME` or `/model provider:NAME` chooses "
                f"another, `/model default` goes back to `{self._models.default}`."
            )
        if wanted == "default":
            await self._models.choose(place, None)
            return f"This chat uses `{self._models.default}` again."
        try:
            model = await self._facts.parse_model(wanted)
        except ConfigError as error:
            return f"I cannot use that model: {error}"
        await self._models.choose(place, model)
        return f"This chat uses `{model}` from now on."

    async def _whoami(self, stored: StoredEvent) -> str:
        actor = stored.event.actor
        role = "the owner" if actor.user_id == self._facts.owner else "an allowed user"
        return f"You are {actor.name or 'nameless'}, id `{actor.user_id}`, {role}."
