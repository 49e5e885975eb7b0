"""Print the lines of code in each room of the package; fail when they are over the budget.

A line counts unless it is blank or holds only a comment; docstrings count. `demo` is shown and
does not count. The budget stands in pyproject.toml.
"""

import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "assurebot"
UNCOUNTED = "demo"


def code_lines(file: Path) -> int:
    """Count the lines of a file that are neither blank nor only a comment."""
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return sum(1 for line in lines if line and not line.startswith("#"))


def main() -> int:
    """Print the report and return the exit code."""
    rooms: Counter[str] = Counter()
    for file in PACKAGE.rglob("*.py"):
        rooms[file.relative_to(PACKAGE).parts[0].removesuffix(".py")] += code_lines(file)
    for room, lines in rooms.most_common():
        print(f"{lines:6} {room}{' (not counted)' if room == UNCOUNTED else ''}")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    budget = settings["tool"]["assurebot"]["line-budget"]
    total = rooms.total() - rooms[UNCOUNTED]
    print(f"{total:6} of {budget} lines")
    return 1 if total > budget else 0


if __name__ == "__main__":
    sys.exit(main())
