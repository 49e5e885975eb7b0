"""README.md and `.env.example` say what the settings are, no more and no less."""

import re
from pathlib import Path

from assurebot.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
FIELDS = {
    str(dict(field.json_schema_extra or {}).get("name", name.upper())): field
    for name, field in Settings.model_fields.items()
    if field.description and not callable(field.json_schema_extra)
}
"""The settings by variable; a family of them as `PREFIX_<NAME>`."""


def shown(name: str) -> str:
    """Return the default of a variable as the documents show it."""
    extra = FIELDS[name].json_schema_extra
    return str(extra["shown"]) if isinstance(extra, dict) else "required"


def default(name: str) -> str:
    """Return the shown default if it is a value that can be set, and no explanation."""
    if shown(name) == str(FIELDS[name].default):
        return shown(name)
    found = re.fullmatch("`([^`]+)`", shown(name))
    return found[1] if found else ""


def test_the_table_in_the_readme_is_the_code() -> None:
    """Each setting has exactly one row, with the default and the meaning that the code has."""
    rows = re.findall(
        r"^\| `([A-Z_<>]+)` \| (.*?) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    expected = [
        (
            name,
            f"`{default(name)}`" if default(name) else shown(name) or "\u2013",
            field.description,
        )
        for name, field in FIELDS.items()
    ]
    assert sorted(rows) == sorted(expected)


def test_the_example_is_the_code() -> None:
    """Each setting stands once: its meaning, then its default; only what is required is open."""
    text = (ROOT / ".env.example").read_text()
    blocks = re.findall(r"^# (.*)\n(#?)([A-Z_<>]+)=(.*)$", text, re.MULTILINE)
    expected = [
        (
            field.description,
            "" if field.is_required() else "#",
            name,
            default(name),
        )
        for name, field in FIELDS.items()
    ]
    assert sorted(blocks) == sorted(expected)
    assert len(re.findall(r"^#?[A-Z_<>]+=", text, re.MULTILINE)) == len(expected)


def test_the_shown_defaults_are_the_real_ones() -> None:
    """Setting every variable to its shown default changes nothing."""
    needed = {
        "TELEGRAM_BOT_TOKEN": "123456789:AAH-abcdefghijklmnopqrstuvwxyz_01234",
        "ALLOWED_USERS": "1",
        "OPENAI_API_KEY": "12345678",
    }
    defaults = {name: default(name) for name in FIELDS if default(name)}
    assert load_settings(needed | defaults) == load_settings(needed)
    assert shown("AI_MODEL").split(" or ")[1] == f"`{load_settings(needed).model.name}`"
