"""Each sender is known and read by the shapes that it documents: a sample and its digest."""

import json
from urllib.parse import urlencode

import pytest

from assurebot.server.digests import Digest, digest
from tests.server.test_digests import JSON, read

REPOSITORY = {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop", "name": "shop"}
ABOUT = {"repository": REPOSITORY, "sender": {"login": "mona", "html_url": "https://github.com/m"}}


def github(event: str, **post: object) -> str:
    """Return the text of a GitHub event of one repository."""
    return read("github", ABOUT | post, X_GitHub_Event=event).text


def test_a_push_says_who_where_and_what() -> None:
    """The branch, the commits and their number, the pusher, and the comparison as the link."""
    post = ABOUT | {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": "a" * 40,
        "forced": False,
        "compare": "https://github.com/acme/shop/compare/0000...aaaa",
        "commits": [{"id": "b" * 40, "message": "One"}, {"id": "a" * 40, "message": "Two"}],
        "head_commit": {"id": "a" * 40, "message": "Two\n\nwith details", "author": {"name": "M"}},
        "pusher": {"name": "mona", "email": "mona@example.com"},
    }
    pushed = Digest(
        title="acme/shop: push main",
        facts=(
            ("by", "mona"),
            ("commits", "2"),
            ("forced", "no"),
            ("text", "Two with details"),
            ("commit", "a" * 40),
        ),
        url="https://github.com/acme/shop/compare/0000...aaaa",
        kind="github:push",
    )
    assert read("github", post, X_GitHub_Event="push") == pushed
    assert read("ops", post, x_github_event="push") == pushed
    body = urlencode({"payload": json.dumps(post)}).encode()
    form = "application/x-www-form-urlencoded"
    assert digest("github", {"X-GitHub-Event": "push"}, form, body) == pushed
    assert pushed.text == (
        "acme/shop: push main\nby: mona\ncommits: 2\nforced: no\ntext: Two with details\n"
        f"commit: {'a' * 40}\nhttps://github.com/acme/shop/compare/0000...aaaa"
    )


PULL = {
    "number": 12,
    "title": "Fix the till",
    "html_url": "https://github.com/acme/shop/pull/12",
    "state": "closed",
    "merged": True,
    "body": None,
    "head": {"ref": "till", "sha": "c" * 40},
    "base": {"ref": "main"},
}
ISSUE = {
    "number": 7,
    "title": "Till stuck",
    "state": "open",
    "body": "It is",
    "html_url": "https://github.com/acme/shop/issues/7",
}
RUN = {
    "name": "CI",
    "run_number": 81,
    "head_branch": "main",
    "head_sha": "d" * 40,
    "status": "completed",
    "conclusion": "failure",
    "html_url": "https://github.com/acme/shop/actions/runs/1",
}


@pytest.mark.parametrize(
    ("event", "post", "said"),
    [
        (
            "pull_request",
            {"action": "closed", "number": 12, "pull_request": PULL},
            (
                "acme/shop: pull_request closed #12 Fix the till\nby: mona\nstate: closed\n"
                "merged: yes\nbranch: till\ninto: main\nhttps://github.com/acme/shop/pull/12"
            ),
        ),
        (
            "pull_request_review",
            {
                "action": "submitted",
                "pull_request": PULL | {"merged": None},
                "review": {
                    "state": "approved",
                    "body": "Fine",
                    "html_url": "https://github.com/acme/shop/pull/12#pullrequestreview-5",
                },
            },
            (
                "acme/shop: pull_request_review submitted #12 Fix the till\nby: mona\n"
                "state: approved\nbranch: till\ninto: main\ntext: Fine\n"
                "https://github.com/acme/shop/pull/12#pullrequestreview-5"
            ),
        ),
        (
            "issues",
            {"action": "opened", "issue": ISSUE},
            (
                "acme/shop: issues opened #7 Till stuck\nby: mona\nstate: open\ntext: It is\n"
                "https://github.com/acme/shop/issues/7"
            ),
        ),
        (
            "issue_comment",
            {
                "action": "created",
                "issue": ISSUE,
                "comment": {
                    "body": "Me too",
                    "html_url": "https://github.com/acme/shop/issues/7#issuecomment-1",
                },
            },
            (
                "acme/shop: issue_comment created #7 Till stuck\nby: mona\nstate: open\n"
                "text: Me too\nhttps://github.com/acme/shop/issues/7#issuecomment-1"
            ),
        ),
        (
            "workflow_run",
            {"action": "completed", "workflow_run": RUN, "workflow": {"name": "CI"}},
            (
                "acme/shop: workflow_run completed #81 CI\nby: mona\nstate: failure\nbranch: main\n"
                f"commit: {'d' * 40}\nhttps://github.com/acme/shop/actions/runs/1"
            ),
        ),
        (
            "check_run",
            {
                "action": "created",
                "check_run": {
                    "name": "lint",
                    "status": "in_progress",
                    "conclusion": None,
                    "head_sha": "e" * 40,
                    "html_url": "https://github.com/acme/shop/runs/4",
                    "check_suite": {"head_branch": "till"},
                },
            },
            (
                "acme/shop: check_run created lint\nby: mona\nstate: in_progress\nbranch: till\n"
                f"commit: {'e' * 40}\nhttps://github.com/acme/shop/runs/4"
            ),
        ),
        (
            "check_suite",
            {
                "action": "completed",
                "check_suite": {
                    "head_branch": "main",
                    "head_sha": "f" * 40,
                    "status": "completed",
                    "conclusion": "success",
                },
            },
            (
                "acme/shop: check_suite completed\nby: mona\nstate: success\nbranch: main\n"
                f"commit: {'f' * 40}\nhttps://github.com/acme/shop"
            ),
        ),
        (
            "release",
            {
                "action": "published",
                "release": {
                    "name": None,
                    "tag_name": "v1.2",
                    "body": "Faster",
                    "html_url": "https://github.com/acme/shop/releases/tag/v1.2",
                },
            },
            (
                "acme/shop: release published v1.2\nby: mona\ntag: v1.2\ntext: Faster\n"
                "https://github.com/acme/shop/releases/tag/v1.2"
            ),
        ),
        (
            "create",
            {"ref": "till", "ref_type": "branch", "master_branch": "main", "description": None},
            "acme/shop: create branch till\nby: mona\nhttps://github.com/acme/shop",
        ),
        (
            "delete",
            {"ref": "v0.1", "ref_type": "tag"},
            "acme/shop: delete tag v0.1\nby: mona\nhttps://github.com/acme/shop",
        ),
        (
            "star",
            {"action": "created", "starred_at": "2026-01-01T00:00:00Z"},
            "acme/shop: star created\nby: mona\nhttps://github.com/acme/shop",
        ),
        (
            "fork",
            {"forkee": {"full_name": "mona/shop", "html_url": "https://github.com/mona/shop"}},
            "acme/shop: fork mona/shop\nby: mona\nhttps://github.com/mona/shop",
        ),
        (
            "deployment_status",
            {
                "action": "created",
                "deployment": {"ref": "main", "environment": "production"},
                "deployment_status": {
                    "state": "failure",
                    "environment": "production",
                    "description": "No disk left",
                    "target_url": "https://ci.example.com/9",
                },
            },
            (
                "acme/shop: deployment_status created production\nby: mona\nstate: failure\n"
                "environment: production\ntext: No disk left\nhttps://ci.example.com/9"
            ),
        ),
        (
            "ping",
            {"zen": "Design for failure.", "hook_id": 1, "hook": {"events": ["push"]}},
            "acme/shop: ping Design for failure.\nby: mona\nhttps://github.com/acme/shop",
        ),
        (
            "gollum",
            {"action": "edited"},
            "acme/shop: gollum edited\nby: mona\nhttps://github.com/acme/shop",
        ),
    ],
)
def test_github_events_say_what_happened_to_what(
    event: str, post: dict[str, object], said: str
) -> None:
    """Each event names repository, action, subject, who, state and link; unknown ones too."""
    assert github(event, **post) == said


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (1999, "eur", "19.99 EUR"),
        (500, "jpy", "500 JPY"),
        (5120, "kwd", "5.120 KWD"),
        (500, "ugx", "5.00 UGX"),
        (0, "usd", "0.00 USD"),
        (-250, "usd", "-2.50 USD"),
    ],
)
def test_money_of_stripe_is_in_units(amount: int, currency: str, said: str) -> None:
    """Stripe counts in a currency's smallest unit, which is not a hundredth for all."""
    post = {
        "id": "evt_1",
        "object": "event",
        "type": "charge.failed",
        "livemode": True,
        "data": {
            "object": {
                "id": "ch_1",
                "amount": amount,
                "currency": currency,
                "customer": "cus_1",
                "receipt_email": "ann@example.com",
                "status": "failed",
                "failure_message": "Card declined",
            }
        },
    }
    charged = Digest(
        title=f"Stripe: charge.failed {said}",
        facts=(
            ("amount", said),
            ("status", "failed"),
            ("customer", "cus_1"),
            ("email", "ann@example.com"),
            ("reason", "Card declined"),
            ("object", "ch_1"),
            ("livemode", "yes"),
        ),
        url="https://dashboard.stripe.com/events/evt_1",
        kind="stripe:charge.failed",
    )
    assert read("stripe", post) == read("ops", post) == charged


def test_a_test_event_of_stripe_without_money_says_so() -> None:
    """Not live is told, and the link goes to the test side."""
    post = {"id": "evt_2", "type": "customer.created", "livemode": False, "data": {"object": []}}
    assert read("shop", post, Stripe_Signature="t=1,v1=0").text == (
        "Stripe: customer.created\nlivemode: no\nhttps://dashboard.stripe.com/test/events/evt_2"
    )


def test_slack_says_who_wrote_what_where() -> None:
    """A message, an event whose user is an object, and a slash command, which is a form."""
    message = {"type": "message", "user": "U1", "channel": "C1", "text": "hi\n<@U2>", "ts": "1.2"}
    post = {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event": message}
    assert read("slack", post) == Digest(
        title="Slack: message",
        facts=(("user", "U1"), ("channel", "C1"), ("text", "hi <@U2>")),
        url="https://app.slack.com/client/T1/C1",
        kind="slack:message",
    )
    joined = post | {"event": {"type": "team_join", "user": {"id": "U3", "name": "ann"}}}
    assert read("ops", joined).facts == (("user", "U3"),)
    form = {"command": "/deploy", "text": "shop", "user_name": "ann", "channel_name": "ops"}
    sent = digest(
        "chat",
        {"X-Slack-Signature": "v0=0"},
        "application/x-www-form-urlencoded; charset=utf-8",
        urlencode(form | {"team_id": "T1", "channel_id": "C1"}).encode(),
    )
    assert sent.text == (
        "Slack: /deploy\nuser: ann\nchannel: ops\ntext: shop\nhttps://app.slack.com/client/T1/C1"
    )


def alert(name: str, status: str) -> dict[str, object]:
    """Make an alert as Alertmanager sends it."""
    return {
        "status": status,
        "labels": {"alertname": name, "severity": "critical", "instance": "db1:9100"},
        "annotations": {"summary": "3 % left"},
        "startsAt": "2026-01-02T03:04:05.678Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
        "fingerprint": "ab",
    }


def test_alertmanager_counts_and_lists_firing_alerts_first() -> None:
    """Counts, labels of the group, and each alert with severity, instance, time and summary."""
    post = {
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "bot",
        "groupLabels": {"alertname": "DiskFull", "zone": "eu"},
        "commonLabels": {"alertname": "DiskFull", "severity": "critical"},
        "commonAnnotations": {},
        "externalURL": "http://alerts.example.com:9093",
        "alerts": [alert("Old", "resolved"), alert("DiskFull", "firing")],
    }
    assert read("ops", post) == Digest(
        title="DiskFull 1 firing, 1 resolved",
        facts=(
            ("state", "firing"),
            ("group", "alertname=DiskFull, zone=eu"),
            (
                "alert",
                "firing: DiskFull critical db1:9100 since 2026-01-02T03:04:05.678Z 3 % left",
            ),
            ("alert", "resolved: Old critical db1:9100 since 2026-01-02T03:04:05.678Z 3 % left"),
        ),
        url="http://alerts.example.com:9093/",
        kind="alertmanager:firing",
    )
    inside = post | {"externalURL": "http://alerts:9093", "alerts": [alert("A", "firing")] * 1000}
    many = read("ops", inside)
    assert many.title == "DiskFull 1000 firing, 0 resolved"
    assert [name for name, _ in many.facts] == ["state", "group", *["alert"] * 8]
    assert many.url == "http://prometheus.example.com/graph?g0.expr=up"


def test_grafana_says_rule_state_and_values() -> None:
    """Grafana's own fields come on top of Alertmanager's; its older form has rule and matches."""
    one = alert("High memory", "firing") | {
        "values": {"B": 44.25, "C": 1},
        "dashboardURL": "",
        "panelURL": "https://play.grafana.org/d/1?viewPanel=2",
    }
    post = {
        "receiver": "bot",
        "status": "firing",
        "orgId": 1,
        "groupLabels": {},
        "externalURL": "https://play.grafana.org/",
        "version": "1",
        "title": "[FIRING:1]  (High memory)",
        "state": "alerting",
        "message": "**Firing** and so on",
        "alerts": [one],
    }
    assert read("ops", post) == Digest(
        title="[FIRING:1] (High memory) 1 firing, 0 resolved",
        facts=(
            ("state", "alerting"),
            (
                "alert",
                (
                    "firing: High memory critical db1:9100 since 2026-01-02T03:04:05.678Z "
                    "B=44.25, C=1 3 % left"
                ),
            ),
        ),
        url="https://play.grafana.org/d/1?viewPanel=2",
        kind="grafana:alerting",
    )
    older = {
        "title": "[Alerting] Load",
        "state": "alerting",
        "ruleName": "Load",
        "ruleUrl": "https://grafana.example.com/d/2",
        "message": "Too high",
        "evalMatches": [{"value": 9, "metric": "load", "tags": {}}],
    }
    assert read("ops", older).text == (
        "[Alerting] Load\nstate: alerting\nrule: Load\nvalues: value=9, metric=load\n"
        "alert: Too high\nhttps://grafana.example.com/d/2"
    )


def test_uptime_kuma_says_what_is_down() -> None:
    """A heartbeat, as JSON and as the form field that it uses by default; and its bare test."""
    post = {
        "heartbeat": {"monitorID": 1, "status": 0, "time": "2026-01-02 03:04:05", "msg": "timeout"},
        "monitor": {"id": 1, "name": "Shop", "url": "https://shop.example.com", "type": "http"},
        "msg": "[Shop] [🔴 Down] timeout",
    }
    down = Digest(
        title="Shop down",
        facts=(
            ("state", "down"),
            ("monitor", "Shop"),
            ("message", "timeout"),
            ("at", "2026-01-02 03:04:05"),
            ("target", "https://shop.example.com"),
        ),
        url="https://shop.example.com/",
        kind="uptime:down",
    )
    assert read("ops", post) == down
    part = '--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n'
    body = f"{part}{json.dumps(post)}\r\n--x--\r\n".encode()
    assert digest("ops", {}, "multipart/form-data; boundary=x", body) == down
    tried = read("ops", {"heartbeat": None, "monitor": None, "msg": "Kuma Testing"})
    assert tried.text == "Kuma Testing\nmessage: Kuma Testing"


@pytest.mark.parametrize("form", [True, False])
def test_uptimerobot_says_what_is_down(form: bool) -> None:  # noqa: FBT001 -- a parameter
    """The default fields, sent as a form or as JSON."""
    post = {
        "monitorID": "7",
        "monitorURL": "https://shop.example.com/",
        "monitorFriendlyName": "Shop",
        "alertType": "1",
        "alertTypeFriendlyName": "Down",
        "alertDetails": "HTTP 503",
        "alertDateTime": "1767322800",
    }
    kind = "application/x-www-form-urlencoded" if form else JSON
    body = (urlencode(post) if form else json.dumps(post)).encode()
    assert digest("ops", {}, kind, body).text == (
        "Shop Down\nstate: Down\nmonitor: Shop\nmessage: HTTP 503\nat: 1767322800\n"
        "target: https://shop.example.com/\nhttps://shop.example.com/"
    )
