"""DockerSandbox on a real engine: what programs come to, and an engine that goes and comes back."""

import asyncio
import contextlib
import gc
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Any, cast
from uuid import uuid4

import pytest
import structlog

from assurebot.errors import SandboxLost, SandboxUnavailable
from assurebot.sandbox import engine as engine_module
from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.engine import Engine
from assurebot.sandbox.profile import LABEL, BoxPlan, EngineAddress
from assurebot.values import BoxFile, BoxLimits, BoxStanding, Program, RunResult
from tests.engine.conftest import Docker, OwnEngine

pytestmark = [
    pytest.mark.engine,
    # `docker` leaves a socket to the garbage collector when an engine dies in the middle of a call
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

SHARED = os.environ.get("DOCKER_HOST", EngineAddress().url)


def planned(image: str, url: str = SHARED, **more: Any) -> BoxPlan:
    """Return a plan of an installation of its own."""
    plan: dict[str, Any] = {
        "instance": uuid4().hex,
        "image": image,
        "pool": 1,
        "engine": EngineAddress(url=url),
    }
    return BoxPlan(**(plan | more))


@asynccontextmanager
async def opened(plan: BoxPlan) -> AsyncIterator[DockerSandbox]:
    """Give the sandbox of a plan; assert that it leaves nothing."""
    async with DockerSandbox(plan) as box:
        yield box
    assert await containers(plan) == []
    gc.collect()


async def containers(plan: BoxPlan) -> list[str]:
    """Return the names of an installation's containers."""
    command = ("docker", "-H", plan.engine.url, "ps", "-aq", "--filter")
    listing = await asyncio.create_subprocess_exec(
        *command,
        f"label={LABEL}={plan.instance}",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return (await listing.communicate())[0].decode().split()


@pytest.fixture
async def box(docker: Docker, box_image: str) -> AsyncIterator[DockerSandbox]:
    """Give a sandbox on the shared engine."""
    del docker
    async with opened(planned(box_image)) as sandbox:
        yield sandbox


def python(source: str, **limits: Any) -> Program:
    """Return a program in Python with these limits."""
    return Program(language="python", source=source, limits=BoxLimits(**({"seconds": 10} | limits)))


async def gone(plan: BoxPlan, names: Collection[str] | None = None) -> None:
    """Wait until these containers of an installation, or all, are gone."""
    async with asyncio.timeout(20):
        while found := await containers(plan):
            if names is not None and not set(names) & set(found):
                return
            await asyncio.sleep(0.05)


async def begun(box: DockerSandbox) -> asyncio.Task[RunResult]:
    """Begin a program that would sleep, and return it when it runs."""
    prints = asyncio.Event()
    source = "import time; print('runs'); time.sleep(50)"
    task = asyncio.create_task(box.run(python(source, seconds=50), lambda _: prints.set()))
    async with asyncio.timeout(20):
        await prints.wait()
    return task


async def warm(box: DockerSandbox, **limits: Any) -> RunResult:
    """Run something harmless until a waiting box serves it."""
    async with asyncio.timeout(20):
        while (result := await box.run(python("print(1)", **limits))).served != "warm":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.2)
    return result


TRACED = 'Traceback (most recent call last):\n  File "main.py", line 1, in <module>\n'
THREADS = (
    "import atexit, threading, time\n"
    "atexit.register(print, 'last')\n"
    "threading.Thread(target=lambda: (time.sleep(.2), print('thread'))).start()"
)
MAIN = (
    "print(__name__, __file__, [name for name in globals() if name[0] != '_'])\n"
    "import os, sys; print(sys.argv, sys.path[0], os.getcwd(), os.listdir('/proc/self/fd'))"
)
ENDS = [
    ("print('a'); print('ä')", ("ok", 0, "a\nä\n", "")),
    ("import sys; sys.stderr.write('e'); print('o')", ("ok", 0, "o\n", "e")),
    ("print('no end', end='')", ("ok", 0, "no end", "")),
    ("import sys; sys.stdout.buffer.write(b'\\xff\\0')", ("ok", 0, "\ufffd\0", "")),
    ("raise SystemExit(3)", ("failed", 3, "", "")),
    ("import sys; sys.exit('why')", ("failed", 1, "", "why\n")),
    ("import os; os._exit(7)", ("failed", 7, "", "")),
    ("import os; os.kill(os.getpid(), 11)", ("failed", 139, "", "")),
    ("import os; os.kill(os.getpid(), 15)", ("failed", 143, "", "")),
    ("import os; os.abort()", ("failed", 134, "", "")),
    ("raise KeyboardInterrupt", ("failed", 130, "", f"{TRACED}    raise KeyboardInterrupt\nKey")),
    ("input()", ("failed", 1, "", f"{TRACED}    input()\nEOFError: ")),
    ("import sys; print(1); sys.stdout.close(); sys.stderr = None", ("ok", 0, "1\n", "")),
    ("import sys; sys.stderr.close(); 1 / 0", ("failed", 1, "", "")),
    ("import atexit; atexit.register(print, 'x', end=''); exit(4)", ("failed", 4, "x", "")),
    ("def", ("failed", 1, "", '  File "main.py", line 1\n    def\n')),
    (THREADS, ("ok", 0, "thread\nlast\n", "")),
    (
        MAIN,
        (
            "ok",
            0,
            "__main__ /tmp/.program/main.py []\n['main.py'] /work /work ['0', '1', '2', '3']\n",
            "",
        ),
    ),
    ("import subprocess; subprocess.Popen(['sleep', '99']); print(1)", ("ok", 0, "1\n", "")),
    ("import os; [os.kill(1, n) for n in (9, 19, 2, 15, 17)]; print(1)", ("ok", 0, "1\n", "")),
]


@pytest.mark.parametrize(("source", "expected"), ENDS)
async def test_what_python_programs_come_to(
    box: DockerSandbox, source: str, expected: tuple[str, int, str, str]
) -> None:
    """Output, exit code and outcome are those of a Python of its own."""
    result = await box.run(python(source))
    *what, told = expected
    assert [result.outcome, result.exit_code, result.stdout] == what
    assert result.stderr.startswith(told)
    assert (result.stderr == "") == (told == "")
    assert (result.backend, result.grade, result.files) == ("docker", "A", ())
    assert 0 < result.seconds < 5


async def test_a_waiting_box_serves(box: DockerSandbox) -> None:
    """Boxes wait, one program each: what one leaves the next does not find."""
    await warm(box)
    leave = (
        "import os; os.makedirs('.h'); open('.h/x', 'w'); open('/tmp/x', 'w'); print(os.getpid())"
    )
    first = await box.run(python(leave))
    look = "import os; print(os.listdir('.'), os.path.exists('/tmp/x'))"
    second = await box.run(python(look))
    assert (first.path_changes, second.stdout) == (1, "[] False\n")


async def test_limits_end_a_program(box: DockerSandbox) -> None:
    """Time, memory and output each have their outcome, and what came before is kept."""
    began = time.monotonic()
    late = await box.run(python("import time; print('a'); time.sleep(99)", seconds=1))
    assert (late.outcome, late.exit_code, late.stdout) == ("timeout", 137, "a\n")
    assert time.monotonic() - began < 3
    deaf = "import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile 1: pass"
    assert (await box.run(python(deaf, seconds=0.3))).outcome == "timeout"
    big = await box.run(python("print('a'); b = bytearray(1 << 30)"))
    assert (big.outcome, big.exit_code, big.stdout) == ("out_of_memory", 137, "a\n")
    child = "import os, time\nif not os.fork(): b = bytearray(1 << 30)\ntime.sleep(9)"
    assert (await box.run(python(child))).outcome == "out_of_memory"
    for stream in ("stdout", "stderr"):
        flood = f"import sys\nwhile 1: sys.{stream}.write('x' * 5000)"
        loud = await box.run(python(flood, output_bytes=10_000))
        assert (loud.outcome, loud.exit_code) == ("output_limit", 137)
        assert getattr(loud, stream) == "x" * 10_000
        assert (loud.stdout_cut, loud.stderr_cut) == (stream == "stdout", stream == "stderr")
    fits = await box.run(python("print('x' * 9_999)", output_bytes=10_000))
    assert (fits.outcome, len(fits.stdout), fits.stdout_cut) == ("ok", 10_000, False)


async def test_limits_are_the_plans_at_most(box_image: str) -> None:
    """A program may ask for less than the plan has, never for more; less memory is a cold box."""
    limits = BoxLimits(seconds=1, memory_bytes=128 << 20, output_bytes=100, file_bytes=10)
    async with opened(planned(box_image, limits=limits)) as box:
        await warm(box)
        many = {"seconds": 99, "memory_bytes": 1 << 40, "output_bytes": 1 << 40, "file_bytes": 99}
        loud = await box.run(python("print('x' * 200)", **many))
        assert (loud.outcome, len(loud.stdout)) == ("output_limit", 100)
        await warm(box)
        big = await box.run(
            python("open('f', 'w').write('x' * 11); b = bytearray(1 << 28)", **many)
        )
        assert (big.outcome, big.files, big.files_left) == ("out_of_memory", (), 1)
        small = await box.run(python("b = bytearray(70 << 20)", memory_bytes=64 << 20))
        assert (small.outcome, small.served) == ("out_of_memory", "cold")
        assert (await box.run(python("while 1: pass", seconds=60))).outcome == "timeout"


async def test_files_go_in_and_come_out(box: DockerSandbox) -> None:
    """Input files are there; what is new or changed comes out, and regular files alone."""
    source = """
import os, socket
print(sorted(os.listdir('.')), open('in.bin', 'rb').read(), open('sp ace').read())
open('sp ace', 'a').write('+')
os.remove('gone')
os.mkdir('below'); open('below/out.txt', 'w').write('new')
open('.hidden', 'w').write('h')
os.symlink('/etc/passwd', 'link'); os.symlink('loop', 'loop'); os.symlink('/', 'below/root')
os.mkfifo('fifo'); socket.socket(socket.AF_UNIX).bind('sock')
os.link('below/out.txt', 'hard')
os.truncate(os.open('sparse', os.O_CREAT | os.O_WRONLY), 100 << 20)
open(b'b\\xffd', 'w').write('x'); open('--help\\n', 'w').write('y')
open('closed', 'w').close(); os.chmod('closed', 0)
"""
    files = {"in.bin": b"\xff\0", "sp ace": b"text", "gone": b"", "x/same": b"s"}
    result = await box.run(
        Program(
            language="py",
            source=source,
            files=tuple(BoxFile(name=name, data=data) for name, data in files.items()),
        )
    )
    assert result.stderr == ""
    assert result.stdout == "['gone', 'in.bin', 'same', 'sp ace'] b'\\xff\\x00' text\n"
    assert {file.name: file.data for file in result.files} == {
        "sp ace": b"text+",
        "out.txt": b"new",
        "hard": b"new",
        "b?d": b"x",
        "help_": b"y",
    }
    assert result.files_left == 2  # sparse and closed
    assert result.path_changes == 13


async def test_many_files_are_counted_not_carried(box: DockerSandbox) -> None:
    """At most 20 files and so many bytes come out, the rest is counted, and that is quick."""
    source = "for n in range(15_000): open(f'{n:05}', 'w').write('x')"
    result = await box.run(python(source, seconds=30))
    assert [file.name for file in result.files] == [f"{number:05}" for number in range(20)]
    assert (result.outcome, result.files_left, result.path_changes) == ("ok", 14_980, 15_000)
    source = "for n in range(3): open(f'{n}', 'w').write('x' * 50)"
    result = await box.run(python(source, file_bytes=120))
    assert ([len(file.data) for file in result.files], result.files_left) == ([50, 50], 1)


async def test_files_that_do_not_fit_are_told(box: DockerSandbox) -> None:
    """Input that is more than the box takes never runs; a name that it cannot have is a reason."""
    big = BoxFile(name="big", data=bytes((64 << 20) + 1))
    with pytest.raises(SandboxUnavailable, match=r"the files do not go .* it takes 67108864 bytes"):
        await box.run(Program(language="python", files=(big,)))
    half = BoxFile(name="big", data=bytes(32 << 20))
    source = "import os; print(os.path.getsize('big'))"
    result = await box.run(Program(language="python", source=source, files=(half,)))
    assert result.stdout == f"{32 << 20}\n"
    result = await box.run(python("#" * (9 << 20), memory_bytes=64 << 20))
    assert (result.outcome, result.exit_code) == ("failed", 125)
    assert result.stderr == "the files do not go into the box: No space left on device\n"


async def test_input_of_any_name_arrives_and_an_edit_comes_out(box: DockerSandbox) -> None:
    """Long names fit, like names are told apart, and an edit of the same size at once is seen."""
    names = ("\u6f22" * 100 + ".csv", "a.csv", "x/a.csv")
    files = tuple(BoxFile(name=name, data=b"%d" % n) for n, name in enumerate(names))
    source = (
        "import os, time\nprint({len(n): open(n).read() for n in os.listdir()})\n"
        "print(os.stat('a.csv').st_mtime < time.time() - 1); open('a.csv', 'r+b').write(b'Y')"
    )
    result = await box.run(Program(language="python", source=source, files=files))
    said = {69: "0", 5: "1", 7: "2"}
    assert sorted(result.stdout.splitlines()[0]) == sorted(str(said))
    assert result.stdout.endswith("True\n")
    assert result.files == (BoxFile(name="a.csv", data=b"Y"),)


async def test_a_big_file_comes_out_of_a_small_box(box: DockerSandbox) -> None:
    """Where memory is scarce a file that nearly fills it comes out all the same."""
    source = (
        "open('big', 'wb').write(bytes(15 << 20)); open('/tmp/full', 'wb').write(bytes(8 << 20))"
    )
    result = await box.run(python(source, memory_bytes=64 << 20))
    assert (result.outcome, result.stderr) == ("ok", "")
    assert [(file.name, file.data) for file in result.files] == [("big", bytes(15 << 20))]


PROCESSES = """
import multiprocessing
def double(number): return 2 * number
if __name__ == '__main__':
    multiprocessing.set_start_method('{}')
    with multiprocessing.Pool(1) as pool: print(pool.map(double, [21]))
"""


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
async def test_processes_can_be_started_in_any_way(box: DockerSandbox, way: str) -> None:
    """`multiprocessing` finds the program's own functions, however it starts."""
    result = await box.run(python(PROCESSES.format(way)))
    assert (result.outcome, result.stdout, result.stderr) == ("ok", "[42]\n", "")


HARM = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
x86, arm = (302, 203, 144, 142, 314, 141, 251), (261, 122, 119, 118, 274, 140, 30)
numbers = {'x86_64': x86, 'aarch64': arm}[platform.machine()]
limits, affinity, *scheduling, priority, input_output = numbers
room = ctypes.addressof(ctypes.create_string_buffer(64))
def call(*numbers):
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(*map(ctypes.c_long, numbers)) < 0 else 0
print([call(limits, one, 7, 0, room) for one in (1, 1 | 1 << 32, 0)])
print([call(affinity, 1, 8, room)] + [call(number, 1, 0, room) for number in scheduling])
print([call(priority, *which, 5) for which in ((0, 1), (2, 0), (0, 0))])
print([call(input_output, 1, who, 2 << 13 | 4) for who in (1, 0)])
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); os.nice(1); open('made', 'w').write('x')
"""


async def test_a_program_cannot_harm_the_first_process(box: DockerSandbox) -> None:
    """Limits and priorities are a process's own affair: those of others are refused (EPERM)."""
    result = await box.run(python(HARM))
    assert result.stdout == "[1, 1, 0]\n[1, 1, 1, 1]\n[1, 1, 0]\n[1, 0]\n"
    assert (result.outcome, result.stderr) == ("ok", "")
    assert result.files == (BoxFile(name="made", data=b"x"),)


async def test_shells_and_commands(box: DockerSandbox) -> None:
    """A shell program is a script of its own, a command is no shell's; both say how it ended."""
    script = "echo $0 $# $(pwd) | sed 's/x/x/'; yes | head -1; cat; exit 5"
    result = await box.run(Program(language="sh", source=script))
    assert result.stdout == "/tmp/.program/main.sh 0 /work\ny\n"  # noqa: S108 - the box's own
    assert result.exit_code == 5
    assert (await box.run(Program(language="bash", source="kill -9 $$"))).exit_code == 137
    said = await box.run(Program(argv=("echo", "$HOME", "a b", "{dir}x")))
    assert (said.outcome, said.stdout) == ("ok", "$HOME a b /tmp/.programx\n")
    assert (await box.run(Program(argv=("no-such-thing",)))).exit_code == 127
    assert (await box.run(Program(argv=("/etc/passwd",)))).exit_code == 126


async def test_output_is_shown_as_it_comes(box: DockerSandbox) -> None:
    """What is printed is told before the program ends, and byte by byte in few pieces."""
    shown: list[str] = []
    source = "import time\nprint('first')\ntime.sleep(.5)\nprint(list(shown))"
    began = time.monotonic()
    times: list[float] = []

    def show(text: str) -> None:
        shown.append(text)
        times.append(time.monotonic() - began)

    await box.run(python(source), show)
    assert shown[0] == "first\n"
    assert times[0] < times[-1] - 0.4
    shown.clear()
    source = "import os\nfor n in range(20_000): os.write(1, b'x')"
    assert (await box.run(python(source), show)).stdout == "x" * 20_000
    assert len(shown) < 500


async def test_a_cancelled_program_leaves_nothing(box_image: str) -> None:
    """After a cancellation its container and its processes are gone."""
    plan = planned(box_image, pool=0)
    async with opened(plan) as box:
        for delay in (0.02, 0.1, 1.0):
            task = asyncio.create_task(box.run(python("import time; time.sleep(30)", seconds=30)))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone(plan)


async def test_languages_are_those_that_were_found(box: DockerSandbox) -> None:
    """A language that the box does not have is refused by name, and never tried."""
    with pytest.raises(SandboxUnavailable, match=r"does not have 'cobol'; it has python,"):
        await box.run(Program(language="cobol", source=""))
    box.knows(["bash"])
    assert box.standing == BoxStanding(backend="docker", grade="A", languages=("bash",))
    with pytest.raises(SandboxUnavailable, match=r"'python'; it has bash \(an image built"):
        await box.run(python(""))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("unix:///nowhere/docker.sock", r"no container engine answers at .*; start Docker or set"),
        ("tcp://127.0.0.1:1", r"no container engine answers at tcp://127.0.0.1:1; start Docker"),
    ],
)
async def test_without_an_engine_the_reason_is_told(url: str, told: str) -> None:
    """An engine that is not there, or cannot be reached so, is refused with what would help."""
    with pytest.raises(SandboxUnavailable, match=told):
        async with DockerSandbox(planned("any", url)):
            pass


async def test_what_the_engine_lacks_is_told(docker: Docker, box_image: str) -> None:
    """An image is never pulled and a runtime never replaced: both refuse the start."""
    del docker
    with pytest.raises(SandboxUnavailable, match=r"no image no-such:1; build it: make sandbox-im"):
        async with DockerSandbox(planned("no-such:1")):
            pass
    with pytest.raises(SandboxUnavailable, match="no runtime runsc-none; register it"):
        async with DockerSandbox(planned(box_image, runtime="runsc-none")):
            pass
    async with opened(planned(box_image, cpus=500.0, pool=0)) as box:
        with pytest.raises(SandboxUnavailable, match=r"the engine refused: .*CPU"):
            await box.run(python("print(1)"))


async def test_left_over_containers_are_swept(docker: Docker, box_image: str) -> None:
    """What an earlier life of this installation left is removed at start, and no other's."""
    plan, other = planned(box_image), planned(box_image)
    try:
        for one in (plan, other):
            label = f"{LABEL}={one.instance}"
            made = docker("run", "-d", "--net=none", "--label", label, box_image, "sleep", "99")
            assert made.returncode == 0, made.stderr
        async with opened(planned(box_image, instance=plan.instance, pool=0)):
            assert await containers(plan) == []
            assert len(await containers(other)) == 1
    finally:
        docker("rm", "-f", *await containers(other))


async def test_a_crash_of_ours_leaves_nothing(box_image: str) -> None:
    """When the streams of a killed process close, its containers end and are removed."""
    plan = planned(box_image)
    async with DockerSandbox(plan) as box:
        await warm(box)
        running = await begun(box)
        async with asyncio.timeout(20):
            while not box._pool._idle:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.05)
        before = await containers(plan)
        assert len(before) == 2
        for one in box._pool._boxes:
            cast("Any", one)._stream.close()  # what the kernel does then
        await gone(plan, before)
        with pytest.raises(SandboxLost):
            await running


async def test_closing_waits_for_boxes_that_are_made(box_image: str) -> None:
    """Programs whose boxes are being made are refused at the end, and no container is left."""
    plan = planned(box_image, pool=0)
    async with opened(plan) as box:
        runs = [asyncio.create_task(box.run(python("print(1)"))) for _ in range(4)]
        await asyncio.sleep(0.08)
    found = await asyncio.gather(*runs, return_exceptions=True)
    assert {type(error) for error in found} <= {SandboxUnavailable, SandboxLost}
    assert box._engine._names == set()


async def test_a_program_that_ends_its_box_is_told(docker: Docker, box_image: str) -> None:
    """Where the box is gone and the engine is not the program failed, and nothing else did."""
    plan = planned(box_image, pool=0)
    async with opened(plan) as box:
        running = await begun(box)
        assert docker("kill", *await containers(plan)).returncode == 0
        result = await running
        assert (result.outcome, result.exit_code) == ("failed", 137)
        assert result.stdout == "runs\n"
        assert result.stderr.startswith("the program ended its box")
        assert result.seconds > 0
        assert box._linked


async def test_a_tested_image_is_kept(docker: Docker, box_image: str, tmp_path: Path) -> None:
    """When the engine is found again a name that means another image now changes nothing."""
    name = f"assurebot-test-{uuid4().hex}"
    try:
        docker("tag", box_image, name)
        plan = planned(name, pool=0)
        async with opened(plan) as box:
            (tmp_path / "Dockerfile").write_text(f"FROM {box_image}\nLABEL other=1\n")
            assert docker("build", "-t", name, str(tmp_path)).returncode == 0
            box._linked = False  # as after an engine that went
            running = await begun(box)
            used = docker("inspect", "-f", "{{.Image}}", *await containers(plan)).stdout
            running.cancel()
            images = [docker("inspect", "-f", "{{.Id}}", one).stdout for one in (box_image, name)]
            assert [image == used for image in images] == [True, False]
    finally:
        docker("rmi", name)


async def test_boxes_that_do_not_start_are_tried_less_and_less(
    docker: Docker, box_image: str, tmp_path: Path
) -> None:
    """With an image whose runner ends at once the next tries are a second, two, four later."""
    name = f"assurebot-test-{uuid4().hex}"
    broken = f"FROM {box_image}\nRUN ln -s /bin/false /usr/local/bin/python3\n"
    (tmp_path / "Dockerfile").write_text(broken)
    assert docker("build", "--network=none", "-t", name, str(tmp_path)).returncode == 0
    try:
        with structlog.testing.capture_logs() as logs:
            async with opened(planned(name)):
                await asyncio.sleep(4)
        tries = [one["reason"] for one in logs if one["event"] == "sandbox_refill_failed"]
        assert tries == ["the box did not start: it ended"] * len(tries)
        assert 2 <= len(tries) <= 3
    finally:
        docker("rmi", name)


@asynccontextmanager
async def pretended(
    folder: Path, answers: Mapping[str, object], seconds: float = 0
) -> AsyncIterator[Engine]:
    """Give an engine that answers so to these paths, each after a time, and 500 to all others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = re.sub(r"/v[0-9.]+|[?].*", "", head.split(" ")[1])
            await asyncio.sleep(seconds * (path != "/_ping"))
            code = 200 if path in answers else 500
            body = json.dumps(answers.get(path, "")).encode()
            told = f"HTTP/1.1 {code} -\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n"
            writer.write(f"{told}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
            await writer.drain()
        writer.close()

    socket = folder / "engine.sock"
    async with await asyncio.start_unix_server(serve, socket):
        engine = Engine(EngineAddress(url=f"unix://{socket}"))
        try:
            yield engine
        finally:
            await engine.close()


HOLDS = {"MemoryLimit": True, "SwapLimit": True, "PidsLimit": True, "Runtimes": {"runc": {}}}
QUIET = {"/_ping": "OK", "/info": HOLDS}


@pytest.mark.parametrize("limit", ["MemoryLimit", "SwapLimit", "PidsLimit"])
async def test_an_engine_that_holds_no_limits_is_refused(tmp_path: Path, limit: str) -> None:
    """An engine that says that it cannot hold a limit is no box, and the limit is named."""
    async with pretended(tmp_path, QUIET | {"/info": HOLDS | {limit: False}}) as engine:
        with pytest.raises(SandboxUnavailable, match=f"^the engine holds no limits: .* {limit}$"):
            await engine.connect(None)


async def test_a_busy_engine_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More calls than threads, each slow: while a ping is answered all of them have their time."""
    monkeypatch.setattr(engine_module, "DOUBT_SECONDS", 0.1)
    made = QUIET | {"/containers/x/start": {}}
    async with pretended(tmp_path, made, seconds=0.5) as engine:
        await engine.connect(None)
        await asyncio.gather(*(engine.start("x") for _ in range(engine_module.THREADS + 8)))


async def test_a_container_that_stays_stops_nothing(tmp_path: Path) -> None:
    """What cannot be removed is logged, and the sweep goes on."""
    left = [{"Names": ["/a"]}, {"Names": ["/b"]}]
    async with pretended(
        tmp_path, QUIET | {"/containers/json": left, "/containers/b": {}}
    ) as engine:
        await engine.connect(None)
        with structlog.testing.capture_logs() as logs:
            assert await engine.sweep("instance") == 2
        assert [(one["event"], one["box"]) for one in logs] == [("sandbox_box_left", "a")]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["kill", "stop"])
async def test_an_engine_that_goes_and_comes_back(
    own_engine: OwnEngine, box_image: str, way: str
) -> None:
    """A running program is lost, the next is refused, and after the return all is as before."""
    plan = planned(box_image, own_engine.url)
    async with opened(plan) as box:
        await warm(box)
        running = await begun(box)
        ending = asyncio.create_task(asyncio.to_thread(getattr(own_engine, way)))
        with pytest.raises(SandboxLost):
            async with asyncio.timeout(5 if way == "kill" else 20):
                await running
        await ending
        with pytest.raises(SandboxUnavailable, match="no container engine answers"):
            async with asyncio.timeout(5):
                await box.run(python("print(1)"))
        await asyncio.to_thread(own_engine.start)
        assert (await box.run(python("print(1)"))).stdout == "1\n"
        await warm(box)


@pytest.mark.slow
async def test_an_engine_that_hangs(own_engine: OwnEngine, box_image: str) -> None:
    """Every call to an engine that does not answer ends in time, and it may wake up again."""
    async with opened(planned(box_image, own_engine.url, pool=0)) as box:
        assert (await box.run(python("print(1)"))).stdout == "1\n"
        own_engine.freeze()
        try:
            began = time.monotonic()
            runs = [box.run(python("print(1)")) for _ in range(5)]
            found = await asyncio.gather(*runs, return_exceptions=True)
            assert [type(error) for error in found] == [SandboxUnavailable] * 5
            with pytest.raises(SandboxUnavailable):
                await box.run(python("print(1)"))
            assert time.monotonic() - began < 15
        finally:
            own_engine.freeze(on=False)
        assert (await box.run(python("print(1)"))).stdout == "1\n"


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
async def test_an_engine_by_tcp(own_engine: OwnEngine, box_image: str) -> None:
    """A job travels over TCP as it does over a socket, whatever proxies the environment names."""
    url = f"tcp://127.0.0.1:{free_port()}"
    own_engine.start("-H", url)
    async with opened(planned(box_image, url)) as box:
        assert (await warm(box)).stdout == "1\n"


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Return a folder with an authority, and certificates by it of the engine and of ours."""

    def openssl(*arguments: str) -> None:
        program = shutil.which("openssl")
        assert program is not None
        subprocess.run([program, *arguments], cwd=tmp_path, check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    for name, usage in (("server", "serverAuth"), ("", "clientAuth")):
        key, request, cert = (
            f"{name}{'-' if name else ''}{kind}" for kind in ("key.pem", "request.pem", "cert.pem")
        )
        (tmp_path / "more").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        openssl("req", *new, "-keyout", key, "-out", request, "-subj", "/CN=one")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        openssl("x509", "-req", "-in", request, *signing, "-extfile", "more", "-out", cert)
    return tmp_path


@pytest.mark.slow
async def test_an_engine_by_tls(
    own_engine: OwnEngine, box_image: str, certificates: Path, tmp_path: Path
) -> None:
    """With certificates the whole way is TLS, and an engine of another authority is refused."""
    url = f"tcp://127.0.0.1:{free_port()}"
    own_engine.start(
        *("-H", url, "--tlsverify", f"--tlscacert={certificates}/ca.pem"),
        *(f"--tlscert={certificates}/server-cert.pem", f"--tlskey={certificates}/server-key.pem"),
    )
    address = EngineAddress(url=url, tls_verify=True, cert_path=certificates)
    plan = planned(box_image, engine=address)
    async with DockerSandbox(plan) as box:
        assert (await warm(box)).stdout == "1\n"
        running = await begun(box)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert own_engine("ps", "-aq").stdout == ""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("cert.pem", "key.pem"):
        shutil.copy(certificates / name, other)
    shutil.copy(certificates / "server-cert.pem", other / "ca.pem")
    for wrong in (None, other, Path("/nowhere")):
        address = EngineAddress(url=url, tls_verify=True, cert_path=wrong)
        with pytest.raises(
            SandboxUnavailable, match=r"no secure connection to .* DOCKER_CERT_PATH"
        ):
            async with DockerSandbox(planned(box_image, engine=address)):
                pass
