"""Services that post webhooks to a running program."""

from __future__ import annotations

import hmac
import json
from typing import Any

import aiohttp

from tests.scripts import LIMIT_SECONDS
from tests.world import World

SECRET = "signing-secret-for-tests-0123456789"
TOKEN = {"Authorization": f"Bearer {SECRET}"}
HOOKS: dict[str, Any] = {"WEBHOOK_SECRET_GITHUB": SECRET, "WEBHOOK_SECRET_CI": SECRET}
"""Settings with a source that signs, and one that has a token."""


def pushed(number: int = 1, ref: str = "main") -> bytes:
    """Make the body of a push, as GitHub sends it, of which the number makes another one."""
    commit = f"https://github.com/acme/app/compare/{number:040x}"
    repository = {"full_name": "acme/app", "html_url": "https://github.com/acme/app"}
    post: dict[str, Any] = {"ref": f"refs/heads/{ref}", "compare": commit, "repository": repository}
    post |= {"pusher": {"name": "mona"}, "sender": {"login": "mona"}, "commits": [{}]}
    return json.dumps(post).encode()


def signed(body: bytes, delivery: str = "d-1", secret: str = SECRET) -> dict[str, str]:
    """Make the headers that GitHub sends with a body."""
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}",
    }


async def post(
    world: World, source: str, body: bytes, headers: dict[str, str], *, base: str = "/hooks"
) -> tuple[int, Any]:
    """Post; return status and what is said."""
    limit = aiohttp.ClientTimeout(total=LIMIT_SECONDS)
    url = f"http://127.0.0.1:{world.port}{base}/{source}"
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.post(url, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def push(world: World, number: int = 1, delivery: str = "") -> int:
    """Post a signed push; return the status."""
    body = pushed(number)
    status, _ = await post(world, "github", body, signed(body, delivery or f"d-{number}"))
    return status
