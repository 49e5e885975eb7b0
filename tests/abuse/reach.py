"""Cases 26 to 34: what lies beyond the box, its kernel and the network."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import closing
from pathlib import Path

from tests.abuse.case import Abuse, Ground, Seen, observed, program, refused, runs

NO = ("EPERM", "EACCES", "ENOSYS")
NOT_THERE = ("ENOENT", "ENOTCAPABLE", "AttributeError", "ModuleNotFoundError")

CALLS = """
import ctypes, platform
libc = ctypes.CDLL(None, use_errno=True)
column = ('x86_64', 'aarch64').index(platform.machine())

def call(numbers, *given):
    if libc.syscall(numbers[column], *given) < 0:
        raise OSError(ctypes.get_errno(), '')
    return 'made'
"""
SECRETS_OF_THE_KERNEL = """
def listed(folder):
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
paths = ('/proc/kcore', '/proc/keys', '/proc/sysrq-trigger', '/proc/timer_list', '/proc/1/environ',
         '/proc/1/mem', '/sys/kernel/debug', '/dev/mem', '/dev/kmsg', '/etc/shadow')
found = {path: tried(read, path) for path in paths}
found['firmware'] = tried(lambda: [read(path) for path in listed('/sys/firmware')])
print(json.dumps(found))
"""
KERNEL_WRITES = """
paths = ('/proc/sys/kernel/hostname', '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger',
         '/proc/sys/vm/drop_caches', '/sys/kernel/mm/transparent_hugepage/enabled', '/etc/passwd',
         '/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/memory/memory.limit_in_bytes', '/usr/new')
print(json.dumps({path: tried(write, path) for path in paths if '/usr' in path or
                  os.path.exists(path)}))
"""
PRIVILEGES = f"""{CALLS}
import stat
space = os.open('/proc/self/ns/net', os.O_RDONLY)
print(json.dumps(dict(
    mknod=tried(os.mknod, 'disk', stat.S_IFBLK | 0o600, os.makedev(8, 0)),
    mount=tried(call, (165, 40), b'none', b'/work', b'tmpfs', 0, 0),
    user=tried(call, (272, 97), 0x10000000),
    unshare=tried(call, (272, 97), 0x00020000),
    setns=tried(call, (308, 268), space, 0),
    pivot=tried(call, (155, 41), b'/work', b'/work'),
    trace=tried(call, (101, 117), 16, 1, 0, 0),
    chroot=tried(os.chroot, '/work'),
    kill=tried(os.setuid, 0),
)))
"""
RARE_CALLS = f"""{CALLS}
room = ctypes.create_string_buffer(256)
event = ctypes.create_string_buffer((1).to_bytes(4, 'little') + (112).to_bytes(4, 'little'), 112)
map_ = ctypes.create_string_buffer(b''.join(n.to_bytes(4, 'little') for n in (2, 4, 4, 1)), 72)
print(json.dumps(dict(
    keyctl=tried(call, (250, 219), 0, -3, 1),
    add_key=tried(call, (248, 217), b'user', b'a', b'b', 1, -3),
    userfaultfd=tried(call, (323, 282), 1),
    io_uring=tried(call, (425, 425), 4, room),
    bpf=tried(call, (321, 280), 0, map_, 72),
    perf=tried(call, (298, 241), event, 0, -1, -1, 0),
    kexec=tried(call, (246, 104), 0, 0, 0, 0),
    modules=tried(call, (175, 105), b'', 0, b''),
)))
"""
SOCKETS = """
import socket
print(json.dumps(dict(
    raw=tried(socket.socket, socket.AF_INET, 3, 1),
    raw6=tried(socket.socket, socket.AF_INET6, 3, 58),
    packet=tried(socket.socket, 17, 3),
    cipher=tried(socket.socket, 38, 5, 0),
    vsock=tried(socket.socket, 40, 1),
)))
"""
NETWORK = """
import socket
def soon(act, *given):
    began = time.monotonic()
    word = tried(act, *given)
    return word if time.monotonic() - began < 1 else 'slow ' + word
def to(family, address, kind=1):
    with socket.socket(family, kind) as one:
        one.settimeout(3)
        one.connect(address) if kind == 1 else one.sendto(b'x', address)
print(json.dumps(dict(
    dns=soon(socket.getaddrinfo, 'example.com', 80),
    tcp=soon(to, 2, ('1.1.1.1', 53)),
    udp=soon(to, 2, ('1.1.1.1', 53), 2),
    metadata=soon(to, 2, ('169.254.169.254', 80)),
    gateway=soon(to, 2, ('172.17.0.1', {port})),
    host=soon(to, 2, ('127.0.0.1', {port})),
    ipv6=soon(to, 10, ('2606:4700:4700::1111', 53)),
    abstract=soon(lambda: to(socket.AF_UNIX, chr(0) + {name!r})),
)))
print(getattr(socket, 'if_nameindex', lambda: [(1, 'lo')])())
"""
NO_WAY = (
    *("gaierror", "EAI_AGAIN", "ENETUNREACH", "ECONNREFUSED", "EADDRNOTAVAIL", "ENETDOWN"),
    *("EACCES", "EPERM", "ENOTSUP", "EPROTONOSUPPORT", "EAFNOSUPPORT", "ENOSYS", "AttributeError"),
)
SETUID = """
import stat, subprocess
found = []
for folder, folders, names in os.walk('/'):
    if folder == '/':
        folders[:] = [name for name in folders if name not in ('proc', 'sys')]
    for name in names:
        status = os.lstat(os.path.join(folder, name))
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o6000:
            found.append(os.path.join(folder, name))
status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)
def su():
    return subprocess.run(['su', '-c', 'id -u'], stdin=-3, capture_output=True).stdout
print(json.dumps([found, status['NoNewPrivs'].strip(), status['CapBnd'].strip(), tried(su)]))
"""
CLOCK = """
import socket
print(json.dumps(dict(
    clock=tried(time.clock_settime, time.CLOCK_REALTIME, 0),
    hostname=tried(socket.sethostname, 'mine'),
    nice=tried(os.nice, -20),
)))
"""
CRASH = "import ctypes\nctypes.string_at(0)"
DUMPS = (Path("/"), Path.cwd(), Path("/var/lib/systemd/coredump"), Path("/var/crash"))


async def _no_way_out(ground: Ground) -> str:
    """Nothing answers, at once; and nothing arrives at a listener of the host."""
    name = f"abuse-{secrets.token_hex(8)}"
    with closing(socket.create_server(("", 0))) as tcp, closing(socket.socket(1)) as unix:
        unix.bind(f"\0{name}")
        unix.listen()
        port = tcp.getsockname()[1]
        source = NETWORK.replace("{port}", str(port)).replace("{name!r}", repr(name))
        seen = await observed(ground.box, program(source, seconds=20))
        arrived = [one for one in (tcp, unix) if _waits(one)]
    words, _, links = seen.ran.stdout.rstrip().partition("\n")
    told = {} if seen.ran.outcome != "ok" else dict(_pairs(words))
    right = told and {*told.values()} <= {*NO_WAY} and links == "[(1, 'lo')]" and not arrived
    return "" if right else f"{arrived} {seen.ran}"[:600]


def _pairs(words: str) -> list[tuple[str, str]]:
    pairs = (one.split(": ") for one in words.strip("{}").replace('"', "").split(", "))
    return [(name, word) for name, word in pairs]


def _waits(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def _no_core(ground: Ground) -> str:
    """A crash is told as a signal, and leaves no dump on the host or among the files."""
    before = await asyncio.to_thread(_dumps)
    ran = (await observed(ground.box, program(CRASH))).ran
    left = await asyncio.to_thread(_dumps) - before
    right = (ran.outcome, ran.exit_code, ran.files, left) == ("failed", 139, (), set())
    return "" if right else f"{left} {ran}"[:600]


def _dumps() -> set[Path]:
    return {path for folder in DUMPS if folder.is_dir() for path in folder.glob("*core*")}


def _no_su(seen: Seen) -> bool:
    found, no_new, bounding, word = seen.told or ("", "", "", "")
    return (found, no_new, int(bounding or "1", 16)) == ([], "1", 0) and word != "done"


REACH = (
    Abuse(
        number=26,
        title="secrets of the kernel",
        play=runs(refused(*NO, *NOT_THERE, "empty", "EIO", "EISDIR"), SECRETS_OF_THE_KERNEL),
    ),
    Abuse(
        number=27,
        title="writes to /proc/sys and /sys",
        play=runs(refused("EROFS", "EACCES", "EPERM", *NOT_THERE), KERNEL_WRITES),
    ),
    Abuse(
        number=28,
        title="mknod, mount, unshare, setns, pivot_root",
        play=runs(refused("EPERM"), PRIVILEGES),
    ),
    Abuse(
        number=29,
        title="keyctl, userfaultfd, io_uring, bpf, perf",
        play=runs(refused("EPERM", "ENOSYS"), RARE_CALLS),
    ),
    Abuse(
        number=30,
        title="raw, packet, cipher and VSOCK sockets",
        play=runs(refused("EPERM", "EACCES", "EAFNOSUPPORT"), SOCKETS),
        embedded=runs(refused("EPROTONOSUPPORT", "EAFNOSUPPORT"), SOCKETS),
    ),
    Abuse(number=31, title="network", play=_no_way_out),
    Abuse(number=32, title="setuid programs and su", play=runs(_no_su, SETUID, seconds=20)),
    Abuse(
        number=33,
        title="clock, hostname, nice",
        play=runs(refused("EPERM", "EACCES"), CLOCK),
    ),
    Abuse(number=34, title="core dump", play=_no_core),
)
