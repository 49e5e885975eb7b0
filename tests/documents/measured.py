"""Read files in a process of its own and tell what that took: `python -m` it with their folder.

For each file it prints a line of JSON: name, seconds, how far this process's memory moved at most
(beside the file itself), and what was read; then the largest child, how far the memory moved over
all, and the children that are left.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import time
from pathlib import Path

from assurebot.documents.worker import LimitedReader


def memory(field: str) -> int:
    """Return one of the kernel's figures about this process in bytes."""
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


def forget_peak() -> None:
    """Have the kernel count the most memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def children() -> list[str]:
    """Return the processes that this one has started and not ended."""
    return " ".join(each.read_text() for each in Path("/proc/self/task").glob("*/children")).split()


async def main(files: list[Path]) -> None:
    """Read all files, one after another."""
    reader = LimitedReader()
    for _ in range(2):
        await reader.read(b"warm", "warm.txt")
    began = memory("VmRSS")
    for file in files:
        data = file.read_bytes()
        forget_peak()
        before, start = memory("VmRSS"), time.monotonic()
        reading = await reader.read(data, file.name)
        told = {
            "name": file.name,
            "seconds": time.monotonic() - start,
            "moved": memory("VmHWM") - before,
            "kind": reading.kind,
            "pages": len(reading.pages),
            "sides": reading.sides,
            "note": reading.note,
            "start": "".join(reading.pages)[:200],
        }
        sys.stdout.write(json.dumps(told) + "\n")
        del data, reading
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    told = {"child": child, "moved": memory("VmRSS") - began, "left": children()}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sorted(Path(sys.argv[1]).iterdir())))
