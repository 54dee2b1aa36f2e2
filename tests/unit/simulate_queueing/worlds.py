"""Small worlds made by hand: who is bad, when they come, how the gate decides."""

from __future__ import annotations

from collections.abc import Sequence

from cupel.simulate.queueing import contestants
from cupel.simulate.queueing.gate import Gate, Outcome
from cupel.simulate.queueing.workload import Arrival, Parameters

STILL = Parameters(flaky=0.0, spread=0.0, job=1800.0, machines=50, early=1.0)
"""Nothing happens by chance."""


def change(
    number: int,
    *,
    at: float = 0.0,
    bad: bool = False,
    parts: tuple[int, ...] = (0,),
    needs: int | None = None,
    prior: float = 0.05,
    seconds: float | None = None,
) -> Arrival:
    """A change that fails, if it is bad, after a tenth of a run."""
    return Arrival(
        number=number,
        at=at,
        parts=parts,
        bad=bad,
        fails_at=0.1,
        prior=prior,
        needs=needs,
        seconds=seconds,
    )


def line(count: int, *, bad: Sequence[int] = (), apart: float = 0.0) -> list[Arrival]:
    """So many changes of one part."""
    return [change(n, at=n * apart, bad=n in bad) for n in range(count)]


def gate(
    policy: str,
    changes: Sequence[Arrival],
    *,
    parameters: Parameters = STILL,
    landing_set: bool = False,
    seed: int = 1,
) -> Gate:
    setup = contestants.ALL[policy].make(landing_set)
    return Gate(
        parameters,
        changes,
        setup.policy,
        setup.verdicts,
        seed=seed,
        early=setup.early,
        believes=setup.believes,
    )


def play(policy: str, changes: Sequence[Arrival], **more: object) -> Outcome:
    return gate(policy, changes, **more).run()  # type: ignore[arg-type]


def landed(outcome: Outcome) -> list[int | None]:
    """When each landed, in minutes."""
    return [None if f.landed_at is None else round(f.landed_at / 60) for f in outcome.fates]
