"""HTML becomes text that a model can read."""

import pytest

from assurebot.hypertext import decoded, readable

BASE = "https://a.example/dir/page"

HTML = """<!doctype html><html><head><title> A
 &amp; B </title><style>p {}</style></head><body><script>evil()</script><!-- no -->
<h1>Head</h1><p>One <b>two</b>
 three <a href="/x?y=1">link</a>, <a href="#top">top</a>, <a href="javascript:x()">js</a>.</p>
<noscript>no</noscript><pre>def f():
    return 1</pre><table><tr><td>a<td>b<tr><td>c</table><ul><li>1<li>2</ul>tail<br>end</body>"""


def test_a_page_is_readable() -> None:
    """Words, links and lines stay; scripts, styles and comments go; code keeps its indent."""
    assert readable(HTML, BASE) == (
        "A & B",
        (
            "Head\nOne two three link (https://a.example/x?y=1), top, js.\ndef f():\n"
            "    return 1\na b\nc\n1\n2\ntail\nend"
        ),
    )


@pytest.mark.parametrize(
    "html", ["", "<", "<a href='http://['>x</a>", "<frameset><frame></frameset>"]
)
def test_a_poor_page_is_a_short_page(html: str) -> None:
    """Nothing that stands for a page is an error."""
    assert readable(html, BASE)[1] in {"", "<", "x"}


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("\u00e9".encode(), "", "\u00e9"),
        ("\ufeff\u00e9".encode(), "", "\u00e9"),
        ("\u00e9".encode("latin-1"), "iso-8859-1", "\u00e9"),
        ("\u00e9".encode("utf-16"), "", "\u00e9"),
        (b'<meta charset="windows-1251">\xef', "", '<meta charset="windows-1251">\u043f'),
        (b"\xff!", "", "\ufffd!"),
        (b"a", "unicode_escape", "a"),
        (b"a-", "punycode", "a-"),
        (b"a", "utf-8x", "a"),
    ],
)
def test_charsets(body: bytes, charset: str, text: str) -> None:
    """The named charset decides if it is one for text, else UTF-8, and no byte is an error."""
    assert decoded(body, charset) == text
