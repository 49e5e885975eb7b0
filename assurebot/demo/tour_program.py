"""The program of the tour: the real one, to which the stand-in site counts as a public one.

It tells of each post at once, so that one too many shows within the tour.
"""

from __future__ import annotations

import sys

from assurebot.cli import main
from assurebot.fetch.addresses import refusal
from assurebot.fetch.client import AiohttpFetcher
from assurebot.parts import Parts
from assurebot.urls import parsed


def parts(url: str) -> Parts:
    """Return the product's parts, but the site of `url` is reached, and posts never wait."""
    site = parsed(url)

    def judge(address: str) -> str | None:
        return None if address == site.host else refusal(address)

    def other_port(host: str, port: int) -> bool:
        return (host, port) == (site.host, site.port)

    return Parts(fetcher=lambda **_: AiohttpFetcher(judge, other_port), fold_seconds=0.0)


if __name__ == "__main__":
    sys.exit(main(["run"], parts(sys.argv[1])))
