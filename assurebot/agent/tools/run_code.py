"""`run_code`: run a program in a throw-away box."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assurebot.agent.jobs import Jobs
from assurebot.agent.report import for_model
from assurebot.errors import SandboxError, ToolError
from assurebot.ports import ToolContext, ToolOutput
from assurebot.values import Program, ToolSpec

SCHEMA = """{"type": "object", "properties": {"language": {"type": "string"}, \
"code": {"type": "string", "description": "The whole program."}}, \
"required": ["language", "code"], "additionalProperties": false}"""

WAIT_SECONDS = 20.0
"""How long a program may wait for a free box, beside its own time."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    language: str = Field(max_length=40)
    code: str = Field(min_length=1)


class RunCode:
    """The tool: `pure` where boxes have no network, and `outward` without destination else."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

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
                "into its working folder (pictures too) are sent to the user with your answer."
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
        program = Program(language=wanted.language, source=wanted.code)
        try:
            result = await self._jobs.run(program, context.trace)
        except SandboxError as error:
            raise ToolError(f"it was not run to its end: {error}") from error
        return ToolOutput(text=for_model(result), files=result.files)
