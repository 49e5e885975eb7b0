"""Landlock: what a process can still do after it gave the rest up."""

import json
import subprocess
import sys
from pathlib import Path

TRIES = """
import json, os, pathlib, socket, subprocess, sys, threading
from assurebot.sandbox.landlock import confine

box, other = map(pathlib.Path, sys.argv[1:])
os.chdir('/')
listening = socket.create_server(('127.0.0.1', 0))
abi = confine(box)

def refused(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return ''

def in_a_thread(act):
    said = []
    thread = threading.Thread(target=lambda: said.append(refused(act)))
    thread.start()
    thread.join()
    return said[0]

(box / 'folder').mkdir()
tries = {
    'write inside': lambda: (box / 'folder' / 'file').write_text('#!/bin/sh\\n'),
    'read inside': lambda: (box / 'folder' / 'file').read_text(),
    'move inside': lambda: (box / 'folder' / 'file').rename(box / 'file'),
    'execute inside': lambda: ((box / 'file').chmod(0o755), subprocess.run([box / 'file'])),
    'link inside': lambda: (box / 'link').symlink_to('file'),
    'pipe inside': lambda: os.mkfifo(box / 'pipe'),
    'read outside': lambda: other.read_text(),
    'write outside': lambda: other.write_text('x'),
    'list outside': lambda: os.listdir(other.parent),
    'remove outside': lambda: other.unlink(),
    'execute outside': lambda: subprocess.run(['/bin/true']),
}
said = {name: refused(act) for name, act in tries.items()}
said['in a thread'] = in_a_thread(lambda: os.listdir('/'))
said['tcp'] = refused(lambda: socket.create_connection(listening.getsockname()).close())
print(json.dumps([abi, said]))
"""
INSIDE = {"write inside": "", "read inside": "", "move inside": ""}


def test_only_the_folder_is_left(tmp_path: Path) -> None:
    """Files and folders inside are all that is left; a kernel without it says so and takes none."""
    box, other = tmp_path / "box", tmp_path / "other"
    box.mkdir()
    other.write_text("mine")
    done = subprocess.run(
        [sys.executable, "-c", TRIES, box, other],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    abi, said = json.loads(done.stdout)
    if abi == 0:
        assert set(said.values()) <= {"", "OSError"}
        return
    refused = dict.fromkeys(said.keys() - INSIDE.keys(), "PermissionError")
    if abi < 4:  # before Linux 6.7 it knows nothing of TCP
        refused["tcp"] = ""
    if abi < 2:  # before 5.19 nothing could be moved between folders
        INSIDE["move inside"] = "OSError"
    assert said == INSIDE | refused
    assert other.read_text() == "mine"
