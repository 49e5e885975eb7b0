"""The image of the boxes: every language that it promises, inside a real box."""

import os
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.profile import BoxPlan, EngineAddress
from assurebot.values import BoxFile, BoxLimits, Program, RunResult
from tests.engine.conftest import Docker

pytestmark = pytest.mark.engine

PNG = b"\x89PNG\r\n\x1a\n"


def _plan(image: str) -> BoxPlan:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    return BoxPlan(instance=uuid4().hex, image=image, engine=EngineAddress(url=address))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(sandbox_image: str) -> AsyncIterator[DockerSandbox]:
    """Return a box of the default image."""
    async with DockerSandbox(_plan(sandbox_image)) as opened:
        yield opened


def _told(result: RunResult) -> tuple[str, int, str, str]:
    return result.outcome, result.exit_code, result.stdout, result.stderr


HELLO = {
    "python": "print('hi')",
    "bash": "echo hi",
    "javascript": "console.log('hi')",
    "typescript": "const word: string = 'hi'; console.log(word)",
}
EXITS = {
    "python": "import sys; sys.exit(3)",
    "bash": "exit 3",
    "javascript": "process.exit(3)",
    "typescript": "process.exit(3 as number)",
}
BROKEN = {
    "python": ("def f(:", "SyntaxError"),
    "bash": ("if then", "syntax error"),
    "javascript": ("function f( {", "SyntaxError"),
    "typescript": ("let a: = 3", "Unexpected"),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("language", HELLO)
async def test_a_language_runs(box: DockerSandbox, language: str) -> None:
    """What a program prints comes out, and nothing else does."""
    result = await box.run(Program(language=language, source=HELLO[language]))
    assert _told(result) == ("ok", 0, "hi\n", "")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("language", EXITS)
async def test_its_exit_code_comes_out(box: DockerSandbox, language: str) -> None:
    """A program's own exit code is the result's."""
    result = await box.run(Program(language=language, source=EXITS[language]))
    assert _told(result) == ("failed", 3, "", "")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("language", BROKEN)
async def test_an_error_in_the_source_is_told(box: DockerSandbox, language: str) -> None:
    """A source that cannot be read is a failed program that says why on standard error."""
    source, word = BROKEN[language]
    result = await box.run(Program(language=language, source=source))
    assert (result.outcome, result.exit_code != 0, result.stdout) == ("failed", True, "")
    assert word in result.stderr


SCRIPTS = {
    "module": (
        "javascript",
        (
            "import { readFileSync } from 'node:fs';\n"
            "console.log(typeof readFileSync, await Promise.resolve(1))"
        ),
        "function 1\n",
    ),
    "commonjs": (
        "javascript",
        "const { join } = require('path');\nif (require.main === module) console.log(join('a'))",
        "a\n",
    ),
    "require and a free await": (
        "javascript",
        (
            "const { join } = require('path');\nconst a = await Promise.resolve(join('a', 'b'));\n"
            "if (require.main === module) console.log(a)"
        ),
        "a/b\n",
    ),
    "types": (
        "typescript",
        (
            "interface P { x: number }\nenum E { A = 2 }\nclass Q<T extends P> "
            "{ constructor(private t: T) {} get() { return this.t.x } }\n"
            "console.log(new Q({ x: 1 } satisfies P).get(), E.A)"
        ),
        "1 2\n",
    ),
    "import of types only": (
        "typescript",
        (
            "import type { Stats } from 'fs';\nimport { Dirent, statSync } from 'fs';\n"
            "const a: Stats = statSync('.'); let b: Dirent | undefined;\n"
            "console.log(a.isDirectory(), b, await Promise.resolve(1))"
        ),
        "true undefined 1\n",
    ),
    "require in TypeScript": (
        "typescript",
        "import path = require('path');\nconst a: string = path.join('a', 'b');\nconsole.log(a)",
        "a/b\n",
    ),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", SCRIPTS)
async def test_scripts_run_as_they_are_typed(box: DockerSandbox, kind: str) -> None:
    """Modules and CommonJS, with types or without, need no hint of what they are."""
    language, source, said = SCRIPTS[kind]
    result = await box.run(Program(language=language, source=source))
    assert _told(result) == ("ok", 0, said, "")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_error_names_the_line_of_the_typescript(box: DockerSandbox) -> None:
    """What went wrong is told in terms of the source, not of what was made of it."""
    source = "interface A {\n  x: number\n}\nthrow new Error('on line four')"
    result = await box.run(Program(language="ts", source=source))
    assert (result.outcome, result.exit_code) == ("failed", 1)
    assert "main.ts:4" in result.stderr


DRAWING = """
import matplotlib.pyplot as plt, numpy as np, pandas as pd
frame = pd.read_csv("in.csv")
print(int(np.sum(frame["a"])))
plt.plot(frame["a"])
plt.savefig("out.png")
"""


@pytest.mark.asyncio(loop_scope="module")
async def test_python_reckons_and_draws(box: DockerSandbox) -> None:
    """Tables, numbers and pictures work, and say nothing of caches or folders of their own."""
    files = (BoxFile(name="in.csv", data=b"a\n1\n2\n"),)
    result = await box.run(Program(language="python", source=DRAWING, files=files))
    assert _told(result) == ("ok", 0, "3\n", "")
    assert [(file.name, file.data[:8]) for file in result.files] == [("out.png", PNG)]
    assert result.seconds < 10


@pytest.mark.asyncio(loop_scope="module")
async def test_the_fonts_of_pictures_are_known_beforehand(box: DockerSandbox) -> None:
    """Matplotlib finds the cache of the image, so that no box looks for fonts itself."""
    source = (
        "import os, matplotlib; folder = matplotlib.get_cachedir(); before = os.listdir(folder)\n"
        "import matplotlib.pyplot\nprint(len(before), os.listdir(folder) == before)"
    )
    result = await box.run(Program(language="python", source=source))
    assert _told(result) == ("ok", 0, "1 True\n", "")


def test_nothing_in_the_image_gives_its_starter_other_rights(
    docker: Docker, sandbox_image: str
) -> None:
    """There is no setuid or setgid file, no pip for the box's Python, and the user is nobody."""
    look = (
        "find / -xdev -type f -perm /6000; find /opt/box -name 'pip*'; ls -A /var/lib/apt/lists;"
        "id -u; command -v python3; python3 -c 'import matplotlib, os;"
        'print(len(os.listdir("/opt/box/home/.matplotlib")))\''
    )
    seen = docker("run", "--rm", "--network=none", sandbox_image, "sh", "-c", look)
    assert (seen.returncode, seen.stdout) == (0, "65534\n/opt/box/bin/python3\n1\n")


FULL = {
    "c": r"""#include <math.h>
#include <stdio.h>
int main() { printf("%.0f\n", sqrt(49)); }
""",
    "cpp": """#include <bits/stdc++.h>
int main() {
    std::map<int, std::string> m{{1, "7"}};
    if (std::regex_match(m[1], std::regex("7"))) std::cout << m[1] << std::endl;
}
""",
    "go": """package main
import ("encoding/json"; "fmt")
func main() { b, _ := json.Marshal(7); fmt.Println(string(b)) }
""",
    "rust": """use std::collections::HashMap;
fn main() { let m = HashMap::from([(1, 7)]); println!("{}", m[&1]); }
""",
    "java": """import java.util.*;
public class Sum {
    record P(int x) {}
    public static void main(String[] a) {
        System.out.println(List.of(new P(3), new P(4)).stream().mapToInt(P::x).sum());
    }
}
""",
    "ruby": "require 'json'\nputs JSON.dump([3, 4].sum)\n",
    "php": "<?php echo json_encode(array_sum([3, 4])), PHP_EOL;\n",
}


@pytest.fixture
def full_image() -> str:
    """Return the name of an image with all languages, from the environment."""
    name = os.environ.get("FULL_IMAGE")
    if not name:
        pytest.skip("no FULL_IMAGE")
    return name


@pytest.mark.slow
@pytest.mark.parametrize("language", FULL)
async def test_a_language_of_the_full_image_runs(full_image: str, language: str) -> None:
    """It compiles and runs within a box's ordinary limits; an error in it is told."""
    limits = BoxLimits(seconds=60)
    async with DockerSandbox(_plan(full_image)) as box:
        good = await box.run(Program(language=language, source=FULL[language], limits=limits))
        broken = await box.run(
            Program(language=language, source=FULL[language] + "(;", limits=limits)
        )
    assert _told(good) == ("ok", 0, "7\n", "")
    assert (broken.outcome, broken.exit_code != 0, broken.stdout) == ("failed", True, "")
    assert broken.stderr
