"""The operator's entries: how they are read, and which calls they touch or free.

URLs are compared in their parsed form, part by part, so no `*` reaches over the end of a host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urljoin

from assurebot.urls import Url, parsed

LIKE_URL = re.compile(r"[^\w/\\]*+(https?:|(\w[\w+.-]*+:?)?[/\\]{2})", re.IGNORECASE)
_URL_GLOB = re.compile(
    r"(https?|http\*|\*)://(\[[^\]]*\]|[^/?#@:\\]+?)(?::([0-9]{1,5}))?(\*?)(/.*)?", re.IGNORECASE
)
_LIKE_HOST = re.compile(r"/*(?=[^/:]*\.)([\w.*-]+(:([0-9]{1,5}|\*))?(/.*)?)")
_DOTS = re.compile(r"(^|[/\\])\.\.?([/\\;]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of a call; `url` where it is one."""

    raw: str
    url: Url | None

    @property
    def doubtful(self) -> bool:
        """Some parser may take it for a URL, ours does not."""
        return self.url is None and LIKE_URL.match(self.raw) is not None

    @property
    def normal(self) -> str | None:
        """What typed values are compared by; `None` never matches."""
        if self.url is not None:
            return self.url.text
        return None if self.doubtful else " ".join(self.raw.split()).lower()

    @property
    def forms(self) -> tuple[str, ...]:
        """All ways to write it that a rule against it may mean."""
        if self.url is None:
            return self.raw, " ".join(self.raw.split())
        path = unquote(self.url.path).lstrip("/")
        return self.raw, self.url.text, urljoin(f"{self.url.origin}/", f"./{path}")

    @property
    def glob(self) -> str | None:
        """What an entry that frees it says, where one can be written."""
        if self.url is not None:
            return f"{self.url.origin}/*"
        plain = self.raw.isprintable() and not self.doubtful and not set(self.raw) & set(",* ")
        return self.raw if plain else None


def value_of(raw: str) -> Value:
    """Read a value, as a URL if it is a strict one."""
    try:
        return Value(raw=raw, url=parsed(raw))
    except ValueError:
        return Value(raw=raw, url=None)


_Target = tuple[str, str, int | None, str]
"""Scheme, host, port and path of a glob on URLs."""


def _exact(glob: str) -> _Target | None:
    """Read a glob as what frees: no path is `/`, no port the usual one."""
    found = _URL_GLOB.fullmatch(glob)
    if found is None:
        return None
    scheme, host, port, star, path = found.groups()
    # A `*` at the end of a host would reach into other domains; it means any path.
    path = path or ("/*" if star or host == "*" else "/")
    return scheme.lower(), _ascii(host), int(port) if port else None, path


def _wide(glob: str) -> _Target | None:
    """Read a glob as what holds: no scheme, port or path is any, and a host may end with `*`."""
    host = _LIKE_HOST.fullmatch(glob)
    found = _URL_GLOB.fullmatch(re.sub(r":\*(?=/|$)", "", f"*://{host[1]}" if host else glob))
    if found is None:
        return None
    scheme, name, port, star, path = found.groups()
    if name.isascii() and not port:
        name += star
    name = _ascii(name).removesuffix(".")
    return scheme.lower(), name, int(port) if port else None, path or "/*"


def _ascii(host: str) -> str:
    if any("*" in label and not label.isascii() for label in host.split(".")):
        raise ValueError("no part of a label can be encoded")
    return (host if host.isascii() else host.encode("idna").decode()).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An entry of the settings: `tool` or `tool:glob`; a tool `*` means all."""

    entry: str
    tool: str
    glob: str
    target: _Target | None
    wide: _Target | None
    """Which URLs it names: `target` exactly, to free them; `wide` generously, to hold them."""

    @staticmethod
    def of(entry: str) -> Rule:
        """Read an entry.

        Raises:
            ValueError: The host of its URL has characters that no host has.
        """
        tool, _, glob = entry.partition(":")
        target, wide = _exact(glob), None
        with suppress(ValueError):  # then it is other text
            wide = _wide(glob)
        return Rule(entry=entry, tool=tool, glob=glob, target=target, wide=wide)

    @property
    def idle(self) -> bool:
        """Whether no URL at all can be freed by it."""
        if self.target is None:
            return self.glob not in {"", "*"}
        scheme, host, port, path = self.target
        found = "https" if _matches(scheme, "https") else "http"
        at = host.replace("*", "x.x") + (f":{port}" if port else "")
        return not self.covers(value_of(f"{found}://{at}{path.replace('*', 'x')}"))

    def concerns(self, name: str) -> bool:
        """Tell whether it speaks of a tool."""
        return self.tool in {"*", name}

    def touches(self, name: str, given: Sequence[Value]) -> bool:
        """Tell whether a call with these values may be meant, generously."""
        return self.concerns(name) and (not self.glob or any(map(self._meets, given)))

    def _meets(self, value: Value) -> bool:
        if any(_matches(self.glob.lower(), form.lower()) for form in value.forms):
            return True
        if value.url is None or self.wide is None:
            return False
        scheme, host, port, path = self.wide
        start = len(value.url.origin)
        return (
            _matches(scheme, value.url.scheme)
            and _matches(host, value.url.host)
            and port in {None, value.url.port}
            and any(_matches(path.lower(), form[start:].lower()) for form in value.forms[1:])
        )

    def covers(self, value: Value) -> bool:
        """Tell whether a value is surely meant."""
        if value.url is None:
            return not value.doubtful and _matches(self.glob, value.raw)
        if self.target is None:
            return self.glob == "*"
        scheme, _, port, path = self.target
        usual = 80 if value.url.scheme == "http" else 443
        return (
            _matches(scheme, value.url.scheme)
            and self.reaches(value.url.host)
            and value.url.port == (port or usual)
            and _matches(path, value.url.path + value.url.query)
            and (path == "/*" or not _DOTS.search(unquote(value.url.path)))
        )

    def reaches(self, host: str) -> bool:
        """Tell whether the host of its URL is this one."""
        return self.target is not None and _matches(self.target[1], host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator has set."""

    deny: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    allow: tuple[Rule, ...] = ()

    @staticmethod
    def of(
        *, deny: Sequence[str] = (), ask: Sequence[str] = (), allow: Sequence[str] = ()
    ) -> Rules:
        """Read the entries.

        Raises:
            ValueError: See `Rule.of`.
        """
        read = (tuple(map(Rule.of, entries)) for entries in (deny, ask, allow))
        return Rules(deny=next(read), ask=next(read), allow=next(read))

    def names(self) -> frozenset[str]:
        """Return the tools that are mentioned."""
        return frozenset(rule.tool for rule in (*self.deny, *self.ask, *self.allow)) - {"*"}

    def freeing(self, name: str, given: Sequence[Value]) -> str:
        """Return the allow entries that together free a call, empty if they do not."""
        rules = [rule for rule in self.allow if rule.concerns(name)]
        if bare := next((rule.entry for rule in rules if not rule.glob), None):
            return bare
        used = [next((r.entry for r in rules if r.covers(value)), "") for value in given]
        return ",".join(dict.fromkeys(used)) if all(used) else ""

    def opens(self, host: str, port: int) -> bool:
        """Tell whether `fetch_url` may go to a port of a host that is not a usual one."""
        return any(
            rule.concerns("fetch_url")
            and rule.target is not None
            and rule.target[2] == port
            and rule.reaches(host)
            for rule in self.allow
        )


def _matches(glob: str, text: str) -> bool:
    """Match a whole text in linear time; `*` is any text."""
    first, *others = glob.split("*")
    if not others:
        return glob == text
    if not text.startswith(first):
        return False
    at = len(first)
    for each in others[:-1]:
        at = text.find(each, at) + len(each)
        if at < len(each):
            return False
    return text.endswith(others[-1]) and len(text) - at >= len(others[-1])
