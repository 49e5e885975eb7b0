"""The contract of boxes: the embedded one keeps it, and a box that does not is found out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from assurebot.errors import SandboxLost, SandboxUnavailable
from assurebot.sandbox.contract import CASES, Case, check
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.sandbox.probes import self_test
from assurebot.values import BoxLimits, BoxStanding, Program, RunResult
from tests.doubles import FakeSandbox


@pytest_asyncio.fixture
async def embedded(component: Path, tmp_path: Path) -> AsyncIterator[EmbeddedSandbox]:
    """Return an embedded box."""
    made = EmbeddedSandbox(
        limits=BoxLimits(), pool=2, scratch=tmp_path / "boxes", component=component
    )
    async with made as box:
        yield box


@pytest.mark.slow
async def test_the_embedded_box_keeps_the_contract(embedded: EmbeddedSandbox) -> None:
    """Every case holds; what grade C does not have is refused."""
    assert {name: seen for name, seen in (await check(embedded)).items() if seen} == {}


async def test_the_embedded_box_passes_its_self_test(embedded: EmbeddedSandbox) -> None:
    """All probes that apply to grade C hold, through the way that programs take."""
    test = await self_test(embedded)
    assert (test.failed, test.languages) == ((), ("python",))


async def test_a_refusal_is_held_in_grade_c_alone() -> None:
    """Other languages than Python may be refused in grade C; Python may not, and in A nothing."""
    held = {}
    for grade in ("A", "C"):
        box = FakeSandbox(
            lambda _program: SandboxUnavailable("not here"),
            standing=BoxStanding(backend="fake", grade=grade),
        )
        held[grade] = {case.language for case in CASES if await case.seen(box) is None}
    assert held == {"A": set(), "C": {"bash"}}


async def test_a_lost_box_is_never_a_refusal() -> None:
    """A box that goes away did not refuse: no case holds, in no language."""
    box = FakeSandbox(
        lambda _program: SandboxLost("gone"), standing=BoxStanding(backend="fake", grade="C")
    )
    assert {await case.seen(box) for case in CASES} == {"gone"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_no_case_holds_by_itself(case: Case) -> None:
    """A box that calls everything well done, and gives nothing, keeps only the bare exit."""
    box = FakeSandbox(lambda _program: RunResult(outcome="ok", exit_code=0, grade="A"))
    held = await case.seen(box) is None
    assert held == (case.name == "a bare exit is none")


async def test_what_is_wrong_is_said() -> None:
    """A case that is not held shows what was seen, in a line that is not endless."""
    result = RunResult(outcome="ok", exit_code=0, stdout="x" * 10_000, grade="A")
    seen = await CASES[0].seen(FakeSandbox(lambda _program: replace(result, seconds=2.5)))
    assert seen is not None
    assert (seen[:40], len(seen)) == ("2.5 s, RunResult(outcome='ok', exit_code", 500)


async def test_a_box_without_walls_is_found_out() -> None:
    """Traces, mixed answers, and an unknown language that is run are seen by the stories."""

    def answer(program: Program) -> RunResult:
        out = "[('trace', '78')]\n" if "trace" in program.source else "begun\n"
        return RunResult(outcome="ok", exit_code=0, stdout=out, grade="A")

    found = await check(FakeSandbox(answer))
    stories = (
        "a program sees nothing of the one before",
        "programs at one time are apart",
        "it ends when cancelled",
        "an unknown language is refused",
    )
    assert tuple(found)[-4:] == stories
    assert [name for name in stories if found[name] is None] == []
