"""A name server for tests: a name has sets of addresses, one for each question; the last stays."""

import asyncio
import ipaddress
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

Zone = Mapping[str, Sequence[Sequence[str]]]
"""Name to successive sets of addresses; `*` is any other name, `>x` an alias, no set is silence."""

_A, _CNAME, _AAAA = 1, 5, 28


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`.

    Attributes:
        zone: What it knows; names that it does not know do not exist.
        asked: The names asked for.
    """

    def __init__(self) -> None:
        self.zone: Zone = {}
        self.asked: list[str] = []
        self._rounds: Counter[tuple[str, int]] = Counter()

    def use(self, zone: Zone) -> None:
        """Begin anew with another zone."""
        self.zone = zone
        self.asked.clear()
        self._rounds.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        end = data.index(b"\0", 12) + 5
        name, kind = _name(data[12:]), struct.unpack("!H", data[end - 4 : end - 2])[0]
        self.asked.append(name)
        sets = self.zone.get(name, self.zone.get("*"))
        if sets is not None and not sets:
            return  # silence
        flags, records = (0x8183, []) if sets is None else (0x8180, self._records(name, kind, sets))
        head = data[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        self._transport.sendto(head + data[12:end] + b"".join(records), addr)

    def _records(self, name: str, kind: int, sets: Sequence[Sequence[str]]) -> list[bytes]:
        turn = self._rounds[name, kind]
        self._rounds[name, kind] += 1
        found = sets[min(turn, len(sets) - 1)]
        if found and found[0].startswith(">"):
            alias = found[0][1:]
            first = _record(_wire(name), _CNAME, _wire(alias))
            rest = self._records(alias, kind, self.zone[alias])
            return [first, *(each.replace(_wire(name), _wire(alias), 1) for each in rest)]
        addresses = [ipaddress.ip_address(each) for each in found]
        wanted = {_A: 4, _AAAA: 6}.get(kind)
        return [_record(_wire(name), kind, a.packed) for a in addresses if a.version == wanted]


def _name(data: bytes) -> str:
    labels, at = [], 0
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += data[at] + 1
    return ".".join(labels).lower()


def _wire(name: str) -> bytes:
    return b"".join(bytes([len(each)]) + each.encode() for each in name.split(".")) + b"\0"


def _record(owner: bytes, kind: int, content: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 0, len(content)) + content
