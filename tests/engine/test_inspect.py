"""What the engine says of a live box, and what is seen inside of it: thirty rows, none excused."""

import asyncio
import json
import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.profile import LABEL, BoxPlan, EngineAddress
from assurebot.values import BoxFile, BoxLimits, Program, RunResult
from tests.engine.conftest import Docker

pytestmark = pytest.mark.engine

SECRET = "made-up-daemon-secret-0815"
WORDS = "words-of-a-user-4711"
NAMESPACES = ("pid", "ipc", "uts", "cgroup", "net", "mnt")
INSIDE = f"""
# {WORDS}
import json, os, pathlib, resource, stat, time

def text(path):
    try:
        return pathlib.Path(path).read_text(errors='replace')
    except OSError:
        return ''

for _ in range(50):  # orphans, which only the first process can reap
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
time.sleep(0.5)
processes = [text(path) for path in pathlib.Path('/proc').glob('[0-9]*/status')]
sockets = []
for folder, folders, names in os.walk('/'):
    if folder == '/':
        folders[:] = [name for name in folders if name not in ('proc', 'sys')]
    for name in names:
        path = os.path.join(folder, name)
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            sockets.append(path)
shm = os.statvfs('/dev/shm')
print(json.dumps(dict(
    status=dict(line.split(':', 1) for line in text('/proc/self/status').splitlines()),
    mounts=[line.split() for line in text('/proc/self/mounts').splitlines()],
    limits={{name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name))
             for name in ('NOFILE', 'CORE', 'FSIZE')}},
    namespaces={{name: os.readlink('/proc/self/ns/' + name) for name in {NAMESPACES}}},
    apparmor=text('/proc/self/attr/current'),
    devices=sorted(os.listdir('/dev')),
    sockets=sockets,
    shm=shm.f_blocks * shm.f_frsize,
    environments=[text(path) for path in pathlib.Path('/proc').glob('[0-9]*/environ')],
    zombies=sum('State:\\tZ' in one for one in processes),
    processes=len(processes),
)), flush=True)
time.sleep(60)
"""
PROGRAM = Program(
    language="python",
    source=INSIDE,
    files=(BoxFile(name=f"{WORDS}.txt", data=WORDS.encode()),),
    limits=BoxLimits(seconds=20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A box while a program ran in it: from the outside, from inside, and its image."""

    said: dict[str, Any]
    inside: dict[str, Any]
    image: dict[str, Any]
    plan: BoxPlan
    apparmor: bool

    @property
    def host(self) -> dict[str, Any]:
        """The engine's `HostConfig`."""
        found: dict[str, Any] = self.said["HostConfig"]
        return found

    @property
    def config(self) -> dict[str, Any]:
        """The engine's `Config`."""
        found: dict[str, Any] = self.said["Config"]
        return found

    def status(self, name: str) -> list[str]:
        """Words of a line of the process status."""
        words: list[str] = self.inside["status"][name].split()
        return words

    def options(self, where: str) -> set[str]:
        """Options of what is mounted there."""
        return next(
            set(mount[3].split(",")) for mount in self.inside["mounts"] if mount[1] == where
        )


async def _live(docker: Docker, image: str) -> Live:
    engine = EngineAddress(url=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    plan = BoxPlan(instance=uuid4().hex, image=image, pool=1, engine=engine)
    ours = ("ps", "-q", "--no-trunc", "--filter", f"label={LABEL}={plan.instance}")
    async with DockerSandbox(plan) as box:
        begun = asyncio.Event()
        out: list[str] = []

        def heard(text: str) -> None:
            out.append(text)
            begun.set()

        async def run() -> RunResult:
            return await box.run(PROGRAM, heard)

        waiting = ""
        async with asyncio.timeout(30):
            while not waiting:
                waiting = (await asyncio.to_thread(docker, *ours)).stdout.strip()
            await asyncio.sleep(2)  # it says that it runs before it is ready
            running = asyncio.create_task(run())
            await begun.wait()
            said = json.loads((await asyncio.to_thread(docker, "inspect", waiting)).stdout)[0]
        result = await running
        assert (result.outcome, result.served) == ("timeout", "warm")
    of_image = json.loads(docker("inspect", image).stdout)[0]
    security = json.loads(docker("info", "--format", "{{json .SecurityOptions}}").stdout)
    return Live(
        said=said,
        inside=json.loads(result.stdout),
        image=of_image,
        plan=plan,
        apparmor=any("apparmor" in one for one in security),
    )


@pytest.fixture(scope="module")
def live(docker: Docker, sandbox_image: str) -> Live:
    """Return what there is to see of one box, with a secret in our own environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_UP_SECRET", SECRET)
        return asyncio.run(_live(docker, sandbox_image))


def _no_capability(box: Live) -> bool:
    kinds = ("Inh", "Prm", "Eff", "Bnd", "Amb")
    return all(box.status(f"Cap{kind}") == ["0" * 16] for kind in kinds)


def _apparmor(box: Live) -> bool:
    profile: str = box.said["AppArmorProfile"]
    if box.apparmor:
        return profile == "docker-default" and "docker-default (enforce)" in box.inside["apparmor"]
    return profile == ""  # an engine without it names none, and neither do we


def _user(box: Live) -> bool:
    people = [one for one in pwd.getpwall() if 1000 <= one.pw_uid < 60_000]
    return (
        box.config["User"] == "65534:65534"
        and box.status("Uid") == box.status("Gid") == ["65534"] * 4
        and set(box.status("Groups")) <= {"65534"}
        and not box.host["GroupAdd"]
        and all(one.pw_gid != 65534 for one in people)
    )


def _limit(box: Live, name: str) -> tuple[int, int]:
    declared = {one["Name"]: one for one in box.host["Ulimits"]}[name.lower()]
    soft, hard = box.inside["limits"][name]
    assert (declared["Soft"], declared["Hard"]) == (soft, hard)
    return soft, hard


def _tmpfs(box: Live) -> bool:
    for where in ("/tmp", "/work"):  # noqa: S108 - the container's own
        options = box.options(where)
        names = {option.partition("=")[0] for option in options}
        if not {"size", "nr_inodes", "nosuid", "nodev", "noexec"} <= names:
            return False
    return True


def _no_bind(box: Live) -> bool:
    own = {"proc", "tmpfs", "devpts", "sysfs", "cgroup", "cgroup2", "mqueue", "overlay"}
    outside = [mount[1] for mount in box.inside["mounts"] if mount[2] not in own]
    listed = (box.host["Binds"], box.host.get("Mounts"), box.host["VolumesFrom"])
    # The engine itself may put these three there, from a folder that only this container has.
    etc = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    return not any(listed) and not box.said["Mounts"] and set(outside) <= etc


def _no_device(box: Live) -> bool:
    usual = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    declared = [box.host[name] for name in ("Devices", "DeviceCgroupRules", "DeviceRequests")]
    return not any(declared) and set(box.inside["devices"]) <= set(usual.split())


def _namespaces(box: Live) -> bool:
    modes = [box.host[f"{name}Mode"] for name in ("Pid", "Ipc", "UTS", "Cgroupns", "Userns")]
    ours = {name: str(Path("/proc/self/ns", name).readlink()) for name in NAMESPACES}
    apart = all(box.inside["namespaces"][name] != ours[name] for name in NAMESPACES)
    # A user namespace is the engine's to give (userns-remap); no container may opt out of it.
    return modes == ["", "private", "", "private", ""] and apart


def _environment(box: Live) -> bool:
    ours = {"HOME", "LANG", "MPLBACKEND", "MPLCONFIGDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    of_image = set(box.image["Config"]["Env"] or ())
    more = {pair.partition("=")[0] for pair in set(box.config["Env"]) - of_image}
    seen = json.dumps([box.said, box.inside["environments"]])
    return more <= ours | {"PATH"} and SECRET not in seen


def _no_user_text(box: Live) -> bool:
    labels = {**(box.image["Config"]["Labels"] or {}), LABEL: box.plan.instance}
    return (
        WORDS not in json.dumps(box.said)
        and (box.config["Labels"], box.config["Hostname"]) == (labels, "box")
        and re.fullmatch(r"/assurebot-[0-9a-f]{16}", box.said["Name"]) is not None
    )


def _reaped(box: Live) -> bool:
    """Tell whether orphans were reaped while the job ran.

    `Init` is not set, on purpose: the runner is process 1 itself and reaps. Under another process 1
    a job could kill the runner, for signals from inside reach every process but the first.
    """
    return not box.host.get("Init") and box.inside["zombies"] == 0 < box.inside["processes"]


def _paths(box: Live) -> bool:
    masked = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"}
    fixed = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
    return masked <= set(box.host["MaskedPaths"]) and fixed <= set(box.host["ReadonlyPaths"])


MEMORY = 512 << 20
ROWS: dict[str, Callable[[Live], bool]] = {
    "1 no network": lambda box: box.host["NetworkMode"] == "none",
    "2 no ports, links, hosts": lambda box: (
        not box.said["NetworkSettings"]["Ports"]
        and not any(box.host[name] for name in ("PortBindings", "Links", "ExtraHosts", "Dns"))
        and not box.host["PublishAllPorts"]
    ),
    "3 read-only root": lambda box: box.host["ReadonlyRootfs"] and "ro" in box.options("/"),
    "4 capabilities dropped": lambda box: (
        (box.host["CapDrop"], box.host["CapAdd"]) == (["ALL"], None)
    ),
    "5 capability sets empty": _no_capability,
    "6 no new privileges": lambda box: (
        box.host["SecurityOpt"] == ["no-new-privileges"] and box.status("NoNewPrivs") == ["1"]
    ),
    "7 seccomp filter": lambda box: box.status("Seccomp") == ["2"],
    "8 AppArmor where there is": _apparmor,
    "9 numeric user of nobody's": _user,
    "10 memory": lambda box: box.host["Memory"] == MEMORY,
    "11 no swap": lambda box: box.host["MemorySwap"] == MEMORY,
    "12 processor": lambda box: box.host["NanoCpus"] == 10**9,
    "13 processes": lambda box: 0 < box.host["PidsLimit"] <= 128,
    "14 open files": lambda box: _limit(box, "NOFILE") == (1024, 1024),
    "15 no core": lambda box: _limit(box, "CORE") == (0, 0),
    "16 file size": lambda box: 0 < max(_limit(box, "FSIZE")) <= MEMORY,
    "17 tmpfs": _tmpfs,
    "18 shared memory": lambda box: box.host["ShmSize"] == box.inside["shm"] == 16 << 20,
    "19 no bind mount": _no_bind,
    "20 no socket of an engine": lambda box: box.inside["sockets"] == [],
    "21 no devices": _no_device,
    "22 not privileged": lambda box: box.host["Privileged"] is False,
    "23 private namespaces": _namespaces,
    "24 nothing of our environment": _environment,
    "25 no text of a user": _no_user_text,
    "26 no log": lambda box: box.host["LogConfig"] == {"Type": "none", "Config": {}},
    "27 removed by itself": lambda box: (
        box.host["AutoRemove"] is True and box.config["Labels"][LABEL] == box.plan.instance
    ),
    "28 zombies are reaped": _reaped,
    "29 image by id": lambda box: box.config["Image"] == box.said["Image"] == box.image["Id"],
    "30 masked paths": _paths,
}


@pytest.mark.parametrize("row", ROWS)
def test_a_live_box_has_the_profile(live: Live, row: str) -> None:
    """Each row of the profile holds on a live box."""
    assert ROWS[row](live), json.dumps([live.said, live.inside], indent=1)


def test_no_row_is_missing() -> None:
    """There are thirty rows, numbered without a gap."""
    assert [int(row.split()[0]) for row in ROWS] == list(range(1, 31))
