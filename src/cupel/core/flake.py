"""Tests that have both failed and passed where nothing that they depend on differs."""

from __future__ import annotations

import dataclasses

HALF_LIFE = 7 * 86_400.0
"""Seconds after which what was seen of a test counts half."""

MOST_PROOFS = 5
"""The newest proofs that are kept of a test."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlakeProof:
    """A build in which the test failed and one, of the same key, in which it did not.

    They are one and the same where the test was run again within the build.
    """

    failed: int
    passed: int
    at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flake:
    """A flaky test of a job of a project.

    `test` is its digest, `name` its id as `Result.id` has it. `count` is how often a failure of it
    was refuted, `proofs` are the newest ones. `weight` and `runs` are refuted failures and builds
    of the job with results since it was first seen; both fade, as of `at`.
    """

    id: int
    project_id: int
    job: str
    test: str
    name: str
    first_seen: float
    last_seen: float
    count: int
    proofs: tuple[FlakeProof, ...]
    weight: float
    runs: float
    at: float

    @property
    def rate(self) -> float:
        """How often it fails for no reason: of the job's builds, with recent ones weighing more."""
        return min(1.0, self.weight / self.runs) if self.runs > 0 else 0.0


def faded(flake: Flake, now: float) -> Flake:
    """The same, with its counts as they weigh now."""
    share = 0.5 ** (max(now - flake.at, 0.0) / HALF_LIFE)
    return dataclasses.replace(
        flake, weight=flake.weight * share, runs=flake.runs * share, at=max(now, flake.at)
    )
