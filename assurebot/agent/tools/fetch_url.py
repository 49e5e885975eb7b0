"""`fetch_url`: read a public web page."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from assurebot.errors import FetchFailed, FetchRefused, ToolError
from assurebot.ports import Fetcher, ToolContext, ToolOutput
from assurebot.values import ToolSpec, untrusted

SCHEMA = """{"type": "object", "properties": {"url": {"type": "string", \
"description": "Complete http:// or https:// URL."}}, \
"required": ["url"], "additionalProperties": false}"""

_CHARS = 16_000


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    url: str


class FetchUrl:
    """The tool. What it returns is a stranger's text; what it raises is ours alone."""

    spec = ToolSpec(
        name="fetch_url",
        description=(
            "Fetch a public web page and read it as text; links are shown as: words (url). "
            "Nothing is sent but the URL: no forms, no log-in, no scripts."
        ),
        schema=SCHEMA,
        effect="outward",
        destinations=("url",),
        result_label=untrusted("web page"),
        timeout_seconds=30,
        per_minute=20,
    )

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def run(self, arguments: str, context: ToolContext) -> ToolOutput:
        """See `Tool.run`."""
        del context
        try:
            url = _Arguments.model_validate_json(arguments or "{}").url
        except ValidationError as error:
            raise ToolError('fetch_url needs {"url": "https://..."}') from error
        try:
            page = await self._fetcher.read(url, _CHARS)
        except FetchRefused as error:
            raise ToolError(f"refused: {error}. Only public pages can be fetched") from error
        except FetchFailed as error:
            raise ToolError(f"could not be fetched: {error}. Try another page") from error
        end = [f"[cut after {_CHARS} characters]"] if page.cut else []
        lines = [f"{page.url} answered {page.status}", page.title, page.text, *end]
        return ToolOutput(text="\n".join(filter(None, lines)))
