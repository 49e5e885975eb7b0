"""What `assurebot sandbox` says of a box."""

from typing import Any

from assurebot.boxes import report
from assurebot.values import BoxStanding
from tests.doubles import FakeSandbox


async def said(**standing: Any) -> tuple[bool, list[str]]:
    """Report on a box of this standing, without a test."""
    box: Any = FakeSandbox(standing=BoxStanding(**standing))
    return await report(box, test=False)


async def test_status_names_grade_languages_and_network() -> None:
    """An open box is good; with network it says what is not held, and why it is no better one."""
    assert await said(
        backend="docker", grade="A", languages=("python", "bash"), network=True, reason="x: no y"
    ) == (
        True,
        ["x: no y", "docker: grade A with network: not held by configuration, python, bash"],
    )


async def test_status_of_a_closed_box_is_its_reason() -> None:
    """A closed box is not good, and each reason has its line."""
    assert await said(reason="docker: none\nembedded: none") == (
        False,
        ["docker: none", "embedded: none"],
    )
