"""The image: it runs without root and rights, whoever owns the volume and however it is started."""

import json

import pytest

from tests.engine.conftest import Docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(500)]

NOBODY = "65534"
RIGHTS = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/1/status | tr -s '\\t ' ' '"
SETTINGS = (
    *("-e", "TELEGRAM_BOT_TOKEN=123456789:AAH-abcdefghijklmnopqrstuvwxyz_01234"),
    *("-e", "ALLOWED_USERS=1", "-e", "ANTHROPIC_API_KEY=sk-made-up"),
)


def run(
    docker: Docker, image: str, volume: str, *command: str, options: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    """Run a command in the image and return exit code, output and errors."""
    ran = docker(
        *("run", "--rm", "--network=none", "--read-only", "-v", f"{volume}:/data"),
        *(*options, image, *command),
    )
    return ran.returncode, ran.stdout, ran.stderr


def test_started_as_root_it_leaves_root(docker: Docker, image: str, volume: str) -> None:
    """The command is PID 1 of `nobody`, without groups, capabilities or a way to gain any."""
    ids = " ".join([NOBODY] * 4)
    none = "0" * 16
    expected = [f"Uid: {ids}", f"Gid: {ids}", "Groups: "]
    expected += [f"Cap{kind}: {none}" for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    code, out, told = run(docker, image, volume, "sh", "-c", RIGHTS)
    assert (code, out.splitlines(), told) == (0, [*expected, "NoNewPrivs: 1"], "")


def test_started_as_root_it_takes_over_the_volume(docker: Docker, image: str, volume: str) -> None:
    """Everything in a volume of root belongs to `nobody` then; what a link points to does not."""
    look = "cd /data; touch new; stat -c '%u:%g %n' . link new old old/file; stat -Lc '%u' link"
    assert run(docker, image, volume, "sh", "-c", look) == (
        0,
        "".join(f"{NOBODY}:{NOBODY} {name}\n" for name in (".", "link", "new", "old", "old/file"))
        + "0\n",
        "",
    )


def test_started_as_nobody_it_changes_nothing(docker: Docker, image: str, volume: str) -> None:
    """With `--user` the command runs as that user, on a volume which that user may write."""
    assert run(docker, image, volume, "true") == (0, "", "")
    look = ("sh", "-c", "id -u; touch /data/x; ls /data")
    ran = run(docker, image, volume, *look, options=("--user", NOBODY))
    assert ran == (0, f"{NOBODY}\nlink\nold\nx\n", "")


def test_a_volume_that_it_may_not_write_is_named(docker: Docker, image: str, volume: str) -> None:
    """As `nobody` on a volume of root the program names DATA_DIR and does not start."""
    code, out, told = run(docker, image, volume, options=("--user", NOBODY, *SETTINGS))
    assert (code, out) == (2, "")
    assert "DATA_DIR" in told
    assert "Traceback" not in told


def test_mistakes_in_the_settings_are_told(docker: Docker, image: str, volume: str) -> None:
    """The image's own command runs the program, which tells what is missing and exits with 2."""
    code, out, told = run(docker, image, volume)
    assert (code, out) == (2, "")
    assert "TELEGRAM_BOT_TOKEN is missing" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("options", "command", "told"),
    [
        (
            ("--cap-drop=ALL",),
            "true",
            f"DATA_DIR cannot be given to user {NOBODY}: Operation not permitted\n",
        ),
        (
            ("--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=DAC_OVERRIDE"),
            "true",
            (
                "root cannot be left (prctl: Operation not permitted): start the container as root"
                f" with its usual capabilities, or as user {NOBODY}\n"
            ),
        ),
        (
            ("-e", "DATA_DIR=/"),
            "true",
            f"DATA_DIR cannot be given to user {NOBODY}: it is the root of the file system\n",
        ),
        ((), "no-such-command", "no-such-command cannot be started: No such file or directory\n"),
    ],
)
def test_what_cannot_be_done_is_told(  # noqa: PLR0917 - pytest passes all by name
    docker: Docker, image: str, volume: str, options: tuple[str, ...], command: str, told: str
) -> None:
    """No command is run as root because a right to leave root is missing: exit code 2, one line."""
    assert run(docker, image, volume, command, options=options) == (2, "", told)


def test_the_image_says_how_it_is_used(docker: Docker, image: str) -> None:
    """It listens outside of itself, has a health check, and declares no volume (Railway)."""
    config = json.loads(docker("inspect", image).stdout)[0]["Config"]
    assert (config["Volumes"], config["Cmd"], config["User"]) == (None, ["assurebot", "run"], "")
    assert {"HOST=0.0.0.0", "DATA_DIR=/data", "HOME=/nonexistent"} <= set(config["Env"])
    assert "/health" in config["Healthcheck"]["Test"][-1]


def test_the_health_check_fails_without_the_program(
    docker: Docker, image: str, volume: str
) -> None:
    """The check of the image is a failure when nothing listens, and a success on status 200."""
    check = json.loads(docker("inspect", image).stdout)[0]["Config"]["Healthcheck"]["Test"][1:]
    assert run(docker, image, volume, *check)[0] == 1
    serve = (
        "import http.server, subprocess, sys, threading\n"
        "class Well(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200 if self.path == '/health' else 404)\n"
        "        self.end_headers()\n"
        "server = http.server.HTTPServer(('0.0.0.0', 8099), Well)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "sys.exit(subprocess.run(sys.argv[1:]).returncode)\n"
    )
    command = ("python", "-c", serve, *check)
    assert run(docker, image, volume, *command, options=("-e", "PORT=8099"))[0] == 0
