"""Start a command in the container without root: `python -m assurebot.entrypoint -- COMMAND...`.

A volume often arrives owned by root (Railway, bind mounts). Started as root, this gives the data
folder to `nobody`, drops every right for good and becomes the command; otherwise it only becomes
the command. Linux only; it imports nothing of the program.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NOBODY = 65534

# <linux/prctl.h> and <linux/capability.h>
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522


def give(folder: Path) -> None:
    """Make `nobody` the owner of a folder and all in it that has another owner; follow no link.

    Raises:
        OSError: It cannot be made or given.
    """
    folder = folder.resolve()
    if folder == Path("/"):
        raise OSError("it is the root of the file system")
    folder.mkdir(parents=True, exist_ok=True)
    for _, folders, files, at in os.fwalk(folder, onerror=_raise):
        for name in (".", *folders, *files):
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            if (found.st_uid, found.st_gid) != (NOBODY, NOBODY):
                os.chown(name, NOBODY, NOBODY, dir_fd=at, follow_symlinks=False)


def _raise(error: OSError) -> None:
    raise error


def drop() -> None:
    """Become `nobody`, without groups or capabilities and with no way to gain any.

    Raises:
        OSError: A right needed for dropping the others is missing.
    """
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    for capability in range(last + 1):
        _call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())  # the inheritable ones outlive setresuid
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    plain = (ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments)
    if getattr(libc, name)(*plain) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def main(arguments: list[str]) -> str:
    """Become the command; return only with what went wrong."""
    match arguments:
        case ["--", command, *_]:
            pass
        case _:
            return "usage: python -m assurebot.entrypoint -- COMMAND..."
    if os.getuid() == 0:
        folder = Path(os.environ.get("DATA_DIR") or "/data")
        try:
            give(folder)
        except OSError as error:
            return f"DATA_DIR cannot be given to user {NOBODY}: {error.strerror or error}"
        try:
            drop()
        except OSError as error:
            return (
                f"root cannot be left ({error.strerror}): start the container as root with its"
                f" usual capabilities, or as user {NOBODY}"
            )
    try:
        os.execvp(command, arguments[1:])  # noqa: S606 - this is what it is for
    except OSError as error:
        return f"{command} cannot be started: {error.strerror}"


if __name__ == "__main__":
    print(main(sys.argv[1:]), file=sys.stderr)  # noqa: T201 - it is an entry
    sys.exit(2)
