"""What a box looks like from inside: run in it as a program, it prints what it finds as JSON.

Its orders are in `probe.json`: a mark to look for and to leave behind, and the program that each
language needs. It gets by on what every box has.
"""

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

READ = ("/proc/self/status", "/proc/net/dev", "/proc/net/route", "/proc/self/mounts")
SHUT = ("/", "/etc", "/usr", "/bin", "/lib", "/var", "/opt", "/home", "/root", "/dev", "/sys")
OUTSIDE = ("/etc/passwd", "/usr", "/proc/self", "/dev/null")
ENGINES = ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock")
KEPT = ("./", "/tmp/", "/dev/shm/", "/var/tmp/")  # noqa: S108 - these are looked at


def refusal(act: Callable[..., object], *given: object) -> str:
    """Return why something cannot be done, nothing if it can."""
    try:
        act(*given)
    except Exception as error:  # noqa: BLE001 - whatever stops it is the answer
        return errno.errorcode.get(getattr(error, "errno", None) or 0, repr(error)[:80])
    return ""


def text_of(path: str | Path) -> str:
    """Return what is in a file, nothing if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def reach(how: str) -> None:
    """Go outside, to nobody's address; a datagram only asks for a route and sends nothing."""
    import socket  # noqa: PLC0415 - some boxes have none, which is the finding

    socket.setdefaulttimeout(1)
    if how == "name":
        socket.getaddrinfo("example.com", 80)
    else:
        socket.socket(type=getattr(socket, how)).connect(("192.0.2.1", 80))


def facts(mark: str, programs: dict[str, str]) -> dict[str, object]:
    """Return everything."""
    begun = time.monotonic()
    network = {how: refusal(reach, how) for how in ("SOCK_STREAM", "SOCK_DGRAM", "name")}
    seconds = time.monotonic() - begun
    left = [path for path in KEPT if Path(path + mark).exists()]
    for path in KEPT:
        refusal(Path(path + mark).touch)
    shut = [path for path in SHUT if path != str(Path.cwd())]
    variables = [f"{name}={value}" for name, value in os.environ.items()]
    for file in Path("/proc").glob("[0-9]*/environ"):
        variables += text_of(file).split("\0")
    return {
        "network": network,
        "network_seconds": seconds,
        "text": {path: text_of(path) for path in READ},
        "writable": [path for path in shut if not refusal((Path(path) / mark).touch)],
        "outside": [path for path in OUTSIDE if Path(path).exists()],
        "engines": [path for path in ENGINES if Path(path).exists()],
        "environment": variables,
        "left": left,
        "languages": [name for name, path in programs.items() if not path or shutil.which(path)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts(**json.loads(text_of("probe.json")))))
