"""Whatever is logged, by whom and in whatever shape, no secret reaches stderr."""

import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from assurebot.guard.redact import Redactor
from assurebot.logs import NOISY, configure_logs, redacted
from tests.guard.encodings import ENCODINGS

SECRET = "123456789:AAH-abcdefghijklmnopqrstuvwxyz_01234"
GONE = "[redacted:TOKEN]"
REDACT = Redactor({"TOKEN": SECRET})

PROGRAM = f"""
import asyncio, logging, threading
from assurebot.guard.redact import Redactor
from assurebot.logs import configure_logs

configure_logs("INFO", "FORMAT", Redactor({{"TOKEN": "{SECRET}"}}))

def fail(secret):
    raise RuntimeError("bad " + secret)

class Falling:
    def __del__(self):
        fail("{SECRET}")

async def main():
    asyncio.get_running_loop().call_soon(fail, "{SECRET}")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

thread = threading.Thread(target=fail, args=("{SECRET}",))
thread.start()
thread.join()
Falling()
asyncio.run(main())
fail("{SECRET}")
"""


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", *NOISY)}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    logging.captureWarnings(False)
    for handler in [one for one in root.handlers if one.name == "assurebot"]:
        root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()


def fail(text: str) -> None:
    """Raise an error with the text in it, in its cause, in a note and in a local variable."""
    error = RuntimeError(text)
    error.add_note(text)
    raise error from ValueError(text)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged as JSON, without the time."""
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for line in found:
        assert line.pop("timestamp").endswith("Z")
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_no_encoding_of_a_secret_is_logged(
    encoding: str, fmt: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    """Message, arguments, keys, nested values, bytes and exceptions are all redacted."""
    form = ENCODINGS[encoding](SECRET)
    configure_logs("DEBUG", fmt, REDACT)
    log = structlog.get_logger("ours")
    log.info(form, **{f"k{form}": form}, deep=[{"a": (form, {form})}], raw=form.encode("latin-1"))
    log.info("with %s", form, error=ValueError(form), odd=threading.local)
    logging.getLogger("theirs").warning("with %s", form)
    try:
        fail(form)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("theirs").exception("failed %s", form)
    written = capsys.readouterr().err
    plain = written.replace("\\u0000", "").replace("\0", "").replace("\\x00", "")
    assert (form in written, SECRET in plain) == (False, False)
    assert written.count(GONE) >= 14


def test_a_record_is_one_json_object_with_the_context_it_was_bound_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ours and foreign records have the same shape."""
    configure_logs("INFO", "json", REDACT)
    with structlog.contextvars.bound_contextvars(turn=7):
        structlog.get_logger("ours").info("started", n=1, share=0.5, ok=True, none=None)
        logging.getLogger("theirs").warning("slow: %d ms", 12)
    structlog.get_logger("ours").debug("too low")
    assert lines(capsys) == [
        {
            "event": "started",
            "level": "info",
            "logger": "ours",
            "turn": 7,
            "n": 1,
            "share": 0.5,
            "ok": True,
            "none": None,
        },
        {"event": "slow: 12 ms", "level": "warning", "logger": "theirs", "turn": 7},
    ]


def test_tracebacks_have_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """What a frame held is not logged, be it secret or not."""
    configure_logs("INFO", "json", REDACT)
    private = "the owner's words"
    try:
        fail(str(len(private)))
    except RuntimeError:
        structlog.get_logger("ours").exception("failed")
    (line,) = lines(capsys)
    frames = line["exception"][0]["frames"]
    assert [sorted(frame) for frame in frames] == [["filename", "lineno", "name"]] * 2
    assert private not in json.dumps(line)


def test_chatty_libraries_are_heard_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Request lines with URLs are not logged at all, even at DEBUG; warnings are."""
    configure_logs("DEBUG", "json", REDACT)
    for name in NOISY:
        logging.getLogger(name).info("GET https://example.org")
        logging.getLogger(f"{name}.part").warning("odd")
    assert [line["logger"] for line in lines(capsys)] == [f"{name}.part" for name in NOISY]


def test_a_record_that_cannot_be_formatted_is_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The library would print message and arguments as they are; only the loss is told."""
    configure_logs("INFO", "json", REDACT)
    ours = [one for one in logging.getLogger().handlers if one.name == "assurebot"]
    for handler in ours:  # directly: pytest has a handler of its own, which would raise
        handler.handle(logging.LogRecord("theirs", 30, __file__, 1, "%d", (SECRET,), None))
    assert capsys.readouterr().err == "a log record of 'theirs' could not be written\n"


def test_warnings_are_logged_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    """What `warnings` would print goes the same way."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logs("INFO", "json", REDACT)
        warnings.warn(f"old {SECRET}", stacklevel=1)
        logging.captureWarnings(False)
    (line,) = lines(capsys)
    assert (line["logger"], f"UserWarning: old {GONE}" in line["event"]) == ("py.warnings", True)


def test_the_last_call_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Configuring again replaces the first set-up and logs nothing twice."""
    configure_logs("DEBUG", "console", str)
    configure_logs("WARNING", "json", REDACT)
    structlog.get_logger("ours").info("unheard")
    structlog.get_logger("ours").warning(SECRET)
    assert lines(capsys) == [{"event": GONE, "level": "warning", "logger": "ours"}]


def test_nested_values_become_json_without_secrets() -> None:
    """Types that JSON lacks become text; depth and cycles are bounded."""
    cycle: list[object] = [SECRET]
    cycle.append(cycle)
    assert SECRET not in json.dumps(redacted(cycle, REDACT))
    digits = Redactor({"PIN": "12345678"})
    assert redacted({1: 12345678, "f": 1.5, "b": b"\xff12345678"}, digits) == {
        "1": "[redacted:PIN]",
        "f": 1.5,
        "b": "\\xff[redacted:PIN]",
    }


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_errors_that_nobody_caught_are_redacted(fmt: str) -> None:
    """Crashes of the program, a thread, a callback and a finaliser all reach stderr clean."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("FORMAT", fmt)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, SECRET in run.stderr) == (1, "", False)
    assert run.stderr.count(f"bad {GONE}") == 4
