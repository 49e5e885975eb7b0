"""What is not ours is never a link: judged by what clients make of the messages as they are."""

import re
import time
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assurebot.demo.telegram_links import clickable
from assurebot.demo.telegram_rules import check_text
from assurebot.telegram.render import plain, render
from assurebot.telegram.split import MAX_UNITS
from assurebot.urls import parsed
from assurebot.values import Entity, Piece


def tapped(pieces: tuple[Piece, ...]) -> list[str]:
    """What can be tapped in any of the messages."""
    return [found for piece in pieces for found in clickable(piece.text, piece.entities)]


def in_code(piece: Piece) -> list[str]:
    """The stretches of code in a message of ASCII, in order."""
    places = sorted((e.offset, e.offset + e.length) for e in piece.entities if e.type == "code")
    return [piece.text[start:end] for start, end in places]


LINKS = (
    *("https://evil.com", "http://evil.com/?q=secret", "HTTPS://EVIL.COM:8443/a?b=c#d"),
    *("evil.com", "secret.evil.com/path?q=1", "evil.com:8080", "www.evil.co.uk", "main.py"),
    *("xn--e1afmkfd.xn--p1ai", "пример.рф", "ev\u0456l.com", "उदाहरण.भारत"),
    *("https://me:pass@evil.com/", "me@evil.com", "a.b+c@evil.com", "//evil.com", "\\\\evil.com"),
    *("1.2.3.4", "http://1.2.3.4:80/x", "http://[::1]:80/x"),
    *("t.me/share/url?url=evil.com", "tg://resolve?domain=evil"),
    *("mailto:me@evil.com", "tel:+431234567", "+1-212-555-0123", "+43 (1) 234 56 78", "555-123456"),
    *("@evil_bot", "/start", "/start@evil_bot", "#tag", "#1tag", "$EUR", "http://localhost/x"),
    *("ev\u200bil.com", "ev\xadil.com", "evil.\u2060com", "htt\u200bps://evil.com", "@\u200bevil"),
    *("evil.\u202ecom", "evil\u2028.com", "evil.\u030acom", "http:/\ufeff/evil.com"),
    *(
        "\U0001f4a9.la",
        "https://evil.com/a(b)c",
        "javascript://evil.com",
        "https://例え.テスト/パス",
    ),
)


WIDER = (
    *("[2001:db8::1]", "2001:db8::1", "1:2:3:4:5:6:7:8", "x-y://z", "data:text/x,y"),
    "\uff45\uff56\uff49\uff4c\uff0e\uff43\uff4f\uff4d",
)
"""No client that we know of makes links of these, but one may."""


@pytest.mark.parametrize("link", LINKS)
def test_each_shape_is_a_link_as_it_stands(link: str) -> None:
    """The judge sees what clients see; else the tests below could not fail."""
    assert tapped(render(link, None)) != []


@pytest.mark.parametrize("link", [*LINKS, *WIDER])
def test_each_shape_is_no_link_when_guarded(link: str) -> None:
    """Every shape goes wholly into one stretch of code, with or without punctuation around it."""
    for text in (
        link,
        f"see {link}, or ({link}).",
        f"a {link}! b",
        f"- x {link}\n- y",
        f"> {link}",
    ):
        for pieces in (render(text), plain(text, guarded=True)):
            assert tapped(pieces) == []
            assert [piece.guarded for piece in pieces] == [True]
            assert any(one.type == "code" for one in pieces[0].entities)


@pytest.mark.parametrize(
    ("source", "text", "code"),
    [
        ("[x](https://evil.com)", "x (https://evil.com)", ["https://evil.com"]),
        ("**[x](evil.com)** y", "x (evil.com) y", ["evil.com"]),
        ("ev**il**.com", "evil.com", ["evil.com"]),
        ("`evil`.com", "evil.com", ["evil.com"]),
        ("`a evil`.com/b `c`", "a evil.com/b c", ["a evil.com/b", "c"]),
        ("<https://evil.com>", "https://evil.com", ["https://evil.com"]),
        ("&#104;ttps://evil&#46;com", "https://evil.com", ["https://evil.com"]),
        ("(https://evil.com/a).", "(https://evil.com/a).", ["https://evil.com/a"]),
        ("ev\u200bil.com x", "ev\ufffdil.com x", ["ev\ufffdil.com"]),
        ("call +1 212 555 0123 now", "call +1 212 555 0123 now", ["+1 212 555 0123"]),
        ("a\\@evil b\\#tag", "a@evil b#tag", ["a@evil", "b#tag"]),
    ],
)
def test_the_final_text_is_judged_not_the_markdown(source: str, text: str, code: list[str]) -> None:
    """A link put together from several marks is code as a whole, and every word is shown."""
    (piece,) = render(source)
    assert (piece.text, in_code(piece), tapped((piece,))) == (text, code, [])


def test_other_styles_are_interrupted_around_code() -> None:
    """Telegram has no code inside bold text, but in a quote."""
    (piece,) = render("> **see evil.com now**")
    assert sorted(piece.entities, key=lambda one: (one.offset, one.length)) == [
        Entity(type="bold", offset=0, length=4),
        Entity(type="blockquote", offset=0, length=16),
        Entity(type="code", offset=4, length=8),
        Entity(type="bold", offset=12, length=4),
    ]


def test_plain_words_stay_as_they_are() -> None:
    """Versions, times, dates, prices, fractions and such are no code."""
    for text in (
        "Python 3.11.4, e.g. at 10:30 or i.e. on 2026-11-05 10:30:11, costs $5 or 1,234,567.89",
        "and/or 1/2 km/h C# #1 5*3 x=1 key:value a_b wait... what? 3.1415926535 U.S. 100 200",
        "Result<T> </b> std: vector 12:34:56 \u201cwords\u201d \u4f60\u597d\u3002\u4e16\u754c",
    ):
        assert render(text) == plain(text, guarded=True) == (Piece(text=text, guarded=True),)


def test_only_the_given_urls_are_links() -> None:
    """They are compared in their normal form, as a whole; with `None` everything may be a link."""
    links = frozenset([parsed("https://good.com/a?b=1").text])
    for url in ("https://good.com/a?b=1", "HTTPS://GOOD.com:443/a?b=1"):
        assert tapped(render(f"see ({url}).", links)) == [url]
    for url in (
        *(
            "https://good.com/a?b=2",
            "https://good.com/a",
            "http://good.com/a?b=1",
            "good.com/a?b=1",
        ),
        *("https://good.com/a?b=1#secret", "https://good.com/a?b=1,evil.com"),
        *("https://x@good.com/a?b=1", "https://good.com/a?b=1\u200b"),
    ):
        assert tapped(render(url, links)) == []
    text = "https://evil.com me@x.yz /help"
    assert render(text, None) == plain(text) == (Piece(text=text),)


def test_a_url_that_is_cut_is_code_on_both_sides() -> None:
    """The splitter keeps the two halves of a long URL, and what a cut makes of a path, in code."""
    url = "https://evil.com/" + "ab/cd" * 2000
    for text in (url, "x" * (MAX_UNITS - 40) + " " + url, "x" * MAX_UNITS + "/start"):
        pieces = render(text)
        assert len(pieces) > 1
        assert "".join(piece.text for piece in pieces).replace(" ", "") == text.replace(" ", "")
        assert tapped(pieces) == []


FRAGMENTS = (
    *LINKS,
    *WIDER,
    *(
        "**",
        "*",
        "_",
        "`",
        "~~",
        "[",
        "](",
        ")",
        "(",
        " ",
        "  ",
        "\n",
        "> ",
        "- ",
        "|",
        "```\n",
        ".",
    ),
    *(":", "/", "//", "@", "#", "$", "com", "www", "\u200b", "\xad", "word", "1", "\U0001f600"),
    *("http", "https:", ",", "'", '"', "<", ">", "+43", "123 4567", "&#46;", "\\", "\u202e", "é"),
)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40), st.sampled_from([1, 1, 20]))
def test_no_mixture_makes_a_link(fragments: list[str], times: int) -> None:
    """Whatever is put together, nothing of it can be tapped, and Telegram takes it as it is."""
    text = "".join(fragments) * times
    for pieces in (render(text), plain(text, guarded=True)):
        assert tapped(pieces) == []
        for piece in pieces:
            found = check_text(piece.text, [asdict(one) for one in piece.entities]).violations
            assert [one for one in found if not re.search("in blockquote|white space", one)] == []


@pytest.mark.parametrize(
    "source",
    [
        *("a.bc x " * 12_000, "**a** b.cd _e_ " * 4000, "`a` b.cd `e`" * 4000, "a.bc" * 12_000),
        *(")" * 50_000 + "a.bc" + ")" * 50_000, "1 " * 25_000, "#1" * 25_000 + "@" * 25_000),
        *("0:" * 25_000 + "1." * 25_000, "\u200b" * 50_000, "> a.bc\n" * 8000, "/a" * 25_000),
    ],
    ids=lambda source: repr(source[:8]),
)
def test_hostile_texts_take_little_time(source: str) -> None:
    """To put everything into code takes time in proportion to the text."""
    begun = time.process_time()
    assert tapped(render(source)[-1:]) == []
    assert time.process_time() - begun < 3
