"""Logging: one line a record to stderr, with redaction as the last step before the renderer.

Records of other libraries, warnings and errors that nobody caught take the same way. A secret that
its sender cuts in two over two records cannot be found: each record is redacted by itself.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

import structlog
from structlog.processors import ExceptionRenderer, JSONRenderer, StackInfoRenderer, TimeStamper
from structlog.stdlib import ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from assurebot.ports import Redact

NOISY = (
    "aiohttp",
    "aiosqlite",
    "anthropic",
    "apscheduler",
    "asyncio",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "markdown_it",
    "openai",
    "sqlalchemy",
    "telegram",
    "tzlocal",
)
"""Libraries that are heard from WARNING on: below that they log requests, with their URLs."""

_MAX_DEPTH = 12
_HANDLER = "assurebot"


def configure_logs(level: str, fmt: Literal["json", "console"], redact: Redact) -> None:
    """Send everything that is logged, warned of or raised past everyone to stderr, redacted.

    May be called again; the last call counts.

    Args:
        level: Name of the lowest level to be logged, for example `INFO`.
        fmt: One JSON object a line, or lines for people.
        redact: Applied to every key and value; tracebacks have no local variables.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        TimeStamper(fmt="iso", utc=True),
        StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _StderrHandler()
    handler.name = _HANDLER
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[ProcessorFormatter.remove_processors_meta, *_rendering(fmt, redact)],
        )
    )
    _install(handler, level)


def _install(handler: logging.Handler, level: str) -> None:
    """Make a handler the only one of ours, also for what Python itself would print."""
    root = logging.getLogger()
    for old in [one for one in root.handlers if one.name == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def redacted(value: object, redact: Redact, depth: int = 0) -> object:
    """Redact everything in a nested value, and turn what is no JSON into text.

    Deeper than 12 levels the rest becomes one text.
    """
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {redact(str(key)): redacted(item, redact, depth + 1) for key, item in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [redacted(item, redact, depth + 1) for item in value]
    return _redacted_leaf(value, redact)


def _redacted_leaf(value: object, redact: Redact) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray):
        return redact(value.decode("utf-8", "backslashreplace"))
    text = repr(value)
    clean = redact(text)
    is_json = value is None or isinstance(value, bool | int | float)
    return value if is_json and clean == text else clean


def _rendering(fmt: Literal["json", "console"], redact: Redact) -> list[Processor]:
    def redact_all(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {redact(key): redacted(value, redact) for key, value in event.items()}

    if fmt == "json":
        as_dict = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        return [as_dict, redact_all, JSONRenderer(ensure_ascii=False)]
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, redact_all, plain]


class _StderrHandler(logging.StreamHandler[Any]):
    """Writes to whatever stderr is at the time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Say that a record is lost; the library would print it, unredacted."""
        self.stream.write(f"a log record of {record.name!r} could not be written\n")


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("assurebot").critical("uncaught", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
