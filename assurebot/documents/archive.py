"""Zip archives of strangers, looked through before anything in them is read."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from assurebot.documents.notes import UNPACKED_BYTES, Unreadable

_ENTRIES = 10_000
_ENTRY = b"PK\x01\x02"
_LOCKED = 1


class Archive:
    """The parts of an archive; all together unpack to at most `UNPACKED_BYTES`.

    Raises (all methods):
        Unreadable: It is a bomb, or locked.
    """

    def __init__(self, data: bytes) -> None:
        # Counted before the directory is read: a million entries take a gigabyte.
        if data.count(_ENTRY) > _ENTRIES:
            raise Unreadable("bomb")
        self._zip = ZipFile(BytesIO(data))
        infos = self._zip.infolist()
        self._room = UNPACKED_BYTES
        self.names = frozenset(info.filename for info in infos)
        if sum(info.file_size for info in infos) > UNPACKED_BYTES:
            raise Unreadable("bomb")
        if any(info.flag_bits & _LOCKED for info in infos):
            raise Unreadable("locked")

    def read(self, name: str) -> bytes:
        """Return a part, empty if there is none; its real size counts, whatever it claims."""
        if name not in self.names:
            return b""
        # Other methods of packing unpack without a limit.
        if self._zip.getinfo(name).compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise Unreadable("damaged")
        with self._zip.open(name) as part:
            data = part.read(self._room + 1)
        self._room -= len(data)
        if self._room < 0:
            raise Unreadable("bomb")
        return data

    def repacked(self) -> BytesIO:
        """Return it anew, so that another reader can find no more in it than was looked at."""
        made = BytesIO()
        with ZipFile(made, "w") as archive:
            for name in sorted(self.names):
                archive.writestr(name, self.read(name))
        made.seek(0)
        return made
