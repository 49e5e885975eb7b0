"""The engine and the image under test.

Without an engine these tests are skipped; with REQUIRE_ENGINE=1 that is a failure (CI sets it).
BASE_IMAGE names another base image than the one in the Dockerfiles; by default it is the one from
which `make sandbox-image` made the image of the boxes that the engine has.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests the time that building an image takes."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(500))


def _base(docker: Docker) -> str | None:
    label = ("inspect", "-f", '{{index .Config.Labels "assurebot.base"}}', "assurebot-sandbox")
    return os.environ.get("BASE_IMAGE") or docker(*label).stdout.strip() or None


def _built(docker: Docker, name: str, *options: str) -> str:
    base = _base(docker)
    other = ("--build-arg", f"BASE_IMAGE={base}") if base else ()
    built = docker("build", "--network=host", *other, *options, "-t", name, str(ROOT), seconds=400)
    assert built.returncode == 0, built.stdout + built.stderr
    return name


class OwnEngine:
    """An engine for one test run alone, which a test may kill; it holds the image `BOX_IMAGE`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._options: tuple[str, ...] = ()

    def __call__(
        self, *arguments: str, stdin: int | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Call the `docker` command on it."""
        return subprocess.run(
            ["docker", "-H", self.url, *arguments],  # noqa: S607 - as installed
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=stdin,
        )

    def start(self, *options: str) -> None:
        """Start it, or start it anew with other options, and wait until it answers."""
        if self._process is not None and options == self._options:
            return
        self.stop()
        self._options = options
        (self.folder / "pid").unlink(missing_ok=True)
        roots = [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none"),
                    *(*roots, f"--pidfile={self.folder}/pid", "-H", self.url, *options),
                ],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 30
        while self("version").returncode != 0:
            tail = (self.folder / "log").read_text()[-2000:]
            assert self._process.poll() is None, tail
            assert time.monotonic() < until, tail
            time.sleep(0.1)

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it on the spot."""
        self._end(signal.SIGKILL)

    def freeze(self, *, on: bool = True) -> None:
        """Let it hang, or go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
                below = int((self.folder / "exec/containerd/containerd.pid").read_text())
                for _ in range(100):  # the next start takes one that is dying for alive
                    os.kill(below, signal.SIGKILL)
                    time.sleep(0.05)


@pytest.fixture(scope="session")
def box_image(docker: Docker, request: pytest.FixtureRequest) -> str:
    """Return the name of an image of the engine that has Python and bash; a small one is better."""
    base = _base(docker)
    if base is not None and docker("image", "inspect", base).returncode == 0:
        return base
    return str(request.getfixturevalue("sandbox_image"))


@pytest.fixture(scope="session")
def stored_engine(docker: Docker, box_image: str) -> Iterator[OwnEngine]:
    """Return an engine that holds `box_image`; it is ended with all that it runs."""
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        if os.environ.get("REQUIRE_ENGINE") == "1":
            pytest.fail("no dockerd, or not root, and REQUIRE_ENGINE=1")
        pytest.skip("no dockerd, or not root")
    folder = Path(tempfile.mkdtemp(prefix="engine"))  # short: a socket's path has 108 characters
    engine = OwnEngine(folder)
    try:
        engine.start()
        saved = folder / "image.tar"
        assert docker("save", "-o", str(saved), box_image).returncode == 0
        loaded = engine("load", "-i", str(saved))
        assert loaded.returncode == 0, loaded.stderr
        yield engine
    finally:
        engine.stop()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
            subprocess.run(["umount", mount], check=False)  # noqa: S607 - as installed
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_engine(stored_engine: OwnEngine) -> Iterator[OwnEngine]:
    """Return an engine that a test may stop, kill and start, without containers."""
    stored_engine.start()
    yield stored_engine
    stored_engine.start()
    if left := stored_engine("ps", "-aq").stdout.split():
        stored_engine("rm", "-f", *left)


@pytest.fixture(scope="session")
def image(docker: Docker) -> str:
    """Return the name of the image, built from this checkout."""
    return _built(docker, "assurebot-test")


@pytest.fixture(scope="session")
def sandbox_image(docker: Docker) -> str:
    """Return the name of the image of the boxes, built from this checkout."""
    return _built(docker, "assurebot-sandbox-test", "-f", str(ROOT / "Dockerfile.sandbox"))


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
