"""Processes under test: how they start, how they end, and that none is left behind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.kill import daemon, echo_bot
from tests.kill.points import Kill


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that is put to the test.

    Attributes:
        main: What a child process runs, with these variables for its environment.
        named: It knows the named kill points; else it is killed at any moment only.
        idle_seconds: When nothing was answered for so long, the rest counts as lost.
    """

    name: str
    main: Callable[[Mapping[str, str]], None]
    named: bool
    idle_seconds: float


ASSUREBOT = Program(name="AssureBot", main=daemon.main, named=True, idle_seconds=20.0)
PLAIN_BOT = Program(name="python-telegram-bot", main=echo_bot.main, named=False, idle_seconds=2.0)


# A child starts from a process that has everything imported already, and nothing else: twenty
# starts a run would be little but imports otherwise.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([daemon.__name__, echo_bot.__name__])


class Life:
    """One process and what befalls it.

    Attributes:
        polled: Set by its first poll.
        sends: How many it tried.
        missed: It did not come to its kill point, and was ended for that.
    """

    def __init__(self, process: ForkServerProcess, kill: Kill | None) -> None:
        self._process = process
        self.kill = kill
        self.polled = asyncio.Event()
        self.sends = 0
        self.missed = False
        self._dead = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._on_death)

    def _on_death(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._dead.set()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return not self._dead.is_set()

    def end(self) -> None:
        """Kill it from outside."""
        if self.alive:
            self._process.kill()

    def stop(self) -> None:
        """Ask it to stop."""
        if self.alive:
            self._process.terminate()

    async def wait(self) -> int:
        """Return its exit code once it has ended."""
        await self._dead.wait()
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        self._process.close()
        return code


def start(
    program: Program, environment: Mapping[str, str], output: Path, kill: Kill | None
) -> Life:
    """Start a program with these variables; what it prints is appended to `output`."""
    process = _forks.Process(target=_in_child, args=(program.main, environment, output))
    process.start()
    return Life(process, kill)


def _in_child(
    main: Callable[[Mapping[str, str]], None], environment: Mapping[str, str], output: Path
) -> None:
    """Become the program: its own environment, nothing to read, all output into a file."""
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for own, standard in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(own, standard)
    main(environment)
