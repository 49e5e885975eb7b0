"""What leaves: freely to where the owner points; else, in a tainted turn, by a press."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from assurebot.demo.model import Ask, Call, Script, Turn
from assurebot.turns.model_turns import TAINTED
from assurebot.values import BoxStanding
from tests.doubles import FakeSandbox
from tests.obeying import ASKS, Pages, frames, outcome, with_pages
from tests.world import World, quick, running

HERE, THERE = "https://here.example/a?b=c", "https://there.example/x"
QUERY = "weather in Vienna"
BRIDGE = BoxStanding(backend="fake", grade="A", languages=("python",), network=True)


def call(tool: str, **arguments: Any) -> Turn:
    """Make an answer with one call."""
    return Turn(calls=(Call(name=tool, arguments=json.dumps(arguments)),))


def calling(*turns: Turn) -> Script:
    """Make these calls one after the other once "go" is said, and tell what the last one gave.

    A search finds one page; all else is answered without a call.
    """

    def script(ask: Ask) -> Turn:
        if ask.search:
            return Turn(text="It is sunny.", sources=((THERE, "Weather"),))
        if len(ask.tool_results) < len(turns):
            return turns[len(ask.tool_results)] if "go" in ask.last_user_text else Turn(text="Hm.")
        return Turn(text=f"It gave: {ask.tool_results[-1]}")

    return script


def rules(world: World) -> list[str]:
    """Return what allowed the calls so far."""
    return [line["rule"] for line in world.audit(type="tool", phase="intent")]


async def taint(world: World) -> None:
    """Have something from outside in the conversation."""
    await world.answer(after=world.owner.forward("words of others"))


async def test_an_untainted_turn_goes_where_it_likes_until_it_has_read(tmp_path: Path) -> None:
    """The first page needs no press; it comes in a frame and taints, and the second URL asks."""
    pages = Pages()
    script = calling(call("fetch_url", url=HERE), call("fetch_url", url=THERE))
    async with running(tmp_path, script, parts=with_pages(pages)) as world:
        assert await outcome(world, world.owner.say("go")) == ASKS
        page = f"{HERE} answered 200\nPAGE-WORDS"
        assert (pages.fetched, frames(world)) == ([HERE], [("web page", page)])
        await world.stop()
        assert rules(world) == ["class:outward"]


@pytest.mark.parametrize(
    ("typed", "url", "free"),
    [
        (HERE, HERE, True),
        ("HTTPS://Here.example:443/a?b=c", HERE, True),
        (f"see <{HERE}>, please", HERE, True),
        ("here.example", "https://here.example/", True),
        ("here.example", HERE, False),
        (HERE, f"{HERE}&d=secret", False),
        (HERE, "http://here.example/a?b=c", False),
        (f"{HERE}/more", HERE, False),
        ("nothing", HERE, False),
    ],
)
async def test_a_tainted_turn_goes_only_where_the_owner_points(
    tmp_path: Path, typed: str, url: str, *, free: bool
) -> None:
    """A URL that stands whole in the owner's words of this turn needs no press; any other asks."""
    pages = Pages()
    script = calling(call("fetch_url", url=url))
    async with running(tmp_path, script, parts=with_pages(pages)) as world:
        await taint(world)
        found = await outcome(world, world.owner.say(f"go {typed}"))
        assert (found == ASKS, pages.fetched) == (not free, [url] if free else [])
        await world.stop()
        assert rules(world) == (["typed"] if free else [])


@pytest.mark.parametrize("where", ["earlier turn", "reply to own words", "quote", "forward"])
async def test_words_that_were_not_typed_now_free_nothing(tmp_path: Path, where: str) -> None:
    """A URL in an earlier turn, in what a message replies to or quotes, or in a forward asks."""
    pages = Pages()
    script = calling(call("fetch_url", url=HERE))
    async with running(tmp_path, script, parts=with_pages(pages)) as world:
        await taint(world)
        first = world.owner.say(f"look at {HERE}")
        await world.answer(after=first)
        match where:
            case "earlier turn":
                said = world.owner.say("go there")
            case "reply to own words":
                said = world.owner.say("go there", reply_to=first)
            case "quote":
                said = world.owner.say("go there", quote={"text": HERE, "position": 0})
            case _:
                said = world.owner.forward(f"go {HERE}")
        assert (await outcome(world, said), pages.fetched) == (ASKS, [])


@pytest.mark.parametrize("allowed", [False, True])
async def test_no_page_of_this_machine_is_fetched(tmp_path: Path, *, allowed: bool) -> None:
    """By the shipped way outward nothing is connected to, even where POLICY_ALLOW names it."""
    came = []

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername"))
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        entry = f"fetch_url:{url}*" if allowed else ""
        script = calling(call("fetch_url", url=url))
        async with running(tmp_path, script, POLICY_ALLOW=entry) as world:
            assert await outcome(world, world.owner.say("go")) == (
                "refused: 127.0.0.1 is this machine. Only public pages can be fetched"
            )
            await world.stop()
            assert rules(world) == [f"allow:{entry}" if allowed else "class:outward"]
            assert came == []


@pytest.mark.parametrize(
    ("allow", "told"),
    [
        ("fetch_url", "refused: only the ports 80 and 443 are open; POLICY_ALLOW can name another"),
        (
            "fetch_url:https://name.invalid:8443/*",
            "could not be fetched: the host name was not found",
        ),
    ],
)
async def test_another_port_is_opened_by_its_number_alone(
    tmp_path: Path, allow: str, told: str
) -> None:
    """The shipped fetcher goes by POLICY_ALLOW; past the port this name leads nowhere."""
    script = calling(call("fetch_url", url="https://name.invalid:8443/"))
    async with running(tmp_path, script, POLICY_ALLOW=allow) as world:
        assert (await outcome(world, world.owner.say("go"))).partition(". ")[0] == told


@pytest.mark.parametrize(
    ("typed", "free"),
    [
        (f'go and search for "{QUERY}"', True),
        (f"go and search for {QUERY}", False),
        ('go and search for "weather"', False),
    ],
)
async def test_a_tainted_turn_searches_only_for_what_the_owner_quoted(
    tmp_path: Path, typed: str, *, free: bool
) -> None:
    """The query has to stand as a whole, in quotes or as all of the text; else a search asks."""
    script = calling(call("web_search", query=QUERY))
    async with running(tmp_path, script, WEB_SEARCH="true") as world:
        await taint(world)
        found = await outcome(world, world.owner.say(typed))
        assert (found == ASKS, sum(ask.search for ask in world.model.requests)) == (not free, free)


async def test_a_search_is_a_request_of_its_own_that_holds_the_query_alone(tmp_path: Path) -> None:
    """The conversation is never offered a search by the provider, and what is found is framed."""
    script = calling(call("web_search", query=QUERY))
    async with running(tmp_path, script, WEB_SEARCH="true") as world:
        await taint(world)
        await outcome(world, world.owner.say(f'go: "{QUERY}"'))
        await world.stop()
        searches = [ask for ask in world.model.requests if ask.search]
        others = [ask for ask in world.model.requests if not ask.search]
        assert [(ask.user_texts, ask.tool_names) for ask in searches] == [((QUERY,), ())]
        assert ("words of others" in str(searches[0].raw), len(others)) == (False, 3)
        assert all("web_search" in ask.tool_names for ask in others)
        (_, found) = frames(world)
        assert found == ("web search", f"It is sunny.\nWeather ({THERE})")
        assert world.texts()[-1].endswith(f"\n\n{TAINTED}")
        assert rules(world) == ["typed"]
        kinds = world.rows("SELECT kind, count(*) FROM spend GROUP BY kind")
        assert kinds == [("model", 3), ("search", 1)]


async def test_there_is_no_search_unless_it_is_switched_on(tmp_path: Path) -> None:
    """Without WEB_SEARCH the tool is not offered, and a call of it is refused."""
    async with running(tmp_path, calling(call("web_search", query=QUERY))) as world:
        found = await outcome(world, world.owner.say("go"))
        assert found == "Refused by policy (not-registered): there is no such tool"
        assert [ask.search for ask in world.model.requests] == [False, False]


@pytest.mark.parametrize("forward", [False, True])
async def test_what_a_program_prints_is_labelled_as_its_turn(
    tmp_path: Path, *, forward: bool
) -> None:
    """Code in the box runs in any turn; in a tainted one its output comes in a frame."""
    box = FakeSandbox()
    script = calling(call("run_code", language="bash", code="echo hi"))
    parts = quick(box=lambda *_, **__: nullcontext(box))
    async with running(tmp_path, script, parts=parts) as world:
        say = world.owner.forward if forward else world.owner.say
        assert "echo hi" in await outcome(world, say("go"))
        assert len(box.programs) == 1
        found = [(origin, "echo hi" in text) for origin, text in frames(world)]
        assert found == ([("forwarded message", False), ("answer", True)] if forward else [])


@pytest.mark.parametrize("forward", [False, True])
async def test_a_program_with_network_is_outward(tmp_path: Path, *, forward: bool) -> None:
    """By SANDBOX_NETWORK=bridge it asks in a tainted turn, and taints where it ran."""
    box = FakeSandbox(standing=BRIDGE)
    code = (
        call("run_code", language="python", code="1"),
        call("run_code", language="python", code="2"),
    )
    parts = quick(box=lambda *_, **__: nullcontext(box))
    async with running(tmp_path, calling(*code), parts=parts, SANDBOX_NETWORK="bridge") as world:
        say = world.owner.forward if forward else world.owner.say
        assert await outcome(world, say("go")) == ASKS
        await world.stop()
        assert [program.source for program in box.programs] == ([] if forward else ["1"])
        asked = world.audit(type="approval", action="asked")
        assert [line["rule"] for line in asked] == ["class:outward:tainted"]
        origins = [origin for origin, _ in frames(world)]
        assert origins == ["forwarded message" if forward else "program with network"]
