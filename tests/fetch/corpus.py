"""233 URLs that were written to get past such checks, and what must become of each.

Joined from the test suites and collections of other projects; `B` must not be connected to, `A`
must be allowed.
"""

import json
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("ssrf.tsv")


class Row(NamedTuple):
    """One URL."""

    category: str
    expected: str
    url: str


def corpus() -> tuple[Row, ...]:
    """Return all of them."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return tuple(
        Row(category=category, expected=expected, url=json.loads(url))
        for category, expected, url in rows
    )
