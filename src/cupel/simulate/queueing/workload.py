"""A stream of changes with their truth, the same for every policy that is compared on it."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A world. Times are seconds, chances fractions.

    A change touches one of `parts` parts of the project (a share of `wide` changes touches all),
    and the job of a part depends on the changes that touch it. It is bad with chance `bad`; two
    changes of one part clash, and fail only together, with chance `clash`. A run of a job fails
    for no reason with chance `flaky`; during a storm with `storm`. A failing run fails `early`:
    the share of failures seen in the first quarter of the run (0.25 is evenly).
    `predictor` is how well the chance that a change is bad is known beforehand, as the area under
    the curve (0.5: not at all). `believed_flaky` is the flake rate that policies are told.
    `depends` of the changes depend on the one before. Arrivals come in `burst`s of that size.
    """

    rate: float = 30.0
    """Changes an hour."""
    hours: float = 10.0
    machines: int = 50
    bad: float = 0.05
    flaky: float = 0.02
    believed_flaky: float | None = None
    storm: float = 0.0
    storm_from: float = 3.0
    storm_hours: float = 1.0
    job: float = 1800.0
    spread: float = 0.1
    """The standard deviation of the logarithm of a run's seconds."""
    longest: float = 7200.0
    boot: float = 0.0
    early: float = 0.85
    parts: int = 1
    wide: float = 0.0
    clash: float = 0.0
    predictor: float = 0.5
    depends: float = 0.0
    burst: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A change. `fails_at` is the fraction of a run at which it fails if it is bad."""

    number: int
    at: float
    parts: tuple[int, ...]
    bad: bool
    fails_at: float
    prior: float
    needs: int | None = None
    seconds: float | None = None
    """How long its jobs take, where a trace says so. Nobody knows beforehand."""


def arrivals(parameters: Parameters, seed: int) -> list[Arrival]:
    """The changes of a seed, in order of time."""
    chance = random.Random(f"arrivals {seed}")  # noqa: S311 - nothing is secret here
    end = parameters.hours * 3600
    found: list[Arrival] = []
    at = 0.0
    while True:
        at += chance.expovariate(parameters.rate / 3600 / parameters.burst)
        if at >= end:
            return found
        for _ in range(parameters.burst):
            found.append(arrival(parameters, chance, len(found), at))


def arrival(
    p: Parameters,
    chance: random.Random,
    number: int,
    at: float,
    *,
    parts: Sequence[int] = (),
    bad: bool | None = None,
    seconds: float | None = None,
) -> Arrival:
    """A change; what is not given is drawn."""
    drawn_bad = chance.random() < p.bad
    wide = chance.random() < p.wide
    drawn = tuple(range(p.parts)) if wide else (chance.randrange(p.parts),)
    needs = number - 1 if number and chance.random() < p.depends else None
    is_bad = drawn_bad if bad is None else bad
    return Arrival(
        number=number,
        at=at,
        parts=tuple(parts) or drawn,
        bad=is_bad,
        fails_at=fails_at(p, chance),
        prior=_prior(p, chance, is_bad),
        needs=needs,
        seconds=seconds,
    )


def job(part: int) -> str:
    """The name of the job that depends on a part."""
    return f"part {part}"


def run_seconds(p: Parameters, seed: int, change: Arrival | None, job: str, attempt: int) -> float:
    """How long a run of a job takes that passes, without the boot: the same under any policy.

    `change` is the last of those it runs on, None on the head alone.
    """
    if change is not None and change.seconds is not None:
        return change.seconds
    number = None if change is None else change.number
    chance = random.Random(f"length {seed} {number} {job} {attempt}")  # noqa: S311
    return min(p.longest, p.job * chance.lognormvariate(0.0, p.spread))


def fails_at(p: Parameters, chance: random.Random) -> float:
    """Where in its run a failure shows."""
    if chance.random() < p.early:
        return 0.25 * chance.random()
    return 0.25 + 0.75 * chance.random()


def _prior(p: Parameters, chance: random.Random, bad: bool) -> float:
    """A predictor of binormal scores, whose area under the curve is given.

    AUC = Φ(d / √2) for unit normals d apart; the log-odds then are prior + d·x - d²/2.
    """
    draw = chance.gauss(0.0, 1.0)
    if p.predictor <= 0.5:
        return p.bad
    apart = math.sqrt(2) * _normal_quantile(p.predictor)
    score = draw + (apart if bad else 0.0)
    base = min(p.bad, 0.999)
    odds = base / (1 - base) * math.exp(apart * score - apart * apart / 2)
    return odds / (1 + odds)


def _normal_quantile(share: float) -> float:
    return statistics.NormalDist().inv_cdf(share)
