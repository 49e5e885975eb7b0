"""The stand-in refuses and mends messages as Telegram's server does."""

from typing import Any

import pytest

from assurebot.demo.telegram_rules import Refused, check_markup, check_text, units
from assurebot.values import Button, Entity

SMILE = "\N{GRINNING FACE}"


def raw(kind: str, offset: int, length: int, **more: str) -> dict[str, Any]:
    """An entity as it comes in."""
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("text", "entities", "reason"),
    [
        ("", None, "Bad Request: message text is empty"),
        (" \n ", None, "Bad Request: message text is empty"),
        ("x" * 4097, None, "Bad Request: message is too long"),
        (SMILE * 2049, None, "Bad Request: message is too long"),
        ("a\ud800b", None, "Bad Request: can't parse entities"),
        ("abc", [raw("bold", 1, 3)], "Bad Request: can't parse entities"),
        ("abc", [raw("bold", -1, 2)], "Bad Request: can't parse entities"),
        ("abc", [raw("bold", 0, 0)], "Bad Request: can't parse entities"),
        (SMILE, [raw("bold", 1, 1)], "Bad Request: can't parse entities"),
        (SMILE, [raw("bold", 0, 1)], "Bad Request: can't parse entities"),
        ("abc", [raw("shiny", 0, 1)], "Bad Request: can't parse entities"),
        ("abc", [raw("text_link", 0, 1)], "Bad Request: can't parse entities"),
        ("abc", {"type": "bold"}, "Bad Request: can't parse entities"),
        ("abc", ["bold"], "Bad Request: can't parse entities"),
    ],
)
def test_what_telegram_refuses_is_refused(text: str, entities: object, reason: str) -> None:
    """Empty, too long, broken text and impossible entities are a 400 in Telegram's words."""
    with pytest.raises(Refused) as caught:
        check_text(text, entities)
    assert caught.value.status == 400
    assert caught.value.description.startswith(reason)


@pytest.mark.parametrize("text", ["x" * 4096, SMILE * 2048])
def test_the_longest_text_passes(text: str) -> None:
    """4096 units are allowed, however many characters they are."""
    assert check_text(text, None).text == text
    assert units(SMILE) == 2


def test_more_than_100_entities_are_cut_and_noted() -> None:
    """Telegram ignores the rest in silence; here it is a violation."""
    checked = check_text("a" * 101, [raw("bold", n, 1) for n in range(101)])
    assert len(checked.entities) == 100
    assert checked.violations == ("101 entities, 100 are kept",)


@pytest.mark.parametrize(
    ("entities", "violations"),
    [
        ([raw("bold", 0, 4), raw("italic", 1, 2)], ()),
        ([raw("bold", 0, 2), raw("italic", 2, 2)], ()),
        (
            [raw("bold", 0, 3), raw("italic", 2, 3)],
            ("partial overlap: italic at 2 in bold at 0",),
        ),
        ([raw("pre", 0, 4), raw("bold", 1, 1)], ("nesting: bold at 1 in pre at 0",)),
        (
            [raw("blockquote", 0, 4), raw("expandable_blockquote", 1, 1)],
            ("nesting: expandable_blockquote at 1 in blockquote at 0",),
        ),
        ([raw("text_link", 0, 1, url="https://a.example")], ()),
        ([raw("text_link", 0, 1, url="javascript:x")], ("text_link to 'javascript:x'",)),
    ],
)
def test_what_telegram_mends_is_noted(
    entities: list[dict[str, Any]], violations: tuple[str, ...]
) -> None:
    """Proper nesting passes; overlaps, formatting inside code, nested quotes, odd links do not."""
    assert check_text("abcdefgh", entities).violations == violations


def test_outer_white_space_is_trimmed_and_entities_follow() -> None:
    """The kept text is the trimmed one; entities shift, shrink, or fall away."""
    checked = check_text(
        f" \n{SMILE} bold  ", [raw("bold", 5, 6), raw("italic", 0, 1), raw("code", 2, 2)]
    )
    assert checked.text == f"{SMILE} bold"
    assert checked.entities == (
        Entity(type="bold", offset=3, length=4),
        Entity(type="code", offset=0, length=2),
    )
    assert checked.violations == ("outer white space beside entities",)


@pytest.mark.parametrize(
    ("button", "reason"),
    [
        ({"text": "x", "callback_data": ""}, "Bad Request: BUTTON_DATA_INVALID"),
        ({"text": "x", "callback_data": "\N{EURO SIGN}" * 22}, "Bad Request: BUTTON_DATA_INVALID"),
        ({"text": "x"}, "Bad Request: can't parse inline keyboard button"),
        ({"text": "", "callback_data": "x"}, "Bad Request: can't parse inline keyboard button"),
    ],
)
def test_buttons_need_a_text_and_1_to_64_bytes_of_data(button: dict[str, str], reason: str) -> None:
    """Data is measured in bytes, not characters."""
    with pytest.raises(Refused) as caught:
        check_markup({"inline_keyboard": [[button]]})
    assert caught.value.description.startswith(reason)


def test_buttons_are_read_row_after_row() -> None:
    """Rows are flattened; a link's target stands in for the data."""
    rows = [
        [{"text": "a", "callback_data": "x" * 64}, {"text": "b", "callback_data": "2"}],
        [{"text": "c", "url": "https://a.example"}],
    ]
    assert check_markup({"inline_keyboard": rows}) == (
        Button(label="a", id="x" * 64),
        Button(label="b", id="2"),
        Button(label="c", id="https://a.example"),
    )
