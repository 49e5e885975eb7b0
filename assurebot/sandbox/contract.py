"""What every box does for a program, as cases: its tests and `assurebot sandbox test` run them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from assurebot.errors import SandboxError, SandboxUnavailable
from assurebot.ports import Sandbox
from assurebot.sandbox.probes import GRACE_SECONDS, MEMORY, OUTPUT, TIME, runs_out, timed
from assurebot.sandbox.wire import MAX_FILES
from assurebot.values import BoxFile, BoxLimits, Program, RunResult

CANCEL_SECONDS = 5.0
LIMITS = BoxLimits(seconds=20)
ONE_SECOND = BoxLimits(seconds=1)
FEW_BYTES = BoxLimits(seconds=20, output_bytes=9, file_bytes=300)
EVERYTHING = BoxLimits(seconds=20, memory_bytes=1 << 50, output_bytes=1 << 50, file_bytes=1 << 50)
SHELL = '$HOME `id` $(id) "q" \\n \\\\ “smart” * ; & | > x'
INPUT = {"binary": bytes(range(256)), "empty": b"", "with space.txt": "ä\r\n".encode()}
FILES = tuple(BoxFile(name=name, data=data) for name, data in INPUT.items())
FOUND = f"{sorted((name, data.hex()) for name, data in INPUT.items())}\n"
LIST = (
    "print(sorted((p.name, p.read_bytes().hex()) for p in __import__('pathlib').Path().iterdir()))"
)
MAKE = """
import contextlib, os, pathlib
os.makedirs('a/b')
for name in ('a/b/deep', 'plain', '.hidden'):
    pathlib.Path(name).write_bytes(bytes(range(256)))
for act in (lambda: os.symlink('/etc/passwd', 'link'), lambda: os.mkfifo('pipe')):
    with contextlib.suppress(Exception):
        act()
"""
MANY = "for n in range({}):\n    open(str(n), 'wb').write(bytes(range(256)))"
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(60)"
ERRORS = "import sys\nwhile True:\n    sys.stderr.write('y' * 1000)"
RAISE = "def f():\n    raise ValueError('boom')\nf()"

Holds = Callable[[RunResult, float], bool]
"""Judges what became of a program; the seconds count from its first output on."""


class Case(NamedTuple):
    """A program and what has to become of it: one row of the table."""

    name: str
    source: str
    holds: Holds
    language: str = "python"
    limits: BoxLimits = LIMITS
    files: tuple[BoxFile, ...] = ()

    async def seen(self, box: Sandbox) -> str | None:
        """Return what was seen instead, `None` if it held; grade C may refuse all but Python."""
        program = Program(
            language=self.language, source=self.source, files=self.files, limits=self.limits
        )
        try:
            ran, seconds = await timed(box, program)
        except SandboxError as error:
            may = isinstance(error, SandboxUnavailable) and self.language != "python"
            return None if may and box.standing.grade == "C" else str(error)
        return None if self.holds(ran, seconds) else f"{seconds:.1f} s, {ran}"[:500]


def _is(out: str, code: int = 0, err: str = "", outcome: str = "", seconds: float = 20) -> Holds:
    outcome = outcome or ("failed" if code else "ok")
    expected = (outcome, code, out, err, outcome == "output_limit")
    return lambda ran, took: (
        took <= seconds + GRACE_SECONDS
        and expected[:4] == (ran.outcome, ran.exit_code, ran.stdout, ran.stderr)
        and expected[4] == (ran.stdout_cut or ran.stderr_cut)
    )


def _gives(left: int, *names: str) -> Holds:
    files = dict.fromkeys(names, INPUT["binary"])
    return lambda ran, _: (
        (files, left) == ({file.name: file.data for file in ran.files}, ran.files_left)
    )


def _runs_out(ran: RunResult, _seconds: float) -> bool:
    return runs_out(ran)


def _names_the_line(ran: RunResult, _seconds: float) -> bool:
    told = ran.stderr.startswith("Traceback") and ran.stderr.endswith("ValueError: boom\n")
    return ran.exit_code == 1 and told and "line 2" in ran.stderr


CASES = (
    Case("output is exact", "print('a\\tb \\n', end='')", _is("a\tb \n")),
    Case("errors are apart", "import sys\nsys.stderr.write('e')\nprint(1)", _is("1\n", 0, "e")),
    Case("text is UTF-8", "print('ä漢😀')", _is("ä漢😀\n")),
    Case("bytes are replaced", "open(1, 'wb').write(b'a\\xff\\x00b')", _is("a\ufffd\0b")),
    Case("an exit code arrives", "import sys\nsys.exit(70)", _is("", 70)),
    Case("an exit text is an error", "raise SystemExit('said')", _is("", 1, "said\n")),
    Case("a bare exit is none", "raise SystemExit", _is("")),
    Case("an exception names its line", RAISE, _names_the_line),
    Case("input is empty", "import sys\nprint([sys.stdin.read()])", _is("['']\n")),
    Case("source is literal", f"print(r'''{SHELL}''')", _is(f"{SHELL}\n")),
    Case("shell is literal", f"cat <<'end'\n{SHELL}\nend", _is(f"{SHELL}\n"), "bash"),
    Case("source is long", f"print(len('{'é' * 50_000}'))", _is("50000\n")),
    Case("files go in, and none else is there", LIST, _is(FOUND), files=FILES),
    Case("files come out, not links", MAKE, _gives(0, "deep", "plain")),
    Case("files have a number", MANY.format(MAX_FILES + 1), lambda ran, _: ran.files_left == 1),
    Case("files have a size", MANY.format(2), _gives(1, "0"), limits=FEW_BYTES),
    Case("work ends in time", TIME, _is("begun\n", 137, "", "timeout", 1), limits=ONE_SECOND),
    Case("sleep ends in time", SLEEP, _is("begun\n", 137, "", "timeout", 1), limits=ONE_SECOND),
    Case("memory ends", MEMORY, _runs_out),
    Case("limits only narrow", MEMORY, _runs_out, limits=EVERYTHING),
    Case("output ends", OUTPUT, _is("x" * 9, 137, "", "output_limit"), limits=FEW_BYTES),
    Case("errors end", ERRORS, _is("", 137, "y" * 9, "output_limit"), limits=FEW_BYTES),
    Case("a signal is no timeout", "kill -TERM $$", _is("", 143), "bash"),
    Case("strays delay nothing", "echo 1\nsleep 30 &", _is("1\n", seconds=0), "bash"),
)


async def check(box: Sandbox) -> dict[str, str | None]:
    """Run all cases; return what was seen instead of what is promised, `None` where it held."""
    found = {case.name: await case.seen(box) for case in CASES}
    for name, holds in _STORIES.items():
        try:
            found[name] = await holds(box)
        except SandboxError as error:
            found[name] = str(error)
    return found


def _python(source: str) -> Program:
    return Program(language="python", source=source, limits=LIMITS)


async def _sees_nothing(box: Sandbox) -> str | None:
    source = f"{LIST}\nfor d in ('.', '/tmp'):\n    open(d + '/trace', 'w').write('x')"
    first, second = [(await box.run(_python(source))).stdout for _ in range(2)]
    return None if first == second == "[]\n" else f"{first}{second}"


async def _is_apart(box: Sandbox) -> str | None:
    source = "import time\nopen('{0}', 'w').close()\ntime.sleep(0.3)\n" + LIST
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(box.run(_python(source.format(n)))) for n in range(3)]
    said = [task.result().stdout for task in tasks]
    return None if said == [f"[('{n}', '')]\n" for n in range(3)] else str(said)


async def _is_cancelled(box: Sandbox) -> str | None:
    running = asyncio.ensure_future(box.run(_python(TIME)))
    await asyncio.wait({running}, timeout=1)
    running.cancel()
    await asyncio.wait({running}, timeout=CANCEL_SECONDS)
    if not running.cancelled():
        return f"it did not end: {running}"[:500]
    return None if (await box.run(_python("print(1)"))).stdout == "1\n" else "the next one failed"


async def _is_refused(box: Sandbox) -> str | None:
    try:
        return str(await box.run(Program(language="klingon", source="x")))
    except SandboxUnavailable:
        return None


_STORIES: dict[str, Callable[[Sandbox], Awaitable[str | None]]] = {
    "a program sees nothing of the one before": _sees_nothing,
    "programs at one time are apart": _is_apart,
    "it ends when cancelled": _is_cancelled,
    "an unknown language is refused": _is_refused,
}
