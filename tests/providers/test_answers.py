"""What a good answer becomes, and how it is sent back, on every wire."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from assurebot.demo.model import Call, ModelServer, Turn, Wire, always, echo, sequence
from assurebot.values import (
    AssistantMessage,
    ModelReply,
    NativeContent,
    TextPart,
    ToolCall,
    ToolMessage,
    ToolResult,
    Usage,
    UserMessage,
    untrusted,
)
from tests.providers.wires import KEY, WIRES, ignore, question, ref, said, talk

CALLS = (Call(name="add", arguments='{"a": 1}'), Call(name="add", arguments='{"a":  2}'))


def call_id(wire: Wire, index: int, n: int = 1) -> str:
    """The id that the stand-in gives to a call."""
    return f"toolu_{n}_{index}" if wire == "anthropic" else f"call_{n}_{index}"


def results(wire: Wire) -> ToolMessage:
    """Results of the two calls, one of them failed."""
    return ToolMessage(
        results=(
            ToolResult(call_id=call_id(wire, 0), name="add", text="one"),
            ToolResult(call_id=call_id(wire, 1), name="add", text="no", failed=True),
        )
    )


@pytest.mark.parametrize("wire", WIRES)
async def test_plain_answer(wire: Wire) -> None:
    """An answer has its text, stop, model, tokens with the cached ones in them, and its price."""
    turn = Turn(
        text="Hello",
        chunks=(", ", "you"),
        input_tokens=1000,
        cached_tokens=600,
        written_tokens=100,
        output_tokens=50,
    )
    async with ModelServer(always(turn)) as server, talk(server, wire) as asked:
        reply = await asked.ask(question(wire), ignore)
    native = reply.message.native
    assert reply == ModelReply(
        message=AssistantMessage(text="Hello, you", native=native),
        stop="end",
        model=ref(wire),
        usage=Usage(input_tokens=1000, output_tokens=50, cost_usd=Decimal("0.0011")),
    )
    assert (native is None) == (wire == "chat")


@pytest.mark.parametrize("wire", WIRES)
async def test_text_is_shown_as_it_grows(wire: Wire) -> None:
    """`on_text` gets the whole text so far each time that it grew."""
    shown: list[str] = []
    async with (
        ModelServer(always(Turn(chunks=("a", "b ", "c"), chunk_seconds=0.01))) as server,
        talk(server, wire) as asked,
    ):
        await asked.ask(question(wire), shown.append)
    assert shown == ["a", "ab ", "ab c"]


@pytest.mark.parametrize("wire", WIRES)
async def test_request_holds_what_was_given_and_no_more(wire: Wire) -> None:
    """The system text, the user's parts in order, the tools and the key arrive, on one wire."""
    message = UserMessage(
        parts=(TextPart(text="mine"), TextPart(text="framed", label=untrusted("forward")))
    )
    async with ModelServer(echo()) as server, talk(server, wire) as asked:
        reply = await asked.ask(question(wire, said("first"), message, system="Be kind."), ignore)
        (ask,) = server.requests
    joint = "\n\n" if wire == "chat" else "\n"
    assert (ask.wire, ask.system, ask.user_texts, ask.tool_names, ask.authorization) == (
        wire,
        "Be kind.",
        ("first", f"mine{joint}framed"),
        ("add",),
        f"Bearer {KEY}",
    )
    assert reply.message.text == f"mine{joint}framed"


@pytest.mark.parametrize("wire", WIRES)
async def test_nothing_is_added_to_an_empty_request(wire: Wire) -> None:
    """Without a system text and tools the request has none."""
    async with ModelServer(echo()) as server, talk(server, wire) as asked:
        await asked.ask(question(wire, tools=()), ignore)
        (ask,) = server.requests
    assert (ask.system, "tools" in ask.raw, "system" in ask.raw, "instructions" in ask.raw) == (
        "",
        False,
        False,
        False,
    )


@pytest.mark.parametrize("wire", WIRES)
async def test_calls_come_exactly_as_written(wire: Wire) -> None:
    """Several calls keep their order, ids and the very text of their arguments."""
    turn = Turn(text="I add.", calls=CALLS)
    async with ModelServer(always(turn)) as server, talk(server, wire) as asked:
        reply = await asked.ask(question(wire), ignore)
    assert (reply.stop, reply.message.text, reply.message.calls) == (
        "tools",
        "I add.",
        (
            ToolCall(id=call_id(wire, 0), name="add", arguments='{"a": 1}'),
            ToolCall(id=call_id(wire, 1), name="add", arguments='{"a":  2}'),
        ),
    )


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "no json at all"])
async def test_invalid_arguments_reach_the_caller_and_go_back(wire: Wire, arguments: str) -> None:
    """Arguments that are no JSON object come as they are, and the conversation can go on."""
    turns = sequence([Turn(calls=(Call(name="add", arguments=arguments),)), Turn(text="Sorry.")])
    async with ModelServer(turns) as server, talk(server, wire) as asked:
        first = await asked.ask(question(wire), ignore)
        result = ToolResult(call_id=call_id(wire, 0), name="add", text="not JSON", failed=True)
        history = (said("hello"), first.message, ToolMessage(results=(result,)))
        second = await asked.ask(question(wire, *history), ignore)
        last = server.requests[-1]
    assert first.message.calls == (ToolCall(id=call_id(wire, 0), name="add", arguments=arguments),)
    assert (last.tool_results, second.message.text) == (("not JSON",), "Sorry.")


@pytest.mark.parametrize("wire", WIRES)
async def test_half_a_call_is_no_call(wire: Wire) -> None:
    """A call that the token limit cut is not handed out, and nothing of it is sent back."""
    turn = Turn(text="I add.", calls=CALLS, fault="half_call")
    async with ModelServer(always(turn)) as server, talk(server, wire) as asked:
        reply = await asked.ask(question(wire), ignore)
    assert (reply.stop, reply.message) == ("max_tokens", AssistantMessage(text="I add."))


@pytest.mark.parametrize("wire", WIRES)
async def test_refusal_is_an_answer(wire: Wire) -> None:
    """A model that refuses has answered; calls beside a refusal are not handed out."""
    turn = Turn(text="I will not.", calls=CALLS, stop="refusal")
    async with ModelServer(always(turn)) as server, talk(server, wire) as asked:
        reply = await asked.ask(question(wire), ignore)
    assert (reply.stop, reply.message) == ("refusal", AssistantMessage(text="I will not."))


async def test_filtered_response_is_a_refusal() -> None:
    """A response that the content filter cut is a refusal, not a complete answer."""
    turn = Turn(text="I wi", stop="content_filter")
    async with ModelServer(always(turn)) as server, talk(server, "responses") as asked:
        reply = await asked.ask(question("responses"), ignore)
    assert (reply.stop, reply.message) == ("refusal", AssistantMessage(text="I wi"))


@pytest.mark.parametrize("stop", ["pause_turn", "model_context_window_exceeded"])
async def test_paused_turn_is_a_cut_answer(stop: str) -> None:
    """An answer that Claude breaks off in a regular way is kept, and known to be cut."""
    turn = Turn(text="So far", stop=stop)
    async with ModelServer(always(turn)) as server, talk(server, "anthropic") as asked:
        reply = await asked.ask(question("anthropic"), ignore)
    assert (reply.stop, reply.message.text) == ("max_tokens", "So far")


async def test_claude_gets_its_own_blocks_back() -> None:
    """Thinking with its signature, text and calls go back unchanged, results first."""
    turns = sequence([Turn(thinking="Hm.", text="I add.", calls=CALLS), Turn(text="Done.")])
    async with ModelServer(turns) as server, talk(server, "anthropic") as asked:
        first = await asked.ask(question("anthropic"), ignore)
        history = (said("hello"), first.message, results("anthropic"), said("and?"))
        await asked.ask(question("anthropic", *history), ignore)
        sent = server.requests[-1].raw["messages"]
    assert sent == [
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "signed-1"},
                {"type": "text", "text": "I add."},
                {"type": "tool_use", "id": "toolu_1_0", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "toolu_1_1", "name": "add", "input": {"a": 2}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1_0",
                    "content": "one",
                    "is_error": False,
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1_1",
                    "content": "no",
                    "is_error": True,
                },
            ],
        },
        {"role": "user", "content": [{"type": "text", "text": "and?"}]},
    ]


async def test_responses_get_their_own_items_back() -> None:
    """Encrypted reasoning, message and calls go back unchanged, and nothing is stored there."""
    turns = sequence([Turn(thinking="secret", text="I add.", calls=CALLS), Turn(text="Done.")])
    async with ModelServer(turns) as server, talk(server, "responses") as asked:
        first = await asked.ask(question("responses"), ignore)
        history = (said("hello"), first.message, results("responses"))
        await asked.ask(question("responses", *history), ignore)
        raw = server.requests[-1].raw
    thought, message, one, two = raw["input"][1:5]
    assert thought == {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [],
        "encrypted_content": "secret",
    }
    assert message["content"] == [{"type": "output_text", "text": "I add.", "annotations": []}]
    assert [(call["call_id"], call["arguments"]) for call in (one, two)] == [
        ("call_1_0", '{"a": 1}'),
        ("call_1_1", '{"a":  2}'),
    ]
    assert raw["input"][5:] == [
        {"type": "function_call_output", "call_id": "call_1_0", "output": "one"},
        {"type": "function_call_output", "call_id": "call_1_1", "output": "no"},
    ]
    assert (raw["store"], raw["include"], raw["safety_identifier"]) == (
        False,
        ["reasoning.encrypted_content"],
        "73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049",
    )


@pytest.mark.parametrize("wire", WIRES)
async def test_answers_of_others_go_back_in_plain_form(wire: Wire) -> None:
    """Another provider's native content is not sent; text, calls and results are."""
    other = NativeContent(
        provider="openai" if wire == "anthropic" else "anthropic", content='["foreign"]'
    )
    made = AssistantMessage(
        text="I add.",
        calls=(ToolCall(id=call_id(wire, 0), name="add", arguments='{"a": 1}'),),
        native=other,
    )
    result = ToolResult(call_id=call_id(wire, 0), name="add", text="one")
    history = (said("hello"), made, ToolMessage(results=(result,)))
    async with ModelServer(always(Turn(text="Done."))) as server, talk(server, wire) as asked:
        await asked.ask(question(wire, *history), ignore)
        (ask,) = server.requests
    assert "foreign" not in json.dumps(ask.raw)
    assert "I add." in json.dumps(ask.raw)
    assert ask.tool_results == ("one",)


@pytest.mark.parametrize("wire", WIRES)
async def test_empty_messages_are_left_out(wire: Wire) -> None:
    """Messages without any text are not sent: the APIs refuse them."""
    history = (said("hello"), AssistantMessage(text=""), said(""), said("again"))
    async with ModelServer(echo()) as server, talk(server, wire) as asked:
        await asked.ask(question(wire, *history), ignore)
        (ask,) = server.requests
    sent = ask.raw["input" if wire == "responses" else "messages"]
    assert (len(sent), ask.user_texts) == (2, ("hello", "again"))


@pytest.mark.parametrize("wire", WIRES)
async def test_environment_redirects_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses and keys that the SDKs would read by themselves are not used."""
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "another-key")
    async with ModelServer(echo()) as server, talk(server, wire) as asked:
        await asked.ask(question(wire), ignore)
        (ask,) = server.requests
    assert ask.authorization == f"Bearer {KEY}"
