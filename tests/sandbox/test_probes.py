"""The self-test: a box that breaks one promise fails exactly that probe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from assurebot.errors import SandboxLost, SandboxUnavailable
from assurebot.sandbox import probes
from assurebot.sandbox.probes import Probe, self_test
from assurebot.values import BoxStanding, Grade, Program, RunResult
from tests.doubles import FakeSandbox

NONE = "0" * 16
STATUS = {
    "Uid": "65534\t65534\t65534\t65534",
    "Gid": "65534\t65534\t65534\t65534",
    "Groups": " ",
    **{f"Cap{kind}": NONE for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")},
    "NoNewPrivs": "1",
    "Seccomp": "2",
}
DEVICES = "Inter-|   Receive\n face |bytes\n    lo:       0\n"
ROUTES = "Iface\tDestination\n"
NETWORK = ("no interface", "no route", "no names", "no connection")
SHARED = ("nothing writable", "no engine", "no environment", *NETWORK)
LIMITS = ("nothing left", "memory", "processes", "output", "time", "disk")
CONFINED = (
    *("no root", "no capabilities", "no new privileges", "system calls filtered"),
    "read-only root",
)


def facts_of(**status: str) -> dict[str, Any]:
    """Return what an honest container finds inside of itself, but for these lines of its status."""
    lines = "".join(f"{name}:\t{value}\n" for name, value in (STATUS | status).items())
    return {
        "network": {
            "SOCK_STREAM": "ENETUNREACH",
            "SOCK_DGRAM": "ENETUNREACH",
            "name": "gaierror(-3, 'x')",
        },
        "network_seconds": 0.01,
        "text": {
            "/proc/self/status": lines,
            "/proc/net/dev": DEVICES,
            "/proc/net/route": ROUTES,
            "/proc/self/mounts": "overlay / overlay ro,relatime 0 0\ntmpfs /tmp tmpfs rw 0 0\n",
        },
        "writable": [],
        "outside": ["/etc/passwd", "/usr"],
        "engines": [],
        "environment": ["PATH=/usr/bin", "HOME=/tmp", ""],
        "left": [],
        "languages": ["python", "bash", "klingon"],
    }


ENDS: dict[str, dict[str, Any]] = {
    probes.PLAIN: {"outcome": "ok", "stdout": "1\n"},
    probes.MEMORY: {"outcome": "out_of_memory", "exit_code": 137},
    probes.OUTPUT: {"outcome": "output_limit", "exit_code": 137, "stdout": "x" * (256 << 10)},
    probes.TIME: {"outcome": "timeout", "exit_code": 137, "stdout": "begun\n", "seconds": 1.0},
    probes.PROCESSES: {"outcome": "ok", "stdout": "126 BlockingIOError\n"},
    probes.DISK: {"outcome": "ok", "stdout": "ENOSPC\nENOSPC\n"},
}


class LyingBox(FakeSandbox):
    """An honest box but for what is told: other facts, another end of a program, an error."""

    def __init__(
        self,
        facts: dict[str, Any] | None = None,
        *,
        ends: dict[str, dict[str, Any] | Exception] | None = None,
        second: dict[str, Any] | None = None,
        grade: Grade = "A",
        network: bool = False,
    ) -> None:
        super().__init__(
            self.answer, standing=BoxStanding(backend="fake", grade=grade, network=network)
        )
        self.facts = facts_of() if facts is None else facts
        self.second = self.facts if second is None else second
        self.ends = {**ENDS, **(ends or {})}
        self.looks = 0

    def answer(self, program: Program) -> RunResult | Exception:
        """Run nothing, and say how it ended."""
        if program.files:
            self.looks += 1
            found = self.facts if self.looks == 1 else self.second
            end: dict[str, Any] | Exception = {"outcome": "ok", "stdout": json.dumps(found)}
        else:
            end = self.ends[program.source]
        if isinstance(end, Exception):
            return end
        return RunResult(**{"exit_code": 0, "grade": self.standing.grade, **end})


def changed(path: str, value: object, facts: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return honest facts with another value at a dotted path."""
    facts = facts or facts_of()
    *folders, last = path.split(".")
    found = facts
    for folder in folders:
        found = found[folder]
    found[last] = value
    return facts


async def test_an_honest_box_passes() -> None:
    """All promises of a container are tried, all hold, and the languages are those inside."""
    test = await self_test(LyingBox())
    assert tuple(probe.name for probe in test.probes) == (*CONFINED, *SHARED, *LIMITS)
    assert (test.failed, test.languages) == ((), ("python", "bash"))


INSIDE = "assurebot-secret-value"

LIES: list[tuple[str, Callable[[], LyingBox]]] = [
    ("no root", lambda: LyingBox(facts_of(Uid="0\t0\t0\t0"))),
    ("no root", lambda: LyingBox(facts_of(Uid="65534\t0\t65534\t65534"))),
    ("no root", lambda: LyingBox(facts_of(Groups="0 65534"))),
    *(
        ("no capabilities", lambda k=kind: LyingBox(facts_of(**{f"Cap{k}": "0" * 15 + "1"})))
        for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")
    ),
    ("no new privileges", lambda: LyingBox(facts_of(NoNewPrivs="0"))),
    ("system calls filtered", lambda: LyingBox(facts_of(Seccomp="0"))),
    ("read-only root", lambda: LyingBox(changed("text./proc/self/mounts", "o / o rw,x 0 0\n"))),
    ("read-only root", lambda: LyingBox(changed("text./proc/self/mounts", ""))),
    ("nothing writable", lambda: LyingBox(changed("writable", ["/usr"]))),
    ("no engine", lambda: LyingBox(changed("engines", ["/run/docker.sock"]))),
    ("no environment", lambda: LyingBox(changed("environment", [f"MADE_UP={INSIDE}"]))),
    ("no environment", lambda: LyingBox(changed("environment", [f"OTHER={INSIDE}"]))),
    ("no environment", lambda: LyingBox(changed("environment", ["MADE_SHORT=x"]))),
    ("no interface", lambda: LyingBox(changed("text./proc/net/dev", DEVICES + "  eth0: 0\n"))),
    ("no interface", lambda: LyingBox(changed("text./proc/net/dev", ""))),
    ("no route", lambda: LyingBox(changed("text./proc/net/route", ROUTES + "eth0\t0\n"))),
    ("no names", lambda: LyingBox(changed("network.name", ""))),
    ("no connection", lambda: LyingBox(changed("network.SOCK_STREAM", ""))),
    ("no connection", lambda: LyingBox(changed("network.SOCK_STREAM", "ECONNREFUSED"))),
    ("no connection", lambda: LyingBox(changed("network.SOCK_STREAM", "ETIMEDOUT"))),
    ("no connection", lambda: LyingBox(changed("network.SOCK_DGRAM", ""))),
    ("no connection", lambda: LyingBox(changed("network_seconds", 1.5))),
    ("nothing left", lambda: LyingBox(second=changed("left", ["./mark"]))),
    *(
        (name, lambda s=source, e=end: LyingBox(ends={s: e}))
        for name, source, end in (
            ("memory", probes.MEMORY, {"outcome": "timeout"}),
            ("memory", probes.MEMORY, {"outcome": "failed", "exit_code": 137}),
            ("memory", probes.MEMORY, SandboxLost("the box was lost")),
            ("output", probes.OUTPUT, {"outcome": "output_limit", "stdout": "x" * (1 << 20)}),
            ("output", probes.OUTPUT, {"outcome": "timeout"}),
            ("processes", probes.PROCESSES, {"outcome": "ok", "stdout": ""}),
            ("processes", probes.PROCESSES, {"outcome": "ok", "stdout": "299 BlockingIOError\n"}),
            ("memory", probes.MEMORY, {"outcome": "timeout", "exit_code": 137, "seconds": 0.5}),
            ("time", probes.TIME, {"outcome": "timeout", "seconds": 2.1}),
            ("time", probes.TIME, {"outcome": "failed", "exit_code": 137, "seconds": 1.0}),
            ("disk", probes.DISK, {"outcome": "ok", "stdout": "ENOSPC\n"}),
            ("disk", probes.DISK, {"outcome": "ok", "stdout": ""}),
            ("disk", probes.DISK, {"outcome": "timeout"}),
        )
    ),
]


@pytest.mark.parametrize(("name", "lie"), LIES)
async def test_each_lie_fails_its_probe(
    name: str, lie: Callable[[], LyingBox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One broken promise makes its own probe fail and no other one."""
    monkeypatch.setenv("MADE_UP", INSIDE)
    monkeypatch.setenv("MADE_SHORT", "x")
    assert [probe.name for probe in (await self_test(lie())).failed] == [name]


async def test_what_every_image_sets_is_no_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that images set for themselves may be the same inside and outside."""
    usual = {
        "PYTHON_VERSION": "3.11.2-something",
        "LC_ALL": "C.UTF-8",
        "JAVA_HOME": "/usr/lib/java",
    }
    for name, value in usual.items():
        monkeypatch.setenv(name, value)
    inside = [f"{name}={value}" for name, value in usual.items()]
    assert (await self_test(LyingBox(changed("environment", inside)))).failed == ()


async def test_no_value_of_a_variable_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaked is named, and not said again."""
    monkeypatch.setenv("MADE_UP", INSIDE)
    test = await self_test(LyingBox(changed("environment", [f"A={INSIDE}"])))
    assert test.failed == (Probe(name="no environment", ok=False, seen="MADE_UP"),)


async def test_time_counts_from_the_first_output() -> None:
    """A box that says it took no time but is late with its answer is not believed."""

    class Slow(LyingBox):
        async def run(self, program: Program, on_output: Any = None) -> RunResult:
            result = await super().run(program, on_output)
            if program.source == probes.TIME:
                await asyncio.sleep(0.1)
            return result

    box = Slow(ends={probes.TIME: {"outcome": "timeout", "exit_code": 137}})
    probes_of = {probe.name: probe for probe in (await self_test(box)).probes}
    assert probes_of["time"].seen == "timeout, exit 137, 0.1 s:"


async def test_a_limit_that_is_late_once_is_tried_again_alone() -> None:
    """A busy machine does not close a box: the second try counts, and nothing runs beside it."""
    box = LyingBox(ends={probes.TIME: {"outcome": "timeout", "exit_code": 137, "seconds": 3.0}})
    late = box.answer

    def answer(program: Program) -> RunResult | Exception:
        result = late(program)
        box.ends[program.source] = ENDS.get(program.source, {})
        return result

    box._run = answer
    assert (await self_test(box)).failed == ()
    tried = [program.source for program in box.programs]
    assert (tried.count(probes.TIME), tried[-1], len(tried)) == (2, probes.TIME, 8)


async def test_a_box_of_little_time_passes() -> None:
    """Where programs have less time than a probe needs, that limit bites; but memory is seen."""
    short = {"outcome": "timeout", "exit_code": 137, "seconds": 0.5}
    sources = (probes.DISK, probes.OUTPUT, probes.PROCESSES, probes.TIME)
    assert (await self_test(LyingBox(ends=dict.fromkeys(sources, short)))).failed == ()
    late = {**short, "seconds": 20.0}
    test = await self_test(LyingBox(ends=dict.fromkeys(sources[:3], late)))
    assert {probe.name for probe in test.failed} == {"disk", "output", "processes"}


async def test_an_open_network_is_said_and_does_not_fail() -> None:
    """Where the network is open by configuration its probes say so; all others count."""
    facts = changed("text./proc/net/dev", DEVICES + "  eth0: 0\n", changed("network.name", ""))
    facts = changed("network.SOCK_STREAM", "", changed("network_seconds", 3.0, facts))
    test = await self_test(LyingBox(facts, network=True))
    open_ones = tuple(probe.name for probe in test.probes if probe.seen == probes.OPEN)
    assert (test.failed, open_ones) == ((), NETWORK)


async def test_gvisor_needs_no_filter() -> None:
    """A box with a kernel of its own tells nothing of the host's, and ends at its limits."""
    limit = {"outcome": "failed", "exit_code": 137}
    ended: dict[str, dict[str, Any] | Exception] = {probes.MEMORY: limit, probes.PROCESSES: limit}
    facts = facts_of()
    said = facts["text"]["/proc/self/status"].splitlines(keepends=True)
    hidden = ("CapAmb", "NoNewPrivs", "Seccomp")  # as in runsc 20221219
    facts["text"]["/proc/self/status"] = "".join(x for x in said if not x.startswith(hidden))
    test = await self_test(LyingBox(facts, ends=ended, grade="A+"))
    assert test.failed == ()
    names = {probe.name for probe in test.probes}
    assert not names & {"system calls filtered", "no new privileges"}
    assert (await self_test(LyingBox(facts, ends=ended, grade="A"))).failed != ()


def webassembly(**other: object) -> dict[str, Any]:
    """Return what an honest embedded box finds: there is next to nothing."""
    nothing = dict.fromkeys(facts_of()["text"], "")
    refused = dict.fromkeys(("SOCK_STREAM", "SOCK_DGRAM", "name"), "EACCES")
    return {**facts_of(), "text": nothing, "outside": [], "network": refused, **other}


EMBEDDED: dict[str, dict[str, Any] | Exception] = {
    probes.PROCESSES: {"outcome": "ok", "stdout": "0 AttributeError\n"},
    probes.DISK: {"outcome": "failed", "exit_code": probes.QUOTA},
}


async def test_an_honest_embedded_box_passes() -> None:
    """The promises of grade C: nothing of the host is there, and what applies of the others."""
    test = await self_test(LyingBox(webassembly(), ends=EMBEDDED, grade="C"))
    assert tuple(probe.name for probe in test.probes) == ("nothing of the host", *SHARED, *LIMITS)
    assert test.failed == ()


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("nothing of the host", webassembly(outside=["/etc/passwd"])),
        ("no connection", changed("network.SOCK_STREAM", "", webassembly())),
        ("no connection", changed("network.SOCK_DGRAM", "ECONNREFUSED", webassembly())),
        ("no interface", changed("text./proc/net/dev", DEVICES, webassembly())),
        ("nothing writable", webassembly(writable=["/"])),
    ],
)
async def test_each_lie_of_an_embedded_box_fails_its_probe(
    name: str, facts: dict[str, Any]
) -> None:
    """One broken promise makes its own probe fail and no other one, in grade C too."""
    test = await self_test(LyingBox(facts, ends=EMBEDDED, grade="C"))
    assert [probe.name for probe in test.failed] == [name]


@pytest.mark.parametrize(
    "found",
    [[], {}, "x", 1, {**facts_of(), "text": {}}, {**facts_of(), "languages": None}],
)
async def test_what_makes_no_sense_fails(found: Any) -> None:
    """Facts that are no facts fail the self-test as a whole; nothing is raised."""
    box = LyingBox()
    box.facts = found
    test = await self_test(box)
    assert ([probe.name for probe in test.failed], test.languages) == (["inside"], ())


async def test_a_box_that_breaks_at_once_fails() -> None:
    """A box that is lost while another one runs has failed; that there is none is no failure."""

    def lost(program: Program) -> RunResult | Exception:
        ok = RunResult(outcome="ok", exit_code=0, grade="A")
        return ok if program.source == probes.PLAIN else SandboxLost("the box was lost")

    test = await self_test(FakeSandbox(lost))
    assert [(probe.name, probe.seen[:16]) for probe in test.failed] == [
        ("inside", "nothing is known")
    ]
    closed = FakeSandbox()
    closed.close("no engine")
    with pytest.raises(SandboxUnavailable, match=r"^no engine$"):
        await self_test(closed)


@pytest.mark.parametrize("source", [probes.MEMORY, probes.PROCESSES, probes.DISK, probes.TIME])
async def test_an_engine_that_goes_is_no_failed_promise(source: str) -> None:
    """Where nothing runs any more, or nothing ran, the test has no result."""
    gone = SandboxUnavailable("no engine")
    found: list[dict[str, dict[str, Any] | Exception]] = [
        {source: gone},
        {source: SandboxLost("lost"), probes.PLAIN: gone},
    ]
    for ends in found:
        with pytest.raises(SandboxUnavailable, match=r"^no engine$"):
            await self_test(LyingBox(ends=ends))


async def test_limits_are_those_of_the_box() -> None:
    """The probes ask for no more than programs usually get; memory is tried with less, in time."""
    box = LyingBox()
    await self_test(box)
    assert {program.language for program in box.programs} == {"python"}
    asked = {program.source: replace(program.limits, seconds=0) for program in box.programs}
    usual = replace(probes.LIMITS, seconds=0)
    assert asked.pop(probes.MEMORY) == replace(usual, memory_bytes=probes.LITTLE)
    assert set(asked.values()) == {usual}
