"""The same verdicts on every Python: what is inner must not depend on a library's version."""

import ipaddress
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.fetch.corpus import corpus

ROOT = Path(__file__).parents[2]

RANGES = (
    *("10.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15", "192.88.99.0/24"),
    *("2001::/23", "2001:db8::/32", "3fff::/20", "2000::/3"),
)
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from assurebot.errors import FetchRefused
from assurebot.fetch.addresses import rebuild
verdicts = []
for url in json.load(sys.stdin):
    try:
        verdicts.append(rebuild(url))
    except FetchRefused as error:
        verdicts.append(str(error))
print(json.dumps([sys.version.split()[0], verdicts]))
"""


def interpreters() -> dict[str, str]:
    """Find the Pythons of this machine that we support: on the path, and beside the running one."""
    names = [f"python3.{minor}" for minor in range(11, 30)]
    beside = Path(sys.base_prefix).parent
    found = [shutil.which(name) for name in names]
    found += [str(path) for name in names for path in beside.glob(f"*/bin/{name}")]
    versions: dict[str, str] = {}
    for program in [sys.executable, *filter(None, found)]:
        told = subprocess.run(
            [program, "-I", "-c", "import sys; print(sys.version.split()[0])"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        if told.returncode == 0:  # a version manager's name may lead nowhere
            versions.setdefault(told.stdout.strip(), program)
    return versions


def test_every_python_gives_the_same_verdicts(figures: Callable[[str, str], None]) -> None:
    """No flag of a library decides: all supported interpreters of this machine agree."""
    edges = [
        f"http://[{net[i] + d}]/" if net.version == 6 else f"http://{net[i] + d}/"
        for net in map(ipaddress.ip_network, RANGES)
        for i, d in ((0, -1), (0, 0), (-1, 0), (-1, 1))
    ]
    urls = [*(row.url for row in corpus()), *edges, "http://b\u00fccher.example/"]
    found = interpreters()
    verdicts = {}
    for version, program in found.items():
        told = subprocess.run(
            [program, "-I", "-c", SCRIPT, str(ROOT)],
            input=json.dumps(urls),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        verdicts[version] = json.loads(told.stdout)
    own = verdicts[sys.version.split()[0]][1]
    differ = {version for version in found if verdicts[version] != [version, own]}
    figures(
        "ssrf interpreters",
        f"{', '.join(sorted(found))}: {len(differ)} differ in {len(urls)} verdicts",
    )
    assert differ == set()
