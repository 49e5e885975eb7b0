"""Compact tables on the terminal, and the figures in them."""

from __future__ import annotations

from collections.abc import Sequence


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers or short words."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, *rows):
        first, *others = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print(f"  {'  '.join(cells)}".rstrip(), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * len(ordered)))]


def milliseconds(seconds: float) -> str:
    """Write a duration in milliseconds."""
    return f"{seconds * 1000:.1f}"


def ratio(value: float, baseline: float) -> str:
    """Write how many times the baseline a value is."""
    return f"{value / baseline:.2f}x"
