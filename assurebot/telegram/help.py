"""What `/help` says, in short and by topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assurebot.turns.model_turns import TAINTED

OVERVIEW = f"""\
Write to me, or send voice, pictures, documents, forwards: I answer, and /stop, or its button, \
ends it. While words of others (a forward, a page, a document) are before me, nothing leaves and \
nothing changes unless you press a button; an answer that they had a part in ends with {TAINTED}.

I answer only to people on the list of my owner. Every message, model call, tool call and answer \
is recorded in a log that `assurebot audit verify` checks."""

TOPICS: Mapping[str, str] = {
    "files": """\
Send pictures, PDFs, Office documents, tables or code, with your question as caption or after it. \
/files lists what this chat has. What I make comes back as files; long code in an answer too.""",
    "voice": """\
Send a voice message: I show what I understood, then answer. `/voice on` has me speak my answers \
too, after their text; it holds for this chat alone.""",
    "approvals": f"""\
While words of others are before me, nothing leaves (but to where you typed, or `POLICY_ALLOW` \
names) and nothing changes unless you press a button. The question shows exactly what would be \
done; it comes into this chat, and in private to whoever else may press. /approvals shows it again.

An answer that such words had a part in ends with {TAINTED}, and links that you did not type are \
code in it. After four more exchanges or half an hour I no longer see them; a reply to it brings \
them back.""",
    "schedules": """\
`/remind 20m call Bob` reminds; `/schedule WHEN | WHAT` has me do something at times, or watch a \
page. /tasks shows and changes what is planned. Or just ask me.""",
    "code": """\
Code after `/python`, `/js`, `/ts`, `/bash` or `/run LANGUAGE` runs in a box of its own that is \
thrown away afterwards; what it writes into its working folder comes back. /status tells of it.""",
    "groups": """\
In a group of my owner's list I answer people on the list who name me, reply to me or use a \
command; I keep nothing of what others say. Each topic is a conversation of its own.""",
    "money": """\
/usage shows what was spent today and this month. Each paid call is set aside from the budget \
before it is made. /model shows and chooses the model of this chat.""",
}


def help_text(topic: str, commands: Sequence[tuple[str, str]]) -> str:
    """Return Markdown on a topic, on all in short, or on which topics there are."""
    listed = "More: " + ", ".join(f"`/help {name}`" for name in TOPICS)
    if not topic:
        names = "\n".join(f"/{name} - {meaning}" for name, meaning in commands)
        return f"{OVERVIEW}\n\n{names}\n\n{listed}"
    return TOPICS.get(topic, f"I have no help on that. {listed}")
