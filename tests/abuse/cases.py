"""The 44 cases of the corpus, and which of them the embedded box cannot show."""

from __future__ import annotations

from collections.abc import Mapping

from tests.abuse.case import Abuse
from tests.abuse.engines import ENGINES
from tests.abuse.files import FILES
from tests.abuse.load import LOAD
from tests.abuse.reach import REACH

CASES: tuple[Abuse, ...] = tuple(
    sorted((*LOAD, *REACH, *FILES, *ENGINES), key=lambda case: case.number)
)
NO_PROCESSES = "WebAssembly has no processes"
NO_THREADS = "WebAssembly has no threads"
NO_CALLS = "WebAssembly has no system calls of the host"
NO_ENGINE = "there is no engine"

NOT_EMBEDDED: Mapping[int, str] = {
    1: NO_PROCESSES,
    4: NO_PROCESSES,
    5: "its memory is one block of an ordinary process; case 3 bounds it",
    7: "it has no /dev/shm",
    10: "it has no fallocate; case 9",
    18: NO_THREADS,
    20: "WebAssembly has no signals",
    21: NO_PROCESSES,
    22: NO_PROCESSES,
    28: NO_CALLS,
    29: NO_CALLS,
    32: "it sees no file of the host; case 26",
    33: NO_CALLS,
    34: "a fault is a trap of WebAssembly, and no signal",
    39: NO_PROCESSES,
    41: NO_ENGINE,
    42: NO_ENGINE,
}
"""Cases without a meaning in the embedded box, with the reason; all others are played there."""
