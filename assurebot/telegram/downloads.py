"""Files that people sent, fetched from Telegram's server; no path of its is ever a local one."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from urllib.parse import quote

import aiohttp

from assurebot.errors import ChatRejected, ChatUnavailable

_ODD = re.compile(r"[\\:?#%\x00-\x20\x7f]")  # means more in a URL, or on some disk


async def fetch_file(root: str, path: str, limit_bytes: int, seconds: float) -> bytes:
    """Fetch a file, read no further than the limit.

    Args:
        root: URL of the folder that all files are in; it holds the token, so no error quotes it.
        path: As `getFile` gave it.
        limit_bytes: Larger ones are rejected.
        seconds: For all of it.

    Raises:
        ChatRejected: Too large, not there, or a path that is not plain.
        ChatUnavailable: Network, time, a server that is not well.
    """
    if path.startswith("/"):
        raise ChatRejected("a Bot API server that is to give files has to run without --local")
    if _ODD.search(path) or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ChatRejected("the file has no plain path")
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(auto_decompress=False) as session,
        ):
            return await _read(session, f"{root}/{quote(path)}", limit_bytes)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ChatUnavailable(type(error).__name__) from error


async def _read(session: aiohttp.ClientSession, url: str, limit_bytes: int) -> bytes:
    async with session.get(url, allow_redirects=False) as response:
        if response.status != HTTPStatus.OK:
            text = f"HTTP {response.status} for a file"
            busy = response.status == HTTPStatus.TOO_MANY_REQUESTS
            if busy or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise ChatUnavailable(text)
            raise ChatRejected(text)
        data = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            data += chunk
            if len(data) > limit_bytes:
                raise ChatRejected("too large")
        return bytes(data)
