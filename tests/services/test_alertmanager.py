"""Alertmanager, the real one, delivers here.

Where it is not installed this is skipped; with REQUIRE_SERVICES=1 that is a failure (CI sets it).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from assurebot.demo.model import Ask, Turn
from tests.obeying import frames
from tests.posting import SECRET
from tests.scripts import LIMIT_SECONDS
from tests.world import World, running

CONFIG = """\
route: {{receiver: bot, group_wait: 1s, group_interval: 10s, repeat_interval: 4h}}
receivers:
  - name: bot
    webhook_configs:
      - url: http://127.0.0.1:{port}/hooks/alertmanager
        send_resolved: true
        http_config: {{authorization: {{credentials: {secret}}}}}
"""

RETRY_SECONDS = 60.0


@pytest.fixture
def programs() -> tuple[str, str]:
    """Return where Alertmanager and its tool are."""
    found = [shutil.which(name) for name in ("prometheus-alertmanager", "amtool")]
    if found[0] is None or found[1] is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail("no Alertmanager, and REQUIRE_SERVICES=1")
        pytest.skip("no Alertmanager")
    return found[0], found[1]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def alertmanager(program: str, folder: Path, port: int) -> AsyncIterator[str]:
    """Run Alertmanager, which posts to a port; return its address."""
    config, address = folder / "am.yml", f"127.0.0.1:{free_port()}"
    config.write_text(CONFIG.format(port=port, secret=SECRET))
    with (folder / "am.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.path={folder / 'am'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def alert(tool: str, url: str, *labels: str) -> None:
    """Have an alert fire, as soon as Alertmanager is up."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            process = await asyncio.create_subprocess_exec(
                *(tool, f"--alertmanager.url={url}", "alert", "add", *labels),
                stderr=asyncio.subprocess.DEVNULL,
            )
            if await process.wait() == 0:
                return
            await asyncio.sleep(0.1)


async def refused(world: World) -> None:
    """Wait until a post was answered with 503; only the audit tells."""
    async with asyncio.timeout(RETRY_SECONDS):
        while not world.audit(type="webhook", status=503):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.1)


def brief(_ask: Ask) -> Turn:
    """Sum up anything."""
    return Turn(text="The disk is full.")


@pytest.mark.slow
async def test_it_delivers_and_tries_again(tmp_path: Path, programs: tuple[str, str]) -> None:
    """An alert that met a 503 comes again, is taken, and is told in one message."""
    program, tool = programs
    async with running(tmp_path, brief, WEBHOOK_SECRET_OTHER=SECRET) as world:
        async with alertmanager(program, tmp_path, world.port) as url:
            await alert(tool, url, "alertname=DiskFull", "severity=critical")
            await refused(world)
            await world.stop()
            world.environ["WEBHOOK_SECRET_ALERTMANAGER"] = SECRET
            await world.start()
            told = await world.answer(contains="🪝", timeout_seconds=RETRY_SECONDS)
            assert told.text.startswith("🪝 alertmanager\n\nThe disk is full.")
            ((_, facts),) = frames(world)
            assert facts.splitlines()[0] == "DiskFull 1 firing, 0 resolved"
            assert "alert: firing: DiskFull critical" in facts
        await world.stop()
        assert world.rows("SELECT count(*) FROM inbox WHERE source LIKE 'webhook:%'") == [(1,)]
        assert len(world.texts()) == 1
        assert len(world.audit(type="webhook", status=202)) == 1
