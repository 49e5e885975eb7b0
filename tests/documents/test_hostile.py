"""No file can make the program slow, large or dead, or have anything asked for or opened."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assurebot.documents.notes import NOTES
from tests.documents import making
from tests.documents.hostile import bombs, broken

MIB = 1 << 20
START_SECONDS = 2.0
"""A child may take so long to start on a busy machine."""

BOMB, SLOW, CUT = NOTES["bomb"], NOTES["slow"], NOTES["cut"]
WHOLE = {"text", "pdf", "other", "picture"}
REFUSED = {
    "docx bomb": BOMB,
    "docx many paragraphs": BOMB,
    "docx claims 4 GB": BOMB,
    "xlsx 6,000,000 rows": BOMB,
    "zip 1,000,000 entries": BOMB,
    "zip overlapping": BOMB,
    "pdf flate 1 GB": BOMB,
    "pdf flate twice": BOMB,
    "pdf deep pages": BOMB,
    "docx claims too little": NOTES["damaged"],
    "xlsx claims too little": NOTES["damaged"],
    "docx packed as lzma": NOTES["damaged"],
    "docx xxe of a file": NOTES["damaged"],
    "docx xxe of a URL": NOTES["damaged"],
    "docx external subset": NOTES["damaged"],
    "docx utf-16 xxe": NOTES["damaged"],
    "docx billion laughs": NOTES["damaged"],
    "docx quadratic": NOTES["damaged"],
    "odt xxe": NOTES["damaged"],
    "xlsx both corners": NOTES["memory"],
    "svgz bomb": NOTES["archive"],
    "html deep": SLOW,
}
"""Files of which nothing may come out, and what is said."""


def measured(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Read all files of a folder in a process of its own."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.documents.measured", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=110,
        check=True,
        # The files themselves go back to the system when they are dropped, and blur nothing.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    *files, end = map(json.loads, told.stdout.splitlines())
    return files, end


@pytest.fixture
def canary() -> Any:
    """Return a socket that listens for whoever is lured to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.mark.slow
def test_hostile_files(
    tmp_path: Path, canary: socket.socket, figures: Callable[[str, str], None]
) -> None:
    """Each is answered in 10 s and 1 GiB, and neither the daemon's memory nor a canary moves."""
    lure = f"http://127.0.0.1:{canary.getsockname()[1]}/canary"
    for name, make in bombs(lure).items():
        (tmp_path / name).write_bytes(make())
    files, end = measured(tmp_path)
    assert {file["name"] for file in files} == set(bombs(lure))

    slowest, widest = (max(files, key=lambda f: f[key]) for key in ("seconds", "moved"))
    assert slowest["seconds"] < 10 + START_SECONDS, slowest
    assert widest["moved"] < 20 * MIB, widest
    assert end["moved"] < 20 * MIB
    assert end["child"] < 1 << 30
    assert end["left"] == []
    with pytest.raises(BlockingIOError):
        canary.accept()

    by_name = {file["name"]: file for file in files}
    refused = {name: (by_name[name]["note"], by_name[name]["pages"]) for name in REFUSED}
    assert refused == {name: (note, 0) for name, note in REFUSED.items()}
    assert not [file for file in files if "root:" in file["start"]]
    assert by_name["text 20 MB"]["note"].startswith(CUT)
    assert by_name["csv one line"]["note"].startswith(CUT)
    assert by_name["pdf page with no end"]["start"] == "first"
    assert by_name["pdf page with no end"]["note"].startswith(SLOW)
    assert by_name["xlsx far corner"]["start"] == "Sheet A\n1"
    assert by_name["jpeg claims 60,000 x 60,000"]["sides"] == [60_000, 60_000]

    figures("hostile files", f"{len(files)}, the slowest in {slowest['seconds']:.1f} s")
    figures("hostile files, largest child", f"{end['child'] // MIB} MiB")
    figures("hostile files, the daemon's memory", f"moved {widest['moved'] / MIB:.1f} MiB at most")


def test_broken_files(tmp_path: Path) -> None:
    """A cut or flipped version of a good file is read as far as it goes, or said to be damaged."""
    for kind, data in making.good().items():
        for seed in range(2):
            for n, version in enumerate(broken(data, seed)):
                (tmp_path / f"{kind} {seed} {n}").write_bytes(version)
    files, end = measured(tmp_path)
    assert len(files) == 4 * len(making.good())
    for file in files:
        assert file["kind"] in WHOLE
        assert file["pages"] or file["note"], file
    assert end["left"] == []


def test_typical_files(tmp_path: Path, figures: Callable[[str, str], None]) -> None:
    """What people send is read at once."""
    words = "All work and no play makes Jack a dull boy. " * 8
    pages = making.pdf([making.lines(*[words[:80]] * 40)] * 30)
    (tmp_path / "pdf of 30 pages").write_bytes(pages)
    (tmp_path / "docx of 500 paragraphs").write_bytes(making.word(making.paragraph(words) * 500))
    table: list[list[str | float]] = [[f"row {n}", n, n / 7] for n in range(2000)]
    (tmp_path / "xlsx of 2,000 rows").write_bytes(making.xlsx({"A": making.rows(table)}))
    (tmp_path / "text of 1 MB").write_bytes(words.encode() * 3000)
    files, _ = measured(tmp_path)
    for file in files:
        assert (file["kind"] in {"pdf", "text"}, file["note"]) == (True, ""), file
        assert file["seconds"] < 9
        figures("reading", f"{file['name']} in {file['seconds']:.2f} s")
