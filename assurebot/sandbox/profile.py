"""What a container may do: a constant, of which no tool argument and no setting can widen anything.

DESIGN 9 lists what an operator may choose; `BoxPlan` holds that and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from assurebot.values import BoxLimits

LABEL = "assurebot.sandbox"
RUNNER = Path(__file__).with_name("runner.py")
LEAST_MEMORY_BYTES = 48 << 20
"""Below this the runner itself does not start reliably."""

_ENV = {
    "HOME": "/tmp",  # noqa: S108 - the container's own
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp/.matplotlib",  # noqa: S108 - as above
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAddress:
    """Where the engine is.

    Attributes:
        url: unix://, tcp://, http:// or https://; the settings let nothing else through.
        tls_verify: tcp:// is TLS.
        cert_path: Folder with ca.pem, cert.pem and key.pem; without it the system's authorities.
    """

    url: str = "unix:///var/run/docker.sock"
    tls_verify: bool = False
    cert_path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPlan:
    """What the operator chose.

    Attributes:
        instance: Random id of this installation: its containers carry it, and no other's are swept.
        runtime: OCI runtime; gVisor's `runsc` makes it grade A+.
        pool: Boxes that wait.
        network: Programs reach the network.
    """

    instance: str
    image: str = "assurebot-sandbox"
    runtime: str | None = None
    pool: int = 4
    network: bool = False
    cpus: float = 1.0
    limits: BoxLimits = field(default_factory=BoxLimits)
    engine: EngineAddress = EngineAddress()


def narrowed(asked: BoxLimits, most: BoxLimits, least_memory_bytes: int) -> BoxLimits:
    """Return what a program gets: of each limit the lesser, but the memory that a box needs."""
    names = [one.name for one in fields(BoxLimits)]
    least = {name: min(getattr(asked, name), getattr(most, name)) for name in names}
    return BoxLimits(**least | {"memory_bytes": max(least["memory_bytes"], least_memory_bytes)})


def container(
    plan: BoxPlan, image: str, memory_bytes: int, *, warm: bool, executable: bool
) -> dict[str, Any]:
    """Return what the Engine API makes a box from (`POST /containers/create`).

    Args:
        plan: The operator's choice.
        image: Its id, so that no name can come to mean another.
        memory_bytes: As `narrowed` gives it; the file systems are a part of it.
        warm: It will wait: the runner imports ahead.
        executable: What a program makes in its folder may be executed (compilers).
    """
    work = memory_bytes // 4
    mount = "mode=0700,uid=65534,gid=65534,nosuid,nodev"
    mode = ["warm"] * warm + ["exec"] * executable
    return {
        "Image": image,
        "Entrypoint": ["python3"],
        "Cmd": ["-I", "-c", RUNNER.read_text(encoding="utf-8"), *mode],
        "User": "65534:65534",
        "WorkingDir": "/work",
        "Hostname": "box",
        "Env": [f"{name}={value}" for name, value in _ENV.items()],
        "Labels": {LABEL: plan.instance},
        "NetworkDisabled": not plan.network,  # with the mode below it halves a start
        "Healthcheck": {"Test": ["NONE"]},
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": {
            "AutoRemove": True,
            "NetworkMode": "bridge" if plan.network else "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "PidsLimit": 128,
            "Memory": memory_bytes,
            "MemorySwap": memory_bytes,
            "NanoCpus": int(plan.cpus * 1e9),
            "ShmSize": 16 << 20,
            "Tmpfs": {
                "/work": f"{mount},size={work},nr_inodes=20000,{'' if executable else 'no'}exec",
                "/tmp": f"{mount},size={memory_bytes // 8},nr_inodes=10000,noexec",  # noqa: S108 - as above
            },
            "Ulimits": [
                {"Name": name, "Soft": most, "Hard": most}
                for name, most in (("nofile", 1024), ("core", 0), ("fsize", work))
            ],
            "LogConfig": {"Type": "none"},
            **({"Runtime": plan.runtime} if plan.runtime else {}),
        },
    }
