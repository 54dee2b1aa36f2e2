"""How builds go, and why: what no server can know, only a simulated world."""

from __future__ import annotations

import dataclasses
import enum
import random
from collections import Counter
from collections.abc import Mapping

from cupel.core.actions import RunBuild
from cupel.core.model import Buildset, Job, Project, Role, Verdict
from cupel.simulate import git
from cupel.simulate.faults import Faults

IMAGE = "sha256:simulated"
USUAL = 10.0
"""Seconds that a build runs if nothing says otherwise."""


class Cause(enum.Enum):
    """Why a build does not pass."""

    BROKEN = enum.auto()
    """A patch breaks it, or patches that clash do."""
    HANGS = enum.auto()
    FLAKE = enum.auto()
    MAIN = enum.auto()
    """It fails on every state for now, whatever the change."""
    HOST = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """A build ends so many seconds after its machine is ready."""

    seconds: float
    verdict: Verdict
    reason: str | None = None
    cause: Cause | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Nature:
    """What decides on builds, the same on every host.

    `durations` are seconds by job, where it is not the change that says them. `flaky` is how often
    a job fails for no reason, `flakes` how many of its next runs certainly do. `true_inputs` are
    the paths that a job reads although its `inputs` say otherwise. `failing` jobs fail on every
    state that does not repair them. `image` is what machines are made of.
    """

    repositories: git.Git
    chance: random.Random
    durations: dict[str, float] = dataclasses.field(default_factory=dict)
    flaky: Mapping[str, float] = dataclasses.field(default_factory=dict)
    flakes: Counter[str] = dataclasses.field(default_factory=Counter)
    true_inputs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    failing: set[str] = dataclasses.field(default_factory=set)
    image: str = IMAGE
    passed: set[str] = dataclasses.field(default_factory=set)
    """What jobs said that they depend on where they passed (`Git.key`)."""

    def sees(self, job: Job, commit: str, beside: Mapping[str, str]) -> git.Patches:
        """What the job really depends on in a state."""
        paths = self.true_inputs.get(job.base, job.inputs)
        return self.repositories.read(job, commit, beside, paths)

    def is_broken(self, job: Job, commit: str, beside: Mapping[str, str]) -> bool:
        """Whether a run in this state would fail by what the state holds."""
        return git.broken(self.sees(job, commit, beside), job.base)

    def fate(self, action: RunBuild, faults: Faults) -> Fate:
        job, commit = action.job, action.buildset.commit
        assert commit is not None
        patches = self.sees(job, commit, by_name(action.beside))
        takes = self.durations.get(job.base, self._usual(action))
        lost = self._lost(job, takes, faults)
        if lost is not None:
            return lost
        if takes > job.timeout or any(job.base in patch.hangs for patch in patches):
            return Fate(seconds=job.timeout, verdict=Verdict.TIMEOUT, cause=Cause.HANGS)
        cause = self._cause(job, patches)
        if cause is None:
            return Fate(seconds=takes, verdict=Verdict.SUCCESS)
        guilty = (p.fails_at for p in patches if git.breaks(p, patches, job.base))
        share = min(guilty, default=1.0)
        return Fate(
            seconds=takes * share,
            verdict=Verdict.FAILURE,
            reason="step 'tests' failed",
            cause=cause,
        )

    def _usual(self, action: RunBuild) -> float:
        """How long a build of the item runs; a state without it is none of its doing."""
        if action.buildset.role is Role.BASE:
            return USUAL
        return self.repositories.own_patch(action.item.commit).takes

    def _lost(self, job: Job, takes: float, faults: Faults) -> Fate | None:
        """The end of a build that its host fails."""
        roll = self.chance.random()
        if roll < faults.infra:
            seconds, reason = takes * self.chance.random(), "the disk failed"
        elif roll < faults.infra + faults.dead:
            seconds, reason = job.timeout, "the machine was silent"
        else:
            return None
        return Fate(seconds=seconds, verdict=Verdict.INFRA, reason=reason, cause=Cause.HOST)

    def _cause(self, job: Job, patches: git.Patches) -> Cause | None:
        if git.broken(patches, job.base):
            return Cause.BROKEN
        if job.base in self.failing and not any(job.base in p.repairs for p in patches):
            return Cause.MAIN
        if self.flakes[job.base] > 0:
            self.flakes[job.base] -= 1
            return Cause.FLAKE
        often = max((patch.flaky for patch in patches), default=0.0)
        often = max(often, self.flaky.get(job.base, 0.0))
        return Cause.FLAKE if self.chance.random() < often else None


def by_name(beside: tuple[tuple[Project, str], ...]) -> dict[str, str]:
    return {project.name: commit for project, commit in beside}


def beside_of(buildset: Buildset, names: Mapping[int, str]) -> dict[str, str]:
    """The commits of other projects in a state by name, of `names` by project id."""
    return {names[project_id]: commit for project_id, commit in buildset.beside}
