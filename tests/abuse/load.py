"""Cases 1 to 25: processes, memory, disk, output and time."""

from __future__ import annotations

import json
import os

from assurebot.guard.visible import visible
from tests.abuse.case import (
    Abuse,
    Ground,
    Seen,
    after,
    cut,
    ends,
    observed,
    program,
    runs,
    tells,
)

FORKS = """
first, said = os.getpid(), False
while True:
    try:
        os.fork()
    except OSError as error:
        if os.getpid() == first and not said:
            said = True
            print(errno.errorcode[error.errno], flush=True)
"""
THREADS = """
import threading
said = False
while True:
    try:
        threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
    except RuntimeError as error:
        if not said:
            print(error, flush=True)
        said = True
        time.sleep(0.01)
"""
MEMORY = "held = []\nwhile True:\n    held.append(b'x' * (1 << 20))"
FAMILY = f"for _ in range(20):\n    if os.fork() == 0:\n        break\n{MEMORY}"
SWAP = """
held = b'x' * (150 << 20)
status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)
print(json.dumps(status['VmSwap'].split()[0]))
"""
FILL = """
total = 0
def fill(folder):
    global total
    for n in range(1 << 20):
        with open(f'{folder}/{n}', 'wb', 0) as file:
            total += file.write(b'x' * (1 << 20))
"""
FULL = FILL + "print(json.dumps([tried(fill, '.'), 32 << 20 < total < 512 << 20]), flush=True)"
SHM = FILL + "print(json.dumps([tried(fill, '/dev/shm'), total]))"
INODES = """
made = 0
def make():
    global made
    for made in range(10 ** 6):
        open(str(made), 'w').close()
print(json.dumps([tried(make), made]))
"""
SPARSE = """
def stretch(size):
    with open('sparse', 'wb') as file:
        file.truncate(size)
print(json.dumps([tried(stretch, 1 << 40), tried(stretch, 40 << 20)]))
"""
ALLOCATE = """
file = os.open('big', os.O_CREAT | os.O_RDWR)
print(json.dumps(tried(os.posix_fallocate, file, 0, 1 << 40)))
"""
ODD_BYTES = "sys.stdout.buffer.write(b'a\\xff\\xc3\\x00\\xed\\xa0\\x80b\\xe2\\x80\\xa8\\n')"
MARKUP = "\x1b[2J\x1b]0;x\x07<b>a</b> *b* [c](http://d.example)\u202e\u2066\u200b\r"
MARKED = f"print({MARKUP!r}, end='')"
WORK = """
import hashlib, threading
def work():
    while time.monotonic() < until:
        hashlib.sha256(data).digest()
data, until, began = b'x' * (1 << 20), time.monotonic() + 2, time.process_time()
threads = [threading.Thread(target=work) for _ in range(64)]
[one.start() for one in threads]
[one.join() for one in threads]
print((time.process_time() - began) / 2)
"""
DEAF = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    time.sleep(1)
"""
DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(0.1)
    os._exit(0)
os.wait()
print('left', flush=True)
"""
ZOMBIES = """
def breed():
    while True:
        if os.fork() == 0:
            os._exit(0)
print(json.dumps(tried(breed)))
"""
ORPHANS = "for _ in {1..10000}; do (:&); done; echo 0"
CLOSED = "os.close(1)\nos.close(2)\nwhile True:\n    time.sleep(1)"
OPENED = """
held = []
def hold():
    while True:
        held.append(open('own', 'wb'))
word = tried(hold)
number = len(held)
held.clear()
print(json.dumps([word, number <= 1024]))
"""
BUSY = "while True:\n    pass"
EITHER = "while True:\n    os.write(1, b'x' * 999)\n    os.write(2, b'x' * 999)"
INPUT = "print(json.dumps([sys.stdin.read(), tried(input)]))"
TIMEOUT = ends("timeout", 137)
OUT_OF_MEMORY = ends("out_of_memory", 137)
FULL_DISK = ends("failed", 153)
"""In the embedded box the folder's growth is watched, and ended."""


def _markup(seen: Seen) -> bool:
    shown = visible(seen.ran.stdout)
    hidden = {char for char in shown if not char.isprintable()}
    return seen.ran.stdout == MARKUP and not hidden


def _odd(seen: Seen) -> bool:
    text = seen.ran.stdout
    line = json.dumps({"stdout": text}, ensure_ascii=False)
    return (
        text == "a\ufffd\ufffd\0\ufffd\ufffd\ufffdb\u2028\n"
        and json.loads(line.encode()) == {"stdout": text}
        and len(line.splitlines()) <= 2  # at U+2028 alone: records are split at \n
        and "\n" not in line
    )


def _share(seen: Seen) -> bool:
    return seen.ran.outcome == "ok" and 0.05 < float(seen.ran.stdout) <= 1.2


def _counted(seen: Seen) -> bool:
    word, made = seen.told or ("", 0)
    ran = seen.ran
    return (word, len(ran.files), ran.files_left) == ("ENOSPC", 20, made - 20) and made < 20_000


def _sparse(seen: Seen) -> bool:
    right = seen.told is not None and seen.told[0] in {"EFBIG", "ENOSPC"}
    return right and seen.told[1] == "done" and (seen.ran.files, seen.ran.files_left) == ((), 1)


async def _unswapped(ground: Ground) -> str:
    """The limit of memory and swap together is that of memory alone."""
    limits = [
        (one["HostConfig"]["Memory"], one["HostConfig"]["MemorySwap"])
        for one in ground.place.boxes()
    ]
    right = limits and all(memory == swap > 0 for memory, swap in limits)
    return "" if right else f"memory and swap: {limits}"


async def _fills(ground: Ground) -> str:
    """A full disk inside takes nothing of the host's, while it lasts and after."""
    given = program(f"{FULL}\ntime.sleep(1)", seconds=8)
    free = _free(ground)
    seen = await observed(ground.box, given)
    taken = (free - _free(ground)) >> 20
    written = [one.get("SizeRw") or 0 for one in ground.place.boxes()]
    right = seen.told == ["ENOSPC", True] and taken < 100 and not any(written)
    return "" if right else f"{taken} MiB taken, {written} written, {seen.ran}"[:600]


def _free(ground: Ground) -> int:
    found = os.statvfs(ground.place.folder)
    return found.f_bavail * found.f_frsize


LOAD = (
    Abuse(number=1, title="fork bomb", play=runs(ends("timeout", 137, "EAGAIN\n"), FORKS)),
    Abuse(
        number=2,
        title="thread bomb",
        play=runs(ends("timeout", 137, "can't start new thread\n"), THREADS, seconds=3),
    ),
    Abuse(number=3, title="memory bomb, one process", play=runs(OUT_OF_MEMORY, MEMORY, seconds=20)),
    Abuse(
        number=4, title="memory bomb, many children", play=runs(OUT_OF_MEMORY, FAMILY, seconds=20)
    ),
    Abuse(number=5, title="swap use", play=after(runs(tells("0"), SWAP), _unswapped)),
    Abuse(number=6, title="disk fill", play=_fills, embedded=runs(FULL_DISK, FULL, seconds=20)),
    Abuse(number=7, title="shared memory fill", play=runs(tells(["ENOSPC", 16 << 20]), SHM)),
    Abuse(
        number=8,
        title="inode exhaustion",
        play=runs(_counted, INODES, seconds=20),
        embedded=runs(FULL_DISK, INODES, seconds=20),
    ),
    Abuse(number=9, title="sparse file of 1 TiB", play=runs(_sparse, SPARSE)),
    Abuse(
        number=10,
        title="fallocate of the full disk",
        play=runs(lambda seen: seen.told in {"EFBIG", "ENOSPC"}, ALLOCATE),
    ),
    Abuse(
        number=11,
        title="endless stdout",
        play=runs(cut("stdout", "x\n"), "while 1: print('x')"),
        embedded=runs(cut("stdout", "x\n"), "while 1: print('x' * 99)"),
    ),
    Abuse(
        number=12,
        title="endless stderr",
        play=runs(cut("stderr", "x\n"), "while 1: print('x', file=sys.stderr)"),
        embedded=runs(cut("stderr", "x\n"), "while 1: print('x' * 99, file=sys.stderr)"),
    ),
    Abuse(
        number=13,
        title="one line of 100 MB",
        play=runs(cut("stdout", "x"), "for _ in range(100):\n    print('x' * 10 ** 6, end='')"),
    ),
    Abuse(number=14, title="flood of both streams", play=runs(cut("either", "x"), EITHER)),
    Abuse(number=15, title="invalid UTF-8 and NUL", play=runs(_odd, ODD_BYTES)),
    Abuse(number=16, title="escapes, bidi and markup", play=runs(_markup, MARKED)),
    Abuse(number=17, title="busy loop", play=runs(TIMEOUT, BUSY, seconds=2)),
    Abuse(number=18, title="64 busy threads", play=runs(_share, WORK)),
    Abuse(number=19, title="sleep for ever", play=runs(TIMEOUT, "time.sleep(999)", seconds=1)),
    Abuse(number=20, title="signals ignored", play=runs(TIMEOUT, DEAF, seconds=1)),
    Abuse(
        number=21,
        title="daemon by double fork and setsid",
        play=runs(ends("ok", 0, "left\n", within=3), DAEMON),
    ),
    Abuse(
        number=22,
        title="10,000 zombies",
        play=after(
            runs(tells("EAGAIN"), ZOMBIES),
            runs(ends("ok", 0, "0\n"), ORPHANS, "bash", seconds=40),
        ),
    ),
    Abuse(number=23, title="waits on stdin", play=runs(tells(["", "EOFError"]), INPUT)),
    Abuse(number=24, title="closes its stdout", play=runs(TIMEOUT, CLOSED, seconds=1)),
    Abuse(
        number=25,
        title="open-file exhaustion",
        play=runs(tells(["EMFILE", True]), OPENED),
        embedded=runs(tells(["EIO", True]), OPENED),  # as WASI puts it
    ),
)
