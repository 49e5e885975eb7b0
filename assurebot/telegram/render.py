"""Markdown into Telegram messages: text and entities, never `parse_mode`, so nothing can fail.

What Markdown would hide (link targets, titles, odd code-block headers, surplus table cells,
anything nested too deep) is shown as text: no word is lost, and no link has another's label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit, getLine, table
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from assurebot.ports import Links
from assurebot.telegram.links import guard
from assurebot.telegram.page import Page
from assurebot.telegram.split import clean, split
from assurebot.telegram.tables import write_table
from assurebot.values import Entity, Piece

MAX_MARKDOWN = 32_768
"""So many characters are read as Markdown (the parser is quadratic on some); more stay plain."""

_MAX_NESTING = 100
_RULE, _PICTURE = "\u2014\u2014\u2014", "\U0001f5bc "

_SCHEMES = ("http:", "https:", "tg:", "mailto:", "tel:")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_BARE_URL = re.compile(r"://(?:(?!\*\*|~~)[^\s<>\[\]()`\\]|\((?:(?!\*\*|~~)[^\s<>\[\]()`\\])*\))+")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{0,32}(?![A-Za-z0-9_+#.-])")


def render(markdown: str, links: Links = frozenset()) -> tuple[Piece, ...]:
    """Return the messages that show a Markdown text; see `ports.Renderer`.

    Takes up to a second of CPU for hostile input: call it in a thread.
    """
    text = clean(markdown)
    end = len(text)
    if end > MAX_MARKDOWN:
        end = text.rfind("\n", MAX_MARKDOWN // 2, MAX_MARKDOWN) + 1 or MAX_MARKDOWN
    return (*_formatted(text[:end], links), *_messages(text[end:], (), links))


def plain(text: str, *, guarded: bool = False) -> tuple[Piece, ...]:
    """Return the messages that show a text as it stands, or `guarded`: with no link in it."""
    return _messages(clean(text), (), frozenset() if guarded else None)


def _formatted(text: str, links: Links) -> tuple[Piece, ...]:
    tokens = _parser().parse(text)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        return _messages(text, (), links)  # the parser has left out what is nested deeper
    page = Page()
    for token in tokens:
        _show(page, token)
    return _messages(page.text, page.entities, links) or _messages(text, (), links)


def _messages(text: str, entities: Sequence[Entity], links: Links) -> tuple[Piece, ...]:
    if links is None:
        return split(text, entities)
    return tuple(replace(piece, guarded=True) for piece in split(*guard(text, entities, links)))


@cache
def _parser() -> MarkdownIt:
    # Without reference definitions: those that nothing refers to would vanish.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline", "reference"])
    parser.block.ruler.at("table", _whole_table, {"alt": ["paragraph"]})
    parser.inline.ruler.after("text", "bare_url", _bare_url)
    # Plug-in points of the library, made to be assigned to.
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    parser.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    parser.validateLink = _may_be_link  # type: ignore[method-assign]
    return parser


def _may_be_link(url: str) -> bool:
    """Leave `<pod:name>` and foreign schemes as they stand; `Page` judges the rest."""
    return not _SCHEME.match(url) or url.lower().startswith(_SCHEMES)


def _whole_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - the library's signature
    """Parse a table, and give the cells beyond the header's to the last column of their row."""
    first = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    line, cells = "", list[Token]()
    for token in state.tokens[first:]:
        if token.type == "tr_open" and token.map:
            line, cells = getLine(state, token.map[0]), []
        elif token.type == "inline":
            cells.append(token)
        elif token.type == "tr_close":
            written = [cell.strip() for cell in escapedSplit(line.strip().removeprefix("|"))]
            surplus = written[len(cells) : None if written[-1] else -1]
            cells[-1].content = " | ".join((cells[-1].content, *surplus))
    return True


def _bare_url(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the library's signature
    """Take a URL as it stands, before its underscores and asterisks are read as emphasis."""
    found = _BARE_URL.match(state.src, state.pos, state.posMax)
    if not found or not state.src.endswith(("http", "https"), 0, state.pos):
        return False
    url = found.group().rstrip("*_~.,;:!?'\"")
    if not silent:
        state.append_pending(url)
    state.pos += len(url)
    return bool(url)


def _show(page: Page, token: Token) -> None:
    handler = _HANDLERS.get(token.type)
    if handler is None:
        page.write(token.content)
    else:
        handler(page, token)


def _inline(page: Page, token: Token) -> None:
    target = Page() if page.rows else page
    for child in token.children or ():
        _show(target, child)
    if page.rows:
        page.rows[-1].append(target.text)


def _open_heading(page: Page, _token: Token) -> None:
    page.new_paragraph()
    page.open_style("bold")


def _close_heading(page: Page, _token: Token) -> None:
    page.close_style("bold")
    page.new_block()


def _rule(page: Page, _token: Token) -> None:
    page.new_block()
    page.write(_RULE)
    page.new_block()


def _code_block(page: Page, token: Token) -> None:
    header = token.info.strip()
    found = _LANGUAGE.match(header)
    language = found.group() if found else ""
    code = token.content.rstrip("\n")
    rest = header[len(language) :].strip() if code.strip() else header
    page.new_block()
    page.write(rest)
    page.new_block(1)
    page.write_code(code, "pre", language or None)
    page.new_block()


def _open_list(page: Page, token: Token) -> None:
    page.new_block()
    number = int(token.attrs.get("start", 1)) if token.type == "ordered_list_open" else None
    page.lists.append(number)


def _close_list(page: Page, _token: Token) -> None:
    page.lists.pop()
    page.new_block()


def _open_link(page: Page, token: Token, target: str = "href") -> None:
    page.open_link(str(token.attrGet(target) or ""), str(token.attrGet("title") or ""))


def _image(page: Page, token: Token) -> None:
    _open_link(page, token, "src")
    page.write(_PICTURE + (token.content or "image"))
    page.close_link()


def _close_table(page: Page, _token: Token) -> None:
    rows, page.rows = page.rows, []
    write_table(page, rows)


_HANDLERS: Mapping[str, Callable[[Page, Token], None]] = {
    "inline": _inline,
    "softbreak": lambda page, _token: page.new_line(),
    "hardbreak": lambda page, _token: page.new_line(),
    "paragraph_open": lambda page, _token: page.new_paragraph(),
    "heading_open": _open_heading,
    "heading_close": _close_heading,
    "hr": _rule,
    "code_inline": lambda page, token: page.write_code(token.content, "code"),
    "fence": _code_block,
    "code_block": _code_block,
    "bullet_list_open": _open_list,
    "ordered_list_open": _open_list,
    "bullet_list_close": _close_list,
    "ordered_list_close": _close_list,
    "list_item_open": lambda page, _token: page.write_marker(),
    "blockquote_open": lambda page, _token: page.open_quote(),
    "blockquote_close": lambda page, _token: page.close_quote(),
    "strong_open": lambda page, _token: page.open_style("bold"),
    "strong_close": lambda page, _token: page.close_style("bold"),
    "em_open": lambda page, _token: page.open_style("italic"),
    "em_close": lambda page, _token: page.close_style("italic"),
    "s_open": lambda page, _token: page.open_style("strikethrough"),
    "s_close": lambda page, _token: page.close_style("strikethrough"),
    "link_open": _open_link,
    "link_close": lambda page, _token: page.close_link(),
    "image": _image,
    "tr_open": lambda page, _token: page.rows.append([]),
    "table_close": _close_table,
}
