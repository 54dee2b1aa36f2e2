"""Which attempts at a job count: those since somebody last wanted it once more."""

from __future__ import annotations

from collections.abc import Iterable

from cupel.core.model import Build, Buildset


def counting(buildset: Buildset, builds: Iterable[Build]) -> list[Build]:
    """Of these builds of the buildset, those that say how it stands."""
    if not buildset.again:
        return list(builds)
    after = {again.job: again.after for again in buildset.again}
    return [build for build in builds if build.id > after.get(build.job, 0)]


def image(buildset: Buildset, job: str) -> str:
    """The image that further attempts at the job have to have; empty: its label's."""
    return next((again.image for again in buildset.again if again.job == job), "")


def was_asked(buildset: Buildset, job: str) -> bool:
    """Whether somebody wanted the job once more."""
    return any(again.job == job for again in buildset.again)
