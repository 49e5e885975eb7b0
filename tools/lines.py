"""Print the lines of code in each room of the package; fail when they are over the budget.

A line counts unless it is blank or holds only a comment or a docstring: contracts in docstrings
are wanted, and must not be paid for in code. `demo` is shown and does not count. The budget
stands in pyproject.toml.
"""

import ast
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "assurebot"
UNCOUNTED = "demo"


def code_lines(file: Path) -> int:
    """Count the lines of a file that are neither blank, nor only a comment, nor a docstring."""
    text = file.read_text(encoding="utf-8")
    skipped = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return sum(
        1 for number, line in lines if line and not line.startswith("#") and number not in skipped
    )


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
