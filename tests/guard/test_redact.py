"""No configured secret leaves in any of the usual encodings, and nothing else is touched."""

import string
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assurebot.guard.redact import Redactor
from tests.guard.encodings import ENCODINGS, UNBROKEN_CHARACTERS, all_percent, broken_over_lines

TOKEN = "123456789:AAH-abcdefghijklmnopqrstuvwxyz_01234"
SECRETS = {
    "TELEGRAM_BOT_TOKEN": TOKEN,
    "ANTHROPIC_API_KEY": "sk-ant-api03-" + "Zx9_qT-7" * 11 + "AA",
    "DATABASE_URL": "postgresql://bot:p'a\"s\\s&w<o>r d%5@db.example/x?a=1+2",
    "WEBHOOK_SECRET": "n0t-a-w0rd;$(x)`y`!*~#",
    "WIDE": "p\u00e4ssw\u00f6rt-\u65e5\u672c\U0001f600-long",
}
REDACTOR = Redactor(SECRETS)
EVERY = [
    pytest.param(name, encoding, id=f"{name}-{encoding}")
    for name in SECRETS
    for encoding in ENCODINGS
]


@pytest.mark.parametrize(("name", "encoding"), EVERY)
def test_each_secret_is_gone_in_each_encoding(name: str, encoding: str) -> None:
    """A form is replaced by the name, wherever it stands, also right beside letters and digits."""
    form = ENCODINGS[encoding](SECRETS[name])
    for before, after in (("", ""), ("\u043a ", " \u043a"), ("/bot", "/getMe"), ("0x", "\u00df")):
        result = REDACTOR(before + form + after).replace("\0", "")
        assert result == f"{before}[redacted:{name}]{after}"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("encoding", UNBROKEN_CHARACTERS)
def test_each_form_is_gone_when_broken_over_two_lines(name: str, encoding: str) -> None:
    """A line break at any place in a form, indented or not, does not hide it."""
    form = ENCODINGS[encoding](SECRETS[name])
    assert {REDACTOR(text) for text in broken_over_lines(form)} == {f"[redacted:{name}]"}


def test_a_secret_folded_to_narrow_lines_is_gone() -> None:
    """Any number of line breaks is covered, as in wrapped base64."""
    for form in (TOKEN, ENCODINGS["base64 at 1"](TOKEN), TOKEN.encode().hex()):
        for width in (1, 4, 20):
            lines = [form[at : at + width] for at in range(0, len(form), width)]
            for gap in ("\n", "\r\n    ", "\\\n", "\\n", "\\r\\n"):
                assert REDACTOR(gap.join(lines)) == "[redacted:TELEGRAM_BOT_TOKEN]"


@pytest.mark.parametrize(
    "shape",
    [
        "{}",
        "https://api.telegram.org/bot{}/getUpdates",
        "https://api.telegram.org/file/bot{}/photos/1.jpg",
        'HTTP Request: POST https://api.telegram.org/bot{}/sendMessage "HTTP/1.1 200 OK"',
        '{{"token": "{}"}}',
        "Bot(token='{}')",
        "TELEGRAM_BOT_TOKEN={}",
        "b'{}'",
    ],
)
def test_the_bot_token_is_gone_in_every_shape(shape: str) -> None:
    """A letter before the digits, an escaped colon or a URL around it does not hide the token."""
    for token in (
        TOKEN,
        TOKEN.replace(":", "%3A"),
        TOKEN.replace(":", "%3a"),
        TOKEN.replace(":", "\\u003a"),
        all_percent(TOKEN),
    ):
        assert REDACTOR(shape.format(token)) == shape.format("[redacted:TELEGRAM_BOT_TOKEN]")


def test_what_is_no_secret_is_not_touched() -> None:
    """Prose, look-alikes and parts of secrets come back as they are; short values do not count."""
    redactor = Redactor({"SHORT": "1234567", "BLANK": " " * 20, "TOKEN": TOKEN})
    for text in ("1234567", " " * 30, "", "the token TOKEN", TOKEN[:-1], TOKEN[1:], "a" * 4000):
        assert redactor(text) == text


def test_secrets_within_secrets_are_gone_as_a_whole() -> None:
    """The longer secret wins, and overlapping ones leave nothing of either."""
    redactor = Redactor(
        {"PASSWORD": "swordfish99", "URL": "db://me:swordfish99@h", "TAIL": "@hello-you"}
    )
    assert redactor("db://me:swordfish99@h swordfish99") == "[redacted:URL] [redacted:PASSWORD]"
    assert redactor("db://me:swordfish99@hello-you!") == "[redacted:URL]!"


PRINTABLE = st.text(st.sampled_from(string.printable[:95]), min_size=8, max_size=60)
TOKENISH = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "-_:"), min_size=8, max_size=120
)
A_SECRET = (PRINTABLE | TOKENISH).filter(lambda value: len(value.strip()) == len(value))


@settings(max_examples=300)
@given(
    secret=A_SECRET,
    encoding=st.sampled_from(sorted(ENCODINGS)),
    around=st.tuples(st.text(), st.text()),
)
def test_no_secret_survives_in_any_surroundings(
    secret: str, encoding: str, around: tuple[str, str]
) -> None:
    """Whatever the secret and the text about it, no form of it comes through."""
    form = ENCODINGS[encoding](secret)
    assume(form not in "[redacted:KEY]")
    result = Redactor({"KEY": secret})(form.join(around))
    assert form not in result
    assert "[redacted:KEY]" in result


@settings(max_examples=100)
@given(secret=A_SECRET, data=st.data())
def test_no_secret_survives_a_line_break(secret: str, data: st.DataObject) -> None:
    """A raw secret is found with a line break at any place."""
    at = data.draw(st.integers(1, len(secret) - 1))
    gap = data.draw(st.sampled_from(["\n", "\r\n", "\n  ", "\r\n\t"]))
    assert Redactor({"KEY": secret})(f"<{secret[:at]}{gap}{secret[at:]}>") == "<[redacted:KEY]>"


@settings(max_examples=200)
@given(
    st.text()
    | st.lists(st.sampled_from(["1234", "AAH-", "%31", "\\", "\n", "&#", TOKEN[:20]])).map("".join)
)
def test_text_without_a_secret_is_never_changed(text: str) -> None:
    """Redaction is exact: look-alikes and fragments stay."""
    assert REDACTOR(text) == text


FOREIGN = st.text(st.sampled_from("\u0430\u0431\u0432 \u0433.\n"), max_size=400)


@settings(max_examples=60)
@given(
    name=st.sampled_from(["TELEGRAM_BOT_TOKEN", "WEBHOOK_SECRET"]),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    around=st.tuples(FOREIGN, FOREIGN),
)
def test_drafts_never_show_the_beginning_of_a_secret(
    name: str, encoding: str, around: tuple[str, str]
) -> None:
    """However a text grows, each draft is part of the final text and shows at most 4 characters."""
    form = ENCODINGS[encoding](SECRETS[name])
    text = form.join(around)
    drafts = [REDACTOR.streaming(text[:end]) for end in range(len(text) + 1)]
    assert [draft for draft in drafts if form[:5] in draft] == []
    final = REDACTOR(text)
    assert [draft for draft in drafts if not final.startswith(draft)] == []


def test_a_draft_of_a_secret_over_indented_lines_shows_nothing_of_it() -> None:
    """White space inside a form does not count towards the tail that is held back."""
    text = "well " + ("\n" + " " * 60).join(TOKEN) + " end"
    drafts = {REDACTOR.streaming(text[:end]) for end in range(len(text) + 1)}
    assert all("well ".startswith(draft) for draft in drafts)


def test_a_draft_lags_by_the_longest_form() -> None:
    """The tail that is held back is the longest form and a little more, and no text is changed."""
    redactor = Redactor({"TOKEN": TOKEN})
    text = "word. " * 200
    draft = redactor.streaming(text)
    held = text.removeprefix(draft).replace(" ", "")
    assert (redactor.longest, len(held)) == (92, 100)
    assert Redactor({}).streaming(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "1" * 2**20,
        "%31" * 2**18,
        "%25" * 2**18,
        (TOKEN[:-1] + " ") * 22_000,
        (TOKEN + "\n") * 22_000,
        ("1\n" + " " * 30) * 2**15,
        "1\n" + " " * 2**20,
        "\\" * 2**20,
        "'\\''" * 2**18,
        "&#" * 2**19,
        "1\0" * 2**19,
        "MTIz" * 2**18,
    ],
    ids=lambda text: repr(text[:10]),
)
def test_a_mebibyte_of_hostile_text_takes_no_time(text: str) -> None:
    """Time is linear: text made to be slow is no slower."""
    begun = time.process_time()
    REDACTOR(text)
    REDACTOR.streaming(text)
    assert time.process_time() - begun < 3


def test_short_clean_text_is_nearly_free() -> None:
    """A sink may redact many times a message: 1 KB takes well under a millisecond."""
    text = "The quick brown fox.\n" * 50
    begun = time.process_time()
    for _ in range(200):
        REDACTOR(text)
    assert time.process_time() - begun < 0.1
