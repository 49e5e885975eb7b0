"""The frozen Python, built once for an installation: it takes half a minute."""

import fcntl
from pathlib import Path

import pytest

from assurebot.errors import SandboxUnavailable
from assurebot.sandbox.component import build, checked, default_folder


@pytest.fixture(scope="session")
def component() -> Path:
    """Return the folder of a component that is in order; without componentize-py this fails."""
    folder = default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        try:
            checked(folder).close()
        except SandboxUnavailable:
            build()
    return folder
