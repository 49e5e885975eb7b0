"""Ways to tamper with a log: each changes lines in place and says where that shows first."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from assurebot.audit.chain import seal
from tests.audit.making import KEY, NAME

Place = tuple[str, int]
"""A file and the number of a line in it, from 1."""


@dataclass(slots=True)
class Files:
    """The files of a log as lists of lines with their ends, oldest file first."""

    lines: dict[str, list[bytes]]

    @classmethod
    def read(cls, folder: Path) -> Files:
        """Read all files of a log."""
        names = sorted(path.name for path in folder.glob("audit.0*.jsonl"))
        return cls(
            {name: (folder / name).read_bytes().splitlines(keepends=True) for name in names}
            | {NAME: (folder / NAME).read_bytes().splitlines(keepends=True)}
        )

    def write(self, folder: Path) -> None:
        """Make a folder hold these files and no other."""
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name not in self.lines:
                path.unlink()
        for name, lines in self.lines.items():
            (folder / name).write_bytes(b"".join(lines))

    def places(self) -> list[Place]:
        """List all lines in order."""
        return [(name, n) for name, lines in self.lines.items() for n in range(1, len(lines) + 1)]

    def after(self, place: Place) -> Place:
        """Return the place of the next line."""
        places = self.places()
        return places[places.index(place) + 1]

    def get(self, place: Place) -> bytes:
        """Return a line."""
        return self.lines[place[0]][place[1] - 1]

    def put(self, place: Place, *lines: bytes) -> None:
        """Put lines, or none, where one was."""
        self.lines[place[0]][place[1] - 1 : place[1]] = lines


Tamper = Callable[[Files, Random], Place]


def _pick(files: Files, random: Random, but: int = 0) -> Place:
    places = files.places()
    return random.choice(places[: len(places) - but])


def change_a_byte(files: Files, random: Random) -> Place:
    """1: any byte of any line becomes another one."""
    place = _pick(files, random)
    line = files.get(place)
    at = random.randrange(len(line) - 1)
    new = random.choice([byte for byte in range(256) if byte not in {line[at], 10}])
    files.put(place, line[:at] + bytes([new]) + line[at + 1 :])
    return place


def change_a_value(files: Files, random: Random) -> Place:
    """1: a value of the same form, among the facts or in the content."""
    place = _pick(files, random)
    line = files.get(place)
    found = random.choice(list(re.finditer(rb'(?<=[:"a-z])[0-9a-z](?=[",a-z])', line)))
    new = b"b" if found[0] != b"b" else b"c"
    files.put(place, line[: found.start()] + new + line[found.end() :])
    return place


def _resealed(line: bytes, prev: bytes, seal: Callable[[bytes, bytes], bytes]) -> bytes:
    body, rest = line.split(b',"mac":"', 1)
    body = body[: body.rindex(b'"prev":"') + 8] + prev + b'"'
    return body + b',"mac":"' + seal(prev, body) + rest[64:]


def _reseal_from(
    files: Files, place: Place, seal: Callable[[bytes, bytes], bytes], prev: bytes
) -> None:
    places = files.places()
    for one in places[places.index(place) :]:
        files.put(one, _resealed(files.get(one), prev, seal))
        prev = files.get(one).split(b',"mac":"', 1)[1][:64]


def _prev_of(line: bytes) -> bytes:
    return line[line.rindex(b'"prev":"', 0, line.index(b',"mac"')) + 8 :][:64]


def recompute_plain_hashes(files: Files, random: Random) -> Place:
    """2: the change of someone without the key, with the chain computed anew as plain hashes."""
    place = _pick(files, random)
    changed = files.get(place).replace(b'"ts":"2', b'"ts":"3', 1)
    prev = _prev_of(changed)
    files.put(place, changed)
    _reseal_from(
        files, place, lambda prev, body: hashlib.sha256(prev + body).hexdigest().encode(), prev
    )
    return place


def delete_a_line(files: Files, random: Random) -> Place:
    """3: the line after it shows it."""
    place = _pick(files, random, but=1)
    name, number = files.after(place)
    files.put(place)
    return (name, place[1] if name == place[0] else number)


def delete_lines(files: Files, random: Random) -> Place:
    """3: several in one file, not up to its end."""
    name = random.choice(list(files.lines))
    lines = files.lines[name]
    first = random.randrange(len(lines) - 2)
    del lines[first : random.randrange(first + 1, len(lines))]
    return name, first + 1


def insert_a_line(files: Files, random: Random) -> Place:
    """4: a line that never was, in the right form."""
    place = _pick(files, random)
    forged = files.get(_pick(files, random)).replace(b'"ts":"2', b'"ts":"3', 1)
    files.put(place, forged, files.get(place))
    return place


def swap_two_lines(files: Files, random: Random) -> Place:
    """5: the earlier of the two shows it."""
    places = files.places()
    first, second = sorted(random.sample(range(len(places)), 2))
    one, other = files.get(places[first]), files.get(places[second])
    files.put(places[first], other)
    files.put(places[second], one)
    return places[first]


def duplicate_a_line(files: Files, random: Random) -> Place:
    """6: right after itself or anywhere later."""
    places = files.places()
    source = random.randrange(len(places) - 1)
    name, number = places[random.randrange(source, len(places))]
    files.put((name, number), files.get((name, number)), files.get(places[source]))
    return name, number + 1


def empty_a_file(files: Files, random: Random) -> Place:
    """8: no file of a log is ever empty."""
    name = random.choice(list(files.lines))
    files.lines[name] = []
    return name, 1


def remove_the_file(files: Files, random: Random) -> Place:
    """8: without the current file, with or without the earlier ones."""
    if random.random() < 0.5:
        files.lines.clear()
    else:
        del files.lines[NAME]
    return NAME, 1


def swap_rotated_files(files: Files, random: Random) -> Place:
    """10: two earlier files under each other's names."""
    first, second = sorted(random.sample(list(files.lines), 2))
    files.lines[first], files.lines[second] = files.lines[second], files.lines[first]
    return min((name for name in (first, second)), key=list(files.lines).index), 1


def remove_a_rotated_file(files: Files, random: Random) -> Place:
    """10: the file after it shows it."""
    names = list(files.lines)
    at = random.randrange(len(names) - 1)
    del files.lines[names[at]]
    return names[at + 1], 1


def rename_a_rotated_file(files: Files, random: Random) -> Place:
    """10: to a number that is not its own; the first file whose number is not due shows it."""
    names = list(files.lines)
    at = random.randrange(len(names) - 1)
    files.lines["audit.000077.jsonl"] = files.lines.pop(names[at])
    following = names[at + 1]
    return ("audit.000077.jsonl" if following == NAME else following), 1


def join_lines(files: Files, random: Random) -> Place:
    """11: the end of a line is taken out; at the end of the log that would be a torn line."""
    place = _pick(files, random, but=1)
    files.put(place, files.get(place)[:-1])
    return place


def split_a_line(files: Files, random: Random) -> Place:
    """11: a line end within a line."""
    place = _pick(files, random)
    line = files.get(place)
    at = random.randrange(1, len(line) - 1)
    files.put(place, line[:at] + b"\n", line[at:])
    return place


def add_a_blank_line(files: Files, random: Random) -> Place:
    """11: anywhere, also at the very end."""
    name, number = _pick(files, random)
    if random.random() < 0.2:
        files.lines[NAME].append(b"\n")
        return NAME, len(files.lines[NAME])
    files.put((name, number), b"\n", files.get((name, number)))
    return name, number


def change_line_ends(files: Files, random: Random) -> Place:
    """11: CRLF, on one line or all of a file."""
    name, number = _pick(files, random)
    if random.random() < 0.5:
        number = 1
        files.lines[name] = [line[:-1] + b"\r\n" for line in files.lines[name]]
    else:
        files.put((name, number), files.get((name, number))[:-1] + b"\r\n")
    return name, number


def add_a_byte_order_mark(files: Files, random: Random) -> Place:
    """11: as some editors do when they save."""
    name = random.choice(list(files.lines))
    files.lines[name][0] = b"\xef\xbb\xbf" + files.lines[name][0]
    return name, 1


def write_the_same_value_otherwise(files: Files, random: Random) -> Place:
    """12: the same JSON value in other bytes."""
    place = _pick(files, random)
    line = files.get(place)[:-1]
    value = json.loads(line)
    letter = random.choice(list(re.finditer(rb'(?<=")[a-z](?=[a-z])', line)))
    forms = [
        json.dumps(value, ensure_ascii=False).encode(),
        json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode(),
        re.sub(rb'"seq":([0-9]+)', rb'"seq":\1.0', line),
        re.sub(rb'"seq":([0-9]+)', rb'"seq": \1', line),
        line[: letter.start()] + b"\\u%04x" % letter[0][0] + line[letter.end() :],
        line + b" ",
        b" " + line,
        line.replace(value["mac"].encode(), value["mac"].upper().encode(), 1),
    ]
    new = random.choice([form for form in forms if form != line])
    assert json.loads(new) == value or value["mac"].upper().encode() in new
    files.put(place, new + b"\n")
    return place


def repeat_a_key(files: Files, random: Random) -> Place:
    """13: a second value for a key, before or after the first; parsers take one or the other."""
    place = _pick(files, random)
    line = files.get(place)
    new = random.choice(
        [
            line.replace(b"{", b'{"type":"error",', 1),
            line.replace(b',"prev"', b',"type":"error","prev"', 1),
            line.replace(b',"mac"', b',"type":"error","mac"', 1),
            line.replace(b',"mac"', b',"mac":"' + b"0" * 64 + b'","mac"', 1),
            line[:-2] + b',"text":"other"}\n',
            line[:-2] + b',"type":"error"}\n',
            line[:-2] + b',"salt":"' + b"0" * 32 + b'"}\n',
        ]
    )
    files.put(place, new)
    return place


def change_the_key(files: Files, random: Random) -> Place:
    """14: from some line on, or from the first, everything is sealed with another key."""
    place = files.places()[0] if random.random() < 0.3 else _pick(files, random)
    other = hmac.new(KEY + b"!", digestmod="sha256")
    _reseal_from(
        files, place, lambda prev, body: seal(other, prev + body), _prev_of(files.get(place))
    )
    return place


def strip_content(files: Files, random: Random) -> Place:
    """Content is taken out without an `erased` line."""
    with_content = [one for one in files.places() if b',"salt":"' in files.get(one)]
    place = random.choice(with_content)
    head, rest = files.get(place).split(b',"mac":"', 1)
    files.put(place, head + b',"mac":"' + rest[:64] + b'"}\n')
    return place


def fork_in_the_folder(files: Files, random: Random) -> Place:
    """15: a copy of the current file, cut somewhere, as one more earlier file."""
    number = len(files.lines)
    kept = random.randrange(1, len(files.lines[NAME]) + 1)
    files.lines[f"audit.{number:06d}.jsonl"] = files.lines[NAME][:kept]
    return NAME, 1


ALL: tuple[Tamper, ...] = (
    change_a_byte,
    change_a_value,
    recompute_plain_hashes,
    delete_a_line,
    delete_lines,
    insert_a_line,
    swap_two_lines,
    duplicate_a_line,
    empty_a_file,
    remove_the_file,
    swap_rotated_files,
    remove_a_rotated_file,
    rename_a_rotated_file,
    join_lines,
    split_a_line,
    add_a_blank_line,
    change_line_ends,
    add_a_byte_order_mark,
    write_the_same_value_otherwise,
    repeat_a_key,
    change_the_key,
    strip_content,
    fork_in_the_folder,
)
