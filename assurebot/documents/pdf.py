"""Text out of PDF."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

# Loaded now: pypdf would do so when no file can be opened any more.
import pypdf._codecs.core_font_metrics
import pypdf.filters
import pypdf.xmp
from pypdf.errors import DependencyError, LimitReachedError

from assurebot.documents.notes import Unreadable


def opened(data: bytes) -> pypdf.PdfReader:
    """Open a PDF; one without a password for reading is open to all.

    Raises:
        Unreadable: It is locked, or a bomb.
    """
    try:
        reader = pypdf.PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("locked")
        len(reader.pages)
    except DependencyError as error:  # a cipher that this installation has not
        raise Unreadable("locked") from error
    except LimitReachedError as error:
        raise Unreadable("bomb") from error
    return reader


def texts(reader: pypdf.PdfReader) -> Iterator[str | None]:
    """Yield each page's text, `None` for a page that cannot be read.

    Raises:
        Unreadable: A page is a bomb.
    """
    for number in range(len(reader.pages)):
        try:
            yield reader.pages[number].extract_text()
        except LimitReachedError as error:
            raise Unreadable("bomb") from error
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a stranger's page can raise anything
            yield None
