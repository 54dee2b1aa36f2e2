"""Flaky tests, and tests that are quarantined."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class FlakeProofView(View):
    """A build in which the test failed, and one that asked the same in which it did not.

    They are the same where it was run again within the build.
    """

    failed: int
    passed: int
    at: float


class FlakeView(View):
    """A test that is known to be flaky. `rate` is how often it fails for no reason, of the job's
    builds, with recent ones weighing more; `proofs` are the newest, last."""

    id: int
    project: str
    job: str
    test: str
    first_seen: float
    last_seen: float
    count: int
    rate: float
    proofs: list[FlakeProofView]
    quarantined: int | None


class FlakeTrendView(View):
    """A flaky test with what came of it lately.

    `outcomes` are those in the newest builds of its job, newest first, and `score` how much it went
    to and fro in them, from 0 to 1, with recent times weighing more. `cost` is about how many
    seconds of machines went into running again what it had failed: its proofs' mean, for each time.
    `digest` names the test in addresses, `build` is the newest one that it ran in.
    """

    flake: FlakeView
    digest: str
    outcomes: list[str]
    score: float
    cost: float
    build: int | None


class QuarantineView(View):
    """A test that may fail until `expires_at` without blocking; `job` None: in every job.

    `state` is in-force, expired or removed.
    """

    id: int
    project: str
    job: str | None
    test: str
    owner: str
    reason: str
    created_by: str
    created_at: float
    expires_at: float
    ended_at: float | None
    ended_by: str | None
    state: str
