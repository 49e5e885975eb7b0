"""Cases 35 to 39 and 44: what a program leaves in its folder, and what it finds there."""

from __future__ import annotations

import secrets

from assurebot.sandbox.wire import NAME_BYTES, clean_name
from tests.abuse.case import Abuse, Ground, Seen, observed, program, runs

LINKS = """
targets = ('/etc/passwd', '/proc/1/environ', '/proc/self/environ', '../../etc/passwd', '/', '.',
           '/data/assurebot.db', '/run/secrets')
made = [tried(os.symlink, target, f'link-{n}') for n, target in enumerate(targets)]
open('kept', 'w').write('kept')
"""
SPECIAL = """
import stat
try:
    import socket
    socket.socket(socket.AF_UNIX).bind('socket')
except (AttributeError, OSError):
    pass
for n, make in enumerate((
    lambda: os.mkfifo('fifo'), lambda: os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    lambda: os.link('/etc/passwd', 'hard'), lambda: os.makedirs('loop/inner'),
    lambda: os.symlink('..', 'loop/inner/back'), lambda: os.symlink('../loop', 'loop/again'),
)):
    tried(make)
open('kept', 'w').write('kept')
def deep():
    for _ in range(500):
        os.mkdir('d' * 50)
        os.chdir('d' * 50)
tried(deep)
"""
NAMES = """
names = [b'a\\nb', b'-rf', b'n' * 255, b'\\xff\\xfe.txt', b'a\\\\..\\\\b', 'r\\u202etxt'.encode(),
         b' ', b'a\\x1b[2J', b'...', b'.hidden', 'l\\u2028m'.encode(), b'~', b'$(id)']
for name in names:
    tried(lambda: open(name, 'wb').write(b'x'))
for folder in (b'one', b'two'):
    os.mkdir(folder)
    open(folder + b'/same', 'wb').write(b'x')
"""
MANY = """
made = 0
def make():
    global made
    for folder in range(100):
        os.mkdir(str(folder))
        for n in range(1000):
            with open(f'{folder}/{n}', 'wb', 0) as file:
                file.write(b'x' * 100)
            made += 1
print(json.dumps([tried(make), made]))
"""
SWAP = """
open('mine', 'w').write('mine')
open('is', 'w').write('mine')
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        name = f'new-{os.getpid()}'
        while True:
            try:
                os.symlink('/etc/passwd', name)
                os.rename(name, 'is')
                os.link('mine', name)
                os.rename(name, 'is')
            except OSError:
                pass
time.sleep(0.2)
"""
LEAVE = """
word = WORD
for folder in ('/work', '/tmp', '/dev/shm', '/var/tmp', '/run', '/run/lock', '/', '/mqueue'):
    def leave():
        with open(f'{folder}/.{word}', 'w') as file:
            file.write(word)
    tried(leave)
if hasattr(os, 'fork') and os.fork() == 0:
    os.setsid()
    sys.argv[0] = word
    time.sleep(99)
"""
SEARCH = """
found = []
for folder, folders, names in os.walk('/'):
    if folder == '/':
        folders[:] = [name for name in folders if name not in ('proc', 'sys')]
    found += [name for name in (*names, *folders) if WORD in name]
number = sum(name.isdecimal() for name in os.listdir('/proc')) if os.path.isdir('/proc') else 0
print(json.dumps([found, number <= 2, sorted(os.listdir('/work'))]))
"""


def _only_kept(seen: Seen) -> bool:
    files = {(file.name, file.data) for file in seen.ran.files}
    return (seen.ran.outcome, files) == ("ok", {("kept", b"kept")})


def _clean(seen: Seen) -> bool:
    names = [file.name for file in seen.ran.files]
    return (
        seen.ran.outcome == "ok"
        and len(names) == len({*names}) >= 10
        and {"same", "same-2", "rf"} <= {*names}
        and all(clean_name(name) == name for name in names)
        and all(0 < len(name.encode()) <= NAME_BYTES and name.isprintable() for name in names)
        and not any(char in name for name in names for char in "/\\\n\0\x1b\u202e\u2028")
        and not any(name.startswith((".", "-")) for name in names)
        and clean_name("../../etc/passwd") == "passwd"
        and clean_name("/etc/..") == "file"
    )


def _capped(seen: Seen) -> bool:
    ran = seen.ran
    word, made = seen.told or ("", 0)
    size = sum(len(file.data) for file in ran.files)
    # The eleventh is the one that the disk had no room for: it is empty.
    return (word, len(ran.files), size, ran.files_left) == ("ENOSPC", 11, 1000, made - 10)


def _capped_at_once(seen: Seen) -> bool:
    size = sum(len(file.data) for file in seen.ran.files)
    # One of them may just have been begun.
    return (seen.ran.exit_code, size) == (153, 1000) and len(seen.ran.files) in {10, 11}


async def _swapped(ground: Ground) -> str:
    """Whatever stands there when it is read, it is the program's own file or nothing."""
    for _ in range(5):
        ran = (await observed(ground.box, program(SWAP, seconds=10))).ran
        data = {file.data for file in ran.files if not file.name.startswith("new-")}
        if ran.outcome != "ok" or data != {b"mine"} or any(b"root:" in one for one in data):
            return str(ran)[:600]
    return ""


async def _nothing_left(ground: Ground) -> str:
    """What one program left nowhere is to be found by the next ones."""
    word = repr(f"trace-{secrets.token_hex(8)}")
    await observed(ground.box, program(LEAVE.replace("WORD", word)))
    runs_after = [await observed(ground.box, program(SEARCH.replace("WORD", word))) for _ in "ab"]
    told = [seen.told for seen in runs_after]
    return "" if told == [[[], True, []]] * 2 else f"{told} {runs_after}"[:600]


FILES = (
    Abuse(number=35, title="links to files outside", play=runs(_only_kept, LINKS)),
    Abuse(
        number=36,
        title="hard link, FIFO, socket, device, directory loop",
        play=runs(_only_kept, SPECIAL),
    ),
    Abuse(number=37, title="odd names", play=runs(_clean, NAMES)),
    Abuse(
        number=38,
        title="100,000 files",
        play=runs(_capped, MANY, seconds=20, file_bytes=1050),
        embedded=runs(_capped_at_once, MANY, seconds=20, file_bytes=1050),
    ),
    Abuse(number=39, title="link swapped during copy-out", play=_swapped),
    Abuse(number=44, title="traces of a former program", play=_nothing_left),
)
