"""What stands in the way of a file's text, in our words.

The child only names a reason, so that nothing a file does to it can put words into our mouth.
"""

from __future__ import annotations

UNPACKED_BYTES = 64 << 20
"""So much may come out of a packed file."""

PAGE_BYTES = 100
"""What a page counts beside its text, so that empty ones have an end too."""

_SMALLER = "send a smaller or simpler copy of it"
NOTES = {
    "archive": "it is an archive: send the files in it one by one",
    "bomb": f"it unpacks to more than {UNPACKED_BYTES >> 20} MiB or to very many parts: {_SMALLER}",
    "cut": "it is too long to be kept as a whole: send the rest as a file of its own",
    "damaged": "it is damaged, or not what it seems to be: save it anew, or as PDF, and send that",
    "empty": "there is no text in it",
    "locked": "it is locked with a password: send a copy without one",
    "memory": f"reading it takes too much memory: {_SMALLER}",
    "old": "it is in a format that is not read: save it as .docx, .pptx or PDF and send that",
    "partly": "some of its pages could not be read",
    "picture": "it is a picture of a kind that cannot be looked at: send it as a photo",
    "scanned": "there is no text in it, it seems to be scanned: send its pages as photos",
    "slow": f"reading it took too long: {_SMALLER}",
    "sound": "it is sound or video: send it as a voice or audio message",
    "unknown": "it is no text, and no document of a known kind",
    "unstarted": "the program that reads files could not be started: try again later",
}
_STOPPED = {"bomb", "cut", "damaged", "memory", "slow"}


class Unreadable(Exception):
    """There is no text to be had, or no more of it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def note(why: str, pages: int) -> str:
    """Say it to people; `pages` of text were read until then."""
    some = pages and why in _STOPPED
    return NOTES[why] + (f"; its text is here up to page {pages}" if some else "")
