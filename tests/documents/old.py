"""Workbooks of the nineties, made from nothing."""

from __future__ import annotations

import struct


def ole(name: str, data: bytes) -> bytes:
    """An OLE file with one stream. Source: [MS-CFB]."""
    data = data.ljust(4096, b"\0")
    data += bytes(-len(data) % 512)
    count, end, free = len(data) // 512, 0xFFFFFFFE, 0xFFFFFFFF
    table = [0xFFFFFFFD, end, *range(3, count + 2), end]
    table += [free] * (128 - len(table))
    numbers = (0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, end, 0, end, 0, 0)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIIII", *numbers) + b"\xff" * 432

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        title = name.encode("utf-16-le")
        rest = (len(title) + 2, kind, 1, free, free, child, 0, start, size)
        return title.ljust(64, b"\0") + struct.pack("<HBBIII16xI8x8xIQ", *rest)

    folder = entry("Root Entry", 5, 1, end, 0) + entry(name, 2, free, 2, len(data))
    return header + struct.pack("<128I", *table) + folder.ljust(512, b"\0") + data


def xls() -> bytes:
    """A workbook of one sheet in the old format. Source: [MS-XLS]."""

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    def begin(kind: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, kind, 0, 0, 0, 0))

    def sheet_at(place: int) -> bytes:
        return record(0x85, struct.pack("<IBBBB", place, 0, 0, 4, 0) + b"Sums")

    start, end = begin(5), record(10, b"")
    cells = record(0x204, struct.pack("<HHHHB", 0, 0, 0, 3, 0) + b"Ann")
    cells += record(0x203, struct.pack("<HHHd", 0, 1, 0, 2.5))
    place = len(start + sheet_at(0) + end)
    return ole("Workbook", start + sheet_at(place) + end + begin(16) + cells + end)
