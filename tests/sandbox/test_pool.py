"""The pool of boxes, with boxes in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from assurebot.errors import SandboxLost, SandboxUnavailable
from assurebot.ports import OnOutput
from assurebot.sandbox import pool as pool_module
from assurebot.sandbox.languages import Language
from assurebot.sandbox.pool import Box, Pool, PoolSize
from assurebot.values import Program, RunResult

OK = RunResult(outcome="ok", exit_code=0, grade="A")


class MemoryBox:
    """A box that runs until it is let go, and knows whether it was closed."""

    def __init__(self, made_for: Program | None) -> None:
        self.made_for = made_for
        self.ran: Program | None = None
        self.closed = 0
        self.dead = False
        self.may_end = asyncio.Event()
        self.began = asyncio.Event()

    async def run(
        self, program: Program, language: Language | None, on_output: OnOutput | None
    ) -> RunResult:
        """Run until `may_end`; break with SandboxLost if it was closed by then."""
        del language, on_output
        self.ran = program
        self.began.set()
        await self.may_end.wait()
        if self.dead or self.closed:
            raise SandboxLost("gone")
        return OK

    async def close(self) -> None:
        """Close it, which takes a moment."""
        self.closed += 1
        self.may_end.set()
        await asyncio.sleep(0)

    def alive(self) -> bool:
        """Tell whether the test let it live."""
        return not self.dead


class Works:
    """Makes boxes, and has all that it made; says no while `broken`."""

    def __init__(self) -> None:
        self.boxes: list[MemoryBox] = []
        self.broken = False
        self.tries = 0
        self.let_go = False
        self.at_once = self.most_at_once = 0

    async def make(self, program: Program | None, language: Language | None) -> Box:
        """Make a box, which takes a moment."""
        del language
        self.tries += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.001)
        finally:
            self.at_once -= 1
        if self.broken:
            raise SandboxUnavailable("no engine")
        box = MemoryBox(program)
        if self.let_go:
            box.may_end.set()
        self.boxes.append(box)
        return box

    @property
    def idle(self) -> list[MemoryBox]:
        """The boxes that wait."""
        return [b for b in self.boxes if not (b.ran or b.closed or b.dead or b.made_for)]

    def running(self) -> list[MemoryBox]:
        """The boxes that run something."""
        return [box for box in self.boxes if box.ran and not box.closed]


@asynccontextmanager
async def opened(
    works: Works,
    *,
    idle: int = 2,
    running: int = 4,
    waiting: int = 2,
    idle_seconds: float = 600,
) -> AsyncIterator[Pool]:
    """Give a pool that was filled; special are the programs in bash."""
    size = PoolSize(idle=idle, running=running, waiting=waiting, idle_seconds=idle_seconds)
    async with Pool(works.make, lambda program, _: program.language == "bash", size) as pool:
        await until(lambda: len(works.idle) == idle)
        yield pool


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - of things that tell nobody
            await asyncio.sleep(0.002)


def program(name: str = "") -> Program:
    """Return a program that can be told from others."""
    return Program(language="python", source=name)


def begin(pool: Pool, wanted: Program) -> asyncio.Task[RunResult]:
    """Begin a program."""
    return asyncio.create_task(pool.run(wanted, None, None))


async def ended(works: Works, *tasks: asyncio.Task[RunResult]) -> list[str]:
    """Let all boxes end; return how the programs were served."""
    works.let_go = True
    for box in works.boxes:
        box.may_end.set()
    return [(await task).served for task in tasks]


async def test_a_waiting_box_is_taken_and_replaced() -> None:
    """A program gets a waiting box for itself, which is closed after it; another one waits then."""
    works = Works()
    async with opened(works) as pool:
        first = works.idle[0]
        task = begin(pool, program())
        assert await ended(works, task) == ["warm"]
        assert first.ran == program()
        await until(lambda: first.closed == 1 and len(works.idle) == 2)
    assert [box.closed for box in works.boxes] == [1, 1, 1]


async def test_without_a_waiting_box_one_is_made() -> None:
    """When no box waits, one is made for the program, and the answer says so."""
    works = Works()
    async with opened(works, idle=1) as pool:
        tasks = [begin(pool, program(str(number))) for number in range(3)]
        await until(lambda: len(works.running()) == 3)
        assert await ended(works, *tasks) == ["warm", "cold", "cold"]


async def test_a_special_program_gets_a_box_of_its_own() -> None:
    """What no waiting box can run takes none of them."""
    works = Works()
    async with opened(works) as pool:
        special = Program(language="bash")
        assert await ended(works, begin(pool, special)) == ["cold"]
        assert [box.made_for for box in works.boxes if box.ran] == [special]
        assert len(works.idle) == 2


async def test_who_waits_for_a_place_is_queued_and_the_next_is_refused() -> None:
    """More than `running` programs wait in order; more than `waiting` of those hear "busy"."""
    works = Works()
    async with opened(works, idle=1, running=2, waiting=2) as pool:
        tasks = [begin(pool, program(str(number))) for number in range(4)]
        await until(lambda: len(works.running()) == 2)
        with pytest.raises(SandboxUnavailable, match=r"^busy: 2 programs wait already"):
            await pool.run(program(), None, None)
        tasks[2].cancel()
        await asyncio.wait({tasks[2]})
        tasks.append(begin(pool, program("4")))
        del tasks[2]
        assert await ended(works, *tasks) == ["warm", "cold", "queued", "queued"]


async def test_a_cancelled_program_is_gone_when_its_cancellation_is() -> None:
    """The box of a cancelled program is closed before anybody hears of it, its place is free."""
    works = Works()
    async with opened(works, running=1, waiting=0) as pool:
        task = begin(pool, program())
        await until(works.running)
        box = works.running()[0]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert box.closed == 1
        assert await ended(works, begin(pool, program())) == ["warm"]


async def test_cancelled_while_its_box_is_made_it_leaves_its_place() -> None:
    """A program that is cancelled before it has a box blocks nobody."""
    works = Works()
    async with opened(works, idle=0, running=1, waiting=0) as pool:
        task = begin(pool, program())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert works.boxes == []
        assert await ended(works, begin(pool, program())) == ["cold"]


async def test_a_lost_box_is_closed_and_told() -> None:
    """SandboxLost goes to the caller, and the box is closed all the same."""
    works = Works()
    async with opened(works) as pool:
        task = begin(pool, program())
        await until(works.running)
        box = works.running()[0]
        box.dead = True
        box.may_end.set()
        with pytest.raises(SandboxLost):
            await task
        assert box.closed == 1


async def test_dead_boxes_are_never_taken() -> None:
    """Waiting boxes that died are closed when a program comes, which gets one of its own."""
    works = Works()
    async with opened(works) as pool:
        dead = list(works.idle)
        for box in dead:
            box.dead = True
        assert await ended(works, begin(pool, program())) == ["cold"]
        await until(lambda: len(works.idle) == 2)
        assert [(box.closed, box.ran) for box in dead] == [(1, None)] * 2


async def test_boxes_do_not_wait_for_ever() -> None:
    """A box that waited for its time is closed, and another takes its place."""
    works = Works()
    async with opened(works, idle=1, idle_seconds=0.05):
        first = works.boxes[0]
        await until(lambda: first.closed == 1 and len(works.idle) == 1)


async def test_what_cannot_be_made_does_not_spin() -> None:
    """After a refill failed the next try waits for a second, or for the next program."""
    works = Works()
    async with opened(works) as pool:
        works.broken = True
        task = begin(pool, program())
        await until(lambda: works.tries == 3)
        await asyncio.sleep(0.3)
        assert works.tries == 3
        works.broken = False
        assert await ended(works, task, begin(pool, program())) == ["warm", "warm"]
        await until(lambda: len(works.idle) == 2)


async def test_without_boxes_the_reason_is_told() -> None:
    """A program whose box cannot be made hears why, and the next one may find it well."""
    works = Works()
    async with opened(works, idle=0, running=1) as pool:
        works.broken = True
        with pytest.raises(SandboxUnavailable, match="no engine"):
            await pool.run(program(), None, None)
        works.broken = False
        assert await ended(works, begin(pool, program())) == ["cold"]


async def test_two_are_started_at_a_time() -> None:
    """However many are missed, two boxes are made at one time."""
    works = Works()
    async with opened(works, idle=8):
        assert works.most_at_once == 2


async def test_what_fails_wakes_nobody() -> None:
    """Without a program nothing is tried again before its time, however many are missed."""
    works = Works()
    works.broken = True
    size = PoolSize(idle=8, running=1)
    async with Pool(works.make, lambda _program, _language: False, size):
        await asyncio.sleep(0.3)
        assert works.tries == 2


async def test_closing_waits_for_what_is_being_made() -> None:
    """A box that is made while the pool closes is closed with it, and its program is refused."""
    works = Works()
    async with opened(works, idle=0) as pool:
        making = begin(pool, program())
        await asyncio.sleep(0)
        assert works.at_once == 1
    assert [box.closed for box in works.boxes] == [1]
    with pytest.raises(SandboxUnavailable, match="closed"):
        await making


async def test_closing_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box that does not close is given up after a while, and nothing of the pool goes on."""
    monkeypatch.setattr(pool_module, "CLOSE_SECONDS", 0.05)
    works = Works()
    ends: list[int] = []

    async def hanging() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(len(ends))

    async with opened(works):
        for box in works.idle:
            box.close = hanging  # type: ignore[method-assign]  # it hangs
        before = asyncio.all_tasks()
    assert (ends, asyncio.all_tasks() - before) == ([0, 1], set())


async def test_closing_leaves_nothing() -> None:
    """All boxes are closed with the pool; what runs is lost, what waits or comes is refused."""
    works = Works()
    async with opened(works, running=1) as pool:
        running, waiting = begin(pool, program()), begin(pool, program())
        await until(works.running)
    found = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(error) for error in found] == [SandboxLost, SandboxUnavailable]
    assert all(box.closed for box in works.boxes)
    with pytest.raises(SandboxUnavailable, match="closed"):
        await pool.run(program(), None, None)
