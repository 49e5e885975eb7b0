"""The command line: the only place that prints or exits."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from assurebot import __version__
from assurebot.errors import AuditError, ConfigError, DataHeld, SandboxError

EXIT_OK, EXIT_CRASH, EXIT_CONFIG, EXIT_HELD = 0, 1, 2, 3
"""Exit codes, as the README names them; 1 also means that a check found something wrong."""

EXIT_INTERRUPTED = 128 + signal.SIGINT

STRAY_SECONDS = 1.0
"""How long tasks, and then threads, that are left over at the end may take to end."""


def main(argv: Sequence[str] | None = None, parts: object = None) -> int:
    """Run a command and return the exit code.

    Args:
        argv: The command, else that of the process.
        parts: `parts.Parts` of the bot, where they are not the shipped ones.
    """
    arguments = _parser().parse_args(argv, argparse.Namespace(parts=parts))
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except ConfigError as error:
        count = len(error.problems)
        say = f"AssureBot cannot start: {count} {'problem' if count == 1 else 'problems'}"
        print(say, *(f"- {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return EXIT_CONFIG
    except DataHeld as error:
        print(f"AssureBot cannot start: {error}", file=sys.stderr)
        return EXIT_HELD
    except AuditError as error:
        print(f"assurebot audit: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except SandboxError as error:
        print(f"assurebot sandbox: {error}", file=sys.stderr)
        return EXIT_CRASH
    except KeyboardInterrupt:  # `run` and `demo` take the signal themselves
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="assurebot",
        description="A personal AI assistant on Telegram. Settings come from the environment.",
    )
    parser.add_argument("--version", action="version", version=f"assurebot {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="start the bot")
    run.set_defaults(run=_run)
    whoami = commands.add_parser(
        "whoami", help="print the id of whoever writes to the bot (needs only the token)"
    )
    whoami.add_argument("--seconds", type=float, default=120, help="how long to listen")
    whoami.set_defaults(run=_whoami)
    demo = commands.add_parser("demo", help="a tour against local stand-ins; needs no account")
    demo.add_argument(
        "--real-model", action="store_true", help="use the key in the environment for the chat"
    )
    demo.set_defaults(run=_demo)
    _add_audit(commands)
    _add_sandbox(commands)
    return parser


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = commands.add_parser("audit", help="look at the audit log").add_subparsers(
        required=True, metavar="WHAT"
    )
    verify = audit.add_parser("verify", help="check the chain; exit 1 names the first bad line")
    verify.add_argument("--anchor", metavar="SEQ:MAC", help="a head that was noted elsewhere")
    verify.add_argument("file", nargs="?", type=Path, help="default: AUDIT_LOG_PATH")
    verify.set_defaults(run=_verify)
    tail = audit.add_parser("tail", help="print the last lines")
    tail.add_argument("-n", "--lines", type=_count, default=20)
    tail.add_argument("file", nargs="?", type=Path, help="default: AUDIT_LOG_PATH")
    tail.set_defaults(run=_tail)


def _add_sandbox(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sandbox = commands.add_parser("sandbox", help="look at the box for code").add_subparsers(
        required=True, metavar="WHAT"
    )
    status = sandbox.add_parser("status", help="say which box there is, or why there is none")
    status.set_defaults(run=_sandbox, test=False)
    test = sandbox.add_parser("test", help="try everything that the box promises")
    test.set_defaults(run=_sandbox, test=True)
    build = sandbox.add_parser("build", help="make the Python of the embedded box, once")
    build.set_defaults(run=_sandbox_build)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


# Imports stand inside the commands: `--help` and `audit` need none of the heavy ones.


def _run(arguments: argparse.Namespace) -> int:
    gc.disable()  # what the imports make lasts: to look for waste in it costs a tenth of the start
    from assurebot.settings import load_settings

    settings = load_settings(os.environ)
    from assurebot.guard.redact import Redactor
    from assurebot.logs import configure_logs

    configure_logs(settings.log_level, settings.log_format, Redactor(settings.secrets()))
    import structlog

    from assurebot.app import serve

    gc.freeze()
    gc.enable()
    log = structlog.get_logger("assurebot")
    for warning in settings.warnings:
        log.warning(warning)

    async def until_signal() -> None:
        await serve(settings, _stop_on_signals(), arguments.parts)

    try:
        asyncio.run(without_strays(until_signal(), log.critical))
    except Exception as error:
        cause = _refusal(error)
        if cause is not None:
            raise cause from None
        log.exception("AssureBot crashed")
        return EXIT_CRASH
    return EXIT_OK


async def without_strays(main: Coroutine[Any, Any, None], tell: Callable[..., object]) -> None:
    """Run `main`; if a task outlives it and ignores a cancel, tell so and end the process at once.

    So it is with a thread that works on, for one at a name server that does not answer.
    `asyncio.run` would wait for them for ever, and nobody would start the program anew.
    """
    threads = ThreadPoolExecutor(thread_name_prefix="thread")
    asyncio.get_running_loop().set_default_executor(threads)
    try:
        await main
    finally:
        error = sys.exc_info()[1]
        strays = asyncio.all_tasks() - {asyncio.current_task()}
        for stray in strays:
            stray.cancel()
        deaf = (await asyncio.wait(strays, timeout=STRAY_SECONDS))[1] if strays else set()
        threads.shutdown(wait=False, cancel_futures=True)
        names = sorted([*(task.get_name() for task in deaf), *_deaf_threads()])
        if names:
            tell("ending without tasks that do not end", tasks=names, exc_info=error)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(EXIT_OK if error is None else EXIT_CRASH)


def _deaf_threads() -> list[str]:
    until = time.monotonic() + STRAY_SECONDS
    found = [one for one in threading.enumerate() if one is not threading.current_thread()]
    lasting = [one for one in found if not one.daemon]
    for thread in lasting:
        thread.join(max(0.0, until - time.monotonic()))
    return [thread.name for thread in lasting if thread.is_alive()]


def _refusal(error: BaseException) -> ConfigError | DataHeld | None:
    """Find the refusal of a part, which a task group may have wrapped."""
    if isinstance(error, ConfigError | DataHeld):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    found = (_refusal(each) for each in inner)
    return next((each for each in found if each is not None), None)


def _stop_on_signals() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second one exits at once."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return stop


def _whoami(arguments: argparse.Namespace) -> int:
    from assurebot.settings import BotSettings, load_part
    from assurebot.telegram.whoami import listen

    bot = load_part(BotSettings, os.environ)
    token = bot.telegram_bot_token.get_secret_value()
    say = partial(print, flush=True)  # at once, into a pipe too
    return asyncio.run(listen(token, bot.telegram_api_url, arguments.seconds, say))


def _demo(arguments: argparse.Namespace) -> int:
    from assurebot.demo.tour import tour

    return asyncio.run(tour(real_model=arguments.real_model))


def _verify(arguments: argparse.Namespace) -> int:
    from assurebot.audit.files import read_key
    from assurebot.audit.verify import verify

    path, key = _audit_settings(arguments.file)
    report = verify(path, read_key(path) if key is None else key, arguments.anchor)
    print(*report.lines(), sep="\n")
    return EXIT_OK if report.ok else EXIT_CRASH


def _tail(arguments: argparse.Namespace) -> int:
    from assurebot.audit.verify import tail

    path, _ = _audit_settings(arguments.file)
    for line in tail(path, arguments.lines):
        print(line)
    return EXIT_OK


def _sandbox(arguments: argparse.Namespace) -> int:
    import secrets
    import tempfile

    from assurebot.boxes import box_of, report
    from assurebot.logs import configure_logs
    from assurebot.settings import SandboxSettings, load_part

    settings = load_part(SandboxSettings, os.environ)
    configure_logs("ERROR", "console", str)

    async def look(scratch: str) -> bool:
        box = box_of(settings, instance=secrets.token_hex(8), scratch=Path(scratch))
        async with box:
            good, lines = await report(box, test=arguments.test)
        print(*lines, sep="\n")
        return good

    with tempfile.TemporaryDirectory(prefix="assurebot-box-") as scratch:
        return EXIT_OK if asyncio.run(look(scratch)) else EXIT_CRASH


def _sandbox_build(_arguments: argparse.Namespace) -> int:
    from assurebot.sandbox.component import build

    print(build())
    return EXIT_OK


def _audit_settings(given: Path | None) -> tuple[Path, bytes | None]:
    """Return the log and the configured key, if one is configured."""
    from assurebot.settings import AuditSettings, load_part

    settings = load_part(AuditSettings, os.environ)
    key = settings.audit_key
    return (
        given or settings.audit_log_path,
        None if key is None else key.get_secret_value().encode(),
    )
