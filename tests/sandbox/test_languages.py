"""How languages are named and run, and how a module is told from a script."""

import time

import pytest

from assurebot.sandbox.languages import LANGUAGES, Language, is_module, language_named

MODULES = [
    "import fs from 'fs'",
    "import{readFileSync}from'fs'",
    "import * as path from 'node:path'",
    'import "node:fs"',
    "import type { Stats } from 'fs'",
    "let a = 1; import b from 'b'",
    "  export default 1",
    "export const a = 1",
    "export {a}",
    "export * from './a.js'",
    "console.log(import.meta.url)",
    "await 1",
    "const x = await f()",
    "for await (const x of y) {}",
    "async function f() {}\nawait f()",
    "async function f() {} await f()",
    "async function f() {}\ntry { await f() } catch {}",
    "const f = async () => 1\nif (f) { for (;;) { await f() } }",
    "console.log(`${1}`, await f())",
]
SCRIPTS = [
    "",
    "console.log(1)",
    "const fs = require('fs')",
    "module.exports = 1",
    "import('fs').then(f)",
    "const important = 1\nexports.a = 1\nexport_ = 2",
    "async function f() { await 1 }\nf()",
    "(async () => { await 1 })()",
    "const f = async x => await x",
    "class A { async run() { if (1) { await 2 } } }",
    "async function f(a) { const g = () => { return 1 }; await g() }",
    "// import a from 'a'\n/* await 1\nexport {} */ 'await 1'; \"await\"; `\nimport 'b'\n`",
    "const a = { await: 1, import: 2 }; a.await = 3",
    r"'it\'s'; /* ' */ f('await 1')",
]


@pytest.mark.parametrize("source", MODULES)
def test_statements_of_modules_and_a_free_await_make_a_module(source: str) -> None:
    """A source that only a module may hold is one."""
    assert is_module(source)


@pytest.mark.parametrize("source", SCRIPTS)
def test_everything_else_is_a_script(source: str) -> None:
    """Words in strings, comments, names and async functions make no module."""
    assert not is_module(source)


def test_what_is_not_clear_counts_as_a_module() -> None:
    """A block after a parameter's braces is not known to be the function's."""
    assert is_module("async function f({ a }) { await a }")


@pytest.mark.parametrize(
    "piece",
    [
        "/*",
        "//",
        "'",
        "\\'",
        '"\\',
        "`",
        "\\`",
        "{",
        "}",
        "{await:",
        "import ",
        "\n",
        " ",
        "async{",
    ],
)
def test_the_look_at_a_source_takes_time_in_step_with_its_length(piece: str) -> None:
    """No source makes the look go back and forth over it."""
    began = time.perf_counter()
    is_module(piece * 200_000)
    assert time.perf_counter() - began < 5


def test_every_name_leads_to_one_language() -> None:
    """Names and aliases are found in any case, and no two languages share one."""
    names = [name for one in LANGUAGES.values() for name in (one.name, *one.aliases)]
    assert len(names) == len(set(names))
    found = {
        name: language.name
        for name in ("PY", "python3", "sh", "Js", "node", "ts", "c", "C++", "golang", "rs", "rb")
        if (language := language_named(name))
    }
    assert found == {
        "PY": "python",
        "python3": "python",
        "sh": "bash",
        "Js": "javascript",
        "node": "javascript",
        "ts": "typescript",
        "c": "c",
        "C++": "cpp",
        "golang": "go",
        "rs": "rust",
        "rb": "ruby",
    }
    assert language_named("cobol") is None


def _ways() -> list[Language]:
    return [way for one in LANGUAGES.values() for way in (one, one.module) if way]


@pytest.mark.parametrize("way", _ways(), ids=lambda way: way.file)
def test_every_command_finds_its_source_and_reads_no_shell(way: Language) -> None:
    """The first command reads the source; only what was compiled is itself run."""
    assert not way.commands or f"{{dir}}/{way.file}" in way.commands[0]
    started = [command[0] for command in way.commands]
    assert [name for name in started if name.startswith("{dir}")] == (
        ["{dir}/program"] if way.compiled else []
    )
    assert all("-c" not in command for command in way.commands)


def test_a_source_decides_how_it_is_run() -> None:
    """Modules of JavaScript and TypeScript are run in their own way; nothing else has two."""
    javascript, typescript = LANGUAGES["javascript"], LANGUAGES["typescript"]
    assert javascript.suited("await 1").file == "main.mjs"
    assert javascript.suited("require('fs')") is javascript
    assert "--format=esm" in typescript.suited("import a from 'a'").commands[0]
    assert typescript.suited("let a: number = 1") is typescript
    assert LANGUAGES["python"].suited("import fs") is LANGUAGES["python"]
