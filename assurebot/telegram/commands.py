"""The commands, and what they answer."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from assurebot.errors import ConfigError
from assurebot.guard.code import code_in
from assurebot.ports import Check, Clock, Control, Store
from assurebot.telegram.help import TOPICS, help_text
from assurebot.telegram.memory import MemoryCommand
from assurebot.telegram.schedules import COMMANDS as SCHEDULE_COMMANDS
from assurebot.turns.approvals import Approvals
from assurebot.turns.models import ModelChoice
from assurebot.turns.notices import Notices
from assurebot.turns.preview import STOP
from assurebot.turns.runner import STOPPED
from assurebot.turns.worker import Reply
from assurebot.values import BoxStanding, Button, Event, ModelRef, Place, Program, StoredEvent

COMMANDS: tuple[tuple[str, str], ...] = (
    ("start", "Say hello"),
    ("help", "What I can do; /help TOPIC tells more"),
    ("new", "Forget this conversation and start afresh"),
    ("clear", "The same as /new"),
    ("stop", "Stop the running answer"),
    ("panic", "Stop everything and hold it"),
    ("resume", "Go on after /panic (owner)"),
    ("status", "How I am"),
    ("approvals", "What waits for a press"),
    ("memory", "What I was asked to remember"),
    ("forget", "Forget a note: /forget NUMBER"),
    ("files", "What you sent me here; /files remove NUMBER"),
    ("usage", "What it cost, today and this month"),
    ("model", "Show or choose the model of this chat"),
    ("voice", "Speak answers too: /voice on, /voice off"),
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
        voice: Callable[[StoredEvent], Awaitable[str]],
        files: Callable[[StoredEvent], Awaitable[Reply]],
        hooks: Callable[[StoredEvent], Awaitable[str]],
        usage: Callable[[StoredEvent], Awaitable[Reply]],
        schedules: Callable[[StoredEvent], Awaitable[Reply]],
    ) -> None:
        self._approvals = approvals
        self._replies = {
            "usage": usage,
            "model": self._model,
            "help": self._help,
            "files": files,
            **{name: schedules for name, _ in SCHEDULE_COMMANDS},
        }
        self._notices = notices
        self._store = store
        self._control = control
        self._models = models
        self._clock = clock
        self._facts = facts
        self._answers: Mapping[str, Callable[[StoredEvent], Awaitable[str]]] = {
            "start": self._start,
            "new": self._new,
            "clear": self._new,
            "stop": self._stop,
            "panic": self._panic,
            "resume": self._resume,
            "approvals": self._pending,
            "memory": memory.memory,
            "forget": memory.forget,
            "voice": voice,
            "hooks": hooks,
            "status": self._status,
            "whoami": self._whoami,
        }

    def urgent(self, event: Event) -> bool:
        """See `Commands.urgent`."""
        if event.kind in ("press", "edit"):
            return True  # what it starts has a place in the lane; an edit is of what is there
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
        return Reply(text=await answer(stored), fresh_start=command in FRESH_STARTS)

    async def press(self, stored: StoredEvent, kind: str) -> tuple[str, str]:
        """Do what the button of a command stands for; return the note for it, and a text."""
        verb, _, rest = kind.partition(":")
        if verb == STOP.id:
            return await self._stop(stored) or STOPPED, ""
        if verb == "help":
            return "👌", help_text(rest, COMMANDS)
        return "👌", await self._choose(stored.event.place, rest)

    async def _start(self, stored: StoredEvent) -> str:
        name = stored.event.actor.name or "there"
        return f"Hello {name}, I am AssureBot.\n\n{help_text('', COMMANDS)}"

    async def _help(self, stored: StoredEvent) -> Reply:
        topic = stored.event.text.strip().lower()
        buttons = () if topic else tuple(_button(name, f"help:{name}") for name in TOPICS)
        return Reply(text=help_text(topic, COMMANDS), links=None, buttons=buttons)

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

    async def _model(self, stored: StoredEvent) -> Reply:
        place, wanted = stored.event.place, stored.event.text.strip()
        if wanted:
            return Reply(text=await self._choose(place, wanted))
        now = await self._models.get(place)
        text = (
            f"This chat uses `{now}`. `/model NAME` or `/model provider:NAME` chooses "
            f"another, `/model default` goes back to `{self._models.default}`."
        )
        others = [each for each in await self._models.offered(place) if each != now]
        return Reply(text=text, buttons=tuple(_button(f"{m}", f"model:{m}") for m in others))

    async def _choose(self, place: Place, wanted: str) -> str:
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


def _button(label: str, kind: str) -> tuple[Button, str]:
    return Button(label=label, id=secrets.token_urlsafe(12)), kind
