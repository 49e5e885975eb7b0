"""Long code goes as a file, exactly; what is short stays as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.demo.model import Turn
from assurebot.demo.telegram_chats import SentFile
from assurebot.turns.code_files import LONG_CHARS, LONG_LINES, lifted
from assurebot.values import BoxFile
from tests.scripts import by_words
from tests.world import API_KEY, running

CODE = "".join(f"    print({n})\n" for n in range(83))


def fenced(code: str, header: str = "python", indent: str = "") -> str:
    """Put code into a block, perhaps one of a list item."""
    lines = (f"{indent}{line}" for line in code.splitlines())
    return "\n".join((f"{indent}```{header}", *lines, f"{indent}```"))


def test_long_block_is_a_file_and_its_beginning_stays() -> None:
    """Five lines and a note stand where the block stood; the file holds all of it."""
    text, files = lifted(f"Here:\n\n{fenced(CODE)}\n\nRun it.")
    first = "\n".join(CODE.splitlines()[:5])
    assert text == (f"Here:\n\n```python\n{first}\n```\n\n(83 lines: `code-1.py` below)\n\nRun it.")
    assert files == (BoxFile(name="code-1.py", data=CODE.encode()),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no code",
        fenced("x\n" * LONG_LINES),
        fenced("x" * (LONG_CHARS - 1)),
        f"```python\n{CODE}",
        "word\n" * 100,
        "\n".join(f"> {line}" for line in fenced(CODE).splitlines()),
        f"``` a`b\n{CODE}",
    ],
    ids=["empty", "none", "60 lines", "3000", "open", "prose", "quoted", "no fence"],
)
def test_what_stays_as_it_is(text: str) -> None:
    """Short blocks, prose, and a block without an end are not touched."""
    assert lifted(text) == (text, ())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("python", "code-1.py"),
        ("Python title='x'", "code-1.py"),
        ("c++", "code-1.cpp"),
        ("sh", "code-1.sh"),
        ("", "code-1.txt"),
        ("../../etc/passwd", "code-1.txt"),
        ("py/../../x", "code-1.py"),
        ("file:///etc/passwd", "code-1.txt"),
        ("exe", "code-1.txt"),
    ],
)
def test_name_is_made_by_code(header: str, name: str) -> None:
    """Of the header only a known language counts, and only for the ending."""
    assert [file.name for file in lifted(fenced(CODE, header))[1]] == [name]


def test_fences_in_code_do_not_end_it() -> None:
    """Shorter fences, those of another kind and indented ones belong to the code."""
    inner = "```\nx\n```\n~~~\n" + CODE + "        ```\n"
    text, files = lifted(f"````md\n{inner}````\nend")
    assert [file.data.decode() for file in files] == [inner]
    assert text.endswith("\n````\n\n(88 lines: `code-1.md` below)\nend")
    doc = 'def f():\n    """\n    ```\n    f()\n    ```\n    """\n' + CODE
    assert lifted(fenced(doc))[1][0].data.decode() == doc


def test_block_in_a_list_is_outdented() -> None:
    """The file has the code's own indentation; the text keeps that of the item."""
    block = fenced(CODE, indent="   ")
    for source in (f"1. one\n\n{block}", f"1. {block.lstrip()}"):
        text, files = lifted(f"{source}\n2. two\n\n{fenced(CODE, 'js')}")
        assert [(file.name, file.data.decode()) for file in files] == [
            ("code-1.py", CODE),
            ("code-2.js", CODE),
        ]
        assert "\n       print(4)\n   ```\n\n   (83 lines: `code-1.py` below)\n2. two" in text


def test_endless_lines_are_cut_in_the_text_alone() -> None:
    """One line of any length is shown short, and cannot end the block by being cut."""
    code = "```" + " " * 300 + "x" * 4_000 + "\n"
    text, files = lifted(f"````\n{code}````")
    assert files[0].data.decode() == code
    assert text == f"````\n{code[:200]}…\n````\n\n(1 lines: `code-1.txt` below)"
    assert lifted(fenced("\ud83d" + CODE))[1][0].data.decode() == "?" + CODE


@given(st.lists(st.sampled_from(["```", "````py", "~~~", "  ```", "- ```js", "x", CODE, " ", ">"])))
def test_no_line_is_lost(lines: list[str]) -> None:
    """Whatever the fences, each line is in the text or in a file."""
    source = "\n".join(lines)
    text, files = lifted(source)
    found = text + "\n".join(file.data.decode() for file in files)
    assert all(line.strip() in found for line in source.split("\n"))
    assert (text == source) == (not files)


async def test_answer_with_long_code_is_text_then_documents(tmp_path: Path) -> None:
    """The person gets the file after the text, once; the model's history has all of the code."""
    said = f"Here:\n\n{fenced(CODE)}\n\nand\n\n{fenced(CODE, 'js')}"
    async with running(tmp_path, by_words({"code": Turn(text=said)})) as world:
        world.owner.say("code")
        await world.answer(contains="(83 lines: code-1.py below)")
        await world.ask("more", "more")
        sent = [message.file for message in world.telegram.messages(42)]
        assert sent == [
            None,
            SentFile(kind="document", name="code-1.py", content=CODE.encode()),
            SentFile(kind="document", name="code-2.js", content=CODE.encode()),
            None,
        ]
        assert "print(82)" in str(world.model.requests[-1].raw["messages"])
        await world.restart()
        await world.ask("again", "again")
        assert len(world.telegram.messages(42)) == 5
        assert world.rows("SELECT count(*) FROM blobs") == [(0,)]
        assert world.telegram.violations == []


async def test_secret_in_long_code_is_redacted_in_the_file(tmp_path: Path) -> None:
    """A configured secret leaves neither in the text nor in a file."""
    said = fenced(f"KEY = '{API_KEY}'\n{CODE}KEY = '{API_KEY}'\n")
    async with running(tmp_path, by_words({"code": Turn(text=said)})) as world:
        await world.ask("code", "(85 lines: code-1.py below)")
        await world.ask("more", "more")
        (file,) = (m.file for m in world.telegram.messages(42) if m.file is not None)
        assert file.content.count(b"KEY = '") == 2
        assert API_KEY.encode() not in file.content
        await world.stop()
        assert API_KEY.encode() not in world.stored_bytes()
