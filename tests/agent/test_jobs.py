"""What comes out of the box is cleaned, whatever its size."""

from hypothesis import given
from hypothesis import strategies as st

from assurebot.agent.jobs import EDGE_CHARS, SLICE_CHARS, Jobs, redacted
from assurebot.guard.redact import Redactor
from assurebot.values import BoxLimits, Program, RunResult, Trace
from tests.doubles import FakeSandbox, ListAudit

SECRET = "sk-made-up-0123456789"
REDACT = Redactor({"KEY": SECRET})


@given(
    st.integers(SLICE_CHARS - 60, SLICE_CHARS + 60),
    st.sampled_from([SECRET, "\n".join(SECRET), SECRET.encode().hex(), SECRET * 50]),
    st.integers(0, 2 * SLICE_CHARS),
)
def test_slices_are_redacted_like_the_whole(at: int, secret: str, more: int) -> None:
    """No secret is missed because the cut between two slices goes through it."""
    text = "x" * at + secret + "y" * more
    assert redacted(text, REDACT) == REDACT(text)
    assert len(secret) < EDGE_CHARS


async def test_what_shows_of_a_running_program_has_no_half_of_a_secret() -> None:
    """The end of a long output is shown from a place where no secret is cut in two."""
    shown: list[str] = []
    result = RunResult(outcome="ok", exit_code=0, stdout=f"{SECRET}," * 300, grade="A")
    jobs = Jobs(
        sandbox=FakeSandbox(lambda _: result),
        audit=ListAudit(),
        redact=REDACT,
        redact_cut=REDACT.cut_off,
        limits=BoxLimits(),
        network=False,
    )
    await jobs.run(Program(language="python", source="x"), Trace(), shown.append)
    (text,) = shown
    assert set(text.split(",")) <= {"", "[redacted:KEY]"}
    assert len(text) > 300
