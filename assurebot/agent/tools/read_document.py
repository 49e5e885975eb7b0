"""`read_document`: the text of the files of a chat, by pages or by words."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assurebot.agent.files import described
from assurebot.errors import ToolError
from assurebot.ports import Store, ToolContext, ToolOutput
from assurebot.values import ChatFile, ToolSpec, untrusted

SCHEMA = """{"type": "object", "properties": {"file": {"type": "integer", "minimum": 1, \
"description": "Number of the file; without it all are listed, or searched."}, \
"first_page": {"type": "integer", "minimum": 1}, \
"pages": {"type": "integer", "minimum": 1, "description": "How many; 5 if it is left out."}, \
"search": {"type": "string", "description": "Words that must all stand on a page."}}, \
"additionalProperties": false}"""

RESULT_CHARS = 24_000
FOUND, EXCERPT_CHARS = 20, 800
"""So many pages that hold the words are shown, and so much of each."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    file: int | None = Field(None, ge=1, lt=2**63)
    first_page: int = Field(1, ge=1, lt=2**31)
    pages: int = Field(5, ge=1, lt=2**31)
    search: str = Field("", max_length=200)


class ReadDocument:
    """The tool; each chat has only its own files."""

    spec = ToolSpec(
        name="read_document",
        description=(
            "Read the files of this chat: some pages of one by its number, or the pages that hold "
            "certain words, of one or of all; without arguments, the list of the files."
        ),
        schema=SCHEMA,
        effect="private-read",
        result_label=untrusted("document"),
        repeatable=True,
        result_chars=RESULT_CHARS,
    )

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        try:
            wanted = _Arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise ToolError(
                'read_document takes {"file": <number>, "first_page": <number>, "pages": <count>} '
                'or {"search": <words>}'
            ) from error
        files = {file.number: file for file in await self._store.files(context.place.chat_id)}
        if wanted.file is not None and wanted.file not in files:
            raise no_such_file(wanted.file)
        if wanted.search.strip():
            return await self._found(wanted, context.place.chat_id)
        if wanted.file is not None:
            return await self._pages(files[wanted.file], wanted)
        lines = [_named(file) for file in files.values()]
        return ToolOutput(text="\n".join(lines) or "this chat has no files")

    async def _found(self, wanted: _Arguments, chat_id: int) -> ToolOutput:
        search = self._store.find_in_files
        found = await search(chat_id, wanted.search, wanted.file, FOUND)
        if not found:
            return ToolOutput(text="no page holds all of these words; try fewer, or others")
        word = wanted.search.casefold().split()[0]
        texts = []
        for number, page, text in found:
            start = max(0, text.casefold().find(word) - EXCERPT_CHARS // 2)
            excerpt = text[start : start + EXCERPT_CHARS]
            texts.append(f"--- file {number}, page {page}\n{excerpt}")
        more = ["--- there may be more"] if len(found) == FOUND else []
        return ToolOutput(text="\n".join([*texts, *more]))

    async def _pages(self, file: ChatFile, wanted: _Arguments) -> ToolOutput:
        first = wanted.first_page
        if not file.pages:
            why = file.note or "there is no text in it"
            raise ToolError(f"file {file.number} cannot be read as text: {why}")
        if first > file.pages:
            raise ToolError(f"file {file.number} has {file.pages} pages and no page {first}")
        lines, room, page = [_named(file)], RESULT_CHARS - 1_000, first
        for text in await self._store.file_pages(file.id, first, min(wanted.pages, RESULT_CHARS)):
            room -= len(text) + 20
            if room < 0 and page > first:
                break
            lines.append(f"--- page {page} of {file.pages}\n{text}")
            page += 1
        if page <= file.pages:
            lines.append(f"--- it goes on with first_page={page}")
        return ToolOutput(text="\n".join(lines))


def _named(file: ChatFile) -> str:
    return f"file {file.number}: {described(file, f'“{file.name}”')}"


def no_such_file(number: int) -> ToolError:
    """Say that there is none, and how to find one."""
    return ToolError(f"this chat has no file {number}; read_document without arguments lists all")
