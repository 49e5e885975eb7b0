"""The frozen Python of the embedded box: how it is built, where it lies, and what proves it.

It is native code, so it is verified before each load, and the descriptor that was verified is the
one that is loaded. It lies beside the program, never in the data folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import stat
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from io import BufferedReader
from pathlib import Path

from assurebot.errors import SandboxUnavailable

_GUEST = Path(__file__).parent / "guest"
BUILD_SECONDS = 600
_FREEZE = "import sys, componentize_py; sys.exit(componentize_py.script())"
_REBUILD = "make it anew: assurebot sandbox build"


def default_folder() -> Path:
    """Return where the component lies: in the installation, which programs cannot write."""
    return Path(sys.prefix, "share", "assurebot")


def build(target: Path | None = None) -> Path:
    """Freeze Python with its standard library, compile it for any processor of this kind, keep it.

    Takes half a minute and about half a gigabyte of memory. Returns the compiled component.

    Raises:
        SandboxUnavailable: A package is missing, or the build failed.
    """
    if importlib.util.find_spec("componentize_py") is None:
        raise SandboxUnavailable(
            "componentize-py is missing: pip install assurebot[embedded-build]"
        )
    manifest = _expected()
    import wasmtime  # noqa: PLC0415 - an extra, and nothing but a build or a worker needs it
    from wasmtime.component import Component  # noqa: PLC0415 - as above

    folder = target or default_folder()
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    config = wasmtime.Config()
    config.target = manifest["target"]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        frozen = Path(work, "python.wasm")
        _freeze(frozen)
        native = bytes(Component.from_file(wasmtime.Engine(config), str(frozen)).serialize())
        manifest["sha256"] = hashlib.sha256(native).hexdigest()
        for name, data in ((".cwasm", native), (".json", json.dumps(manifest).encode())):
            part = Path(work, name)
            part.write_bytes(data)
            part.chmod(0o644)
            part.replace(_path(folder, name))
    return _path(folder, ".cwasm")


def _freeze(frozen: Path) -> None:
    command = ("-d", _GUEST, "-w", "python", "componentize", "-p", _GUEST, "app", "-o", frozen)
    done = subprocess.run(  # noqa: S603 - our own interpreter and constant arguments
        [sys.executable, "-I", "-c", _FREEZE, *command],
        env={},
        capture_output=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")[-1000:]
        raise SandboxUnavailable(f"componentize-py failed: {said}")


def checked(folder: Path) -> BufferedReader:
    """Return the component, open, after it was compared with its manifest.

    Raises:
        SandboxUnavailable: It must not be loaded; the text says why, and what would help.
    """
    expected = _expected()
    try:
        manifest = json.loads(_path(folder, ".json").read_bytes())
        native = _path(folder, ".cwasm").open("rb")
    except (OSError, ValueError) as error:
        raise SandboxUnavailable(f"the frozen Python is missing in {folder}; {_REBUILD}") from error
    wrong = _wrong(folder, native, expected, manifest)
    if wrong:
        native.close()
        raise SandboxUnavailable(f"the frozen Python in {folder} {wrong}; {_REBUILD}")
    return native


def _wrong(
    folder: Path, native: BufferedReader, expected: dict[str, str], manifest: dict[str, str]
) -> str:
    of_all = (folder.stat(), _path(folder, ".json").stat(), os.fstat(native.fileno()))
    if any(one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in of_all):
        return "can be written by others"
    if any(one.st_uid not in {0, os.geteuid()} for one in of_all):
        return "belongs to somebody else"
    digest = hashlib.file_digest(native, "sha256").hexdigest()
    if manifest != expected | {"sha256": digest}:
        return "was made by other versions, for another machine, or is damaged"
    return ""


def _expected() -> dict[str, str]:
    try:
        made_by = version("wasmtime")
    except PackageNotFoundError as error:
        raise SandboxUnavailable("wasmtime is missing: pip install assurebot[embedded]") from error
    guest = b"".join((_GUEST / name).read_bytes() for name in ("app.py", "world.wit"))
    return {
        "wasmtime": made_by,
        "target": f"{platform.machine()}-unknown-linux-gnu",
        "guest": hashlib.sha256(guest).hexdigest(),
    }


def _path(folder: Path, ending: str) -> Path:
    return folder / f"python-{_expected()['wasmtime']}-{platform.machine()}{ending}"
