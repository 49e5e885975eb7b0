"""The code in a command, taken literally."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.code import code_in
from assurebot.values import Program


def found(text: str, language: str = "") -> tuple[str, str] | None:
    """Language and source of what is found."""
    program = code_in(text, language)
    return None if program is None else (program.language, program.source)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("print('$HOME `x`')", "python", ("python", "print('$HOME `x`')")),
        ("python print(1)", "", ("python", "print(1)")),
        ("Python\nprint(1)\n", "", ("python", "print(1)\n")),
        ("```js\nlet a = 1\n```", "", ("js", "let a = 1")),
        ("run this please\n```python\nx\n```", "", ("python", "x")),
        ("**b**[x](http://e.com) x", "", None),
        ("rust\n```\nfn main() {}\n```", "", ("rust", "fn main() {}")),
        ("```rust\nx\n```", "python", ("python", "x")),
        ("run this:\n```py\na\n\nb\n```\nthanks", "python", ("python", "a\n\nb")),
        ("```\na\n```\nand\n```\nb\n```", "python", ("python", "a\nb")),
        ("````\nx = '''\n```\n'''\n````", "python", ("python", "x = '''\n```\n'''")),
        ("    if 1:\n        pass", "python", ("python", "if 1:\n    pass")),
        ("echo “smart” \\ 'q'", "bash", ("bash", "echo “smart” \\ 'q'")),
        ("```\n    if 1:\n        pass\n```", "python", ("python", "if 1:\n    pass")),
        *(("", "python", None), ("  \n", "python", None), ("```\n```", "python", None)),
        *(("", "", None), ("python", "", None), ("```\nx\n```", "", None)),
    ],
)
def test_code_is_found(text: str, language: str, expected: tuple[str, str] | None) -> None:
    """Blocks count alone; else everything is code; a language is needed from somewhere."""
    assert found(text, language) == expected


@given(st.text(min_size=1).filter(lambda text: "```" not in text and text.strip()))
def test_a_fenced_block_is_returned_as_it_is(code: str) -> None:
    """Whatever stands in a block reaches the box unchanged but for common indentation."""
    program = code_in(f"```\nx{code}\n```", "python")
    assert program == Program(language="python", source=f"x{code}")
