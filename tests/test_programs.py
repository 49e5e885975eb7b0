"""Code that people send: run in the box, shown, stopped, recorded; through the real entry point."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import pytest

from assurebot.app import Parts
from assurebot.demo.model import Ask, Call, Turn
from assurebot.errors import SandboxLost, SandboxUnavailable
from assurebot.sandbox.choice import OnStanding
from assurebot.sandbox.probes import Probe, SelfTest
from assurebot.values import BoxFile, BoxLimits, BoxStanding, Program, RunResult
from tests.doubles import FakeSandbox
from tests.pictures import png
from tests.scripts import LIMIT_SECONDS, Gate
from tests.world import API_KEY, GROUP, quick, running

PNG = png()
LIMITS = BoxLimits(seconds=60.0)


def boxed(box: FakeSandbox, **fields: Any) -> Parts:
    """The quick parts with this box."""
    return quick(box=lambda *_, **__: nullcontext(box), **fields)


def result(**fields: Any) -> RunResult:
    """What a good program comes to."""
    given: dict[str, Any] = {"outcome": "ok", "exit_code": 0, "seconds": 0.25, "served": "warm"}
    return RunResult(**{**given, "backend": "docker", "grade": "A", **fields})


DONE = "✅ exit 0 · python · 0.25 s · grade A (docker)"


async def test_a_program_is_run_and_its_output_comes_back(tmp_path: Path) -> None:
    """The code reaches the box literally; what it printed comes back as code, and how it went."""
    box = FakeSandbox(lambda _: result(stdout="`a` $HOME\n"))
    async with running(tmp_path, parts=boxed(box)) as world:
        answer = await world.ask("/python print('`a`', \"$HOME\")  # “so”", "exit 0")
        assert answer.text == f"`a` $HOME\n\n{DONE}"
        assert [entity.type for entity in answer.entities] == ["pre"]
    source = "print('`a`', \"$HOME\")  # “so”"
    assert box.programs == [Program(language="python", source=source, limits=LIMITS)]


@pytest.mark.parametrize(
    ("command", "language"),
    [
        *(("py", "python"), ("js", "javascript"), ("ts", "typescript"), ("bash", "bash")),
        *(("sh", "bash"), ("sandbox", "bash")),
    ],
)
async def test_every_command_has_its_language(tmp_path: Path, command: str, language: str) -> None:
    """Each command that runs code runs it in its language."""
    box = FakeSandbox()
    async with running(tmp_path, parts=boxed(box)) as world:
        await world.ask(f"/{command} x", f"· {language} ·")
    assert box.programs == [Program(language=language, source="x", limits=LIMITS)]


async def test_a_code_block_is_taken_as_it_is(tmp_path: Path) -> None:
    """Of a command with a code block only the block counts, with its lines and indentation."""
    box = FakeSandbox()
    async with running(tmp_path, parts=boxed(box)) as world:
        text = "/run python please:\nif 1:\n    print('😀 “x”')\n"
        code = "if 1:\n    print('😀 “x”')"
        block = {"type": "pre", "offset": 20, "length": len(code) + 1, "language": "python"}
        marks = [{"type": "bot_command", "offset": 0, "length": 4}, block]
        said = world.owner.say(text, entities=marks)
        await world.answer(contains="exit 0", after=said)
    assert box.programs == [Program(language="python", source=code, limits=LIMITS)]


async def test_without_code_the_command_says_how(tmp_path: Path) -> None:
    """A command without code runs nothing, and tells what to write and which box there is."""
    box = FakeSandbox()
    async with running(tmp_path, parts=boxed(box)) as world:
        for text in ("/python", "/run", "/run python", "/sandbox"):
            answer = await world.ask(text, "Write the code after the command")
            assert "Box: grade A (fake): python, bash" in answer.text
    assert box.programs == []


async def test_pictures_and_files_come_back(tmp_path: Path) -> None:
    """Pictures come as a photo or an album, other files as documents, after the words."""
    files = [BoxFile(name=f"{n}.png", data=PNG) for n in "ab"]
    box = FakeSandbox(lambda _: result(files=(*files, BoxFile(name="t.csv", data=b"1,2\n"))))
    async with running(tmp_path, parts=boxed(box)) as world:
        said = world.owner.say("/python x")
        await world.answer(after=said, contains="exit 0")
        await world.meanwhile(
            world.telegram.wait_for("sendDocument", timeout_seconds=LIMIT_SECONDS)
        )
        sent = [message for message in world.telegram.messages(42) if message.message_id > said]
        kinds = [(m.file.kind, m.file.name, m.file.content) for m in sent if m.file is not None]
        assert sent[0].text == DONE
        assert kinds == [
            ("photo", "a.png", PNG),
            ("photo", "b.png", PNG),
            ("document", "t.csv", b"1,2\n"),
        ]
        assert sent[1].album == sent[2].album is not None
        await world.stop()
        assert world.rows("SELECT count(*) FROM blobs") == [(0,)]


async def test_long_output_comes_as_a_file(tmp_path: Path) -> None:
    """The beginning stands in the message, and all of it in a file."""
    text = "line\n" * 5_000
    box = FakeSandbox(lambda _: result(stdout=text))
    async with running(tmp_path, parts=boxed(box)) as world:
        said = world.owner.say("/python x")
        answer = await world.answer(after=said, contains="22000 more characters")
        whole = await world.meanwhile(
            world.telegram.wait_for_message(
                42, lambda m: m.file is not None, after=said, timeout_seconds=LIMIT_SECONDS
            )
        )
        assert answer.text.startswith("line\n" * 600)
        assert whole.file is not None
        assert (whole.file.name, whole.file.content) == ("output.txt", text.encode())


@pytest.mark.parametrize(
    ("error", "result_word"),
    [
        (SandboxUnavailable("no container engine answers; start Docker"), "not run"),
        (SandboxLost("the box was lost while the program ran"), "lost"),
    ],
)
async def test_what_was_not_run_is_never_shown_as_output(
    tmp_path: Path, error: Exception, result_word: str
) -> None:
    """Without a box the answer is the reason, and the record says so."""
    async with running(tmp_path, parts=boxed(FakeSandbox(lambda _: error))) as world:
        answer = await world.ask("/python x", "📦")
        assert answer.text == f"📦 {error}"
        await world.stop()
        lines = world.audit(type="sandbox")
    assert [(line["phase"], line.get("result"), line.get("error")) for line in lines] == [
        ("intent", None, None),
        ("result", result_word, str(error)),
    ]


async def test_a_run_is_recorded(tmp_path: Path) -> None:
    """An intent with language, grade, hash and code; a result with outcome, exit and changes."""
    box = FakeSandbox(lambda _: result(outcome="failed", exit_code=3, path_changes=2))
    async with running(tmp_path, parts=boxed(box)) as world:
        await world.ask(f"/python x = '{API_KEY}'", "❌ exit 3")
        await world.stop()
        intent, closing = world.audit(type="sandbox")
    source = b"x = '[redacted:ANTHROPIC_API_KEY]'"  # what was stored, and so what was run
    digest = f"sha256:{hashlib.sha256(source).hexdigest()}"
    assert {
        name: intent[name] for name in ("phase", "action", "target", "evidence", "command")
    } == {
        "phase": "intent",
        "action": "python",
        "target": "fake A",
        "evidence": digest,
        "command": "x = '[redacted:ANTHROPIC_API_KEY]'",
    }
    names = ("phase", "closes", "result", "exit", "path_changes", "target", "evidence", "user")
    assert [closing[name] for name in names] == [
        *("result", intent["seq"], "failed", 3, 2, "docker A", f"{digest} warm", 42)
    ]


async def test_secrets_and_hidden_signs_do_not_come_out(tmp_path: Path) -> None:
    """A secret is gone from output and files; escapes and bidi signs are written out."""
    said = f"{API_KEY}\n\x1b[31mred\u202egpj.exe"
    files = (BoxFile(name="a.txt", data=f"key={API_KEY}".encode()),)
    box = FakeSandbox(lambda _: result(stdout=said, files=files))
    async with running(tmp_path, parts=boxed(box)) as world:
        answer = await world.ask("/python x", "exit 0")
        document = await world.meanwhile(
            world.telegram.wait_for_message(
                42, lambda m: m.file is not None, timeout_seconds=LIMIT_SECONDS
            )
        )
        name = "[redacted:ANTHROPIC_API_KEY]"
        assert answer.text == f"{name}\n␛[31mred<U+202E>gpj.exe\n\n{DONE}"
        assert document.file is not None
        assert document.file.content == f"key={name}".encode()
        await world.stop()
        assert API_KEY.encode() not in world.stored_bytes()


async def forever(_program: Program) -> RunResult:
    """Never end."""
    await asyncio.sleep(600)
    return result()


def endless(program: Program) -> Any:
    """Run for ever."""
    return forever(program)


async def test_a_running_program_shows_and_is_stopped(tmp_path: Path) -> None:
    """Its time shows while it runs; /stop ends it within 2 s, and it is not run again."""
    box = FakeSandbox(endless)
    async with running(tmp_path, parts=boxed(box)) as world:
        world.owner.say("/python while True: pass")
        draft = await world.meanwhile(world.telegram.wait_for_draft(42, contains="⏳ python, 0 s"))
        assert draft.text == "⏳ python, 0 s"
        clock = asyncio.get_running_loop().time
        began = clock()
        world.owner.say("/stop")
        answer = await world.answer(contains="⏹ Stopped.")
        assert clock() - began < 2
        assert answer.text.startswith("⏳ python, ")
        await world.restart()
        await world.ask("hello", "hello")
        assert len(box.programs) == 1
        await world.stop()
        results = [line["result"] for line in world.audit(type="sandbox", phase="result")]
    assert results == ["cancelled"]


async def test_a_program_that_a_crash_cut_off_is_run_again(tmp_path: Path) -> None:
    """Without network a run leaves nothing behind: after a crash it is run anew and answered."""
    box = FakeSandbox(endless)
    async with running(tmp_path, parts=boxed(box)) as world:
        world.owner.say("/python x")
        await world.meanwhile(box.begun.wait())
        await world.fall()
        world.parts = boxed(FakeSandbox(lambda _: result(stdout="again")))
        await world.start()
        answer = await world.answer(contains="again")
        assert answer.text == f"again\n\n{DONE}"


async def test_with_network_nothing_is_run_twice(tmp_path: Path) -> None:
    """A program that may have had an effect is told as interrupted after a crash, not run again."""
    box = FakeSandbox(endless, standing=BoxStanding(backend="docker", grade="A", network=True))
    async with running(tmp_path, parts=boxed(box), SANDBOX_NETWORK="bridge") as world:
        world.owner.say("/python x")
        await world.meanwhile(box.begun.wait())
        await world.fall()
        await world.start()
        answer = await world.answer(contains="Interrupted")
        assert answer.text == "⚠️ Interrupted; the outcome is unknown. It was not run again."
        assert len(box.programs) == 1
        status = await world.ask("/status", "Box:")
        assert "with network: not held by configuration" in status.text
        health = (await world.health())[1]
        assert health["box"] == "A, with network: not held by configuration"


def drawing(ask: Ask) -> Turn:
    """Call `run_code`, then tell what it gave."""
    if ask.tool_results:
        return Turn(text=f"It gave: {ask.tool_results[-1]}")
    return Turn(
        calls=(Call(name="run_code", arguments='{"language": "python", "code": "draw()"}'),)
    )


async def test_the_model_runs_code_and_its_pictures_reach_the_person(tmp_path: Path) -> None:
    """`run_code` gives the model the output and names; the files follow the answer."""
    box = FakeSandbox(lambda _: result(stdout="ok\n", files=(BoxFile(name="p.png", data=PNG),)))
    async with running(tmp_path, drawing, parts=boxed(box)) as world:
        said = world.owner.say("draw something")
        answer = await world.answer(after=said, contains="It gave")
        photo = await world.meanwhile(
            world.telegram.wait_for_message(
                42, lambda m: m.file is not None, after=said, timeout_seconds=LIMIT_SECONDS
            )
        )
        assert answer.text == (
            "It gave: ✅ exit 0, 0.25 s\n--- stdout\nok\n\n"
            f"--- files, sent to the user with your answer: p.png ({len(PNG)} bytes)"
        )
        assert photo.file is not None
        assert (photo.file.kind, photo.file.content) == ("photo", PNG)
        await world.stop()
        kinds = [(line["type"], line.get("phase")) for line in world.audit(turn=1)]
    calls = [kind for kind in kinds if kind[0] in {"tool", "sandbox"}]
    assert calls == [
        *(("tool", "intent"), ("sandbox", "intent"), ("sandbox", "result"), ("tool", "result"))
    ]


async def test_the_model_is_told_what_did_not_run(tmp_path: Path) -> None:
    """A closed box, or arguments that are none, are results that the model reads."""
    box = FakeSandbox()
    box.close("no engine")
    async with running(tmp_path, drawing, parts=boxed(box)) as world:
        answer = await world.ask("draw")
    assert answer.text == "It gave: it was not run to its end: no engine"


async def test_switched_off_there_is_neither_tool_nor_box(tmp_path: Path) -> None:
    """With SANDBOX_ENABLED=false the model is not offered the tool, and a command is refused."""
    switched_off = quick(box=Parts().box)
    async with running(tmp_path, parts=switched_off, SANDBOX_ENABLED="false") as world:
        answer = await world.ask("/python x", "📦")
        assert answer.text == "📦 code is not run here: SANDBOX_ENABLED=false"
        await world.ask("hello", "hello")
        tools = [tool["name"] for tool in world.model.requests[-1].raw["tools"]]
        names = ("recall", "remember", "forget", "fetch_url", "read_document", "schedule")
        assert tools == [*names]
        assert (await world.health())[1]["box"] == "closed"


def naming(name: str) -> BoxFile:
    """A picture of this name."""
    return BoxFile(name=name, data=PNG)


def twice(ask: Ask) -> Turn:
    """Call `run_code` two times, one after the other, then tell."""
    if len(ask.tool_results) == 2:
        return Turn(text="two")
    return Turn(calls=(Call(name="run_code", arguments='{"language": "python", "code": "x"}'),))


async def test_pictures_of_one_name_all_arrive(tmp_path: Path) -> None:
    """What two runs of a turn called alike are two pictures, and both were promised."""
    box = FakeSandbox(lambda _: result(files=(naming("plot.png"),)))
    async with running(tmp_path, twice, parts=boxed(box)) as world:
        said = world.owner.say("draw")
        await world.answer(after=said, contains="two")
        await world.meanwhile(
            world.telegram.wait_for("sendMediaGroup", timeout_seconds=LIMIT_SECONDS)
        )
        sent = [m.file.name for m in world.telegram.messages(42) if m.file is not None]
        assert sent == ["plot.png", "plot.png"]


async def test_a_stopped_turn_still_sends_what_was_made(tmp_path: Path) -> None:
    """Files of a tool that had ended were promised: /stop does not take them away."""

    def stalls(ask: Ask) -> Turn:
        return Turn(delay_seconds=60) if ask.tool_results else drawing(ask)

    box = FakeSandbox(lambda _: result(files=(naming("p.png"),)))
    gate = Gate(stalls)
    async with running(tmp_path, gate, parts=boxed(box)) as world:
        world.owner.say("draw")
        await gate.wait()
        await gate.wait()
        world.owner.say("/stop")
        photo = await world.meanwhile(
            world.telegram.wait_for_message(
                42, lambda m: m.file is not None, timeout_seconds=LIMIT_SECONDS
            )
        )
        assert photo.file is not None
        assert photo.file.name == "p.png"


async def test_what_a_stopped_program_printed_is_remembered_as_its_own(tmp_path: Path) -> None:
    """History has the command, and what was shown, as the owner's: no model had a part in it."""
    box = FakeSandbox(endless)
    async with running(tmp_path, parts=boxed(box)) as world:
        world.owner.say("/python x")
        await world.meanwhile(box.begun.wait())
        world.owner.say("/stop")
        await world.answer(contains="⏹ Stopped.")
        await world.ask("and?", "and?")
        ((body,),) = world.rows("SELECT body FROM history ORDER BY id LIMIT 1")
        assert '"/python x"' in body
        assert "untrusted" not in body


async def test_programs_take_no_turns_from_others(tmp_path: Path) -> None:
    """With one turn at a time, somebody's endless program does not keep others from the model."""
    box = FakeSandbox(endless)
    async with running(tmp_path, parts=boxed(box), MAX_TURNS="1") as world:
        world.owner.say("/python x")
        await world.meanwhile(box.begun.wait())
        answer = await world.ask("hello", "hello", by=world.user)
        assert answer.text == "hello"


async def test_output_shows_while_a_program_runs(tmp_path: Path) -> None:
    """What it printed so far stands in the draft, cleaned like the answer."""
    told = asyncio.Event()

    class Talking(FakeSandbox):
        async def run(self, program: Program, on_output: Any = None) -> RunResult:
            on_output("step 1\x07\n")
            told.set()
            return await forever(program)

    async with running(tmp_path, parts=boxed(Talking())) as world:
        world.owner.say("/python x")
        await world.meanwhile(told.wait())
        draft = await world.meanwhile(world.telegram.wait_for_draft(42, contains="step 1"))
        assert draft.text == "⏳ python, 1 s\n\nstep 1␇"


async def test_in_a_group_a_program_shows_in_one_message(tmp_path: Path) -> None:
    """/python@bot shows its time in a message that becomes the answer."""
    box = FakeSandbox(endless)
    async with running(tmp_path, parts=boxed(box), ALLOWED_CHATS=str(GROUP)) as world:
        world.telegram.group(GROUP)
        world.owner.say("/python@stand_in_bot x", GROUP)
        await world.answer(GROUP, "⏳ python, 0 s")
        world.owner.say("/stop", GROUP)
        await world.answer(GROUP, "⏹ Stopped.")
        await world.stop()
        assert len(world.texts(GROUP)) == 1


async def test_an_error_of_ours_is_no_cancel(tmp_path: Path) -> None:
    """A fault in the box's code is recorded as an error, and the event dies by the usual rule."""
    async with running(tmp_path, parts=boxed(FakeSandbox(lambda _: ValueError("fault")))) as world:
        await world.ask("/python x", "gave it up")
        await world.stop()
        results = [line["result"] for line in world.audit(type="sandbox", phase="result")]
    assert results == ["error"] * 3


class Failing(FakeSandbox):
    """A box whose self-test fails some time after the start."""

    def __init__(self, on_standing: OnStanding) -> None:
        super().__init__()
        self._on_standing = on_standing
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._fail())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        await self._task

    async def _fail(self) -> None:
        await asyncio.sleep(0.5)
        probe = Probe(name="no network", ok=False, seen="eth0")
        standing = BoxStanding(backend="docker", reason="it failed its self-test: no network")
        await self._on_standing(SelfTest(probes=(probe,)), standing)


async def test_the_owner_hears_of_a_failed_self_test(tmp_path: Path) -> None:
    """However late a probe fails, the owner is told at once, and it is on record."""
    parts = quick(box=lambda *_, on_standing, **__: Failing(on_standing))
    async with running(tmp_path, parts=parts) as world:
        notice = await world.answer(contains="The box is closed")
        assert notice.text == ("⚠️ The box is closed (docker): it failed its self-test: no network")
        await world.stop()
        (line,) = world.audit(type="sandbox", action="self-test")
    assert (line["result"], line["evidence"], line["error"]) == (
        *("failed", "0 of 1 probes", "no network: eth0"),
    )
