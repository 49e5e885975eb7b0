"""Where a tainted turn may go without a press: what the operator allowed and the owner typed."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.policy import typed_in
from assurebot.guard.rules import Rules
from assurebot.urls import parsed
from assurebot.values import TextPart, untrusted
from tests.guard.calls import FETCH, MAIL, Effect, decided, fetched


def frees(typed: str, url: str) -> bool:
    """Tell whether a URL may be fetched in a tainted turn because of what was typed."""
    decision = decided(FETCH, {"url": url}, typed=typed)
    assert decision.rule in {"typed", "class:outward:tainted"}
    return decision.verdict == "allow"


# --- allow -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "url"),
    [
        ("https://example.com/*", "https://EXAMPLE.com:443/a?b"),
        ("https://example.com", "https://example.com"),
        ("https://example.com*", "https://example.com/a"),
        ("https://*.example.com/*", "https://a.b.example.com/"),
        ("https://*/*", "https://example.com/"),
        ("https://*", "https://example.com/a"),
        ("http*://example.com/*", "http://example.com/"),
        ("https://example.com:8443/*", "https://example.com:8443/a"),
        ("https://example.com/a/*.txt", "https://example.com/a/b/c.txt"),
        ("https://[2606:4700::1]/*", "https://[2606:4700:0::1]/"),
        ("*", "https://example.com:8443/a/../b"),
    ],
)
def test_a_glob_frees_what_it_names(glob: str, url: str) -> None:
    """`*` is the only wildcard."""
    assert fetched(url, allow=(f"fetch_url:{glob}",)) == f"allow:fetch_url:{glob}"


@pytest.mark.parametrize(
    ("glob", "url"),
    [
        ("https://*.example.com/*", "https://evil.com/x.example.com/"),
        ("https://*.example.com/*", "https://evil.com?.example.com/"),
        ("https://*.example.com/*", "https://evil.com#.example.com/"),
        ("https://*.example.com/*", "https://evil.com:80.example.com/"),
        ("https://*.example.com/*", "https://evil.com\\.example.com/"),
        ("https://*.example.com/*", "https://evil.com@a.example.com/"),
        ("https://*.example.com/*", "https://a.example.com@evil.com/"),
        ("https://*.example.com/*", "https://example.com/"),
        ("https://*.example.com/*", "https://a.example.com:8443/"),
        ("https://example.com*", "https://example.com.evil.com/"),
        ("https://example.com*/*", "https://example.com.evil.com/"),
        ("https://example.*", "https://example.evil.com/"),
        ("https://a.b*.b.c/*", "https://a.b.c/"),
        ("https://a*a*.b.c/*", "https://a.b.c/"),
        ("https://example.com*", "https://example.com:8443/"),
        ("https://example.com", "https://example.com/x"),
        ("https://example.com/*", "http://example.com/"),
        ("https://example.com:*/*", "https://example.com:8443/"),
        ("https://example.com/a/*", "https://example.com/a/../b"),
        ("https://example.com/a/*", "https://example.com/a/%2E%2e/b"),
        ("https://example.com/a/*", "https://example.com/A/"),
        ("*example.com/*", "https://evil.com/?example.com/"),
        ("http*", "https://evil.com/"),
        ("https:*", "https://evil.com/"),
        ("*", "https://localhost/"),
        ("*", "//evil.com/"),
        ("*", "\u200b//evil.com/"),
        ("*", "\u3000\\\\evil.com"),
        ("*", " https://example.com/"),
        ("*", ""),
        ("*", None),
    ],
)
def test_a_glob_frees_nothing_else(glob: str, url: object) -> None:
    """No `*` reaches over the end of a host, and what is no strict URL is never freed."""
    assert fetched(url, allow=(f"fetch_url:{glob}",)) == "class:outward:tainted"


def test_every_destination_must_be_free() -> None:
    """One stranger among the recipients asks; entries may share the work."""
    rules = Rules.of(allow=("send:a@b.cd", "send:*@x.yz"))
    free = decided(MAIL, {"to": ["a@b.cd", "c@x.yz"], "cc": "", "text": "evil"}, rules=rules)
    assert free.rule == "allow:send:a@b.cd,send:*@x.yz"
    for to in (["a@b.cd", "e@e.vil"], "A@b.cd", "a@b.cd, c@x.yz e", ["a@b.cd", {"e@e.vil": 0}]):
        assert decided(MAIL, {"to": to}, rules=rules).verdict == "ask"
    assert decided(MAIL, {"to": "a@b.cd", "cc": ["e@e.vil"]}, rules=rules).verdict == "ask"


def test_without_a_destination_only_a_bare_entry_frees() -> None:
    """A glob needs something to match."""
    spec = replace(FETCH, destinations=())
    assert decided(spec, {"url": "x"}, rules=Rules.of(allow=("fetch_url:*",))).verdict == "ask"
    assert (
        decided(spec, {"url": "x"}, rules=Rules.of(allow=("fetch_url",))).rule == "allow:fetch_url"
    )


@pytest.mark.parametrize("effect", ["state", "destructive"])
def test_nothing_frees_what_changes_or_deletes(effect: Effect) -> None:
    """Neither an entry, nor the owner's words."""
    decision = decided(
        replace(FETCH, effect=effect),
        {"url": "https://a.bc/"},
        typed="https://a.bc/",
        rules=Rules.of(allow=("*", "fetch_url", "fetch_url:*")),
    )
    assert (decision.verdict, decision.frees) == ("ask", None)


def test_a_port_is_opened_by_its_number_for_its_host() -> None:
    """Neither `*`, nor an entry of another tool or host, opens any."""
    rules = Rules.of(
        allow=(
            "fetch_url",
            "fetch_url:*",
            "send:https://b.cd:81/*",
            "fetch_url:https://*.a.bc:81/*",
        )
    )
    asked = [("x.a.bc", 81), ("x.a.bc", 82), ("a.bc", 81), ("b.cd", 81), ("x.a.bc.evil.com", 81)]
    assert [rules.opens(*each) for each in asked] == [True, False, False, False, False]


# --- what the owner typed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("see https://Example.com:443/A?b=c#d please", "https://example.com/A?b=c"),
        ("(https://example.com/a).", "https://example.com/a"),
        ("<https://example.com/a>,", "https://example.com/a"),
        ("`https://example.com/a`", "https://example.com/a"),
        ("https://example.com/a.", "https://example.com/a."),
        ("example.com/a, then", "https://example.com/a"),
        ("example.com:8443/a", "https://example.com:8443/a"),
        ("is example.com up?", "https://example.com/"),
        ("https://example.com/@me", "https://example.com/@me"),
        ("see https://b\u00fccher.example/\u00fc.", "https://xn--bcher-kva.example/%C3%BC"),
    ],
)
def test_a_typed_url_is_free(typed: str, url: str) -> None:
    """The full URL, however its host is written."""
    assert frees(typed, url)


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("example.com", "https://example.com/x"),
        ("example.com", "http://example.com/"),
        ("https://example.com/", "https://example.com/?secret"),
        ("https://example.com/abc", "https://example.com/ab"),
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/", "https://example.com:8443/"),
        ("https://example.com/", "https://www.example.com/"),
        ("https://proxy.com/?u=https://evil.com/", "https://evil.com/"),
        ("proxy.com/https://evil.com/", "https://evil.com/"),
        ("me@evil.com", "https://evil.com/"),
        ("https://me@evil.com/", "https://evil.com/"),
        ("https://example.com/ /x", "https://example.com//x"),
        ("https://example.com/a", "\thttps://example.com/a"),
        ("https://localhost/", "https://localhost/"),
    ],
)
def test_what_was_not_typed_is_not_free(typed: str, url: str) -> None:
    """A part of a typed URL, or one that goes on, is another URL."""
    assert not frees(typed, url)


def test_values_are_typed_whole() -> None:
    """Addresses, quoted values and the whole message are free; a part of one never is."""
    typed = "Tell Bob@Example.com, \"The  boss\" and 'file 13' what `x-1` is; don't say it's '13a'"
    free = ["bob@example.com", "the boss", "file 13", "X-1", "13a", typed.upper()]
    asks: list[object] = ["13", "file", "bob", "example.com", "boss", "t say it", "file 1", "x-"]
    for to in free:
        assert decided(MAIL, {"to": to}, typed=typed).rule == "typed"
    assert decided(MAIL, {"to": free, "cc": None}, typed=typed).rule == "typed"
    for asked in [*asks, [*free, "13"], [], ""]:
        assert decided(MAIL, {"to": asked}, typed=typed).verdict == "ask"
    assert decided(MAIL, {"to": "file 13"}, typed="13").verdict == "ask"


def test_only_what_the_owner_typed_now_counts() -> None:
    """Neither a forward, nor the quoted words of an earlier message, free anything."""
    said = TextPart(text="https://a.bc/ x@y.z 'q'")
    others = [replace(said, label=untrusted("forward")), replace(said, quoted=True)]
    assert typed_in(others) == frozenset()
    assert typed_in([*others, said]) == {"https://a.bc/", "x@y.z", "q"}


HOSTS = st.from_regex(r"([a-z0-9-]{1,5}\.){1,3}[a-z]{2,4}", fullmatch=True)
TRICKS = st.text(alphabet="ab.:/?#@\\%*- \u3002\uff0e\u2024\t[]0", max_size=6)


@given(
    HOSTS,
    st.tuples(TRICKS, HOSTS, TRICKS, HOSTS, TRICKS),
    st.sampled_from(["https://", "http://", "//", ""]),
)
def test_no_glob_and_no_typed_value_frees_another_host(
    host: str, bits: tuple[str, ...], start: str
) -> None:
    """Whatever is put around or into a URL: what is freed leads to the host that was named."""
    for url in ("".join(bits), bits[1] + bits[2] + host + bits[4], host + bits[2] + bits[3]):
        rules = (f"fetch_url:https://{host}/*", f"fetch_url:http*://{host}*")
        freed = fetched(start + url, allow=rules) != "class:outward:tainted"
        if freed or frees(f"https://{host}/ or {host}/{bits[0]}", start + url):
            assert parsed(start + url).host == host
        below = fetched(start + url, allow=(f"fetch_url:https://*.{host}/*",))
        if below != "class:outward:tainted":
            assert parsed(start + url).host.endswith(f".{host}")


def test_long_messages_take_no_long_time() -> None:
    """Finding what was typed is linear, and so is matching, whatever stands there."""
    long, rules = 60_000, Rules.of(deny=("send:*-*-*-*'*x", "send:*a*b*a*b*c"))
    words = "".join(f"{chr(0x4E00 + n) * 40}{chr(0x5E00 + n)}.a " for n in range(long // 40))
    texts = ["'" * long, "' " * long, "a.b " * (long // 4), "." * long, "-" * long, words]
    began = time.monotonic()
    for text in texts:
        typed_in([TextPart(text=text)])
        decided(MAIL, {"to": text}, rules=rules)
    assert time.monotonic() - began < 5
