"""The methods of the Bot API by which a bot sets itself up: commands and webhook."""

from __future__ import annotations

import re

from assurebot.demo.telegram_chats import World
from assurebot.demo.telegram_methods import Method
from assurebot.demo.telegram_queue import WEBHOOK_SET
from assurebot.demo.telegram_rules import Refused
from assurebot.demo.telegram_wire import Json, Params, truth

_COMMAND = re.compile(r"[a-z0-9_]{1,32}")


class SetupMethods:
    """One function per method, as in `Methods`. Updates are not delivered to a webhook."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> dict[str, Method]:
        """Return the methods by their name in lower case."""
        return {
            "setmycommands": self._set_commands,
            "getmycommands": self._get_commands,
            "deletemycommands": self._delete_commands,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._webhook_info,
        }

    def _set_commands(self, params: Params) -> bool:
        commands = params.get("commands") or []
        if len(commands) > 100:
            raise Refused("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not _COMMAND.fullmatch(str(command.get("command", ""))):
                raise Refused("BOT_COMMAND_INVALID")
            if not 1 <= len(str(command.get("description", ""))) <= 256:
                raise Refused("BOT_COMMAND_DESCRIPTION_INVALID")
        self._world.commands[_scope(params)] = list(commands)
        return True

    def _get_commands(self, params: Params) -> list[Json]:
        return self._world.commands.get(_scope(params), [])

    def _delete_commands(self, params: Params) -> bool:
        self._world.commands.pop(_scope(params), None)
        return True

    def _set_webhook(self, params: Params) -> bool:
        queue = self._world.queue
        queue.webhook_url = str(params.get("url") or "")
        self._remember_allowed(params)
        if truth(params.get("drop_pending_updates")):
            queue.clear()
        if queue.webhook_url:
            queue.interrupt(WEBHOOK_SET)
        return True

    def _delete_webhook(self, params: Params) -> bool:
        self._world.queue.webhook_url = ""
        if truth(params.get("drop_pending_updates")):
            self._world.queue.clear()
        return True

    def _remember_allowed(self, params: Params) -> None:
        if params.get("allowed_updates") is not None:
            self._world.queue.allowed = tuple(params["allowed_updates"])

    def _webhook_info(self, _params: Params) -> Json:
        queue = self._world.queue
        info: Json = {
            "url": queue.webhook_url,
            "has_custom_certificate": False,
            "pending_update_count": len(queue),
        }
        return info | ({"allowed_updates": list(queue.allowed)} if queue.allowed else {})


def _scope(params: Params) -> str:
    scope = params.get("scope") or {"type": "default"}
    return ":".join(str(scope[name]) for name in sorted(scope))
