"""The languages of a box: how each is called, and how its programs are run inside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A language.

    Attributes:
        file: What the source is called; it lies outside of the working folder.
        commands: Run in order, each if the one before it succeeded; `{dir}` is the source's folder.
            None of it means: run by the box's own Python, which waits for it. A box has the
            language if it has the first word of each (except what the commands make in `{dir}`).
        compiled: Its programs have to be made executable, which boxes forbid otherwise.
        module: The same language, for a source that is an ES module.
    """

    name: str
    file: str
    commands: tuple[tuple[str, ...], ...] = ()
    aliases: tuple[str, ...] = ()
    compiled: bool = False
    module: Language | None = None

    def suited(self, source: str) -> Language:
        """Return the way in which this source is run."""
        return self.module if self.module is not None and is_module(source) else self


# None of them ever goes back over what it has read: the source is whatever somebody sends.
_QUOTED = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|(['"])(?:\\.|(?!\1)[^\\\n])*\1?|`(?:\\.|[^`\\])*`?""", re.DOTALL
)
_STATEMENT = re.compile(r"^[ \t]*(?:import|export)\b\s*[^\s.,:;=()]", re.MULTILINE)
_BLOCKS = re.compile(r"[{};\n]|\basync\b|(?<![.\w$])await\b(?![ \t]*[:=,)])")


def is_module(source: str) -> bool:
    """Tell whether JavaScript or TypeScript has to be run as an ES module.

    It has if it imports or exports by a statement, or awaits outside of functions. This is a look,
    not a parser: what is not clear counts as a module, since modules get a `require` too.
    """
    code = _QUOTED.sub("''", source)
    if "import.meta" in code or _STATEMENT.search(code.replace(";", "\n")):
        return True
    blocks: list[bool] = []
    inside = 0
    asynchronous = False
    for found in _BLOCKS.finditer(code):
        if (mark := found[0]) == "await" and not (asynchronous or inside):
            return True
        if mark == "{":
            blocks.append(asynchronous)
            inside += asynchronous
        elif mark == "}" and blocks:
            inside -= blocks.pop()
        if mark != "await":
            asynchronous = mark == "async"
    return False


_REQUIRE = (
    "data:text/javascript,import{createRequire}from'node:module';"
    "const __dirname=process.cwd(),module={exports:{}},require=createRequire(__dirname+'/');"
    "require.main=module;Object.assign(globalThis,{__dirname,module,require})"
)
_NODE = ("node", "--enable-source-maps")
_NODE_MODULE = (*_NODE, "--import", _REQUIRE)
_ESBUILD = ("esbuild", "--log-level=error", "--platform=node", "--target=node18")


def _interpreted(
    name: str,
    file: str,
    *command: str,
    aliases: tuple[str, ...] = (),
    module: Language | None = None,
) -> Language:
    commands = ((*command, f"{{dir}}/{file}"),)
    return Language(name=name, file=file, commands=commands, aliases=aliases, module=module)


def _typescript(form: str, made: str, *node: str, module: Language | None = None) -> Language:
    options = ("--sourcemap=inline", f"--format={form}", f"--outfile={made}", "{dir}/main.ts")
    commands = ((*_ESBUILD, *options), (*node, made))
    return Language(
        name="typescript", file="main.ts", commands=commands, aliases=("ts",), module=module
    )


def _compiled(name: str, file: str, *compiler: str, aliases: tuple[str, ...] = ()) -> Language:
    make = tuple(word.replace("{file}", f"{{dir}}/{file}") for word in compiler)
    commands = (make, ("{dir}/program",))
    return Language(name=name, file=file, commands=commands, aliases=aliases, compiled=True)


_JS_NAMES = ("js", "node", "nodejs")
_JS_MODULE = _interpreted("javascript", "main.mjs", *_NODE_MODULE, aliases=_JS_NAMES)
_TS_MODULE = _typescript("esm", "{dir}/main.mjs", *_NODE_MODULE)
_JAVA = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:MaxRAMPercentage=50")
_OUT = ("-o", "{dir}/program", "{file}")
_ALL = (
    Language(name="python", file="main.py", aliases=("py", "python3")),
    _interpreted("bash", "main.sh", "bash", aliases=("sh", "shell")),
    _interpreted("javascript", "main.cjs", *_NODE, aliases=_JS_NAMES, module=_JS_MODULE),
    _typescript("cjs", "{dir}/main.cjs", *_NODE, module=_TS_MODULE),
    _compiled("c", "main.c", "gcc", "-O1", "-pipe", *_OUT, "-lm"),
    _compiled(
        "cpp", "main.cpp", "g++", "-std=c++20", "-O1", "-pipe", *_OUT, aliases=("c++", "cxx")
    ),
    _compiled("go", "main.go", "go", "build", "-p=1", *_OUT, aliases=("golang",)),
    _compiled(
        "rust", "main.rs", "rustc", "--edition=2021", "-Copt-level=1", *_OUT, aliases=("rs",)
    ),
    # Java compiles into its own memory: nothing has to be made executable.
    _interpreted("java", "Main.java", "java", *_JAVA),
    _interpreted("ruby", "main.rb", "ruby", aliases=("rb",)),
    _interpreted("php", "main.php", "php", "-d", "display_errors=stderr", "-d", "log_errors=0"),
)
LANGUAGES: Mapping[str, Language] = {language.name: language for language in _ALL}
"""All that a box may have, by name; which of them it has is found out inside."""

_NAMES = {name: one for one in _ALL for name in (one.name, *one.aliases)}


def language_named(name: str) -> Language | None:
    """Return the language that a person means by a name or an alias."""
    return _NAMES.get(name.lower())
