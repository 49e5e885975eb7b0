# ruff: noqa: INP001 - frozen by componentize-py as a module of its own
"""What is frozen into the component: CPython with its whole standard library already imported.

Nothing can be imported later, for the guest has no file system but the program's folders.
Built by `component.build`; the daemon and the worker never import it.
"""

import asyncio.base_events
import atexit
import gc
import importlib
import io
import linecache
import os
import pkgutil
import random
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

_LEFT_OUT = {"antigravity", "this", "idlelib", "turtledemo", "turtle", "test", "tkinter"} | {
    *("__main__", "ensurepip", "venv", "lib2to3", "pty", "tty", "curses", "msvcrt", "winreg")
}
_PACKAGES = (
    *("encodings", "json", "xml.etree", "xml.dom", "xml.sax", "html", "email", "email.mime"),
    *("urllib", "http", "collections", "importlib", "importlib.metadata", "concurrent.futures"),
    *("unittest", "logging", "asyncio", "zoneinfo", "sqlite3", "compression"),
)
FOLDER = "/work"
OUT_OF_MEMORY = -1


def _bring_in(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):  # noqa: BLE001 - what this platform lacks is left out
        return None


for _name in sorted(sys.stdlib_module_names - _LEFT_OUT):
    _bring_in(_name)
for _name in _PACKAGES:
    for _part in pkgutil.iter_modules(getattr(_bring_in(_name), "__path__", ())):
        _bring_in(f"{_name}.{_part.name}")


class _Timers:
    """Stands for the selector: there are no sockets to wait for in here."""

    def select(self, timeout: float | None = None) -> tuple[()]:
        if timeout is None:
            raise RuntimeError("deadlock: every task waits, and nothing can wake one")
        time.sleep(timeout)
        return ()


class _Loop(asyncio.base_events.BaseEventLoop):
    """Tasks and timers."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Timers()

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


_events: Any = asyncio.events


class _Policy(_events._BaseDefaultEventLoopPolicy):  # noqa: SLF001 - no other way to name a loop
    _loop_factory: Callable[[], _Loop] = _Loop


os._exit = sys.exit  # outside they know success and failure only, and no number
sys.dont_write_bytecode = True
atexit._clear()  # noqa: SLF001 - what modules left there is of no use in here
gc.collect()
gc.freeze()  # else the collector touches the frozen pages, and each would have to be copied


class WitWorld:
    """The world of `world.wit`, by the name that componentize-py wants."""

    def execute(self, source: str) -> int:
        """Run a program as `main.py`."""
        main = _prepare(source)
        try:
            status = _run(source, main)
        except MemoryError:
            return OUT_OF_MEMORY
        finally:
            atexit._run_exitfuncs()  # noqa: SLF001 - the end of a process is ours to play
            main.__dict__.clear()  # which closes its files
        for stream in (sys.stdout, sys.__stdout__, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                status = status or 120  # as CPython does
        return status


def _prepare(source: str) -> ModuleType:
    os.chdir(FOLDER)
    os.environ["HOME"] = "/tmp"  # noqa: S108 - its own
    random.seed(os.urandom(32))  # the frozen one is the same for everyone
    _events._event_loop_policy = _Policy()  # noqa: SLF001 - as above
    sys.argv, sys.path[:0] = ["main.py"], [FOLDER]
    sys.stdin = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    sys.stdout = sys.__stdout__ = _stream(1, "surrogateescape")
    sys.stderr = sys.__stderr__ = _stream(2, "backslashreplace")
    linecache.cache["main.py"] = (len(source), None, source.splitlines(keepends=True), "main.py")
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = f"{FOLDER}/main.py"
    return main


def _stream(number: int, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=True
    )


def _run(source: str, main: ModuleType) -> int:
    try:
        exec(compile(source, "main.py", "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - what a box is for
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 255
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException as error:  # noqa: BLE001 - as the interpreter itself does
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        with suppress(OSError, ValueError, AttributeError):  # where its errors went is its affair
            traceback.print_exception(error, file=sys.stderr)
        return OUT_OF_MEMORY if isinstance(error, MemoryError) else 1
    return 0
