"""Containers keep the contract of boxes and pass the self-test, on a real engine."""

import os
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from assurebot.sandbox.contract import check
from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.probes import self_test
from assurebot.sandbox.profile import BoxPlan, EngineAddress

pytestmark = pytest.mark.engine


@pytest_asyncio.fixture
async def box(sandbox_image: str) -> AsyncIterator[DockerSandbox]:
    """Return a box of the default image."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    engine = EngineAddress(url=address)
    plan = BoxPlan(instance=uuid4().hex, image=sandbox_image, pool=2, engine=engine)
    async with DockerSandbox(plan) as opened:
        yield opened


async def test_containers_keep_the_contract(box: DockerSandbox) -> None:
    """Every case holds, and none by a refusal."""
    assert {name: seen for name, seen in (await check(box)).items() if seen} == {}


async def test_containers_pass_the_self_test(box: DockerSandbox) -> None:
    """Every probe holds, and the languages of the default image are found inside."""
    test = await self_test(box)
    found = {"python", "bash", "javascript", "typescript"}
    assert (test.failed, set(test.languages)) == ((), found)
