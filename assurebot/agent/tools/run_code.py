"""`run_code`: run a program in a throw-away box."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assurebot.agent.jobs import Jobs
from assurebot.agent.report import for_model
from assurebot.agent.tools.read_document import no_such_file
from assurebot.errors import SandboxError, ToolError
from assurebot.ports import Store, ToolContext, ToolOutput
from assurebot.values import BoxFile, ChatFile, Program, ToolSpec, untrusted

SCHEMA = """{"type": "object", "properties": {"language": {"type": "string"}, \
"code": {"type": "string", "description": "The whole program."}, \
"files": {"type": "array", "items": {"type": "integer"}, "description": "Numbers of files of this \
chat that it needs."}}, \
"required": ["language", "code"], "additionalProperties": false}"""

WAIT_SECONDS = 20.0
"""How long a program may wait for a free box, beside its own time."""


FILES_BYTES = 40 << 20
"""So much goes into a box: two of the largest files that Telegram gives."""

_ENDING = re.compile(r".*(\.[a-z0-9]{1,8})", re.IGNORECASE)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    language: str = Field(max_length=40)
    code: str = Field(min_length=1)
    files: tuple[int, ...] = Field((), max_length=50)


class RunCode:
    """The tool: `pure` where boxes have no network, and `outward` without destination else."""

    def __init__(self, jobs: Jobs, store: Store) -> None:
        self._jobs = jobs
        self._store = store

    @property
    def spec(self) -> ToolSpec:
        """See `Tool.spec`; the languages are those of the box that there is."""
        network, limits, standing = self._jobs.network, self._jobs.limits, self._jobs.standing
        languages = ", ".join(standing.languages) or "python"
        reach = "the network is there" if standing.network else "there is no network"
        return ToolSpec(
            name="run_code",
            description=(
                "Run a program and read what it prints. Each run has a new box of its own: nothing "
                f"is kept, {reach}, and "
                f"it ends after {limits.seconds:g} s. Languages: {languages}. Files that it writes "
                "into its working folder (pictures too) are sent to the user with your answer. Of "
                "the files of this chat it finds there what `files` names, file 3 as file3.pdf if "
                "its name ends in .pdf."
            ),
            schema=SCHEMA,
            effect="outward" if network else "pure",
            result_label=self._jobs.label("turn"),
            repeatable=not network,
            per_minute=10,
            timeout_seconds=limits.seconds + WAIT_SECONDS,
        )

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        try:
            wanted = _Arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise ToolError('run_code needs {"language": ..., "code": ...}') from error
        files = await self._taken(wanted.files, context.place.chat_id)
        program = Program(language=wanted.language, source=wanted.code, files=files)
        try:
            result = await self._jobs.run(program, context.trace)
        except SandboxError as error:
            raise ToolError(f"it was not run to its end: {error}") from error
        if not files:
            return ToolOutput(text=for_model(result), files=result.files)
        given = f"--- its input: {', '.join(file.name for file in files)}\n"
        label = untrusted("document")
        return ToolOutput(text=given + for_model(result), files=result.files, label=label)

    async def _taken(self, numbers: Sequence[int], chat_id: int) -> tuple[BoxFile, ...]:
        if not numbers:
            return ()
        known = {file.number: file for file in await self._store.files(chat_id)}
        if missing := [number for number in numbers if number not in known]:
            raise no_such_file(missing[0])
        files = [known[number] for number in dict.fromkeys(numbers)]
        if sum(file.size for file in files) > FILES_BYTES:
            raise ToolError(f"these files are larger than {FILES_BYTES >> 20} MB: take fewer")
        data = await self._store.file_data([file.id for file in files])
        return tuple(
            BoxFile(name=_box_name(file), data=data[file.id]) for file in files if file.id in data
        )


def _box_name(file: ChatFile) -> str:
    """Name a file by its number, and the ending that tells programs what it is."""
    ending = _ENDING.fullmatch(file.name)
    return f"file{file.number}{ending[1].lower() if ending else ''}"
