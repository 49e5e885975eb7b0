"""The exact bytes of a call."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.arguments import canonical, digest, values

PROBLEM = "the arguments must be one JSON object, no key twice, with finite numbers"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "{}"),
        (
            ' {"b": [1, 2.50], "a": "\u202e\u00fc\\u00fc"} ',
            r'{"a":"\u202e\u00fc\u00fc","b":[1,2.5]}',
        ),
        ('{"a": "\\ud800", "n": null}', r'{"a":"\ud800","n":null}'),
    ],
)
def test_one_object_has_one_form(text: str, form: str) -> None:
    """Sorted, compact and ASCII: nothing invisible, nothing that depends on spelling."""
    assert canonical(text) == form


@pytest.mark.parametrize(
    "text",
    [
        *("[]", '"a"', "null", "{", '{"a":1}{', '{"a":1,"a":2}', '{"b":{"a":1,"\\u0061":2}}'),
        *('{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}', f'{{"a":{"9" * 5000}}}'),
        f'{{"a":{"[" * 100_000}{"]" * 100_000}}}',
    ],
)
def test_what_two_readers_may_read_differently_is_refused(text: str) -> None:
    """The error is a fixed text, without a word of the arguments."""
    with pytest.raises(ValueError, match=r"^the arguments") as caught:
        canonical(text)
    assert str(caught.value) == PROBLEM


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON))
def test_the_form_says_the_same_and_changes_no_more(given_: dict[str, Any]) -> None:
    """However an object is written, its form and so its digest are the same."""
    form = canonical(json.dumps(given_, indent=1, ensure_ascii=False))
    assert json.loads(form) == given_
    assert canonical(form) == form
    assert form.isascii()
    turned = dict(reversed(given_.items()))
    assert digest(canonical(json.dumps(turned))) == digest(form)


def test_the_digest_is_the_sha_256() -> None:
    """Anybody can compute it again."""
    assert digest("{}") == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_values_are_found_wherever_they_hide() -> None:
    """Lists and objects are opened, keys count, numbers are JSON; blank and null are none."""
    text = canonical('{"to": ["a", ["b", {"k": {"c": true}}]], "n": 13, "x": " ", "y": null}')
    assert values(text) == ("13", "a", "b", "k", "c", "true")
    assert values(text, ("n", "x", "y", "z")) == ("13",)
    assert values("{}", ("n",)) == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"a":1,"a":2}', '{"a":NaN}', '{"b":0,"a":1e999}']
)
def test_values_of_no_object_are_an_error(text: str) -> None:
    """What is not an object has no arguments to judge."""
    with pytest.raises(ValueError, match=r"^$|Expect"):
        values(text)
