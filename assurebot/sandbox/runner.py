"""The first process of a container: takes one job, runs it, and answers; `wire` has the protocol.

Its text is the container's command, so it needs Python 3.9 of any image and nothing else. The job
runs as the same user. What keeps it out of here: this process cannot be read or traced, it is
process 1, which no signal from inside ends, and the job's process has none of its descriptors.
It is one long file because its text is what is handed over.
"""
# ruff: noqa: BLE001, PLR2004, PTH102, PTH123, PTH208, S102, S606, SIM115, SLF001, T201
# (what these rules warn of is the work of this file)

from __future__ import annotations

import atexit
import base64
import contextlib
import ctypes
import errno
import fcntl
import gc
import json
import linecache
import os
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

WORK = "/work"
TMP = "/tmp/.program"  # noqa: S108 - the container's own
HIDDEN = ".program"
HOME = "/opt/box/home"
MOST_PATHS = 100_000
MOST_DEPTH = 32
ONE_FILE_BYTES = 20 << 20
PIECE_BYTES = 3 << 18  # of threes, as base64 goes
AGE_SECONDS = 2.0
PACE_SECONDS = 0.02
"""What is printed goes on in bundles: byte by byte it would cost the daemon as much as the job."""

GLANCE_SECONDS = 0.25
"""So often the memory controller is asked: not every one tells by itself."""

DYING_SECONDS = 0.5
KILLED = 137
OOM_COUNTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf")
WARM = (
    "collections csv dataclasses datetime decimal enum fractions functools hashlib heapq io"
    " itertools math pathlib random re shutil statistics string subprocess tempfile textwrap"
    " threading typing"
)


def put_files(files: list[dict[str, str]], folder: str | os.PathLike[str]) -> None:
    """Write the input files of a job as of a while ago: an edit in the same tick then shows."""
    then = time.time() - AGE_SECONDS
    for file in files:
        path = f"{os.fspath(folder)}/{file['name']}"
        with open(path, "wb") as opened:
            opened.write(base64.b64decode(file["data"]))
        os.utime(path, (then, then))


def look(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what marks each path below a folder, for `send_files` to compare with."""
    return {path: _mark(status) for path, _, _, status in _paths(folder)}


def send_files(
    folder: str | os.PathLike[str], before: Mapping[str, Any], room: int, count: int
) -> dict[str, int]:
    """Send the files below a folder that are new or changed; say how many more, and all changes.

    Only regular files without a leading dot go, at most so many bytes and so many; no link is
    followed, nothing is waited for, and the walk is bounded.
    """
    left = changes = 0
    gone = dict(before)
    for path, name, parent, status in _paths(folder):
        if gone.pop(path, None) == _mark(status):
            continue
        changes += 1
        if name.startswith(".") or not stat.S_ISREG(status.st_mode):
            continue
        size = _send_file(name, parent, min(room, ONE_FILE_BYTES)) if count else None
        if size is None:
            left += 1
        else:
            room, count = room - size, count - 1
    return {"left": left, "changes": changes + len(gone)}


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _paths(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str, int, os.stat_result]]:
    """Give path, name, open parent and status of what is below a folder and is no folder."""
    count = 0
    for root, folders, names, parent in os.fwalk(folder):
        deep = root.count("/") - os.fspath(folder).count("/") >= MOST_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if name != HIDDEN)
        for name in sorted(names):
            count += 1
            if count > MOST_PATHS:
                return
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                yield f"{root}/{name}", name, parent, status


def _send_file(name: str, parent: int, room: int) -> int | None:
    """Send a regular file of at most so many bytes, and return its size, else `None`.

    It goes in pieces, for there may be no memory left; a sparse one counts as it would read.
    """
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    except OSError:
        return None
    with open(file, "rb") as opened:
        status = os.fstat(file)
        size = left = status.st_size
        if size > room or not stat.S_ISREG(status.st_mode):
            return None
        clean = name.encode("utf-8", "replace").decode()
        head = json.dumps({"file": clean, "data": ""}).encode()[:-2]
        data = struct.pack(">I", len(head) + (size + 2) // 3 * 4 + 2) + head
        while left:
            piece = min(left, PIECE_BYTES)
            left -= piece
            # A program that still runs may have cut it: the length that was told holds.
            data += base64.b64encode(opened.read(piece).ljust(piece, b"\0"))
            if left:
                _write(data)
                data = b""
        _write(data + b'"}')
    return size


def _frame(descriptor: int) -> Any:
    with open(descriptor, "rb", closefd=False) as stream:
        length = int.from_bytes(stream.read(4), "big")
        body = stream.read(length)
    if not body or len(body) < length:
        os._exit(0)  # who asked is gone, and the box goes too
    return json.loads(body)


def _send(body: Any, descriptor: int = 1) -> None:
    data = json.dumps(body).encode()
    _write(struct.pack(">I", len(data)) + data, descriptor)


def _write(data: bytes, descriptor: int = 1) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _become(job: int, out: int, err: int) -> int:
    """Be the process of the job, before there is one; return its exit code."""
    os.setsid()
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDWR), out, err)):
        os.dup2(descriptor, number)
    os.dup2(fcntl.fcntl(job, fcntl.F_DUPFD, 4), 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # before process 1
    _filter_calls()
    source, commands, names = _frame(3)
    os.close(3)
    os.chdir(WORK)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not commands:
        return _interpret(source, names)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for command in commands[:-1]:
        code = os.spawnvp(os.P_WAIT, command[0], command)
        if code:
            return code if code > 0 else 128 - code
    command = commands[-1]
    try:
        os.execvp(command[0], command)
    except (OSError, ValueError) as error:
        os.write(2, f"{command[0]}: {error}\n".encode("utf-8", "replace"))
        return 127 if isinstance(error, FileNotFoundError) else 126


def _filter_calls() -> None:
    """Shut what the engine's filter leaves open.

    That is io_uring and sockets of odd families (in older engines), and what a process may do to
    another of its user, which process 1 is: change its limits and its priority. A machine that is
    not known here is left with the engine's filter alone.
    """
    known = {
        "x86_64": (0xC000003E, 41, 302, (142, 144, 203, 314), 141, 251),
        "aarch64": (0xC00000B7, 198, 261, (118, 119, 122, 274), 140, 30),
    }.get(os.uname().machine)
    if known is None:
        return
    machine, a_socket, prlimit, scheduling, setpriority, ioprio_set = known
    load, equal, above, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse = (give, 0, 0, 0x7FFF0000), 0x00050000  # with the error's number
    missing, denied = (give, 0, 0, refuse | errno.ENOSYS), (give, 0, 0, refuse | errno.EPERM)
    steps = [(load, 0, 0, 4), (equal, 1, 0, machine), missing]
    steps += [(load, 0, 0, 0), (above, 0, 1, 1 << 30), missing]
    for number in (425, 426, 427):  # io_uring, the same on every machine
        steps += [(equal, 0, 1, number), denied]
    own = dict.fromkeys((prlimit, *scheduling), (0,)) | {setpriority: (0, 1), ioprio_set: (1,)}
    for number, arguments in own.items():  # they have to be 0, "mine": as the kernel, the low half
        steps += [(equal, 0, 3 * len(arguments) + 1, number)]
        for argument in arguments:
            steps += [(load, 0, 0, 16 + 8 * argument), (equal, 1, 0, 0), denied]
        steps += [allow]
    steps += [(equal, 1, 0, a_socket), allow, (load, 0, 0, 16)]
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        steps += [(equal, 0, 1, family), allow]
    steps += [(give, 0, 0, refuse | errno.EAFNOSUPPORT)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code))
    if ctypes.CDLL(None).prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError("no filter for system calls")


def _interpret(source: str, names: list[str]) -> int:
    """Run Python source as a program of its own; return its exit code."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        errors = "backslashreplace" if number == 2 else "surrogateescape"
        stream = open(number, "rww"[number], 1, encoding="utf-8", errors=errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv, sys.path[:0] = ["main.py"], [WORK]
    main = sys.modules["__main__"] = type(sys)("__main__")
    # The file is there: processes that `multiprocessing` starts anew import it.
    main.__dict__.update(__builtins__=__builtins__, __file__=f"{TMP}/main.py")
    lines = [f"{line}\n" for line in source.split("\n")]
    linecache.cache["main.py"] = (len(source), None, lines, "main.py")
    code: Any = 0
    for step in (
        lambda: exec(compile(source, "main.py", "exec", dont_inherit=True), main.__dict__),
        lambda: "threading" in sys.modules and sys.modules["threading"]._shutdown(),
        lambda: _draw(names),
        atexit._run_exitfuncs,
        _flush,
    ):
        try:
            step()
        except SystemExit as error:
            code = error.code or 0
            if not isinstance(code, int):
                with contextlib.suppress(Exception):
                    print(code, file=sys.stderr)
                code = 1
        except BaseException as error:
            code = 130 if isinstance(error, KeyboardInterrupt) else 1
            frames = error.__traceback__
            for _ in range(2):  # ours
                frames = frames and frames.tb_next
            with contextlib.suppress(Exception):
                traceback.print_exception(type(error), error, frames)
    return int(code) & 255


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # closed, or none
            stream.flush()


def _draw(names: list[str]) -> None:
    """Save the figures that a program left open, unless it wrote a picture itself."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    with contextlib.suppress(Exception):  # it is our wish, and no part of the program
        own = [name for name in os.listdir(WORK) if name not in names]
        if not any(name.lower().endswith(PICTURES) for name in own):
            for number in pyplot.get_fignums():
                pyplot.figure(number).savefig(f"{WORK}/figure-{number}.png")


class _Job:
    """One job, from its process, which waits for it, to the last word about it."""

    def __init__(self) -> None:
        job, self._start = os.pipe()
        out, err = os.pipe(), os.pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                os._exit(_become(job, out[1], err[1]))
            finally:
                os._exit(125)
        for descriptor in (job, out[1], err[1]):
            os.close(descriptor)
        self._streams = {out[0]: "o", err[0]: "e"}
        self._wake, woken = os.pipe()
        for descriptor in (*self._streams, self._wake, woken):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._exit: int | None = None
        self._outcome = ""
        self._unsent: dict[str, bytes] = {}
        self._ooms = _oom_kills()

    def run(self, job: dict[str, Any], commands: list[list[str]]) -> None:
        """Run it, and send what it printed, what it made and what became of it."""
        before = look(WORK)
        self._room = dict.fromkeys("oe", job["output_bytes"])
        began = time.monotonic()
        _send([job["source"], commands, [file["name"] for file in job["files"]]], self._start)
        os.close(self._start)
        self._wait(began + job["seconds"])
        end: dict[str, Any] = {"seconds": time.monotonic() - began}
        self._kill()
        for descriptor in self._streams:
            while self._take(descriptor):
                pass
        _send({**self._printed(), "ran": True})
        end.update(send_files(WORK, before, job["file_bytes"], job["file_count"]))
        _send({"end": {**end, **self._verdict()}})

    def _wait(self, until: float) -> None:
        """Wait for its end, or for the first limit that it meets."""
        poll = select.poll()
        for descriptor in (0, self._wake, *self._streams):
            poll.register(descriptor, select.POLLIN)
        forward = glance = time.monotonic()
        while self._exit is None and not self._outcome:
            now = time.monotonic()
            if now >= until:
                self._outcome = "timeout"
            if now >= glance:
                glance = now + GLANCE_SECONDS
                if _oom_kills() > self._ooms:
                    self._outcome = "out_of_memory"
            if now >= forward and self._unsent:
                _send(self._printed())
                forward = now + PACE_SECONDS
            nearest = min(until, glance, forward if self._unsent else glance)
            for descriptor, _ in poll.poll(max(0, nearest - now) * 1000):
                if not self._take(descriptor):
                    poll.unregister(descriptor)

    def _take(self, descriptor: int) -> bool:
        """Read what there is to read; tell whether there may be more."""
        if descriptor == 0:
            os._exit(0)  # who asked is gone
        if descriptor == self._wake:
            self._reap()
            return True
        name = self._streams[descriptor]
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        room = self._room[name]
        if data and room > 0:
            self._unsent[name] = self._unsent.get(name, b"") + data[:room]
        self._room[name] = room - len(data)
        if self._room[name] < 0:
            self._outcome = self._outcome or "output_limit"
        return bool(data) and self._room[name] >= 0

    def _printed(self) -> dict[str, Any]:
        """Return what it printed since the last time."""
        unsent, self._unsent = self._unsent, {}
        return {name: data.decode("latin-1") for name, data in unsent.items()}

    def _reap(self) -> bool:
        """Take the ends of processes; tell whether there are others."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        try:
            for _ in range(1000):
                process, status = os.waitpid(-1, os.WNOHANG)
                if process == self._process:
                    code = os.waitstatus_to_exitcode(status)
                    self._exit = code if code >= 0 else 128 - code
                if process == 0:
                    break
        except ChildProcessError:
            return False
        return True

    def _kill(self) -> None:
        """End all that it started; what is not gone in time is on its way."""
        until = time.monotonic() + DYING_SECONDS
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.kill(-1, signal.SIGKILL)
                if not self._reap():
                    break
                select.select([self._wake], [], [], 0.01)

    def _verdict(self) -> dict[str, Any]:
        code = KILLED
        if _oom_kills() > self._ooms:
            self._outcome = "out_of_memory"
        elif not self._outcome and self._exit is not None:
            code = self._exit
            self._outcome = "failed" if code else "ok"
        cut = {f"{name}_cut": room < 0 for name, room in self._room.items()}
        return {"outcome": self._outcome, "exit": code, **cut}


def _oom_kills() -> int:
    """Return how many processes of this container the kernel has ended for want of memory."""
    for path in OOM_COUNTS:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    return 0


def _put(job: dict[str, Any], folder: str) -> list[list[str]]:
    """Write the files of a job; return the commands that run it."""
    put_files(job["files"], WORK)
    if job["file"]:
        os.mkdir(folder)
        with open(f"{folder}/{job['file']}", "w", encoding="utf-8", errors="replace") as opened:
            opened.write(job["source"])
    return [[word.replace("{dir}", folder) for word in command] for command in job["commands"]]


def main(mode: list[str]) -> None:
    """Be ready, run one job, end."""
    if os.getpid() != 1:
        sys.exit("this kills all processes but itself: it has to be the first of a container")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # what the image prepared for the home of programs
        shutil.copytree(HOME, "/tmp", dirs_exist_ok=True)  # noqa: S108 - the container's own
    for name in WARM.split() if "warm" in mode else ():
        with contextlib.suppress(ImportError):
            __import__(name)
    gc.freeze()
    running = _Job()
    if ctypes.CDLL(None).prctl(4, 0, 0, 0, 0):  # PR_SET_DUMPABLE
        sys.exit("the job could read this process")
    _send({"ready": True})
    job = _frame(0)
    try:
        commands = _put(job, f"{WORK}/{HIDDEN}" if "exec" in mode else TMP)
    except OSError as error:
        _send({"e": f"the files do not go into the box: {error.strerror}\n"})
        _send({"end": {"outcome": "failed", "exit": 125}})
    else:
        running.run(job, commands)
    os.read(0, 1)  # who asked hangs up: an end that comes before is never a good one
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
