"""The frozen Python is native code: what is not exactly the one that was built is not loaded."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assurebot.errors import SandboxUnavailable
from assurebot.sandbox.component import _expected, _path, checked

ROOT = Path(__file__).parents[2]
NATIVE = b"native code"
WRONG = "was made by other versions, for another machine, or is damaged"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with something that passes for a component, and its manifest."""
    folder = tmp_path / "share"
    folder.mkdir(mode=0o755)
    _path(folder, ".cwasm").write_bytes(NATIVE)
    _manifest(folder, sha256=hashlib.sha256(NATIVE).hexdigest())
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


def _manifest(folder: Path, **fields: str) -> None:
    path = _path(folder, ".json")
    known = json.loads(path.read_bytes()) if path.exists() else _expected()
    path.write_text(json.dumps(known | fields))


def _refusal(folder: Path) -> str:
    with pytest.raises(SandboxUnavailable) as caught:
        checked(folder)
    return str(caught.value)


def test_the_one_that_was_built_is_opened(folder: Path) -> None:
    """What agrees with its manifest is returned open, and stays it when the file is replaced."""
    with checked(folder) as native:
        other = folder / "other"
        other.write_bytes(b"something else")
        other.replace(_path(folder, ".cwasm"))
        assert Path(f"/proc/self/fd/{native.fileno()}").read_bytes() == NATIVE


def _flip(folder: Path) -> None:
    _path(folder, ".cwasm").write_bytes(bytes([NATIVE[0] ^ 1]) + NATIVE[1:])


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (_flip, WRONG),
    "another wasmtime": (lambda folder: _manifest(folder, wasmtime="1.0"), WRONG),
    "another machine": (lambda folder: _manifest(folder, target="other-unknown-linux-gnu"), WRONG),
    "another guest": (lambda folder: _manifest(folder, guest="0"), WRONG),
    "a file of the group": (
        lambda folder: _path(folder, ".cwasm").chmod(0o664),
        "can be written by others",
    ),
    "a manifest of all": (
        lambda folder: _path(folder, ".json").chmod(0o666),
        "can be written by others",
    ),
    "a folder of the group": (lambda folder: folder.chmod(0o775), "can be written by others"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_another_is_refused(folder: Path, name: str) -> None:
    """What differs in anything is refused, with the reason and the command that helps."""
    spoil, reason = SPOILED[name]
    spoil(folder)
    assert _refusal(folder) == (
        f"the frozen Python in {folder} {reason}; make it anew: assurebot sandbox build"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_elses_is_refused(folder: Path) -> None:
    """What belongs neither to root nor to this user is refused."""
    os.chown(_path(folder, ".cwasm"), 12345, 12345)
    assert "belongs to somebody else" in _refusal(folder)


@pytest.mark.parametrize("ending", [".cwasm", ".json"])
def test_a_missing_one_is_refused(folder: Path, ending: str) -> None:
    """Without the component or its manifest the text says where it is missed."""
    _path(folder, ending).unlink()
    assert _refusal(folder) == (
        f"the frozen Python is missing in {folder}; make it anew: assurebot sandbox build"
    )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("checked(pathlib.Path())", "wasmtime is missing: pip install assurebot[embedded]"),
        ("build()", "componentize-py is missing: pip install assurebot[embedded-build]"),
    ],
)
def test_a_missing_package_is_named(call: str, text: str) -> None:
    """Where a package is not installed, the text says what to install."""
    program = f"import pathlib\nfrom assurebot.sandbox.component import build, checked\n{call}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr.splitlines()[-1] == f"assurebot.errors.SandboxUnavailable: {text}"


def test_the_built_one_is_in_order(component: Path) -> None:
    """What `build` leaves can be read by all, be written by its owner alone, and is accepted."""
    checked(component).close()
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in component.glob("python-*")}
    assert modes == {".cwasm": 0o644, ".json": 0o644}
