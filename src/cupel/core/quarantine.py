"""Tests that may fail for a while without blocking anything."""

from __future__ import annotations

import dataclasses

LONGEST = 90 * 86_400.0
"""Seconds that a test may be quarantined at a time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A test runs on, but its failures do not block: `owner` is to see to it until `expires_at`.

    `test` is its digest, `name` its id as `Result.id` has it. Without a `job` it is meant in every
    job of the project; one of a matrix is named without its cell. `ended_at` is when it was removed
    by `ended_by`, or, without one, when it had expired.
    """

    id: int
    project_id: int
    job: str | None
    test: str
    name: str
    owner: str
    reason: str
    created_by: str
    created_at: float
    expires_at: float
    ended_at: float | None = None
    ended_by: str | None = None

    def is_in_force(self, now: float) -> bool:
        return self.ended_at is None and now < self.expires_at
