"""Every Markdown text arrives whole, in messages that Telegram accepts as they are."""

import re
import time
from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assurebot.demo.telegram_rules import check_text
from assurebot.ports import Links
from assurebot.telegram.render import MAX_MARKDOWN, plain, render
from assurebot.telegram.split import clean, units
from assurebot.values import Entity, Piece

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
TOLERATED = re.compile(
    # Telegram keeps code in a quote, and the indentation of a message that begins with code
    # (td/telegram/MessageEntity.cpp: remove_entities_intersecting_blockquote, fix_formatted_text).
    r"nesting: (?:code|pre) at \d+ in blockquote at \d+|outer white space beside entities"
)


def entity(kind: str, offset: int, length: int, language: str | None = None) -> Entity:
    """Write an entity short."""
    return Entity(type=kind, offset=offset, length=length, language=language)


def problems(pieces: tuple[Piece, ...]) -> list[str]:
    """List what Telegram would refuse or mend; raises what it refuses outright."""
    found: list[str] = []
    for piece in pieces:
        checked = check_text(piece.text, [asdict(one) for one in piece.entities])
        found += [one for one in checked.violations if not TOLERATED.fullmatch(one)]
        inside_code = any(one.type == "pre" and one.offset == 0 for one in piece.entities)
        if piece.text != (piece.text.rstrip() if inside_code else piece.text.strip()):
            found.append(f"white space around {piece.text!r}")
    return found


def shown(pieces: tuple[Piece, ...]) -> str:
    """Join everything that a reader gets: the texts and languages."""
    extras = [one.language or "" for piece in pieces for one in piece.entities]
    return "".join(piece.text for piece in pieces) + " " + " ".join(extras)


def lost(source: str, pieces: tuple[Piece, ...]) -> list[str]:
    """Return words and letters of the source that no reader gets."""
    # The Hangul fillers are letters by category only; within what looks like a link they go.
    source, result = re.sub("[\u115f\u1160\u3164\uffa0]", "", clean(source)), shown(pieces)
    whole = re.sub(r"\s", "", result)
    words = [word for word in re.findall(r"[^\W\d_]+", source) if word not in whole]
    letters = Counter(filter(str.isalpha, source)) - Counter(filter(str.isalpha, result))
    return words or list(letters)


LONG_LINE = "Some *text* with **bold _and `code`_** and [a link](https://e.com/x). " + "words " * 30
NASTY = {
    "nested lists": "# T\n\n1. one\n   - a\n     - b **bold _it_**\n       1. deep `x`\n2. two\n\n"
    "   paragraph\n\n   ```py\n   print('hi')\n   ```\n- [ ] open\n- [x] done",
    "table": "| a | b |\n|---|:-:|\n| 1 | **z** |\n| [l](https://e.com) | x\\|y |\n\nafter",
    "wide table": "|" + " col |" * 12 + "\n|" + "---|" * 12 + ("\n|" + " value |" * 12) * 40,
    "ragged table": "|a|b|\n|-|-|\n|only|\n|one|two|three|four|\n",
    "pipe in table code": "|cmd|what|\n|-|-|\n|`ps | grep x`|find|\n",
    "table in a quote": "> |a|b|\n> |-|-|\n> |c|d|e|\n",
    "fence with fences": "````md\n```py\nx = 1\n```\n````\nthen `` a ` b `` end",
    "fence never closed": "text\n```python\ndef f():\n    return '`'\n# no end",
    "fence with a header": "```c++ title='x' {1,2}\nint main(){}\n```\n```<script>\nx\n```",
    "fence with a header only": "```python\n```",
    "tilde fence": "~~~~\ntilde ``` in\n~~~~",
    "inline never closed": "a `code and **bold and [link](http://x",
    "half of a stream": "Here is **bo",
    "specials": "_*[]()~`>#+-=|{}.! \\ & < > \" ' 5 * 3 * 2 snake_case a*b*c 2)\n- - -\n+\n===",
    "html": "<script>alert(1)</script> <b>open <i>x</b> <!-- c --> <br> <img src=x> a<b>c && x<y",
    "html block first": "<div>\nwords inside\n</div>\n\nafter",
    "tags of a model": '<thinking>hm</thinking>\n<call>{"a": "<b>"}</call>\nResult<T> vec<int>',
    "links": "[a](https://e.com/a_(b)) [b](javascript:alert(1)) [c](/rel) [d](tg://user?id=1) [f]()"
    " [e](<https://e.com/a b>) [](https://x.y) <https://z.y> <me@x.y> [t](https://e.com 'title')",
    "references": "[ref][1] and [^1]\n\n[1]: https://ref.com 't'\n[^1]: https://note.com\n",
    "images": "![img](https://i.com/x.png) ![local](x.png 'title') [![b](https://b.io)](https://c.io)",
    "emoji": f"{FAMILY} **bold \U0001f600** `code \U0001f389`[link \U0001f525](https://e.com) "
    "\U0001d573\U0001d56a e\u0301 \u200f \u05e2\u05d1 *\u0645\u0631*",
    "emoji line after line": (FAMILY * 12 + " **" + "\U0001f389" * 30 + "** `\U0001d4b3`\n") * 60,
    "one line of emoji": "**" + "\U0001f600" * 5000 + "**",
    "long code": "in\n\n```python\n" + "def f(a, b):\n    return a * b  # <1>\n" * 260 + "```\nout",
    "long mixture": "".join(
        f"## Section {n}\n\n{LONG_LINE}\n\n```js\nconst x{n} = `a`;\n```\n\n> quote\n> > deeper\n\n"
        for n in range(40)
    ),
    "words in one line": "word " * 2500,
    "one endless word": "x" * 9000,
    "one endless bold word": "**" + "x" * 9000 + "**",
    "long inline code": "`" + "x y " * 2000 + "`",
    "quotes": "> a\n> b\n\n> ```\n> code `x`\n> ```\n> - l `c`\n>   > deep\n\n> " + "long " * 1500,
    "nested emphasis": "***both*** **bold *it **x** y* z** __u__ **`c`** `**no**` ~~*x*~~ **a\n\nb",
    "emphasis over code in a link": "*a [b `c` *d*](https://e.com) e* **x `y` z**",
    "headings": "# H1\n## H2 `c`\n### **b**\n###### H6 ##\nSet\n===\nSub\n---\n\n***\n",
    "nothing in items": "- \n- \n\n1.\n2. \n\n> \n\n||",
    "controls": "a\x00b **x\x00** \x1b[31mred\x1b[0m \x07 \ufeff \u2028 \u200b",
    "lone surrogates": "a \ud83d b **c \ude00**",
    "carriage returns": "a\r\n\r\n- b\r\n  - c\r\n\r\n```\r\nx\r\n```\rz",
    "many entities": " ".join(f"**b{n}** `c{n}` _i{n}_" for n in range(120)),
    "sixty quotes deep": ">" * 60 + " deep",
    "two hundred quotes deep": ">" * 200 + " deep",
    "sixty lists deep": "\n".join("  " * n + f"- item{n}" for n in range(60)),
    "mathematics": "Inline $a_1^2 + b_{2}$ and \\(x\\) $$\\sum_{i=0}^n i$$ costs $5",
    "mentions and paths": "@user_name #tag_x /cmd_a me_a@b_c.com C:\\path\\to_file\\n",
    "hidden link": "[\u200b](https://hidden.example)",
}


@pytest.mark.parametrize("links", [None, frozenset()], ids=["open", "guarded"])
@pytest.mark.parametrize("source", NASTY.values(), ids=NASTY)
def test_nasty_texts_arrive_whole_in_valid_messages(source: str, links: Links) -> None:
    """Whatever a model writes, each part is valid as it is and no word is missing."""
    pieces = render(source, links)
    assert (problems(pieces), lost(source, pieces)) == ([], [])
    assert pieces


@pytest.mark.parametrize(
    "source",
    [
        "[" * 50_000,
        "*" * 50_000,
        "`" * 50_000,
        "a**b" * 12_000,
        ">" * 50_000,
        "_a _" * 12_000,
        "[a](" * 12_000,
        "<" * 50_000,
        "\n".join(" " * n + "- x" for n in range(600)),
        "|" * 50_000,
        " ".join("`" * n for n in range(300)),
        "|a" * 8000 + "\n" + "|-" * 8000 + "\n" + "x|\n" * 8000,
    ],
    ids=lambda source: repr(source[:8]),
)
def test_hostile_texts_take_bounded_time(source: str) -> None:
    """Input made to be slow is rendered in seconds at the worst, and still whole."""
    begun = time.process_time()
    pieces = render(source)
    assert time.process_time() - begun < 6
    assert (problems(pieces), lost(source, pieces)) == ([], [])


MARKS = (
    "* ** _ __ ` `` ``` ~~~ [ ] ( ) ](https://a.bc) ![ # - 1. > | || |---| ~~ --- === <b> </b> < ! "
    "$ \\ word \u0441\u043b\u043e\u0432\u043e x_y 0 <!-- https://a.bc/__x__ [x]:"
)
SOUP = st.lists(
    st.sampled_from(
        [*MARKS, FAMILY, "\n", "\n\n", "  ", "    ", " ", "\t", "\r\n", "- [ ] ", "> "]
    ),
    max_size=80,
).map("".join)
ANY_TEXT = st.text().map(lambda text: text.replace("&", "+"))  # `&amp;` rightly becomes one sign


@settings(max_examples=250)
@given(
    text=ANY_TEXT | SOUP,
    times=st.sampled_from([1, 1, 1, 40]),
    links=st.sampled_from([None, frozenset[str]()]),
)
def test_any_text_arrives_whole_in_valid_messages(text: str, times: int, links: Links) -> None:
    """No text, short or long, makes an invalid message or loses a word."""
    pieces = render(text * times, links)
    assert (problems(pieces), lost(text * times, pieces)) == ([], [])


@settings(max_examples=100)
@given(text=st.text() | SOUP, times=st.sampled_from([1, 300]))
def test_plain_text_loses_white_space_only(text: str, times: int) -> None:
    """The plain form keeps every character but white space at the cuts, and has no entities."""
    pieces = plain(text * times)
    assert problems(pieces) == []
    assert [piece.entities for piece in pieces if piece.entities] == []
    together = "".join(piece.text for piece in pieces)
    assert [c for c in together if c.isalnum()] == [c for c in clean(text * times) if c.isalnum()]


def test_a_long_code_block_goes_on_in_the_next_message_with_its_language() -> None:
    """Every part of a split block is a block of that language, and the code is all there."""
    code = "\n".join(f"def f{n}():\n    return {n}" for n in range(400))
    pieces = render(f"Look:\n\n```python\n{code}\n```\n\nThat is *it*.")
    assert len(pieces) == 3
    blocks = [[one for one in piece.entities if one.type == "pre"] for piece in pieces]
    assert [[one.language for one in found] for found in blocks] == [["python"]] * 3
    assert [piece.text[:5] for piece in pieces[1:]] == ["def f", "def f"]
    assert "\n".join(piece.text for piece in pieces) == f"Look:\n\n{code}\n\nThat is it."


def test_indentation_at_a_cut_inside_code_stays() -> None:
    """A part that begins within indented code keeps the spaces, which carry meaning there."""
    code = "if x:\n" + "    call()\n" * 600
    first, second = render(f"```py\n{code}```")
    assert (first.text + "\n" + second.text, second.text[:10]) == (code.rstrip(), "    call()")


def test_4097_units_are_two_messages_and_4096_are_one() -> None:
    """The limit is counted in UTF-16 units, in which an emoji is two."""
    assert [units(one.text) for one in render("\U0001f600" * 2048)] == [4096]
    assert [units(one.text) for one in render("x" + "\U0001f600" * 2048)] == [4095, 2]
    assert [one.text for one in render("word " * 819 + "end")] == [("word " * 819).strip(), "end"]


def test_no_emoji_is_taken_apart() -> None:
    """Joined emoji, skin tones, variation selectors and combining marks stay with their base."""
    for cluster in (FAMILY, "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "e\u0301"):
        pieces = render("a" + cluster * 3000)
        assert {piece.text.replace(cluster, "") for piece in pieces} == {"a", ""}


def test_more_than_100_entities_make_more_messages() -> None:
    """Telegram ignores entities beyond 100, so each message has at most that many."""
    pieces = render(" ".join(["`code`"] * 250))
    assert [len(piece.entities) for piece in pieces] == [100, 100, 50]


def test_what_is_not_markdown_stays_as_it_was_typed() -> None:
    """Placeholders, generics, URLs with underscores and asterisks are not touched."""
    for text in (
        "kubectl logs <pod> -n <namespace:name>",
        "Result<T> vec<int>",
        "https://e.com/__init__.py and https://e.com/_a_/b_c_?x=*1* end",
        "(https://e.com/a_(b)_c_)",
        "snake_case_name and 5 * 3 * 2",
        "[note]: this is no definition",
    ):
        assert render(text, None) == (Piece(text=text),)


def test_the_formatting_that_telegram_knows() -> None:
    """Bold, italic, struck, code, blocks, quotes, links and lists become text and entities."""
    source = (
        "# Title *x*\n\n**b** *i* ~~s~~ `c` [l](https://e.com/a)\n\n"
        "> q\n> > deeper\n\n- one\n  1. two\n\n```sh\nls\n```\n\n---\n"
    )
    text = (
        "Title x\n\nb i s c l (https://e.com/a)\n\nq\n\ndeeper\n\n"
        "\u2022 one\n  1. two\n\nls\n\n\u2014\u2014\u2014"
    )
    (piece,) = render(source, None)
    assert piece.text == text
    assert piece.entities == (
        entity("bold", 0, 7),
        entity("italic", 6, 1),
        entity("bold", 9, 1),
        entity("italic", 11, 1),
        entity("strikethrough", 13, 1),
        entity("code", 15, 1),
        entity("blockquote", 38, 9),
        entity("pre", 65, 2, "sh"),
    )


def test_code_stands_in_no_other_style() -> None:
    """Bold text around code is interrupted, since Telegram drops code in bold."""
    assert render("**a `b` c**", None) == (
        Piece(
            text="a b c",
            entities=(entity("bold", 0, 2), entity("code", 2, 1), entity("bold", 3, 2)),
        ),
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("[a](http://x.yz)", "a (http://x.yz)"),
        ("[a](tg://user?id=1)", "a (tg://user?id=1)"),
        ("[a](https://x.yz 'more')", "a (https://x.yz more)"),
        ("[https://a.bc](https://x.yz)", "https://a.bc (https://x.yz)"),
        ("[https://x.yz](https://x.yz)", "https://x.yz"),
        ("[a](javascript:b)", "[a](javascript:b)"),
        ("[a](file:///etc)", "[a](file:///etc)"),
        ("[a](docs/b.md)", "a (docs/b.md)"),
        ("[a](http://localhost:80)", "a (http://localhost:80)"),
        ("[write](mailto:me@x.yz)", "write (me@x.yz)"),
        ("[call](tel:+4312)", "call (+4312)"),
        ("<me@x.yz>", "me@x.yz"),
        ("[](https://x.yz)", "https://x.yz"),
        ("[\u200b](https://x.yz)", "\u200bhttps://x.yz"),
        ("![cat](https://x.yz)", "\U0001f5bc cat (https://x.yz)"),
    ],
)
def test_link_targets_are_in_plain_sight(source: str, text: str) -> None:
    """No target hides behind a label: it is written out, once."""
    assert render(source, None) == (Piece(text=text),)


def test_a_table_is_aligned_and_complete() -> None:
    """Cells beyond the header's, wide letters and link targets are all in the block."""
    source = "|name|what|\n|-|-|\n|\u65e5\u672c|`a | b`|\n|[x](https://e.com)|\n"
    text = (
        "name              | what\n"
        "------------------+--------\n"
        "\u65e5\u672c              | a | b\n"
        "x (https://e.com)"
    )
    (piece,) = render(source, None)
    assert piece == Piece(text=piece.text, entities=(entity("pre", 0, units(piece.text)),))
    assert [line.rstrip("-") for line in piece.text.split("\n")] == [
        line.rstrip("-") for line in text.split("\n")
    ]


def test_empty_text_gives_no_message_and_empty_markup_is_shown_as_typed() -> None:
    """Nothing to see means nothing to send; a lone fence is still an answer."""
    assert [render(text) for text in ("", "  \n\n\t", "\u200b", "\ufeff \x00")] == [()] * 4
    assert render("```\n```", None) == (Piece(text="```\n```"),)


def test_what_lies_beyond_the_cap_arrives_as_plain_text() -> None:
    """Text after the part that is read as Markdown is neither lost nor read as Markdown."""
    source = "line *x*\n" * (MAX_MARKDOWN // 9 + 100)
    pieces = render(source)
    assert (problems(pieces), lost(source, pieces)) == ([], [])
    assert (pieces[0].text[:6], pieces[-1].text[-8:]) == ("line x", "line *x*")
