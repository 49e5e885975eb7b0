"""`python -m bench.bare_hook PORT`: a handler that proves GitHub's signature and stores nothing."""

from __future__ import annotations

import hmac
import os
import sys

from aiohttp import web


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _hook(request: web.Request) -> web.Response:
    body = await request.read()
    mac = hmac.digest(os.environb[b"WEBHOOK_SECRET_GITHUB"], body, "sha256").hex()
    given = request.headers.get("X-Hub-Signature-256", "")
    if not hmac.compare_digest(f"sha256={mac}".encode(), given.encode("utf-8", "replace")):
        return web.json_response({"status": "refused"}, status=401)
    return web.json_response({"status": "accepted"}, status=202)


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/health", _live)
    app.router.add_post("/hooks/{source}", _hook)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
