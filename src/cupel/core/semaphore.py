"""Who holds which semaphore of which project.

A semaphore is held by the builds that have a machine and have not ended. Nothing else says who
holds it, so however a build ends its semaphores are free, and none can leak. A build takes all of
its semaphores at once or waits without any, so builds cannot wait for each other in a circle.
"""

from __future__ import annotations

from collections import defaultdict

from cupel.core.draft import Draft
from cupel.core.model import Build, Buildset, BuildState

HOLDING = frozenset({BuildState.STARTING, BuildState.RUNNING, BuildState.CANCELLING})
"""The states of a build that has a machine."""

_Semaphores = tuple[tuple[str, int], ...]


class Held:
    """The semaphores that are held now."""

    def __init__(self, draft: Draft, builds: list[Build]) -> None:
        self._draft = draft
        self._jobs: dict[int, dict[str, _Semaphores]] = {}
        self._holders: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for build in builds:
            if build.state in HOLDING:
                self.take(build)

    def take(self, build: Build) -> None:
        for name, _ in self._wanted(build):
            self._holders[build.project_id, name].append(build.id)

    def in_the_way(self, build: Build) -> str | None:
        """Which semaphore the build would have to wait for, and who holds it."""
        for name, maximum in self._wanted(build):
            holders = self._holders[build.project_id, name]
            if len(holders) >= maximum:
                return f"waits for semaphore {name}, held by {_name_builds(holders)}"
        return None

    def _wanted(self, build: Build) -> _Semaphores:
        """What the build's job asks for, as it was frozen."""
        jobs = self._jobs.get(build.buildset_id)
        if jobs is None:
            buildset = self._draft.find(Buildset, build.buildset_id)
            frozen = buildset.jobs if buildset is not None else ()
            jobs = {job.name: job.semaphores for job in frozen if job.semaphores}
            self._jobs[build.buildset_id] = jobs
        return jobs.get(build.job, ())


def _name_builds(ids: list[int]) -> str:
    word = "build" if len(ids) == 1 else "builds"
    return f"{word} {', '.join(map(str, sorted(ids)))}"
