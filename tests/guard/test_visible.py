"""Nothing hides in text that is shown."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.visible import visible


def test_what_would_hide_is_written_out() -> None:
    """Control signs get their picture, the rest its number; lines, tabs and joiners stay."""
    assert visible("a\x1b[2J\x00\x7f\r\nb\tc\rd") == "a␛[2J␀␡\nb\tc␍d"
    assert visible("x\u202ey\u200b\u2066\u2028\ufeff\U000e0041") == (
        "x<U+202E>y<U+200B><U+2066><U+2028><U+FEFF><U+E0041>"
    )
    assert visible("é 👩\u200d💻 \u0645\u200c\u062e “q”") == "é 👩\u200d💻 \u0645\u200c\u062e “q”"


@given(st.text(st.characters(categories=("Cc", "Cf", "Zl", "Zp", "Cs"))))
def test_no_format_or_control_sign_is_left(text: str) -> None:
    """Of the categories that show nothing only line, tab, joiners and marks of scripts are left."""
    left = {
        char for char in visible(text) if unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"}
    }
    assert left <= {"\n", "\t"}
