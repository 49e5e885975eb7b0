"""Workbooks as rows of text."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from python_calamine import PasswordError, SheetTypeEnum, load_workbook

from assurebot.documents.notes import Unreadable

_COLUMNS = 200


def sheets(book: BytesIO, chars: int) -> Iterator[str]:
    """Yield each sheet: its name, and its rows with tabs between the cells; at most `chars` of one.

    Raises:
        Unreadable: It is locked.
    """
    try:
        with load_workbook(book) as workbook:
            for sheet in workbook.sheets_metadata:
                if sheet.typ == SheetTypeEnum.WorkSheet:
                    rows = workbook.get_sheet_by_name(sheet.name).iter_rows()
                    yield "\n".join(_lines(sheet.name, rows, chars))
    except PasswordError as error:
        raise Unreadable("locked") from error


def _lines(name: str, rows: Iterator[list[Any]], chars: int) -> Iterator[str]:
    yield f"Sheet {name}"
    for row in rows:
        cut = " ..." if len(row) > _COLUMNS else ""
        line = "\t".join(map(_shown, row[:_COLUMNS])).rstrip() + cut
        if line:
            yield line
        chars -= len(line) + 1
        if chars < 0:
            return


def _shown(cell: Any) -> str:
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
    return " ".join(text.split())
