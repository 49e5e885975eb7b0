"""What tests of several rooms take: the frozen Python, and the figures at the end of a run."""

import faulthandler
import fcntl
import os
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest

from assurebot.errors import SandboxUnavailable
from assurebot.sandbox.component import build, checked, default_folder

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "noisy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("noisy")


@pytest.fixture(scope="session")
def component() -> Path:
    """Return the folder of a component that is in order; without componentize-py this fails.

    It is built once for an installation, since that takes half a minute.
    """
    folder = default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        try:
            checked(folder).close()
        except SandboxUnavailable:
            build()
    return folder


FIGURES = "figures"


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return what notes a figure, by name and text, that the end of the run shows."""

    def note(name: str, text: str) -> None:
        request.node.user_properties.append((FIGURES, f"{name}: {text}"))

    return note


HUNG_SECONDS = 600.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the process of a test that hangs where it tidies up: no other limit counts there."""

    def end() -> None:
        print(f"\n{item.nodeid} hangs", file=sys.__stderr__)
        faulthandler.dump_traceback()
        os._exit(1)

    watch = threading.Timer(HUNG_SECONDS, end)
    watch.daemon = True
    watch.start()
    try:
        return (yield)
    finally:
        watch.cancel()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Show a failure at once: a run that is cut off later has still told it."""
    if report.failed and sys.__stderr__ and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} {report.when}\n{report.longreprtext}", file=sys.__stderr__)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of all tests, of other processes too; a test's own reports repeat them."""
    reports = (report for kind in terminalreporter.stats.values() for report in kind)
    properties = (each for report in reports for each in getattr(report, "user_properties", ()))
    if lines := sorted({text for name, text in properties if name == FIGURES}):
        terminalreporter.section(FIGURES)
        for line in lines:
            terminalreporter.line(line)
