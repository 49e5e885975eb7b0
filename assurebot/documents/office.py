"""Words out of the XML of office documents: paragraphs as lines, table rows as one line each."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn
from xml.parsers import expat

from assurebot.documents.archive import Archive
from assurebot.documents.notes import Unreadable
from assurebot.documents.signatures import DOCX, ODP, ODT, PPTX

# Local names of Open XML and OpenDocument; text counts only within these.
_OPEN_XML, _OPEN_DOCUMENT = frozenset({"t"}), frozenset({"p", "h"})
_CELLS = {"tc", "table-cell"}
_DROPPED = {"pPr", "rPr", "Fallback", "fld", "tracked-changes", "annotation"}
_GAPS = {"tab": "\t", "s": " ", "br": "\n", "cr": "\n", "line-break": "\n", "note-body": " ["}
_ENDS = {"p": "\n", "h": "\n", "tr": "\n", "table-row": "\n", "page": "\n", "note-body": "] "}
_ENDS |= dict.fromkeys(_CELLS, " | ")
_MANY, _CHUNK_BYTES = 10_000, 1 << 20


class _Words:
    """Collects the words of one part while it is parsed."""

    def __init__(self, inside: frozenset[str]) -> None:
        self._counted = (inside, _CELLS, _DROPPED)
        self._depths = [0, 0, 0]
        self._pieces: list[str] = []
        self.pages: list[str] = []

    def start(self, name: str, _: Mapping[str, str]) -> None:
        """Begin an element."""
        local = self._count(name, 1)
        if local in _GAPS and not self._depths[2]:
            self._pieces.append(_GAPS[local])

    def end(self, name: str) -> None:
        """End an element; within a cell all is one line."""
        local = self._count(name, -1)
        if local not in _ENDS:
            return
        inside, cells, _ = self._depths
        single = cells or (inside and local in _OPEN_DOCUMENT)
        self._pieces.append(" " if single else _ENDS[local])
        # A long text is given out on the way, so that some of it is there if time runs out.
        if local == "page" or (not single and len(self._pieces) > _MANY and local not in _CELLS):
            self.close()

    def text(self, text: str) -> None:
        """Take characters."""
        inside, cells, dropped = self._depths
        if inside and not dropped:
            self._pieces.append(text.replace("\n", " ") if cells else text)

    def close(self) -> None:
        """End a page."""
        lines = re.sub("  +", " ", "".join(self._pieces)).split("\n")
        shown = (line.strip(" ").removesuffix(" |") for line in lines)
        self.pages.append("\n".join(filter(None, shown)))
        self._pieces.clear()

    def _count(self, name: str, change: int) -> str:
        local = name.rpartition(" ")[2]
        for n, names in enumerate(self._counted):
            if local in names:
                self._depths[n] += change
        return local


def docx(archive: Archive) -> Iterator[str]:
    """Yield the text, and the notes below it."""
    for part in ("document", "footnotes", "endnotes"):
        yield from filter(None, _pages(archive.read(f"word/{part}.xml"), _OPEN_XML))


def pptx(archive: Archive) -> Iterator[str]:
    """Yield each slide in the order of the show, with the speaker's notes."""
    show = "ppt/presentation.xml"
    slides = _targets(archive, show, "slide")
    listed = _elements(archive.read(show), "sldId")
    order = [said[key] for said in listed for key in said if key.endswith(" id")]
    for slide in (slides[key] for key in order if key in slides):
        texts = list(_pages(archive.read(slide), _OPEN_XML))
        for notes in _targets(archive, slide, "notesSlide").values():
            said_beside = filter(None, _pages(archive.read(notes), _OPEN_XML))
            texts += [f"\nSpeaker notes: {text}" for text in said_beside]
        yield "\n".join(texts)


def open_document(archive: Archive) -> Iterator[str]:
    """Yield the text, each slide as a page."""
    yield from filter(None, _pages(archive.read("content.xml"), _OPEN_DOCUMENT))


READERS = {DOCX: docx, PPTX: pptx, ODT: open_document, ODP: open_document}


def _pages(data: bytes, inside: frozenset[str]) -> Iterator[str]:
    words = _Words(inside)
    for _ in _parsed(data, words.start, words.end, words.text):
        yield from words.pages
        words.pages.clear()
    words.close()
    yield from words.pages


def _targets(archive: Archive, part: str, kind: str) -> dict[str, str]:
    """Return the parts of a kind that a part relates to, by the ids that it calls them."""
    folder, name = posixpath.split(part)
    listed = _elements(archive.read(f"{folder}/_rels/{name}.rels"), "Relationship")
    return {
        said["Id"]: posixpath.normpath(posixpath.join("/", folder, said["Target"])).lstrip("/")
        for said in listed
        if said["Type"].endswith(f"/{kind}")
    }


def _elements(data: bytes, local: str) -> list[dict[str, str]]:
    """Return the attributes of all elements with a local name."""
    found: list[dict[str, str]] = []

    def start(name: str, said: dict[str, str]) -> None:
        if name.endswith(f" {local}"):
            found.append(said)

    list(_parsed(data, start))
    return found


def _parsed(data: bytes, start: Any, end: Any = None, text: Any = None) -> Iterator[None]:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse
    for at in range(0, len(data), _CHUNK_BYTES):
        parser.Parse(data[at : at + _CHUNK_BYTES], at + _CHUNK_BYTES >= len(data))
        yield


def _refuse(*_: object) -> NoReturn:
    """Entities are what bombs and thefts are made of; no office program writes any."""
    raise Unreadable("damaged")
