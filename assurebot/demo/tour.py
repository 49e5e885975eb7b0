"""`assurebot demo`: the whole program as a child process against stand-ins, step by step."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from assurebot.demo.model import chatty
from assurebot.demo.tour_chat import Write, chat
from assurebot.demo.tour_findings import Finding, Step
from assurebot.demo.tour_steps import STEPS, tour_script
from assurebot.demo.tour_world import BOX_PREFIXES, DaemonDown, Stage, World
from assurebot.settings import Settings, load_settings

T = TypeVar("T")

COLUMNS = 80
STDIN, STDOUT = 0, 1

INTRODUCTION = """\
AssureBot demo: a tour of the real program. No account is needed.

  real      the program, as a process of its own; its database and audit log in
            a temporary folder; the Telegram and Anthropic client libraries;
            HTTP over sockets of this machine; SIGKILL; the box for code
  stand-in  Telegram's servers, the people who write, the language model, and a
            web site of this machine, which the program here holds for public
"""

CHAT = """\
Now you: this is a chat with the program, started afresh, over the stand-in for
Telegram; the answers come from {model}.
You are its owner. /help shows its commands, /send PATH WORDS sends a picture, PDF or
voice file, /quit or Ctrl-D ends the demo.
"""

MODEL_PREFIXES = ("ANTHROPIC_", "OPENAI_", "AI_")
ROUTES = ("HTTPS_PROXY", "https_proxy", "SSL_CERT_DIR", "SSL_CERT_FILE")
"""What it may take to reach a real model from here, beside its settings."""


async def tour(
    *,
    real_model: bool = False,
    world: World | None = None,
    steps: Sequence[Step] = STEPS,
    write: Write | None = None,
) -> int:
    """Play the tour, and offer a chat where there is a terminal; return the exit code.

    Args:
        real_model: Ask the model that the environment names, in the chat.
        world: What the program is put into; tests break it.
        steps: What is played.
        write: Where the text goes; standard output by default.

    Raises:
        ConfigError: `real_model`, and the environment does not say which.
    """
    write = write or _write
    world = world or World(script=tour_script())
    given = {name: value for name, value in os.environ.items() if _is_setting(name) and value}
    model = _model_settings(os.environ) if real_model else None
    write(f"{INTRODUCTION}\n{_fill(_about_keys(sorted(given), real=real_model))}\n\n")
    code = await _interruptible(_play(world, steps, write))
    if code is None:
        write("\nInterrupted; everything is ended and removed.\n")
        return 1
    if os.isatty(STDIN) and os.isatty(STDOUT):
        await _interruptible(_chat(model, write))
    elif real_model:
        write("The chat with the real model needs a terminal.\n")
    return code


def _write(text: str) -> None:
    """Write to standard output, with a `?` for what it cannot show."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


# --- the environment


def _is_setting(name: str) -> bool:
    return name.lower() in Settings.model_fields and name.isupper()


def _about_keys(given: Sequence[str], *, real: bool) -> str:
    boxes = ", ".join(name for name in given if name.startswith(BOX_PREFIXES))
    given = [name for name in given if not name.startswith(BOX_PREFIXES)]
    about = _about_others(given, real=real)
    return f"{about} Used for the box: {boxes}." if boxes else about


def _about_others(given: Sequence[str], *, real: bool) -> str:
    if not given:
        return "Nothing leaves this machine. The environment holds no setting of the program."
    names = ", ".join(given)
    if real:
        used = ", ".join(name for name in given if name.startswith(MODEL_PREFIXES))
        return (
            f"Nothing leaves this machine during the tour. --real-model: the chat after it uses "
            f"{used}. Everything else is ignored."
        )
    return f"Nothing leaves this machine. Ignored in your environment: {names}."


def _model_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment says of the model.

    Raises:
        ConfigError: It is wrong, or not enough.
    """
    model = {
        name: value
        for name, value in environ.items()
        if _is_setting(name) and name.startswith(MODEL_PREFIXES)
    }
    load_settings({**model, "TELEGRAM_BOT_TOKEN": World().telegram.token, "ALLOWED_USERS": "1"})
    return model | {name: environ[name] for name in ROUTES if name in environ}


# --- playing


async def _play(world: World, steps: Sequence[Step], write: Write) -> int:
    began = time.monotonic()
    good = 0
    try:
        async with Stage(world) as stage:
            for number, step in enumerate(steps, start=1):
                finding = await _try(step, stage)
                good += finding.ok
                write(_row(number, step, finding))
    except DaemonDown as error:
        write(f"FAILED  {error}\n")
        return 1
    took = time.monotonic() - began
    write(f"{good} of {len(steps)} ok, in {took:.0f} s. The temporary folder is removed.\n")
    return 0 if good == len(steps) else 1


async def _try(step: Step, stage: Stage) -> Finding:
    try:
        return await step.play(stage)
    except (DaemonDown, TimeoutError, OSError) as error:
        return Finding(observed=f"{error}", ok=False, seqs=())


def _row(number: int, step: Step, finding: Finding) -> str:
    return "\n".join(
        (
            f"{'ok' if finding.ok else 'FAILED':<8}{number}. {step.title}",
            _fill(step.expected, "expected  "),
            _fill(finding.observed, "observed  "),
            _fill(f"seq {ranges(finding.seqs) or '-'}", "audit     "),
            "\n",
        )
    )


def _fill(text: str, name: str = "") -> str:
    indent = " " * 8 if name else ""
    return textwrap.fill(
        text,
        COLUMNS,
        initial_indent=indent + name,
        subsequent_indent=indent + " " * len(name),
        break_on_hyphens=False,
    )


def ranges(numbers: Sequence[int]) -> str:
    """Write numbers as `1-3,5`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(str(end) for end in run) for run in runs)


async def _chat(model: Mapping[str, str] | None, write: Write) -> None:
    who = "a stand-in that thinks nothing" if model is None else "the real model of your key"
    try:
        async with Stage(World(script=chatty(), model_settings=model)) as stage:
            write(f"\n{CHAT.format(model=who)}\n")
            await chat(stage, STDIN, write)
    except DaemonDown as error:
        write(f"{error}\n")


# --- ending


async def _interruptible(work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result, or `None` when a signal ended the work; all of it is unwound by then."""
    task = asyncio.create_task(work)
    with _signals(task.cancel):
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
    return None if task.cancelled() else task.result()


@contextmanager
def _signals(on_signal: Callable[[], object]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
