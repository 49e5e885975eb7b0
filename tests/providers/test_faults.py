"""Everything that a model API does wrong becomes one of three errors, on every wire."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

import pytest

from assurebot.demo.model import Call, ModelServer, Turn, Wire, always
from assurebot.errors import ProviderError, ProviderGarbled, ProviderRejected, ProviderUnavailable
from tests.providers.wires import KEY, WIRES, gateway, ignore, provider, question, talk


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A misbehaviour, and what it becomes: the family, the wait, the words after the provider."""

    turn: Turn
    family: type[ProviderError]
    anthropic: str
    openai: str
    retry_after: float | None = None


CALL = (Call(name="add", arguments='{"a": 1, "b": "x"}'),)

CASES = {
    "429 with a wait": Case(
        turn=Turn(
            status=429,
            error_type="rate_limit_error",
            error_code="rate_limit_exceeded",
            retry_after="7",
        ),
        family=ProviderUnavailable,
        anthropic="HTTP 429 rate_limit_error",
        openai="HTTP 429 rate_limit_exceeded",
        retry_after=7.0,
    ),
    "429 with a senseless wait": Case(
        turn=Turn(status=429, error_type="rate_limit_error", retry_after="inf"),
        family=ProviderUnavailable,
        anthropic="HTTP 429 rate_limit_error",
        openai="HTTP 429 rate_limit_error",
    ),
    "529": Case(
        turn=Turn(status=529, error_type="overloaded_error"),
        family=ProviderUnavailable,
        anthropic="HTTP 529 overloaded_error",
        openai="HTTP 529 overloaded_error",
    ),
    "500": Case(
        turn=Turn(status=500),
        family=ProviderUnavailable,
        anthropic="HTTP 500 api_error",
        openai="HTTP 500 api_error",
    ),
    "502 with a page": Case(
        turn=Turn(status=502, html=True),
        family=ProviderUnavailable,
        anthropic="HTTP 502",
        openai="HTTP 502",
    ),
    "401": Case(
        turn=Turn(status=401, error_type="authentication_error", error_code="invalid_api_key"),
        family=ProviderRejected,
        anthropic="HTTP 401 authentication_error",
        openai="HTTP 401 invalid_api_key",
    ),
    "unknown model": Case(
        turn=Turn(status=404, error_type="not_found_error", error_code="model_not_found"),
        family=ProviderRejected,
        anthropic="HTTP 404 not_found_error",
        openai="HTTP 404 model_not_found",
    ),
    "too long": Case(
        turn=Turn(
            status=400, error_type="invalid_request_error", error_code="context_length_exceeded"
        ),
        family=ProviderRejected,
        anthropic="HTTP 400 invalid_request_error",
        openai="HTTP 400 context_length_exceeded",
    ),
    "an error of a new kind": Case(
        turn=Turn(status=418, error_type=f"new {KEY}", error_code=f"new {KEY}"),
        family=ProviderRejected,
        anthropic="HTTP 418",
        openai="HTTP 418",
    ),
    "cut in good order": Case(
        turn=Turn(text="half", calls=CALL, fault="cut"),
        family=ProviderGarbled,
        anthropic="the answer broke off",
        openai="the answer broke off",
    ),
    "dropped": Case(
        turn=Turn(text="half", calls=CALL, fault="drop"),
        family=ProviderGarbled,
        anthropic="RemoteProtocolError",
        openai="APIConnectionError",
    ),
    "stalled": Case(
        turn=Turn(text="half", calls=CALL, fault="stall"),
        family=ProviderUnavailable,
        anthropic="ReadTimeout",
        openai="APITimeoutError",
    ),
    "no first byte": Case(
        turn=Turn(text="never", delay_seconds=60.0),
        family=ProviderUnavailable,
        anthropic="APITimeoutError",
        openai="APITimeoutError",
    ),
    "nonsense": Case(
        turn=Turn(text="half", fault="nonsense"),
        family=ProviderGarbled,
        anthropic="the answer cannot be read (JSONDecodeError)",
        openai="the answer cannot be read (JSONDecodeError)",
    ),
    "empty": Case(
        turn=Turn(),
        family=ProviderGarbled,
        anthropic="empty answer",
        openai="empty answer",
    ),
    "nothing visible": Case(
        turn=Turn(text=" \n"),
        family=ProviderGarbled,
        anthropic="empty answer",
        openai="empty answer",
    ),
}


async def failure(server: ModelServer, wire: Wire) -> ProviderError:
    """Ask and return the error."""
    async with talk(server, wire) as asked:
        with pytest.raises(ProviderError) as caught:
            await asked.ask(question(wire), ignore)
    return caught.value


def seen(error: ProviderError) -> tuple[type[ProviderError], float | None, str]:
    """All that a caller sees of an error."""
    return type(error), error.retry_after, str(error)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", CASES)
async def test_misbehaviour_becomes_one_error(name: str, wire: Wire) -> None:
    """A misbehaviour becomes its family with its wait and short words, after a single request."""
    case = CASES[name]
    async with ModelServer(always(case.turn)) as server:
        error = await failure(server, wire)
        words = f"anthropic: {case.anthropic}" if wire == "anthropic" else f"openai: {case.openai}"
        assert seen(error) == (case.family, case.retry_after, words)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("wire", "kind", "family", "words"),
    [
        (
            "anthropic",
            "overloaded_error",
            ProviderUnavailable,
            "anthropic: HTTP 200 overloaded_error",
        ),
        (
            "anthropic",
            "invalid_request_error",
            ProviderRejected,
            "anthropic: HTTP 200 invalid_request_error",
        ),
        ("anthropic", "new_error", ProviderGarbled, "anthropic: HTTP 200"),
        ("responses", "server_error", ProviderUnavailable, "openai: failed server_error"),
        ("responses", "invalid_prompt", ProviderRejected, "openai: failed invalid_prompt"),
        ("responses", "new_error", ProviderGarbled, "openai: failed"),
        ("chat", "server_error", ProviderUnavailable, "openai: HTTP 200 server_error"),
        ("chat", "new_error", ProviderGarbled, "openai: HTTP 200"),
    ],
)
async def test_error_event_goes_by_its_type(
    wire: Wire, kind: str, family: type[ProviderError], words: str
) -> None:
    """An error event within a good answer is judged by its type; of a new type it is garbled."""
    turn = Turn(text="half", calls=CALL, fault="error_event", error_type=kind)
    async with ModelServer(always(turn)) as server:
        assert seen(await failure(server, wire)) == (family, None, words)


@pytest.mark.parametrize(
    ("kind", "family", "words"),
    [
        ("rate_limit_exceeded", ProviderUnavailable, "openai: failed rate_limit_exceeded"),
        ("invalid_prompt", ProviderRejected, "openai: failed invalid_prompt"),
        ("image_parse_error", ProviderGarbled, "openai: failed"),
    ],
)
async def test_failed_response_goes_by_its_code(
    kind: str, family: type[ProviderError], words: str
) -> None:
    """A response that ends as failed is judged by its code."""
    turn = Turn(text="half", stop="failed", error_type=kind)
    async with ModelServer(always(turn)) as server:
        assert seen(await failure(server, "responses")) == (family, None, words)


@pytest.mark.parametrize(
    ("wire", "turn", "words"),
    [
        (
            "anthropic",
            Turn(
                status=429,
                error_type="rate_limit_error",
                error_code="enforced_spend_limit_reached",
                retry_after="5",
            ),
            "anthropic: HTTP 429 rate_limit_error",
        ),
        (
            "responses",
            Turn(status=429, error_type="insufficient_quota", error_code="insufficient_quota"),
            "openai: HTTP 429 insufficient_quota",
        ),
        (
            "chat",
            Turn(status=429, error_type="insufficient_quota", error_code="insufficient_quota"),
            "openai: HTTP 429 insufficient_quota",
        ),
    ],
)
async def test_spent_account_is_no_passing_trouble(wire: Wire, turn: Turn, words: str) -> None:
    """A 429 that means that the money is used up is a refusal, since no wait helps."""
    async with ModelServer(always(turn)) as server:
        error = await failure(server, wire)
        assert (type(error), str(error)) == (ProviderRejected, words)


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("anthropic", "anthropic: unknown stop reason"),
        ("chat", "openai: unknown stop reason"),
    ],
)
async def test_unknown_end_is_no_end(wire: Wire, words: str) -> None:
    """An answer that ends in a way that nobody knows is not used."""
    async with ModelServer(always(Turn(text="half", stop="never_heard_of"))) as server:
        assert seen(await failure(server, wire)) == (ProviderGarbled, None, words)


@pytest.mark.parametrize("wire", ["anthropic", "chat"])
async def test_tool_stop_without_call_is_garbled(wire: Wire) -> None:
    """An answer that ends to run a tool but names none is not used."""
    async with ModelServer(always(Turn(text="now I will", stop="tools"))) as server:
        assert type(await failure(server, wire)) is ProviderGarbled


@pytest.mark.parametrize("wire", WIRES)
async def test_trickle_is_bounded(wire: Wire) -> None:
    """An answer that comes drop by drop for ever ends at the limit for the whole answer."""
    turn = Turn(chunks=("drop ",) * 1000, chunk_seconds=0.02)
    async with (
        ModelServer(always(turn)) as server,
        provider(wire, server.url, answer_seconds=0.3) as asked,
    ):
        with pytest.raises(ProviderUnavailable, match="no complete answer in time"):
            await asked.ask(question(wire), ignore)


@pytest.mark.parametrize("wire", WIRES)
async def test_server_that_is_not_there(wire: Wire) -> None:
    """A refused connection is an unavailable provider."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: nobody else takes the port
        async with provider(wire, f"http://127.0.0.1:{held.getsockname()[1]}") as asked:
            with pytest.raises(ProviderUnavailable) as caught:
                await asked.ask(question(wire), ignore)
    name = "anthropic" if wire == "anthropic" else "openai"
    assert (str(caught.value), caught.value.begun) == (f"{name}: APIConnectionError", False)


@pytest.mark.parametrize("wire", WIRES)
async def test_gateway_that_reads_and_hangs_up(wire: Wire) -> None:
    """Whoever has read the request may be at work on it: it may have to be paid for."""
    async with gateway() as url, provider(wire, url) as asked:
        with pytest.raises(ProviderUnavailable) as caught:
            await asked.ask(question(wire), ignore)
    name = "anthropic" if wire == "anthropic" else "openai"
    assert (str(caught.value), caught.value.begun) == (f"{name}: APIConnectionError", True)


@pytest.mark.parametrize("wire", WIRES)
async def test_cancelling_aborts_the_request(wire: Wire) -> None:
    """A cancelled question closes its connection, and the server sees it."""
    async with ModelServer(always(Turn(text="so far", fault="stall"))) as server:
        async with provider(wire, server.url) as asked:
            begun = asyncio.Event()
            task = asyncio.create_task(asked.ask(question(wire), lambda _text: begun.set()))
            async with asyncio.timeout(5):
                await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(2):
                await server.gone.wait()
        assert (server.aborted, len(server.requests)) == (1, 1)
