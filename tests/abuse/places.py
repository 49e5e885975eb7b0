"""Where boxes are made: an engine, or this machine alone; and what they may not leave there."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from assurebot.ports import Sandbox
from assurebot.sandbox.docker import DockerSandbox
from assurebot.sandbox.embedded import EmbeddedSandbox
from assurebot.sandbox.profile import LABEL, BoxPlan, EngineAddress
from assurebot.values import BoxLimits
from tests.abuse.case import OwnEngine

CLEAN_SECONDS = 5.0
POOL = 2
LIMITS = BoxLimits(memory_bytes=256 << 20)


def engine_client(url: str) -> Any:
    """Return a client of an engine; the stubs leave out what is called here."""
    import docker  # noqa: PLC0415 - the embedded box needs none

    client: Any = docker.APIClient(base_url=url, timeout=30)
    return closing(client)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What must not grow.

    Attributes:
        entries: In the temporary folder, which is ours alone.
        handles: Open descriptors of this process.
    """

    boxes: int
    volumes: int
    networks: int
    entries: int
    threads: int
    handles: int
    tasks: int

    def grown(self, before: Count) -> dict[str, int]:
        """Return what is more than before."""
        pairs = ((name, getattr(self, name) - getattr(before, name)) for name in self.__slots__)
        return {name: more for name, more in pairs if more > 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerPlace:
    """An engine.

    Attributes:
        folder: For temporary files; also tells of the free space of this host.
        own: Another engine, which a case may stop; it has the image `own_image`.
    """

    url: str
    image: str
    folder: Path
    own: OwnEngine | None = None
    own_image: str = ""
    instance: str = field(default_factory=lambda: uuid4().hex)
    backend: Literal["docker", "embedded"] = "docker"

    @asynccontextmanager
    async def _opened(self, plan: BoxPlan) -> AsyncIterator[Sandbox]:
        async with DockerSandbox(plan) as box:
            yield box

    def open(self, **changes: Any) -> AbstractAsyncContextManager[Sandbox]:
        """Open a box."""
        return self._opened(self.plan(**changes))

    def fresh(self) -> DockerPlace:
        """Return the same engine for another instance."""
        return replace(self, instance=uuid4().hex)

    def plan(self, **changes: Any) -> BoxPlan:
        """Return the plan of boxes here."""
        url = changes.pop("url", self.url)
        image = self.image if url == self.url else self.own_image
        plan = BoxPlan(instance=self.instance, image=image, pool=POOL, limits=LIMITS)
        return replace(plan, engine=EngineAddress(url=url), **changes)

    def boxes(self) -> list[dict[str, Any]]:
        """Describe all containers of this instance."""
        label = {"label": f"{LABEL}={self.instance}"}
        found: list[dict[str, Any]] = []
        with engine_client(self.url) as client:
            from docker.errors import NotFound  # noqa: PLC0415 - as above

            for one in client.containers(all=True, filters=label, size=True):
                try:
                    inspected = client.inspect_container(one["Id"])
                except NotFound:
                    continue  # gone since
                found.append({**inspected, "SizeRw": one.get("SizeRw", 0)})
        return found

    def count(self) -> Count:
        """Count what there is."""
        label = {"label": f"{LABEL}={self.instance}"}
        with engine_client(self.url) as client:
            boxes = len(client.containers(all=True, filters=label))
            volumes = client.volumes()["Volumes"] or ()
            networks = len(client.networks())
        # Others may use the engine: of its volumes those without a name could be ours.
        anonymous = sum(len(one["Name"]) == 64 for one in volumes)
        return _counted(self.folder, boxes=boxes, volumes=anonymous, networks=networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPlace:
    """This machine, without an engine."""

    folder: Path
    image: str = ""
    url: str = ""
    instance: str = ""
    own: OwnEngine | None = None
    backend: Literal["docker", "embedded"] = "embedded"

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Sandbox]:
        async with EmbeddedSandbox(limits=LIMITS, pool=POOL, scratch=self._scratch) as box:
            yield box

    def open(self, **changes: Any) -> AbstractAsyncContextManager[Sandbox]:
        """Open a box; nothing of it can be changed."""
        assert not changes
        return self._opened()

    def fresh(self) -> EmbeddedPlace:
        """Return a place with a folder of its own, inside of this one."""
        (self.folder / "other").mkdir(exist_ok=True)
        return replace(self, folder=self.folder / "other")

    @property
    def _scratch(self) -> Path:
        return self.folder / "boxes"

    def boxes(self) -> list[dict[str, Any]]:
        """Name the processes that have a folder of ours among their arguments."""
        own = os.fsencode(self._scratch)
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if own in words and b"assurebot.sandbox.worker" in words:
                found.append({"Id": path.parent.name})
        return found

    def count(self) -> Count:
        """Count what there is."""
        left = sum(1 for _ in self._scratch.iterdir()) if self._scratch.exists() else 0
        count = _counted(self.folder, boxes=len(self.boxes()), volumes=left, networks=0)
        return replace(count, entries=0)  # the scratch folder itself may stay


def _counted(folder: Path, **found: int) -> Count:
    own = [one for one in threading.enumerate() if not one.name.startswith("asyncio_")]
    return Count(
        **found,
        entries=sum(1 for _ in folder.iterdir()),
        threads=len(own),
        handles=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        tasks=len(asyncio.all_tasks()),
    )


async def grown(place: DockerPlace | EmbeddedPlace, before: Count) -> dict[str, int]:
    """Return what is more than before when the time to clean up is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + CLEAN_SECONDS
    gc.collect()  # what only waits for it is no leak
    # Nothing tells when an engine is done.
    while (more := place.count().grown(before)) and loop.time() < until:  # noqa: ASYNC110 - as said
        await asyncio.sleep(0.05)
    return more


@contextmanager
def own_temporary_folder(folder: Path) -> Iterator[None]:
    """Let all temporary files of this process go into a folder where they can be counted."""
    former, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = former
