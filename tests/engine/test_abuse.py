"""The corpus of abuse against containers: every case, and none excused."""

import os
from pathlib import Path

import pytest

from tests.abuse.case import Abuse
from tests.abuse.cases import CASES
from tests.abuse.places import DockerPlace
from tests.abuse.play import play
from tests.engine.conftest import OwnEngine

pytestmark = pytest.mark.engine


def place_of(
    folder: Path, image: str, own: OwnEngine | None = None, own_image: str = ""
) -> DockerPlace:
    """Return the engine of these tests."""
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    return DockerPlace(url=url, image=image, folder=folder, own=own, own_image=own_image)


def test_the_corpus_is_whole() -> None:
    """There are forty-four cases, and each number stands once."""
    assert [case.number for case in CASES] == [*range(1, 45)]


# Of an engine that goes away, `docker` leaves the refused socket to the garbage collector.
REFUSED = pytest.mark.filterwarnings("ignore:unclosed <socket.socket.*family=1:ResourceWarning")


@pytest.mark.parametrize(
    "case",
    [pytest.param(one, marks=[REFUSED] if one.number == 41 else []) for one in CASES],
    ids=lambda case: f"{case.number} {case.title}",
)
async def test_abuse(
    case: Abuse, sandbox_image: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It comes to what the corpus says, in the box and outside, and leaves nothing."""
    own, own_image = None, ""
    if case.number == 41:
        own = request.getfixturevalue("own_engine")
        own_image = request.getfixturevalue("box_image")
    played = await play(case, place_of(tmp_path, sandbox_image, own, own_image))
    assert (played.wrong, played.leaks) == ("", {})
