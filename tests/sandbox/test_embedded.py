"""The embedded box: what programs try in it, what is left of them, and what it does not have."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

import assurebot
from assurebot.errors import SandboxLost, SandboxUnavailable
from assurebot.sandbox.component import default_folder
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.sandbox.worker import DISK_BYTES, DISK_FILES, _within_quota
from assurebot.values import BoxFile, BoxLimits, Program, RunResult

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLEEP = "import time\nprint('begun')\ntime.sleep(60)"
TRAP = "wasm trap: call stack exhausted\n"
FULL = "killed: no space left on the box's disk\n"
WATCH_SLACK_BYTES = 32 << 20
NAMELESS = """
import os
kept = []
while True:
    kept.append(open('x', 'wb'))
    os.unlink('x')
    kept[-1].write(bytes(8 << 20))
"""
RESTLESS = """
import os
for n in range(10_000):
    open(f'{n}', 'wb').write(bytes(1 << 20))
    for folder in 'abcdefgh':
        os.mkdir(folder)
        os.rmdir(folder)
"""
TRACE = """Traceback (most recent call last):
  File "main.py", line 4, in <module>
    f()
    ~^^
  File "main.py", line 2, in f
    return 1 / 0
           ~~^~~
ZeroDivisionError: division by zero
"""
NO_INPUT = """Traceback (most recent call last):
  File "main.py", line 1, in <module>
    input()
    ~~~~~^^
EOFError: EOF when reading a line
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that programs write below."""
    return tmp_path_factory.mktemp("boxes")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(component: Path, scratch: Path) -> AsyncIterator[EmbeddedSandbox]:
    """Return a box that most tests share."""
    limits = BoxLimits(seconds=20)
    async with EmbeddedSandbox(
        limits=limits, pool=1, scratch=scratch, component=component
    ) as opened:
        yield opened
    assert _left(scratch) == []


async def _run(box: EmbeddedSandbox, source: str, seconds: float = 20) -> RunResult:
    program = Program(language="python", source=source, limits=BoxLimits(seconds=seconds))
    return await box.run(program)


def _own(component: Path, scratch: Path) -> EmbeddedSandbox:
    return EmbeddedSandbox(limits=BoxLimits(), pool=0, scratch=scratch, component=component)


async def _begun(box: EmbeddedSandbox) -> asyncio.Task[RunResult]:
    """Return a program that runs by now, and will sleep."""
    begun = asyncio.Event()
    program = Program(language="python", source=SLEEP)
    running = asyncio.create_task(box.run(program, lambda _text: begun.set()))
    async with asyncio.timeout(20):
        await begun.wait()
    return running


def _left(scratch: Path) -> list[Path]:
    return list(scratch.iterdir())


def _used(scratch: Path) -> int:
    """Return the bytes in what the programs of boxes wrote, folders in folders left out."""
    total = 0
    for where, folders, names in os.walk(scratch):  # which takes no harm where one is removed
        if len(Path(where).relative_to(scratch).parts) == 2:
            folders.clear()
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(where, name).lstat().st_blocks * 512
    return total


def _about(worker: int, name: str) -> str:
    return Path(f"/proc/{worker}/{name}").read_text()


def _nest(folder: Path, depth: int) -> None:
    before = Path.cwd()
    folder.mkdir()
    os.chdir(folder)
    try:
        for _ in range(depth):
            Path("x").mkdir()
            os.chdir("x")
    finally:
        os.chdir(before)


def _workers(scratch: Path) -> list[int]:
    """Return the processes that were started for boxes below a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{scratch}".encode() in command:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    "source",
    [
        "sum(range(10**10))",
        "import re\nre.match('(a+)+$', 'a' * 40 + 'b')",
        "import time\ntime.sleep(60)",
        "while True:\n    try:\n        x = 10 ** 6\n    except BaseException:\n        pass",
    ],
)
async def test_nothing_runs_on(box: EmbeddedSandbox, source: str) -> None:
    """What does not come back to Python, or waits outside of it, ends at its limit all the same."""
    result = await _run(box, source, seconds=1)
    assert (result.outcome, result.exit_code, result.stderr) == ("timeout", 137, "")
    assert 1 <= result.seconds < 1.5


@pytest.mark.parametrize(
    "source",
    [
        "kept = []\nwhile True:\n    kept.append('x' * 100_000)",
        "bytearray(10**9)",
        "import io\nfile = io.BytesIO()\nwhile True:\n    file.write(bytes(1 << 20))",
        "import json\njson.loads('[' + '[1],' * 10**7 + '[]]')",
    ],
)
async def test_memory_is_limited(box: EmbeddedSandbox, source: str) -> None:
    """A program that dies for want of memory says so in its outcome."""
    result = await _run(box, source)
    assert (result.outcome, result.exit_code) == ("out_of_memory", 137)
    assert result.stderr.endswith("MemoryError\n")


async def test_a_memory_error_can_be_caught(box: EmbeddedSandbox) -> None:
    """Who catches it goes on."""
    source = "try:\n    bytearray(10**9)\nexcept MemoryError:\n    print('less')"
    result = await _run(box, source)
    assert (result.outcome, result.stdout) == ("ok", "less\n")


async def test_less_memory_takes_a_box_of_its_own(box: EmbeddedSandbox) -> None:
    """A program may have less memory than the waiting boxes have, and is held to it."""
    program = Program(
        language="python",
        source="print(1)\nbytearray(100 << 20)",
        limits=BoxLimits(memory_bytes=128 << 20),
    )
    result = await box.run(program)
    assert (result.outcome, result.stdout, result.served) == ("out_of_memory", "1\n", "cold")


@pytest.mark.parametrize(
    "source",
    [
        "import json\njson.loads('[' * 10**6)",
        "deep = []\nfor _ in range(10**6):\n    deep = [deep]\nrepr(deep)",
        "deep = []\nfor _ in range(10**6):\n    deep = [deep]\ndel deep",
    ],
)
async def test_a_trap_is_named(box: EmbeddedSandbox, source: str) -> None:
    """Where the stack ends the program fails, and its errors say why."""
    result = await _run(box, source)
    assert (result.outcome, result.exit_code, result.stderr) == ("failed", 134, TRAP)


async def test_recursion_is_an_error(box: EmbeddedSandbox) -> None:
    """Endless calls end as everywhere in Python; deep ones work if they are asked for."""
    deep = "def f(n):\n    return n and 1 + f(n - 1)\n"
    result = await _run(box, f"{deep}f(10**6)")
    assert result.stderr.endswith("RecursionError: maximum recursion depth exceeded\n")
    result = await _run(box, f"import sys\nsys.setrecursionlimit(30_000)\n{deep}print(f(20_000))")
    assert (result.stdout, result.stderr) == ("20000\n", "")


REFUSED = {
    "open('/etc/passwd')": "FileNotFoundError: [Errno 44] No such file or directory: '/etc/passwd'",
    "open('../etc/passwd')": "PermissionError: [Errno 63] Operation not permitted: '../etc/passwd'",
    "import os; os.listdir('/')": "FileNotFoundError: [Errno 44] No such file or directory: '/'",
    "import os; os.link('/proc/self/mem', 'm')": "FileNotFoundError: [Errno 44] "
    "No such file or directory: '/proc/self/mem' -> 'm'",
    "import socket; socket.socket().connect(('127.0.0.1', 80))": "PermissionError: [Errno 2] "
    "Permission denied",
    "import os; os.fork()": "AttributeError: module 'os' has no attribute 'fork'",
    "import os; os.kill(1, 9)": "AttributeError: module 'os' has no attribute 'kill'",
    "import ctypes": "ModuleNotFoundError: No module named 'ctypes'",
    "import threading; threading.Thread(target=print).start()": "RuntimeError: "
    "can't start new thread",
    "import subprocess; subprocess.run(['ls'])": "OSError: [Errno 58] "
    "wasi does not support processes.",
}


@pytest.mark.parametrize("source", REFUSED)
async def test_there_is_no_way_out(box: EmbeddedSandbox, source: str) -> None:
    """Files outside, sockets, processes and native code are not there, and Python says so."""
    result = await _run(box, source)
    assert result.stderr.splitlines()[-1] == REFUSED[source]
    assert (result.outcome, result.exit_code) == ("failed", 1)


async def test_a_link_leads_nowhere(box: EmbeddedSandbox) -> None:
    """A link to the outside can neither be made nor be followed, whatever way it is written."""
    source = (
        "import os\nfor target in ('/etc', '../..', '/proc/self/root'):\n    try:\n"
        "        os.symlink(target, 'link')\n        print(os.listdir('link'))\n"
        "    except OSError as error:\n        print(type(error).__name__)\n"
    )
    result = await _run(box, source)
    assert (result.stdout, result.files) == ("PermissionError\n" * 3, ())


async def test_nothing_of_the_daemon_is_inside(
    component: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the program nor the process around it has anything of the daemon's environment."""
    monkeypatch.setenv("ASSUREBOT_CANARY", "x")
    async with _own(component, tmp_path) as box:
        result = await _run(box, "import os\nprint(dict(os.environ))")
        assert result.stdout == "{'HOME': '/tmp'}\n"
        running = await _begun(box)
        (worker,) = _workers(tmp_path)
        try:
            assert _about(worker, "environ") == ""
        except PermissionError:
            assert os.geteuid() != 0  # only root may look into it
        limits = {
            line[:26].strip(): line[26:47].strip() for line in _about(worker, "limits").splitlines()
        }
        assert (limits["Max core file size"], limits["Max open files"]) == ("0", "128")
        assert limits["Max file size"] == str(DISK_BYTES)
        assert "NoNewPrivs:\t1\n" in _about(worker, "status")
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize(
    "source",
    [
        "for n in range(10_000):\n    open(f'{n}', 'wb').write(bytes(1 << 20))",
        "for n in range(10_000):\n    open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))",
        "for n in range(100_000):\n    open(f'{n}', 'w').close()",
        NAMELESS,
        RESTLESS,
        "import os\nwhile True:\n    os.mkdir('x')\n    os.chdir('x')\n    open('f', 'w').close()",
    ],
)
async def test_the_disk_is_limited(box: EmbeddedSandbox, scratch: Path, source: str) -> None:
    """Bytes, files with and without names, and depth: too much of any ends the program."""
    most = 0
    running = asyncio.create_task(_run(box, source))
    while not running.done():
        most = max(most, await asyncio.to_thread(_used, scratch))
    result = await running
    assert (result.outcome, result.exit_code, result.stderr) == ("failed", 153, FULL)
    assert most <= DISK_BYTES + WATCH_SLACK_BYTES


async def test_a_file_is_limited(box: EmbeddedSandbox) -> None:
    """One file cannot grow over the whole quota: writing it fails."""
    source = (
        "with open('big', 'wb', buffering=0) as file:\n    file.seek(64 << 20)\n"
        "    try:\n        file.write(b'x')\n    except OSError as error:\n        print(error)"
    )
    assert (await _run(box, source)).stdout == "[Errno 29] I/O error\n"


PYTHON = {
    "held = open('held.txt', 'w')\nheld.write('kept')": ("", ""),
    "import atexit\natexit.register(print, 'last')": ("last\n", ""),
    "import os\nos._exit(4)": ("", ""),
    "import mine\nprint(mine.X, __name__, __file__)": ("5 __main__ /work/main.py\n", ""),
    "import os, tempfile\nprint(os.getcwd(), tempfile.gettempdir())": ("/work /tmp\n", ""),
    "import asyncio\n\nasync def main():\n    try:\n        async with asyncio.timeout(0.01):\n"
    "            await asyncio.sleep(9)\n    except TimeoutError:\n        print('late')\n\n"
    "asyncio.run(main())": ("late\n", ""),
    "def f():\n    return 1 / 0\n\nf()": ("", TRACE),
    "input()": ("", NO_INPUT),
    "import io, sys\nprint('a', end='')\nsys.stdout = io.StringIO()\nprint('b')": ("a", ""),
    "import sys\nsys.__stdout__.write('c')\ndel sys.modules['__main__']": ("c", ""),
    "import sys\nsys.stderr.close()\n1 / 0": ("", ""),
}


@pytest.mark.parametrize("source", PYTHON)
async def test_it_is_python(box: EmbeddedSandbox, source: str) -> None:
    """Programs find what they are used to: files closed at the end, timers, traces, own modules."""
    files = (BoxFile(name="mine.py", data=b"X = 5\n"),)
    result = await box.run(Program(language="python", source=source, files=files))
    assert (result.stdout, result.stderr) == PYTHON[source]
    kept = (BoxFile(name="held.txt", data=b"kept"),) if "held" in source else ()
    assert (result.files, result.files_left) == (kept, 0)


async def test_chance_is_fresh(box: EmbeddedSandbox) -> None:
    """No two programs draw the same numbers, although all come from one frozen image."""
    source = (
        "import random, secrets, uuid\nprint(random.random(), secrets.randbits(99), uuid.uuid4())"
    )
    first, second = [(await _run(box, source)).stdout.split() for _ in range(2)]
    assert len({*first, *second}) == 6


async def test_others_than_python_are_refused(box: EmbeddedSandbox) -> None:
    """Other languages and commands are refused, and the text says what has them."""
    for program, name in (
        (Program(language="bash", source="ls"), "bash"),
        (Program(language="cobol", source="x"), "cobol"),
        (Program(argv=("ls", "-l")), "ls"),
    ):
        with pytest.raises(SandboxUnavailable) as caught:
            await box.run(program)
        assert str(caught.value) == (
            f"{name} is not in this box, which has Python alone;"
            " a container engine (grade A) has more"
        )


async def test_cancelling_leaves_nothing(component: Path, tmp_path: Path) -> None:
    """A program that is cancelled is gone with its process and its folder."""
    async with _own(component, tmp_path) as box:
        running = await _begun(box)
        assert len(_workers(tmp_path)) == 1
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (_workers(tmp_path), _left(tmp_path)) == ([], [])


async def test_a_killed_worker_is_a_lost_box(component: Path, tmp_path: Path) -> None:
    """When the process is killed from outside the box is lost, and the next program runs."""
    async with _own(component, tmp_path) as box:
        running = await _begun(box)
        for worker in _workers(tmp_path):
            os.kill(worker, 9)
        with pytest.raises(SandboxLost):
            await running
        assert (await _run(box, "print(1)")).stdout == "1\n"


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - of other processes there is no event
        await asyncio.sleep(0.01)


DAEMON = """
import asyncio, pathlib, sys
from assurebot.sandbox.component import default_folder
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.values import BoxLimits, Program

async def main():
    scratch = pathlib.Path(sys.argv[1])
    async with EmbeddedSandbox(limits=BoxLimits(), pool=1, scratch=scratch) as box:
        program = Program(language='python', source='print(1)\\nwhile True: pass')
        await box.run(program, lambda text: print(text, flush=True))

asyncio.run(main())
"""


async def test_no_worker_outlives_its_daemon(component: Path, tmp_path: Path) -> None:
    """When the daemon is killed, so are its workers, those that wait and those that compute."""
    assert component == default_folder()
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DAEMON, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert daemon.stdout
    async with asyncio.timeout(20):
        assert await daemon.stdout.readline() == b"1\n"
        await _until(lambda: len(_workers(tmp_path)) == 3)  # with the daemon and the next worker
        daemon.kill()
        await daemon.wait()
        await _until(lambda: not _workers(tmp_path))


async def test_what_is_renamed_all_the_time_is_not_overlooked(tmp_path: Path) -> None:
    """Whatever moves while it is counted, too much of it never counts as little."""
    deep = tmp_path.joinpath("d", *"a" * 30)
    deep.mkdir(parents=True)
    for number in range(DISK_FILES):
        (deep / f"{number}").touch()
    done = threading.Event()

    def rename() -> None:
        while not done.is_set():
            (tmp_path / "d").rename(tmp_path / "e")
            (tmp_path / "e").rename(tmp_path / "d")

    renaming = threading.Thread(target=rename)
    renaming.start()
    try:
        found = [_within_quota(tmp_path) for _ in range(30)]
    finally:
        done.set()
        renaming.join(20)
    assert True not in found
    assert _within_quota(tmp_path) is False


async def test_tidying_up_is_not_hiding(box: EmbeddedSandbox) -> None:
    """A program that makes and removes many folders and files is not taken for one that hides."""
    source = (
        "import os, shutil, tempfile\nfor n in range(2000):\n"
        "    with tempfile.TemporaryDirectory(dir='.'):\n        pass\n"
        "for n in range(1000):\n    os.makedirs(f't/{n}')\n    open(f't/{n}/f', 'w').close()\n"
        "shutil.rmtree('t')\nprint('done')"
    )
    result = await _run(box, source)
    assert (result.outcome, result.stdout, result.stderr) == ("ok", "done\n", "")


async def test_an_edit_of_the_same_size_comes_out(box: EmbeddedSandbox) -> None:
    """A program that writes over an input file at once is noticed, on any clock."""
    files = (BoxFile(name="a.csv", data=b"1"),)
    source = "import os\nprint(os.stat('a.csv').st_mtime < __import__('time').time() - 1)"
    source += "\nopen('a.csv', 'r+b').write(b'Y')"
    result = await box.run(Program(language="python", source=source, files=files))
    assert (result.stdout, result.files) == ("True\n", (BoxFile(name="a.csv", data=b"Y"),))


async def test_too_much_input_is_refused(box: EmbeddedSandbox) -> None:
    """Input files that do not fit never go in, and the text says what does."""
    files = (BoxFile(name="big", data=bytes((32 << 20) + 1)),)
    with pytest.raises(SandboxUnavailable, match=r"do not go .* it takes 33554432 bytes"):
        await box.run(Program(language="python", source="", files=files))


async def test_small_writes_come_in_bundles(box: EmbeddedSandbox) -> None:
    """What is printed line by line is told in few pieces, and nothing of it is lost."""
    shown: list[str] = []
    source = "for n in range(20_000):\n    print(1)"
    result = await box.run(Program(language="python", source=source), shown.append)
    assert (result.stdout, len(shown) < 500) == ("1\n" * 20_000, True)


async def test_cancelling_while_files_come_is_quick(component: Path, tmp_path: Path) -> None:
    """A transfer that is cut off neither delays the end nor leaves the folder."""
    async with _own(component, tmp_path) as box:
        for wait in range(0, 40, 4):
            begun = asyncio.Event()
            source = "open('f', 'wb').write(bytes(15 << 20))\nprint(1, flush=True)"
            program = Program(language="python", source=source)
            running = asyncio.create_task(box.run(program, lambda _, b=begun: b.set()))  # type: ignore[misc]  # it is a callback
            await begun.wait()
            await asyncio.sleep(wait / 1000)
            running.cancel()
            async with asyncio.timeout(2):
                await asyncio.wait([running])
        await asyncio.sleep(0.1)
    assert _left(tmp_path) == []


async def test_a_scratch_that_cannot_be_written_is_told(component: Path, tmp_path: Path) -> None:
    """Without a folder to work in the box does not open, and while it runs a program is refused."""
    (tmp_path / "file").touch()
    with pytest.raises(SandboxUnavailable, match="cannot be set up"):
        async with _own(component, tmp_path / "file" / "boxes"):
            pass
    async with _own(component, tmp_path / "boxes") as box:
        (tmp_path / "boxes").rmdir()
        with pytest.raises(SandboxUnavailable, match="cannot be set up"):
            await _run(box, "print(1)")
        (tmp_path / "boxes").mkdir()


async def test_a_left_over_of_tidying_up_is_no_obstacle(component: Path, tmp_path: Path) -> None:
    """A start that broke off while it removed folders does not stop the next one."""
    for name in (f"{os.getpid()}-0/x", f"{os.getpid()}-1/x", "old/a/b", "old/c/d"):
        (tmp_path / name).mkdir(parents=True)
    async with _own(component, tmp_path):
        assert _left(tmp_path) == []


async def test_a_trap_is_not_taken_for_want_of_memory(component: Path, tmp_path: Path) -> None:
    """At the least memory too, a trap of another cause is a failure."""
    async with _own(component, tmp_path) as box:
        program = Program(
            language="python",
            source="kept = bytearray(12 << 20)\nimport os\nos.abort()",
            limits=BoxLimits(memory_bytes=64 << 20),
        )
        result = await box.run(program)
        assert (result.outcome, result.exit_code) == ("failed", 134)


async def test_what_a_killed_daemon_left_is_removed(component: Path, tmp_path: Path) -> None:
    """Folders of an earlier life are removed at the start, however deeply they are nested."""
    _nest(tmp_path / "old", 3000)
    async with _own(component, tmp_path):
        assert _left(tmp_path) == []


async def test_a_spoiled_component_is_not_opened(tmp_path: Path) -> None:
    """Without a component in order the box does not open, and says what would help."""
    with pytest.raises(SandboxUnavailable, match="assurebot sandbox build"):
        async with EmbeddedSandbox(
            limits=BoxLimits(), pool=1, scratch=tmp_path / "boxes", component=tmp_path
        ):
            pass


async def test_it_says_what_it_is(box: EmbeddedSandbox) -> None:
    """Its standing and its evidence name the grade and what this kernel adds."""
    assert (box.standing.backend, box.standing.grade) == ("embedded", "C")
    assert (box.standing.languages, box.standing.network) == (("python",), False)
    assert box.evidence.startswith("WebAssembly in a limited process, ")


COPY = """\
import json, struct, sys

def main(*_):
    body = json.dumps({"refused": "this is the copy"}).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.flush()
"""


@pytest.mark.usefixtures("component")
async def test_the_worker_is_that_of_the_package_in_use(tmp_path: Path) -> None:
    """A package that is not installed, as in a checkout, starts its own worker."""
    package = tmp_path / "assurebot"
    shutil.copytree(Path(assurebot.__file__).parent, package)
    (package / "sandbox" / "worker.py").write_text(COPY)
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "assurebot", "sandbox", "status"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"SANDBOX_BACKEND": "embedded"},
        check=False,
        timeout=60,
    )
    assert (told.returncode, told.stdout) == (1, "embedded: this is the copy\n")
