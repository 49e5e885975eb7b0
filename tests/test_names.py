"""What a model or a program calls a file is a name to be shown: it is never opened or fetched."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from assurebot.demo.model import Ask, Call, Turn
from assurebot.values import BoxFile, RunResult
from tests.doubles import FakeSandbox
from tests.pictures import png
from tests.world import quick, running

SECRET = "what stands in a file of this machine"
CODE = "print(1)\n" * 80


@pytest.mark.parametrize("picture", [True, False])
async def test_names_of_files_lead_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, picture: bool
) -> None:
    """Paths, URLs and `attach://` as names, in words and in fences: only our own bytes leave."""
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    names = ("secret.txt", f"{secret}", secret.as_uri(), "http://127.0.0.1:9/x", "attach://x")
    data = png() if picture else b"made in the box"
    made = RunResult(
        outcome="ok",
        exit_code=0,
        grade="A",
        files=tuple(BoxFile(name=name, data=data) for name in names),
    )
    box = FakeSandbox(lambda _: made)
    said = "\n\n".join(f"![x]({name}) MEDIA:{name}\n\n```{name}\n{CODE}```" for name in names)

    def script(ask: Ask) -> Turn:
        if ask.tool_results:
            return Turn(text=said)
        arguments = json.dumps({"language": "python", "code": "print(1)"})
        return Turn(calls=(Call(name="run_code", arguments=arguments),))

    parts = quick(box=lambda *_, **__: nullcontext(box))
    async with running(tmp_path, script, parts=parts) as world:
        world.owner.say("make files")
        await world.answer(contains="code-5.txt below")
        world.owner.say("/python print(1)")
        await world.answer(contains="exit 0")
        await world.ask("/whoami", "the owner")
        files = [m.file for m in world.telegram.messages(42) if m.file is not None]
        assert [file.content for file in files if file.name.startswith("code-")] == [
            CODE.encode()
        ] * 5
        others = [file for file in files if not file.name.startswith("code-")]
        assert [file.content for file in others] == [data] * 10
        assert {file.name for file in others} == {"secret.txt", "x"}
        assert SECRET not in str(world.telegram.messages(42))
        assert world.telegram.violations == []
