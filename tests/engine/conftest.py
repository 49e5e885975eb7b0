"""The engine and the image under test.

Without an engine these tests are skipped; with REQUIRE_ENGINE=1 that is a failure (CI sets it).
BASE_IMAGE names another base image than the one in the Dockerfile.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]

Docker = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def docker() -> Docker:
    """Return a call of the `docker` command."""
    program = shutil.which("docker")

    def call(*arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [program or "docker", *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=os.environ | {"DOCKER_BUILDKIT": "0"},
        )

    if program is None or call("version").returncode != 0:
        if os.environ.get("REQUIRE_ENGINE") == "1":
            pytest.fail("no engine, and REQUIRE_ENGINE=1")
        pytest.skip("no engine")
    return call


@pytest.fixture(scope="session")
def image(docker: Docker) -> str:
    """Return the name of the image, built from this checkout."""
    base = os.environ.get("BASE_IMAGE")
    other = ("--build-arg", f"BASE_IMAGE={base}") if base else ()
    built = docker(
        "build", "--network=host", *other, "-t", "assurebot-test", str(ROOT), seconds=400
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return "assurebot-test"


@pytest.fixture
def volume(docker: Docker, image: str) -> Iterator[str]:
    """Return a volume whose files belong to root, as they arrive from a host or a platform.

    It holds a folder with a file, and a link to a file of the image.
    """
    name = f"assurebot-test-{uuid4().hex}"
    fill = (
        "mkdir /data/old; echo kept >/data/old/file; ln -s /etc/passwd /data/link;"
        "chown -hR 0:0 /data; chmod 700 /data"
    )
    assert docker("volume", "create", name).returncode == 0
    try:
        filled = docker(
            *("run", "--rm", "--network=none", "-v", f"{name}:/data"),
            *("--entrypoint", "sh", image, "-c", fill),
        )
        assert (filled.returncode, filled.stderr) == (0, "")
        yield name
    finally:
        docker("volume", "rm", "-f", name)
