"""The embedded box inside the image: as on platforms that give a container and no engine."""

import json

import pytest

from tests.engine.conftest import Docker

pytestmark = pytest.mark.engine

PROVE = """
import asyncio, json, pathlib
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.sandbox.probes import self_test
from assurebot.values import BoxLimits, Program

async def main():
    scratch = pathlib.Path('/tmp/boxes')
    async with EmbeddedSandbox(limits=BoxLimits(), pool=1, scratch=scratch) as box:
        test = await self_test(box)
        ran = await box.run(Program(language='python', source='print(6 * 7)'))
        print(json.dumps([[str(one) for one in test.failed], ran.stdout, box.evidence]))

asyncio.run(main())
"""


@pytest.mark.parametrize("user", ["65534:65534", "0:0"])
def test_it_needs_no_privilege(docker: Docker, image: str, user: str) -> None:
    """It passes its self-test with no capability, a read-only root and the default profile."""
    done = docker(
        *("run", "--rm", "--network=none", "--user", user, "--cap-drop=ALL", "--read-only"),
        *("--tmpfs=/tmp", "--memory=512m", "--entrypoint=/opt/assurebot/bin/python"),
        *(image, "-c", PROVE),
        seconds=100,
    )
    assert done.returncode == 0, done.stderr
    failed, said, evidence = json.loads(done.stdout)
    assert (failed, said) == ([], "42\n")
    assert evidence.startswith("WebAssembly in a limited process, ")


def test_the_component_belongs_to_root(docker: Docker, image: str) -> None:
    """What is loaded as native code can be written by root alone."""
    found = docker(
        *("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c"),
        "find /opt/assurebot/share/assurebot '(' ! -user root -o -perm /022 ')' | wc -l;"
        " ls /opt/assurebot/share/assurebot | wc -l",
    )
    assert found.stdout.split() == ["0", "2"]
