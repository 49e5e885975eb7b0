"""Tables on a phone: aligned where they fit, else a record for each row, and whole in both."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assurebot.ports import Links
from assurebot.telegram.render import render
from assurebot.telegram.split import units
from assurebot.telegram.tables import MAX_COLUMNS, width
from assurebot.values import Entity, Piece
from tests.telegram.test_render import FAMILY, lost, problems

LONG = "a value that is longer than forty signs are"


def bold(offset: int, length: int) -> Entity:
    """Bold text."""
    return Entity(type="bold", offset=offset, length=length)


def table(*rows: tuple[str, ...]) -> str:
    """Write a table in Markdown; the first row has the heads."""
    lines = ["|".join(("", *row, "")) for row in rows]
    return "\n".join((lines[0], "|-" * len(rows[0]) + "|", *lines[1:]))


def test_wide_table_is_a_list_of_records() -> None:
    """Each row is a paragraph with a line for each value behind its bold head."""
    source = table(("Name", "What it does"), ("one", LONG), ("two", f"*{LONG}*"))
    text = f"Name: one\nWhat it does: {LONG}\n\nName: two\nWhat it does: {LONG}"
    second = text.index("Name: two")
    assert render(f"Before\n\n{source}\n\nafter", None) == (
        Piece(
            text=f"Before\n\n{text}\n\nafter",
            entities=tuple(
                bold(8 + at, length)
                for at, length in ((0, 5), (10, 13), (second, 5), (second + 10, 13))
            ),
        ),
    )


def test_forty_columns_are_aligned_and_one_more_is_not() -> None:
    """The limit is that of the widest line, counted as a phone shows it."""
    for cell in ("x" * 36, "日" * 18, "\U0001f389" * 18, FAMILY * 18, "❤️" * 18):
        narrow, wide = (render(table(("h", "k"), ("a", one))) for one in (cell, f"{cell}x"))
        assert [entity.type for entity in narrow[0].entities] == ["pre"]
        assert narrow[0].text.startswith("h | k\n--+-")
        assert "pre" not in [entity.type for entity in wide[0].entities]
        assert wide[0].text == f"h: a\nk: {cell}x"
    assert width("x" * MAX_COLUMNS) == MAX_COLUMNS


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("ab", 2), ("e\u0301", 1), ("日本", 4), ("❤", 1), ("❤️", 2), (FAMILY, 2), ("🎉a", 3)],
)
def test_width_is_that_on_a_screen(text: str, columns: int) -> None:
    """Emoji and East Asian letters take two columns, marks and joined parts none."""
    assert width(text) == columns


def test_empty_cells_lose_no_head() -> None:
    """A head without a value is named once; later records leave empty ones out."""
    source = table(("Name", "Note", "Text"), ("a", "", LONG), ("b", "", LONG))
    (piece,) = render(source)
    assert piece.text == f"Name: a\nNote:\nText: {LONG}\n\nName: b\nText: {LONG}"
    assert render(table(("", LONG), ("x", LONG)))[0].text == f"x\n{LONG}: {LONG}"
    assert render(table((LONG, LONG)))[0].text.startswith(f"{LONG} | {LONG}\n---")


def test_record_keeps_its_place_in_a_list_and_links_stay_shut() -> None:
    """The lines of a record are indented as the item is; a link that may not be one is code."""
    source = "- item\n\n" + "\n".join(
        f"  {line}" for line in table(("h", "k"), (LONG, "https://evil.example")).split("\n")
    )
    (piece,) = render(source)
    assert piece.text == f"• item\n  h: {LONG}\n  k: https://evil.example"
    assert [entity.type for entity in piece.entities] == ["bold", "bold", "code"]


def test_heads_do_not_multiply_without_end() -> None:
    """Where repeating the heads would swell the answer, the table stays aligned."""
    source = table(("h" * 4_000, "k"), *[("x", "y")] * 1_000)
    pieces = render(source)
    assert sum(units(piece.text) for piece in pieces) < 60_000
    assert lost(source, pieces) == []


CELL = st.sampled_from(["", "x", LONG, "日本語", "❤️🎉", "**b** `c`", "[l](https://e.com)", "a\\|b"])


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 6).flatmap(
        lambda n: st.lists(st.tuples(*[CELL] * n), min_size=1, max_size=30)
    ),
    links=st.sampled_from([None, frozenset[str]()]),
)
def test_no_word_of_any_table_is_lost(rows: list[tuple[str, ...]], links: Links) -> None:
    """Narrow or wide, with holes or links, each table arrives whole in valid messages."""
    source = table(*rows)
    pieces = render(f"before\n\n{source}\n\nafter", links)
    assert (problems(pieces), lost(source, pieces)) == ([], [])
