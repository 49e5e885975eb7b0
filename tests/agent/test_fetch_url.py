"""The `fetch_url` tool: what it declares, returns, and says when it cannot."""

import json

import pytest

from assurebot.agent.tools.fetch_url import SCHEMA, FetchUrl
from assurebot.errors import FetchFailed, FetchRefused, ToolError
from assurebot.ports import ToolContext, ToolOutput
from assurebot.values import Fetched, FetchLimits, Page, Person, Place, ToolSpec, Trace

CONTEXT = ToolContext(place=Place(chat_id=1), actor=Person(user_id=1), trace=Trace())
PAGE = Page(
    url="https://a.example/",
    status=200,
    content_type="text/html",
    title="Title",
    text="words",
    cut=False,
)


class OnePage:
    """A `Fetcher` that always gives the same page or error."""

    def __init__(self, answer: Page | Exception) -> None:
        self._answer = answer

    async def get(self, url: str, limits: FetchLimits) -> Fetched:
        """Give nothing."""
        raise FetchFailed(f"{url} {limits}")

    async def read(self, url: str, chars: int) -> Page:
        """Give it."""
        assert url == PAGE.url
        assert chars <= FetchUrl.spec.result_chars
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


async def fetched(answer: Page | Exception, arguments: str | None = None) -> ToolOutput:
    """Call the tool."""
    given = json.dumps({"url": PAGE.url}) if arguments is None else arguments
    return await FetchUrl(OnePage(answer)).run(given, CONTEXT)


async def test_a_page() -> None:
    """The model reads where it came from, its title and its text."""
    text = "https://a.example/ answered 200\nTitle\nwords"
    assert await fetched(PAGE) == ToolOutput(text=text)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            FetchRefused("10.0.0.8 is a private network"),
            "refused: 10.0.0.8 is a private network. Only public pages can be fetched",
        ),
        (
            FetchFailed("no whole answer in time"),
            "could not be fetched: no whole answer in time. Try another page",
        ),
    ],
)
async def test_an_error_says_what_to_change(error: Exception, says: str) -> None:
    """The text is ours, for it stands in the conversation as trusted."""
    with pytest.raises(ToolError) as caught:
        await fetched(error)
    assert str(caught.value) == says


@pytest.mark.parametrize("arguments", ["", "{}", '{"url": 1}', '{"url": "x", "y": 1}', "x", "[]"])
async def test_wrong_arguments(arguments: str) -> None:
    """The model is told the right form, and nothing is fetched."""
    with pytest.raises(ToolError, match="fetch_url needs"):
        await fetched(PAGE, arguments)


def test_what_it_declares() -> None:
    """It goes outward to its URL, what it brings is untrusted, and no more than 20 a minute."""
    assert FetchUrl.spec == ToolSpec(
        name="fetch_url",
        description=FetchUrl.spec.description,
        schema=SCHEMA,
        effect="outward",
        destinations=("url",),
        result_label="untrusted:web page",
        repeatable=False,
        timeout_seconds=30,
        per_minute=20,
    )
    assert list(json.loads(SCHEMA)["properties"]) == ["url"]
