"""The choice: the best box that passes its self-test, nothing less in its place, never silently."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from assurebot.boxes import report
from assurebot.errors import SandboxLost, SandboxUnavailable
from assurebot.ports import Sandbox
from assurebot.sandbox import choice
from assurebot.sandbox.choice import Candidate, ChosenSandbox
from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.sandbox.probes import Probe, SelfTest
from assurebot.sandbox.profile import BoxPlan, EngineAddress
from assurebot.values import BoxLimits, BoxStanding, Grade, Program
from tests.doubles import FakeSandbox

PASSED = SelfTest(
    probes=(Probe(name="memory", ok=True, seen="held"),), languages=("python", "bash")
)
FAILED = SelfTest(
    probes=(
        Probe(name="memory", ok=False, seen="8 GB taken"),
        Probe(name="time", ok=True, seen="held"),
    )
)
STAYS = "it stays closed until the program starts anew"
FAILED_REASON = f"it failed its self-test: memory (8 GB taken); {STAYS}"


class Backend(FakeSandbox):
    """A box that can be opened and closed, and tells what happened to it."""

    def __init__(self, name: str, grade: Grade, *, absent: str = "") -> None:
        super().__init__(standing=BoxStanding(backend=name, grade=grade))
        self.absent = absent
        self.test = PASSED
        self.events: list[str] = []

    async def __aenter__(self) -> Self:
        self.events.append("open")
        if self.absent:
            raise SandboxUnavailable(self.absent)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.events.append("close")

    def knows(self, languages: Sequence[str]) -> None:
        """Keep them."""
        self.standing = replace(self.standing, languages=tuple(languages))


class Told:
    """Keeps what the choice tells."""

    def __init__(self) -> None:
        self.standings: list[tuple[SelfTest | None, BoxStanding]] = []

    async def __call__(self, test: SelfTest | None, standing: BoxStanding) -> None:
        """Keep it."""
        self.standings.append((test, standing))


async def result_of(box: Sandbox) -> SelfTest:
    """Give the result that the box was told to have."""
    assert isinstance(box, Backend)
    return box.test


def chosen(*boxes: Backend, told: Told | None = None) -> ChosenSandbox:
    """Return a choice among these."""
    candidates = [
        Candidate(name=box.standing.backend, open=lambda box=box: box)  # type: ignore[misc]  # bound now
        for box in boxes
    ]
    return ChosenSandbox(candidates, on_standing=told or Told(), test=result_of)


PROGRAM = Program(language="python", source="print(1)")


async def test_the_best_that_passes_is_kept() -> None:
    """The first candidate that passes is used, and no other one is opened."""
    docker, embedded, told = Backend("docker", "A"), Backend("embedded", "C"), Told()
    async with chosen(docker, embedded, told=told) as box:
        result = await box.run(PROGRAM)
        standing = BoxStanding(backend="docker", grade="A", languages=("python", "bash"))
        assert (result.backend, box.standing) == ("docker", standing)
        lines = ["docker: grade A, python, bash"]
        assert await report(box, test=False) == (True, lines)
    assert (docker.events, embedded.events) == (["open", "close"], [])
    assert told.standings == [(PASSED, standing)]


async def test_a_lower_grade_says_why_it_is_no_better() -> None:
    """Where the first cannot be opened the second is used, and the standing names the reason."""
    docker, embedded = Backend("docker", "A", absent="no engine"), Backend("embedded", "C")
    async with chosen(docker, embedded) as box:
        await box.run(PROGRAM)
        assert (box.standing.grade, box.standing.reason) == ("C", "docker: no engine")
        lines = ["docker: no engine", "embedded: grade C, python, bash"]
        assert await report(box, test=False) == (True, lines)


async def test_a_failed_probe_passes_the_candidate_over() -> None:
    """A candidate that fails its self-test is closed and told of, before the next one is tried."""
    docker, embedded, told = Backend("docker", "A"), Backend("embedded", "C"), Told()
    docker.test = FAILED
    async with chosen(docker, embedded, told=told) as box:
        await box.run(PROGRAM)
        assert docker.events == ["open", "close"]
        assert box.standing.reason == f"docker: {FAILED_REASON}"
    assert told.standings[0] == (FAILED, BoxStanding(backend="docker", reason=FAILED_REASON))
    assert [(test, standing.grade) for test, standing in told.standings[1:]] == [(PASSED, "C")]


async def test_a_failed_probe_closes_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no other candidate every program is refused with the probe's name, and never retried."""
    monkeypatch.setattr(choice, "RETRY_SECONDS", 0.0)
    docker, told = Backend("docker", "A"), Told()
    docker.test = FAILED
    async with chosen(docker, told=told) as box:
        for _ in range(2):
            with pytest.raises(SandboxUnavailable) as refused:
                await box.run(PROGRAM)
            assert str(refused.value) == f"docker: {FAILED_REASON}"
    assert (docker.events, docker.programs) == (["open", "close"], [])
    assert told.standings == [(FAILED, BoxStanding(backend="docker", reason=FAILED_REASON))]


async def test_without_candidates_the_reason_is_the_refusal() -> None:
    """What is switched off is refused with the reason given, which is told once."""
    told = Told()
    async with ChosenSandbox((), closed_reason="SANDBOX_ENABLED=false", on_standing=told) as box:
        with pytest.raises(SandboxUnavailable, match=r"^SANDBOX_ENABLED=false$"):
            await box.run(PROGRAM)
        assert await report(box, test=True) == (False, ["SANDBOX_ENABLED=false"])
    assert told.standings == [(None, BoxStanding(reason="SANDBOX_ENABLED=false"))]


async def test_programs_wait_for_the_self_test() -> None:
    """A program that comes before the box was tested runs after the test, not before."""
    passed = asyncio.Event()

    async def slow(box: Sandbox) -> SelfTest:
        await passed.wait()
        return await result_of(box)

    docker = Backend("docker", "A")
    candidates = [Candidate(name="docker", open=lambda: docker)]
    async with ChosenSandbox(candidates, on_standing=Told(), test=slow) as box:
        running = asyncio.create_task(box.run(PROGRAM))
        await asyncio.sleep(0.01)
        assert (docker.programs, running.done()) == ([], False)
        assert box.standing == BoxStanding(reason="the box is being opened and tested")
        passed.set()
        assert (await running).outcome == "ok"
        assert await box.chosen() == box.standing == docker.standing


async def test_an_engine_that_was_absent_is_tried_again_on_demand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that finds no box makes it be opened again, and runs in it if that succeeds."""
    monkeypatch.setattr(choice, "RETRY_SECONDS", 0.0)
    docker, told = Backend("docker", "A", absent="no engine"), Told()
    async with chosen(docker, told=told) as box:
        for _ in range(2):
            with pytest.raises(SandboxUnavailable, match=r"^docker: no engine$"):
                await box.run(PROGRAM)
        assert docker.events == ["open"] * 2
        docker.absent = ""
        assert (await box.run(PROGRAM)).backend == "docker"
    assert [(test, standing.reason) for test, standing in told.standings] == [
        (None, "docker: no engine"),
        (PASSED, ""),
    ]


async def test_it_is_not_tried_more_often_than_every_five_seconds() -> None:
    """Programs that come sooner are refused at once, and nothing is opened for them."""
    docker = Backend("docker", "A", absent="no engine")
    async with chosen(docker) as box:
        for _ in range(3):
            with pytest.raises(SandboxUnavailable):
                await box.run(PROGRAM)
        assert (docker.events, choice.RETRY_SECONDS) == (["open"], 5.0)


async def test_a_box_that_is_lost_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the chosen engine is gone programs are refused; nothing of a lower grade steps in."""
    monkeypatch.setattr(choice, "RETRY_SECONDS", 0.0)
    docker, embedded = Backend("docker", "A"), Backend("embedded", "C")
    async with chosen(docker, embedded) as box:
        await box.run(PROGRAM)
        standing = docker.standing
        docker.close("the engine is gone")
        with pytest.raises(SandboxUnavailable, match=r"^the engine is gone$"):
            await box.run(PROGRAM)
        assert (box.standing.grade, box.standing.reason) == (None, "the engine is gone")
        docker.standing = standing
        assert (await box.run(PROGRAM)).backend == "docker"
    assert (docker.events, embedded.events) == (["open", "close"], [])


async def test_a_later_test_that_fails_closes_the_box_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a failed proof no box is open, not even a lower one, and the owner's side is told."""
    monkeypatch.setattr(choice, "RETRY_SECONDS", 0.0)
    docker, embedded, told = Backend("docker", "A"), Backend("embedded", "C"), Told()
    async with chosen(docker, embedded, told=told) as box:
        assert await box.prove() == PASSED
        docker.test = FAILED
        assert await box.prove() == FAILED
        for attempt in (box.run(PROGRAM), box.prove()):
            with pytest.raises(SandboxUnavailable, match=r"memory \(8 GB taken\)"):
                await attempt
        assert box.standing.grade is None
    assert (docker.events, embedded.events) == (["open", "close"], [])
    assert [test for test, _ in told.standings] == [PASSED, FAILED]


async def test_a_proof_that_is_cancelled_closes_all_the_same() -> None:
    """A box that failed is closed even if whoever asked does not wait to be told."""

    async def hanging(test: SelfTest | None, _standing: BoxStanding) -> None:
        if test is FAILED:
            await asyncio.Event().wait()

    docker = Backend("docker", "A")
    candidates = [Candidate(name="docker", open=lambda: docker)]
    async with ChosenSandbox(candidates, on_standing=hanging, test=result_of) as box:
        await box.run(PROGRAM)
        docker.test = FAILED
        proof = asyncio.create_task(box.prove())
        await asyncio.wait({proof}, timeout=0.01)
        proof.cancel()
        await asyncio.wait({proof}, timeout=0.01)
        assert docker.events == ["open", "close"]


async def test_an_engine_that_goes_during_the_test_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be tested is not open, and has failed nothing: a later program may find it."""
    monkeypatch.setattr(choice, "RETRY_SECONDS", 0.0)
    gone = [SandboxLost("the box was lost"), SandboxUnavailable("no engine")]

    async def going(box: Sandbox) -> SelfTest:
        if gone:
            raise gone.pop(0)
        return await result_of(box)

    docker = Backend("docker", "A")
    candidates = [Candidate(name="docker", open=lambda: docker)]
    async with ChosenSandbox(candidates, on_standing=Told(), test=going) as box:
        for reason in ("the box was lost", "no engine"):
            with pytest.raises(SandboxUnavailable, match=f"^docker: {reason}$"):
                await box.run(PROGRAM)
        assert (await box.run(PROGRAM)).backend == "docker"
        gone.append(SandboxUnavailable("no engine"))
        lines = ["docker: grade A, python, bash", "no engine"]
        assert await report(box, test=True) == (False, lines)
        assert (await box.run(PROGRAM)).backend == "docker"


async def test_a_box_that_does_not_open_in_time_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A self-test without end does not keep programs waiting for ever: the next one is taken."""
    monkeypatch.setattr(choice, "OPEN_SECONDS", 0.05)

    async def hanging(box: Sandbox) -> SelfTest:
        if box is docker:
            await asyncio.Event().wait()
        return await result_of(box)

    docker, embedded = Backend("docker", "A"), Backend("embedded", "C")
    candidates = [
        Candidate(name="docker", open=lambda: docker),
        Candidate(name="embedded", open=lambda: embedded),
    ]
    async with ChosenSandbox(candidates, on_standing=Told(), test=hanging) as box:
        assert (await box.run(PROGRAM)).grade == "C"
        assert docker.events == ["open", "close"]


async def test_a_program_that_waits_is_refused_when_the_bot_stops() -> None:
    """Nothing waits for a box that will not come: a stop refuses what waits and what comes."""

    async def hanging(_box: Sandbox) -> SelfTest:
        await asyncio.Event().wait()
        return PASSED

    candidates = [Candidate(name="docker", open=lambda: Backend("docker", "A"))]
    async with ChosenSandbox(candidates, on_standing=Told(), test=hanging) as box:
        waiting = asyncio.create_task(box.run(PROGRAM))
        await asyncio.sleep(0)
    for attempt in (waiting, box.run(PROGRAM)):
        with pytest.raises(SandboxUnavailable, match=r"^the program is stopping$"):
            await attempt


async def test_without_an_engine_the_embedded_box_is_used(component: Path, tmp_path: Path) -> None:
    """With real boxes and no engine Python runs in grade C, and the reason names the engine."""
    address = EngineAddress(url=f"unix://{tmp_path}/nothing.sock")
    candidates = [
        Candidate(
            name="docker", open=lambda: DockerSandbox(BoxPlan(instance="none", engine=address))
        ),
        Candidate(
            name="embedded",
            open=lambda: EmbeddedSandbox(
                limits=BoxLimits(), pool=1, scratch=tmp_path / "boxes", component=component
            ),
        ),
    ]
    told = Told()
    async with ChosenSandbox(candidates, on_standing=told) as box:
        assert (await box.run(PROGRAM)).stdout == "1\n"
        assert (box.standing.backend, box.standing.grade) == ("embedded", "C")
        assert box.standing.reason.startswith("docker: ")
        assert (await box.prove()).failed == ()
    assert [(test is not None, standing.grade) for test, standing in told.standings] == [
        (True, "C")
    ]
