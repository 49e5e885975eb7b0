"""What comes out of the box is cleaned, whatever its size."""

from hypothesis import given
from hypothesis import strategies as st

from assurebot.agent.jobs import EDGE_CHARS, SLICE_CHARS, redacted
from assurebot.guard.redact import Redactor

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
