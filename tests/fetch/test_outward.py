"""What a fetch connects to, seen from the network: nothing inward, by any road.

The network is a namespace in which every address is ours (see `namespace.py`). Where none can be
made these tests are skipped; with REQUIRE_NAMESPACES=1 that is a failure (CI sets it).
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fetch.behaviours import BEHAVIOURS, CASES, OTHER, SITE
from tests.fetch.corpus import corpus

Report = dict[str, Any]
PUBLIC = (SITE, OTHER, "2606:4700:4700::1111")


def missing() -> str | None:
    """Say why there can be no namespace, or `None`."""
    absent = [each for each in ("unshare", "ip", "mount", "openssl") if not shutil.which(each)]
    if absent:
        return f"no namespace: {', '.join(absent)} not found"
    script = "ip link set lo up && ip -6 route add local ::/0 dev lo && mount --bind /tmp /tmp"
    tried = subprocess.run(
        ["/usr/bin/env", "unshare", "--net", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return f"no namespace: {tried.stderr.strip()}" if tried.returncode else None


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return what happened in the namespace, which is made once for all processes of a run."""
    reason = missing()
    if reason is not None:
        if os.environ.get("REQUIRE_NAMESPACES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    scratch = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        scratch = scratch.parent
    scratch /= "namespace"
    scratch.mkdir(exist_ok=True)
    told = scratch / "report.json"
    with (scratch / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            told.write_text(played(scratch))
    found: Report = json.loads(told.read_text())
    return found


def played(scratch: Path) -> str:
    """Play everything in a namespace and return its report."""
    key, certificate, both = (scratch / name for name in ("key", "certificate", "both"))
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    subprocess.run(
        [
            *("openssl", *request.split(), "-addext", "subjectAltName=DNS:good.example.net"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    # The proxies of the environment must not be asked: they would be seen.
    proxy = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://10.0.0.8:8080")
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", sys.executable, "-W", "error"),
            *("-m", "tests.fetch.namespace", both, scratch),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=Path(__file__).parents[2],
        env=os.environ | proxy | {"no_proxy": "example.com", "SSL_CERT_FILE": str(certificate)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def inner(seen: str) -> bool:
    """Tell whether a connection of a case is a leak: to any address but the public ones."""
    return not seen.startswith(tuple(f"{each}:" for each in PUBLIC))


def test_no_url_of_the_corpus_leads_inward(
    report: Report, figures: Callable[[str, str], None]
) -> None:
    """Of 213 tricks none connects anywhere, and 20 public pages are all fetched.

    Once with every name public, so that even a name must be known as inner, and once private.
    """
    found = [each for zone in ("public names", "private names") for each in report[zone]]
    tricks = [each for each in found if each["expected"] == "B"]
    leaks = {each["url"] for each in tricks if each["seen"]}
    pages = [each for each in found if each["expected"] == "A"]
    blocked = {each["url"] for each in pages if not each["seen"]}
    figures(
        "ssrf corpus",
        f"{len(leaks)} leaks of {len(tricks) // 2}, {len(blocked)} false blocks of "
        f"{len(pages) // 2} (through fetch_url; a plain client leaks {report['unguarded']})",
    )
    assert (leaks, blocked, len(tricks), len(pages)) == (set(), set(), 2 * 213, 2 * 20)
    assert [each for each in tricks if each["seconds"] > 1 or "?" in each["says"]] == []


def test_the_listener_sees_what_a_plain_client_does(report: Report) -> None:
    """Without the guard more than half of the corpus connects: the listener is not blind."""
    assert report["unguarded"] > sum(row.expected == "B" for row in corpus()) / 2


def test_no_behaviour_leads_inward(report: Report, figures: Callable[[str, str], None]) -> None:
    """Whatever redirects, names and answers do, no inner address sees a connection."""
    behaviours = report["behaviours"]
    leaks = [name for name in CASES if any(map(inner, behaviours[name]["seen"]))]
    text = f"{len(leaks)} leaks of {len(BEHAVIOURS)} ({len(CASES)} checks)"
    figures("ssrf behaviours", f"{text}, through fetch_url")
    assert (leaks, behaviours.keys()) == ([], CASES.keys())
    untried = [each for each in BEHAVIOURS if not any(name.startswith(each) for name in CASES)]
    assert (len(BEHAVIOURS), untried) == (40, [])


@pytest.mark.parametrize("name", CASES)
def test_beyond_the_first_url(name: str, report: Report) -> None:
    """Redirects, names, bodies and slow sites end as the case says, and connect to no more."""
    case, found = CASES[name], report["behaviours"][name]
    assert (found["says"], found["seen"]) == (list(case.says), list(case.seen))
    quick = all(says.startswith("refused") for says in case.says)
    assert found["seconds"] <= (1 if quick else case.seconds)


def test_nothing_but_the_url_is_sent(report: Report) -> None:
    """No cookie, credential or referrer goes out, neither to the same site nor to another."""
    heads = report["behaviours"]["cookies and credentials are never sent"]["heads"]
    assert heads == [
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: AssureBot\r\n"
        "Accept: text/html, text/*;q=0.9, */*;q=0.5\r\nAccept-Encoding: gzip\r\n"
        "Connection: close\r\n\r\n"
        for host, path in (("a.example.net", "/"), ("a.example.net", "/b"), ("b.example.net", "/c"))
    ]


def test_the_name_stays_in_the_request(report: Report) -> None:
    """A site is asked by its name, in TLS and in the request, though an address was judged."""
    found = report["behaviours"]["https with a certificate for the name"]
    assert found["names"] == ["good.example.net"]
    assert "\r\nHost: good.example.net\r\n" in found["heads"][0]
