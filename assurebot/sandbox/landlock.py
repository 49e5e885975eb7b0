"""Landlock: what the kernel lets a process give up for good, without any privilege."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

# Linux, include/uapi/linux/landlock.h and prctl.h; the numbers are the same on every architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NO_NEW_PRIVS = 38
_VERSION, _PATH_BENEATH = 1, 1
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
_RIGHTS_LATER = 16
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_EXECUTE, _IOCTL = 1 << 0, 1 << 15
_MAKE_SPECIAL = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Devices, sockets, FIFOs and symbolic links: whoever tidies up meets files and folders alone."""

_libc = ctypes.CDLL(None, use_errno=True)


def confine(folder: Path) -> int:
    """Let this thread, and those it starts, reach nothing but the files of one folder.

    Nothing can be executed, no TCP be used; signals and abstract sockets stay inside where the
    kernel knows that. Returns the kernel's version of Landlock, 0 where it has none: then nothing
    changed but that no privileges can be gained.

    Raises:
        OSError: The kernel has it, and refused.
    """
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    abi: int = _libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if abi < 1:
        return 0
    rights = (1 << _RIGHTS_OF_ABI.get(abi, _RIGHTS_LATER)) - 1
    fields = [rights]
    if abi >= _TCP_SINCE:
        fields.append(3)  # bind and connect
    if abi >= _SCOPES_SINCE:
        fields.append(3)  # abstract sockets and signals
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = _done(_libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    inside = os.open(folder, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        allowed = rights & ~(_EXECUTE | _MAKE_SPECIAL | _IOCTL)
        _done(_libc.syscall(_ADD, rules, _PATH_BENEATH, struct.pack("=Qi", allowed, inside), 0))
        _done(_libc.syscall(_RESTRICT, rules, 0))
    finally:
        os.close(inside)
        os.close(rules)
    return abi


def _done(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return answer
