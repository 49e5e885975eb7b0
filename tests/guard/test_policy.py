"""Every tool call is decided by a rule that has a name; what no rule allows is denied."""

from dataclasses import replace

import pytest

from assurebot.guard.policy import Policy
from assurebot.guard.rules import Rules
from assurebot.values import Decision, ToolCall, ToolSpec
from tests.guard.calls import CALM, FETCH, MAIL, TAINTED, Effect, call, decided, fetched

PRESS = "needs a press while content from outside is in view"


# --- the seven steps ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "calm", "tainted"),
    [
        ("pure", "allow", "allow"),
        ("private-read", "allow", "allow"),
        ("outward", "allow", "ask"),
        ("state", "allow", "ask"),
        ("destructive", "ask", "ask"),
    ],
)
def test_the_table_decides_by_class_and_taint(effect: Effect, calm: str, tainted: str) -> None:
    """What changes or leaves asks while content from outside is in view; deleting always asks."""
    spec = replace(FETCH, effect=effect, destinations=())
    needs = {"allow": "is allowed", "ask": "needs a press"}
    for situation, verdict in ((CALM, calm), (TAINTED, tainted)):
        differs = situation.tainted and calm != tainted
        assert Policy().decide(call(), spec, situation) == Decision(
            verdict=verdict,  # type: ignore[arg-type] # one of the three
            rule=f"class:{effect}{':tainted' if differs else ''}",
            reason=f"'fetch_url' is {effect}, which {PRESS if differs else needs[verdict]}",
        )


def test_a_tool_that_names_no_class_counts_as_outward() -> None:
    """Forgetting class and destinations never makes a tool freer than `outward`."""
    spec = ToolSpec(name="send", description="", schema="{}")
    assert decided(spec, {"to": "https://a.bc/"}, typed="https://a.bc/").rule == (
        "class:outward:tainted"
    )


@pytest.mark.parametrize("spec", [None, replace(FETCH, name="other")])
def test_a_tool_that_is_not_registered_is_denied(spec: ToolSpec | None) -> None:
    """A name that the model made up runs nothing, nor does another tool's declaration free it."""
    policy = Policy(rules=Rules.of(ask=("*",), allow=("*",)))
    assert policy.decide(call(), spec, CALM) == Decision(
        verdict="deny", rule="not-registered", reason="there is no such tool"
    )


@pytest.mark.parametrize("rules", [Rules(), Rules.of(deny=("*",))])
def test_no_reason_repeats_a_name_that_is_not_registered(rules: Rules) -> None:
    """Such a name is the model's own words, and a reason counts as ours."""
    made = ToolCall(id="1", name="Owner_says_post_all", arguments="{}")
    decision = Policy(rules=rules).decide(made, None, TAINTED)
    assert (decision.verdict, made.name in str(decision)) == ("deny", False)


def test_a_class_that_the_table_does_not_know_is_denied() -> None:
    """The last rule is no."""
    spec = replace(FETCH, effect="magic")  # type: ignore[arg-type] # as a newer version may store
    assert Policy().decide(call(), spec, CALM) == Decision(
        verdict="deny", rule="default", reason="no rule allows 'fetch_url'"
    )


@pytest.mark.parametrize("arguments", ["", "[]", "{", '{"url":1,"url":2}', "[" * 100_000])
def test_arguments_that_are_no_object_are_denied(arguments: str) -> None:
    """What cannot be judged is not run, whatever rule may free it."""
    made = ToolCall(id="1", name="fetch_url", arguments=arguments)
    assert Policy(rules=Rules.of(allow=("*",))).decide(made, FETCH, CALM) == Decision(
        verdict="deny", rule="arguments", reason="the arguments are not one JSON object"
    )


def test_the_first_match_wins() -> None:
    """Deny comes before not registered, that before ask, ask before allow, allow before taint."""
    entries = {"deny": ("fetch_url",), "ask": ("fetch_url",), "allow": ("fetch_url",)}
    found = []
    for spec, left in ((None, 3), (FETCH, 2), (FETCH, 1), (FETCH, 0)):
        rules = {key: entries[key] for key in list(entries)[3 - left :]}
        found.append(Policy(rules=Rules.of(**rules)).decide(call(url="x"), spec, TAINTED))
    assert found == [
        Decision(verdict="deny", rule="deny:fetch_url", reason="POLICY_DENY rules this call out"),
        Decision(
            verdict="ask", rule="ask:fetch_url", reason="POLICY_ASK: this 'fetch_url' needs a press"
        ),
        Decision(
            verdict="allow", rule="allow:fetch_url", reason="POLICY_ALLOW frees this 'fetch_url'"
        ),
        Decision(
            verdict="ask",
            rule="class:outward:tainted",
            reason=f"'fetch_url' is outward, which {PRESS}",
            frees="fetch_url:x",
        ),
    ]


def test_names_are_those_of_all_entries() -> None:
    """The program can refuse entries for tools that it does not have."""
    rules = Rules.of(deny=("a:x:y", "*:z"), ask=("b",), allow=("c:https://a.bc/*", "a"))
    assert rules.names() == {"a", "b", "c"}


# --- deny and ask ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("https://evil.com/x", "HTTPS://EVIL.com", "https://evil.com.:443/x#y", "https://EVIL.COM/X"),
        *(["https://a.bc/", ["https://evil.com/"]], {"https://evil.com/": 1}),
    ],
)  # fmt: skip
def test_a_host_is_denied_in_all_its_spellings(url: object) -> None:
    """One value that matches is enough, wherever it hides."""
    assert (
        fetched(url, deny=("fetch_url:https://evil.com/*",)) == "deny:fetch_url:https://evil.com/*"
    )
    assert fetched(url, ask=("*:*EVIL*",), allow=("*",)) == "ask:*:*EVIL*"


@pytest.mark.parametrize(
    "url",
    ["https://a.bc/Private/x", "https://a.bc//./b/../%70rivate/x", "https://a.bc/b%2f../private/x"],
)
def test_a_denied_path_is_denied_in_other_writings(url: str) -> None:
    """Dots and quotings lead to the same place."""
    assert fetched(url, deny=("*:https://a.bc/private/*",)) == "deny:*:https://a.bc/private/*"


def test_a_foreign_host_and_a_usual_port_may_be_written_either_way() -> None:
    """A rule means the host, not its spelling."""
    entry = "fetch_url:https://*.b\u00fccher.example:443/*"
    assert fetched("https://a.xn--bcher-kva.example/", deny=(entry,)) == f"deny:{entry}"
    assert fetched("https://a.b\u00fccher.example/", allow=(entry,)) == f"allow:{entry}"


def test_other_values_are_not_denied() -> None:
    """A glob is for whole values: parts of them are nothing."""
    rules = {"deny": ("fetch_url:evil", "fetch_url:https://evil.com/", "other", "other:*")}
    assert fetched("https://evil.com/x", **rules) == "class:outward:tainted"


@pytest.mark.parametrize(
    ("glob", "urls"),
    [
        ("evil.com", ("https://evil.com/", "http://EVIL.com.:8443/x?y")),
        ("*evil.com", ("https://evil.com/x", "https://a.evil.com:81/", "https://notevil.com/")),
        ("*.evil.com", ("https://a.b.evil.com/x",)),
        ("evil.com/*", ("http://evil.com:81/x",)),
        ("evil.com/private/*", ("https://evil.com:8443/Private/x", "https://evil.com/a/..//%70rivate/x")),
        ("evil.*", ("https://evil.com/", "https://evil.co.uk/x")),
        ("//evil.com.:8443/", ("https://evil.com:8443/",)),
        ("evil.com:*", ("https://evil.com/x", "https://evil.com:8443/")),
        ("b\u00fccher.example", ("https://xn--bcher-kva.example/", "https://b\u00fccher.example/x")),
        ("203.0.113.9", ("https://203.0.113.9:81/x",)),
        ("https://evil.com", ("https://evil.com/x", "https://evil.com:8443/")),
        ("https://evil.com*", ("https://evil.com/x", "https://evil.com.de/")),
        ("https://evil.*/x", ("https://evil.com/x", "https://evil.com:81/X")),
        ("https://evil.com:8443", ("https://evil.com:8443/x",)),
        ("https://evil.com:*/x", ("https://evil.com/x", "https://evil.com:8443/x")),
        ("https://b\u00fccher.de\u00fc*", ("https://xn--bcher-kva.xn--de-yka/x",)),
    ],
)  # fmt: skip
def test_a_host_to_be_held_may_be_written_loosely(glob: str, urls: tuple[str, ...]) -> None:
    """Without a scheme, a port or a path, any of them is meant; deny and ask read alike."""
    entry = f"fetch_url:{glob}"
    for url in urls:
        assert fetched(url, deny=(entry,)) == f"deny:{entry}"
        assert fetched(url, ask=(entry,), allow=("*",)) == f"ask:{entry}"


@pytest.mark.parametrize(
    ("glob", "url"),
    [
        ("evil.com", "https://a.evil.com/"),
        ("evil.com", "https://a.bc/evil.com"),
        ("evil.com:8443", "https://evil.com/"),
        ("evil.com/x", "https://evil.com/xy"),
        ("https://evil.com", "http://evil.com/"),
        ("https://evil.com:8443", "https://evil.com/"),
        ("me@evil.com", "https://evil.com/"),
        ("*b\u00fccher.example", "https://b\u00fccher.example/"),
    ],
)
def test_what_is_named_holds_nothing_else(glob: str, url: str) -> None:
    """Another host, and another scheme, port or path than a named one, are not meant."""
    assert fetched(url, deny=(f"fetch_url:{glob}",)) == "class:outward:tainted"


def test_addresses_and_other_text_are_held_as_they_stand() -> None:
    """What only looks like a host is no less a text."""
    for entry, to in (("a@b.cd", "A@b.cd"), ("*@b.cd", "x@B.cd"), ("report.txt", "Report.txt")):
        found = decided(MAIL, {"to": to}, rules=Rules.of(deny=(f"send:{entry}",)))
        assert found.rule == f"deny:send:{entry}"


def test_a_star_beside_other_letters_is_no_host() -> None:
    """It could not be encoded, so it would hold and free nothing."""
    with pytest.raises(ValueError, match="label"):
        Rules.of(deny=("fetch_url:https://*b\u00fccher.example/*",))


def test_without_destinations_all_arguments_count() -> None:
    """A rule on a tool that declares none may mean any of its values."""
    spec = ToolSpec(name="run", description="", schema="{}", effect="pure")
    found = decided(spec, {"code": "x\nRM  -rf /"}, rules=Rules.of(deny=("run:*rm -rf*",)))
    assert found.rule == "deny:run:*rm -rf*"
    assert (
        decided(MAIL, {"to": "a", "text": "b"}, rules=Rules.of(deny=("send:b",))).verdict == "ask"
    )


# --- what would free it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "entry"),
    [
        ("https://A.bc:443/x?y", "send:https://a.bc/*"),
        ("http://a.bc:8080/x", "send:http://a.bc:8080/*"),
        (["a@b.cd", "https://a.bc/", "a@b.cd"], "send:a@b.cd,send:https://a.bc/*"),
        (13, "send:13"),
        *(("two words", None), ("a,b", None), ("a*", None), ("a\u202eb", None)),
        *(("https://localhost/", None), (["a", "b c"], None), ([], None)),
    ],
)
def test_the_entry_that_would_free_a_call_is_named(to: object, entry: str | None) -> None:
    """It is one that the settings can hold, and it does free the call."""
    assert decided(MAIL, {"to": to}).frees == entry
    if entry is not None:
        rules = Rules.of(allow=entry.split(","))
        assert decided(MAIL, {"to": to}, rules=rules).verdict == "allow"
