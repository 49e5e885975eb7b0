"""Which boxes this installation may have, by its settings, in the order of their grade."""

from __future__ import annotations

from pathlib import Path

from assurebot.errors import SandboxError
from assurebot.sandbox.choice import Candidate, ChosenSandbox, OnStanding
from assurebot.sandbox.contract import check
from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.sandbox.probes import SelfTest
from assurebot.sandbox.profile import BoxPlan, EngineAddress
from assurebot.settings import SandboxSettings
from assurebot.values import BoxStanding

SWITCHED_OFF = "code is not run here: SANDBOX_ENABLED=false"


async def _untold(_test: SelfTest | None, _standing: BoxStanding) -> None:
    return


def box_of(
    settings: SandboxSettings, *, instance: str, scratch: Path, on_standing: OnStanding = _untold
) -> ChosenSandbox:
    """Put the boxes together; none is opened yet.

    Args:
        settings: What the operator chose.
        instance: Random name of this installation: engines may be shared.
        scratch: A folder of ours for what embedded programs write.
        on_standing: Told how each self-test went.
    """
    plan = BoxPlan(
        instance=instance,
        image=settings.sandbox_image,
        runtime=settings.sandbox_runtime,
        pool=settings.sandbox_pool,
        network=settings.sandbox_network == "bridge",
        cpus=settings.sandbox_cpus,
        limits=settings.box_limits,
        engine=EngineAddress(
            url=settings.docker_host,
            tls_verify=settings.docker_tls_verify,
            cert_path=settings.docker_cert_path,
        ),
    )

    def embedded() -> EmbeddedSandbox:
        pool = min(settings.sandbox_pool, 2)
        return EmbeddedSandbox(limits=settings.box_limits, pool=pool, scratch=scratch)

    docker = Candidate(name="docker", open=lambda: DockerSandbox(plan))
    candidates = (docker, Candidate(name="embedded", open=embedded))
    wanted = settings.sandbox_backend if settings.sandbox_enabled else "none"
    return ChosenSandbox(
        [each for each in candidates if wanted in {"auto", each.name}],
        closed_reason=SWITCHED_OFF,
        on_standing=on_standing,
    )


async def report(box: ChosenSandbox, *, test: bool) -> tuple[bool, list[str]]:
    """Say what a box is, and try all of it with `test`; tell whether everything was right."""
    standing = await box.chosen()
    lines = standing.reason.splitlines()
    if standing.grade is not None:
        reach = " with network: not held by configuration" if standing.network else ""
        found = f"grade {standing.grade}{reach}, {', '.join(standing.languages)}"
        lines.append(f"{standing.backend}: {found}")
    if standing.grade is None or not test:
        return standing.grade is not None, lines
    try:
        proof = await box.prove()
    except SandboxError as error:
        return False, [*lines, str(error)]
    lines += [f"{'ok' if one.ok else 'FAILED':<8}{one.name}: {one.seen}" for one in proof.probes]
    held = await check(box)
    lines += [
        f"{'FAILED' if seen else 'ok':<8}{name}{f': {seen}' if seen else ''}"
        for name, seen in held.items()
    ]
    return not proof.failed and not any(held.values()), lines
