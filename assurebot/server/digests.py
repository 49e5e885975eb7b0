"""A webhook post as a few lines of facts, made by code: what a model sums up, or what is sent.

Who sent it is told by the source's name, else by a header, else by a field that only one sender
has; all of it stays a stranger's word. The shapes are those that the senders document.
"""

from __future__ import annotations

import json
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from urllib.parse import parse_qsl, quote

from assurebot import urls
from assurebot.guard.visible import visible

_TEXT_CHARS = 1500
_LINE_CHARS = 200
_LONG_CHARS = 500  # a URL, or a body that is only text
_FACTS = 12
_ITEMS = 8  # of a list, and fields of an object in one line, that are looked at
_FRAGMENT = "#!$&'()*+,-./:;=?@_~%"

_Post = Mapping[str, object]
_Scalar = str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The facts of one post: single lines in which nothing hides, and all of them a stranger's.

    Attributes:
        facts: Name and value, at most 12, the most important first.
        url: Where to look, in the normal form of `urls`; empty if there is none.
        kind: The sender and its event, such as `github:push`.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    url: str
    kind: str

    @property
    def text(self) -> str:
        """All of it in at most 1,500 characters, of which the URL is never cut."""
        lines = "\n".join([self.title, *(f"{name}: {value}" for name, value in self.facts)])
        return _cut(lines, _TEXT_CHARS - len(self.url) - 1) + (self.url and f"\n{self.url}")


def digest(source: str, headers: Mapping[str, str], content_type: str, body: bytes) -> Digest:
    """Read a post of any shape; never raises, and takes time in proportion to the body."""
    text = body.decode("utf-8-sig", "replace")
    post = _parsed(content_type.lower(), text)
    if isinstance(post, list):
        post = {str(n): item for n, item in enumerate(post[:_FACTS], start=1)}
    if not isinstance(post, dict):
        return _plain(content_type, body, text)
    sent = {name.lower(): value for name, value in headers.items()}
    found = [one for one in _SENDERS if one[0] == source]
    found += [one for one in _SENDERS if one[1] in sent]
    found += [one for one in _SENDERS if one[2] & post.keys()]
    for _, header, _, read in found[:1]:
        if (made := read({**post, header: sent.get(header)})).facts:
            return made
    return _other(post)


def _parsed(content_type: str, text: str) -> object:
    """Return the JSON or the form in a body, `None` where there is neither."""
    if content_type.startswith("multipart/"):  # how Uptime Kuma sends JSON unless told otherwise
        text = text[text.find("{") : text.rfind("}") + 1]
    try:
        if content_type.startswith("application/x-www-form-urlencoded"):
            fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=1000))
            if "payload" not in fields:
                return fields
            text = fields["payload"]
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# --- values of a stranger ---------------------------------------------------------------------


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def _line(value: object, chars: int = _LINE_CHARS) -> str:
    """Return a scalar, or the first scalars of an object, as one short line; else empty text."""
    if isinstance(value, Mapping):
        items = islice(value.items(), _ITEMS)
        value = ", ".join(f"{_line(k)}={_line(v)}" for k, v in items if isinstance(v, _Scalar))
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)[: 4 * chars] if isinstance(value, _Scalar) else ""
    return _cut(" ".join(visible(text).split()), chars)


def _find(node: object, keys: list[str]) -> Iterator[object]:
    """Yield what stands at a path; the path goes on in each of the first items of a list."""
    if isinstance(node, list):
        for item in node[:_ITEMS]:
            if not isinstance(item, list):
                yield from _find(item, keys)
    elif not keys:
        yield node
    elif isinstance(node, Mapping):
        yield from _find(node.get(keys[0]), keys[1:])


def _values(node: object, paths: str) -> list[str]:
    """Return what stands at the first path that leads to something, of paths like `a.b|c`."""
    tried = ([*filter(None, map(_line, _find(node, at.split("."))))] for at in paths.split("|"))
    return next(filter(None, tried), [])


def _fill(node: object, template: str) -> str:
    """Put values in the place of `{paths}` or `{words~paths}`, nothing where there is no value."""

    def put(found: re.Match[str]) -> str:
        said = ", ".join(_values(node, found[2]))
        return said and f"{found[1] or ''}{said}"

    return _line(re.sub("{(?:([^{}~]*)~)?([^{}]*)}", put, template))


def _url(url: str) -> str:
    """Return a strict and short URL with its fragment, else empty text."""
    try:
        whole = urls.parsed(url).text + quote("".join(url.partition("#")[1:]), safe=_FRAGMENT)
    except ValueError:
        return ""
    return whole if len(whole) <= _LONG_CHARS else ""


def _made(node: _Post, kind: str, title: str, facts: str, link: str) -> Digest:
    """Make a digest of templates, of facts as `name=paths name=paths`, and of paths to URLs."""
    named = (fact.split("=") for fact in facts.split())
    said = [(name, value) for name, paths in named for value in _values(node, paths)]
    links = (url for path in link.split("|") for url in _find(node, path.split(".")))
    url = next(filter(None, (_url(url) for url in links if isinstance(url, str))), "")
    title, kind = _fill(node, title), _fill(node, kind)
    return Digest(title=title, facts=tuple(said[:_FACTS]), url=url, kind=kind)


# --- senders ----------------------------------------------------------------------------------

_SUBJECTS = (
    *("comment", "review", "pull_request", "issue", "workflow_run", "workflow_job", "alert"),
    *("check_run", "check_suite", "release", "deployment_status", "forkee", "head_commit"),
)


def _github(post: _Post) -> Digest:
    """Read an event by what it is about: in all of them the same names mean the same."""
    parts = [part for key in _SUBJECTS if isinstance(part := post.get(key), dict)]
    commits = post.get("commits")
    size = len(commits) if isinstance(commits, list) else None
    ref = _line(post.get("ref")).removeprefix("refs/heads/")
    return _made(
        ChainMap({"ref": ref, "size": size}, *parts, dict(post)),
        "github:{x-github-event}",
        "{repository.full_name|organization.login|sender.login}: {x-github-event} {action} "
        "{#~number|run_number} {ref_type} {ref|title|full_name|name|tag_name|environment|zen}",
        "by=sender.login|pusher.name state=conclusion|state|status merged=merged commits=size "
        "environment=environment branch=head_branch|check_suite.head_branch|head.ref into=base.ref "
        "tag=tag_name forced=forced text=body|message|description commit=after|head_sha",
        "compare|html_url|target_url|log_url|repository.html_url",
    )


_WHOLE = " bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf "
_THOUSANDTHS = " bhd jod kwd omr tnd "
"""Currencies not sent in hundredths (docs.stripe.com/currencies; ISK and UGX are)."""


def _stripe(post: _Post) -> Digest:
    thing = ChainMap(*(one for one in _find(post, ["data", "object"]) if isinstance(one, dict)))
    names = ("amount", "amount_total", "amount_due", "total")
    amount = next((one for name in names if type(one := thing.get(name)) is int), None)
    money, currency = "", _line(thing.get("currency")).lower()
    if amount is not None and currency:
        digits = 0 if f" {currency} " in _WHOLE else 3 if f" {currency} " in _THOUSANDTHS else 2
        money = f"{Decimal(amount).scaleb(-digits):f} {currency.upper()}"
    link = f"https://dashboard.stripe.com/{'' if post.get('livemode') is True else 'test/'}events/"
    return _made(
        {**post, "thing": thing, "money": money, "link": _fill(post, link + "{id}")},
        "stripe:{type}",
        "Stripe: {type} {money}",
        "amount=money status=thing.status customer=thing.customer.id|thing.customer "
        "email=thing.customer_email|thing.customer_details.email|thing.receipt_email "
        "reason=thing.failure_message|thing.last_payment_error.message|thing.reason "
        "about=thing.description object=thing.id livemode=livemode",
        "link",
    )


def _slack(post: _Post) -> Digest:
    link = _fill(post, "https://app.slack.com/client/{team_id|team.id}/{event.channel|channel_id}")
    return _made(
        {**post, "link": link},
        "slack:{event.type|type|command}",
        "Slack: {event.type|type|command} {event.subtype}",
        "user=event.user.id|event.user|user_name|user.username|event.bot_id "
        "channel=event.channel.id|event.channel|event.item.channel|channel_name|channel.name "
        "text=event.text|event.reaction|message.text|text action=actions.action_id",
        "link",
    )


_ALERT = (
    "{status}: {labels.alertname} {labels.severity} {labels.instance} {since ~startsAt} "
    "{values|valueString} {annotations.summary|annotations.description|annotations.message}"
)


def _alerts(post: _Post) -> Digest:
    """Read what Alertmanager sends, and Grafana, which sends the same and more."""
    listed = post.get("alerts")
    alerts = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    firing = [one for one in alerts if one.get("status") == "firing"]
    resolved = [one for one in alerts if one.get("status") == "resolved"]
    shown = {
        "sender": "grafana" if "title" in post else "alertmanager",
        "counts": f"{len(firing)} firing, {len(resolved)} resolved" if alerts else "",
        "each": [_fill(one, _ALERT) for one in (firing + resolved)[:_ITEMS]],
    }
    return _made(
        {**post, **shown},
        "{sender}:{state|status}",
        "{title|commonLabels.alertname|receiver} {counts}",
        "state=state|status rule=ruleName values=evalMatches group=groupLabels alert=each|message",
        "alerts.panelURL|alerts.dashboardURL|externalURL|ruleUrl|alerts.generatorURL",
    )


_STATES = {"0": "down", "1": "up", "2": "pending", "3": "maintenance"}


def _uptime(post: _Post) -> Digest:
    """Read what Uptime Kuma and UptimeRobot send; a test of Kuma's is a message alone."""
    return _made(
        {**post, "state": _STATES.get(_fill(post, "{heartbeat.status}"))},
        "uptime:{state|alertTypeFriendlyName|alertType}",
        "{monitor.name|monitorFriendlyName|msg} {state|alertTypeFriendlyName}",
        "state=state|alertTypeFriendlyName|alertType monitor=monitor.name|monitorFriendlyName "
        "message=heartbeat.msg|alertDetails|msg at=heartbeat.time|alertDateTime "
        "seconds=alertDuration target=monitor.url|monitor.hostname|monitorURL",
        "monitor.url|monitorURL",
    )


_SENDERS = (
    ("github", "x-github-event", {"pusher"}, _github),
    ("stripe", "stripe-signature", {"livemode"}, _stripe),
    ("slack", "x-slack-signature", {"api_app_id", "response_url"}, _slack),
    ("alertmanager", "", {"groupLabels", "ruleName"}, _alerts),
    ("uptime", "", {"heartbeat", "monitorFriendlyName"}, _uptime),
)
"""Usual source, header and fields of each, and its reader."""


_OTHER_TITLE = "{title|data.issue.title|data.event.title|summary|subject|name|event|type|message}"
_OTHER_URL = "html_url|web_url|data.issue.web_url|data.event.web_url|url|link"


def _other(post: _Post) -> Digest:
    """Show the first fields of JSON or a form that no reader knows."""
    lines = ((_line(name, 40), _line(value)) for name, value in post.items())
    made = _made(post, "other", _OTHER_TITLE, "", _OTHER_URL)
    facts = tuple(islice((one for one in lines if one[1]), _FACTS))
    return replace(made, title=made.title or "Untitled", facts=facts)


def _plain(content_type: str, body: bytes, text: str) -> Digest:
    """Show the start of a text; of anything else, what it can be told by."""
    fact, kind = ("text", _line(text.lstrip(), _LONG_CHARS)), "text"
    if not content_type.lower().startswith("text/") and ("\0" in text or "\ufffd" in text):
        fact, kind = ("sha256", sha256(body).hexdigest()), "binary"
    return Digest(title=f"{kind}, {len(body):,} bytes", facts=(fact,), url="", kind=kind)
