"""The program of the tour with a store that knows no post again: what the tour must find out."""

import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace

from assurebot.cli import main
from assurebot.demo.tour_program import parts
from assurebot.ports import Incoming, Taken
from assurebot.store.database import SqlStore


class ForgetfulStore(SqlStore):
    """Takes each post for a new one."""

    async def take_post(
        self, incoming: Incoming, scope: str, keys: Sequence[str], window_seconds: float | None
    ) -> Taken:
        """Take it under a key of its own."""
        del keys
        return await super().take_post(incoming, scope, [secrets.token_hex(8)], window_seconds)


if __name__ == "__main__":
    sys.exit(main(["run"], replace(parts(sys.argv[1]), store=ForgetfulStore)))
