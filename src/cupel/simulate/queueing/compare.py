"""Policies side by side on the same streams of changes, in as many processes as there are CPUs."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
from collections.abc import Iterator, Sequence

from cupel.simulate.queueing import contestants, measures, oracle, trace, workload
from cupel.simulate.queueing.gate import LIMIT_HOURS, Gate, Outcome
from cupel.simulate.queueing.measures import Estimate
from cupel.simulate.queueing.trace import Told
from cupel.simulate.queueing.workload import Arrival, Parameters

ORACLES = {"oracle-in-order": oracle.in_order, "oracle-set-bound": oracle.set_bound}
"""Bounds that are told beside the policies."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One policy, or oracle, on one seed. `trace` takes the place of drawn changes."""

    parameters: Parameters
    policy: str
    seed: int
    landing_set: bool
    trace: tuple[Told, ...] = ()
    limit_hours: float = LIMIT_HOURS

    def changes(self) -> list[Arrival]:
        if self.trace:
            return trace.arrivals(self.parameters, self.trace, self.seed)
        return workload.arrivals(self.parameters, self.seed)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a task: its measures, and what a plot needs."""

    policy: str
    seed: int
    figures: dict[str, float]
    waits: tuple[float, ...]
    busy: tuple[tuple[float, int], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A policy over all seeds. `landing` is `strict` or `set`; an oracle's is `oracle`."""

    policy: str
    landing: str
    measures: dict[str, Estimate]
    results: tuple[Result, ...]

    def values(self, measure: str) -> list[float]:
        return [result.figures[measure] for result in self.results]


def play(task: Task) -> Result:
    """Run one task."""
    changes = task.changes()
    if task.policy in ORACLES:
        outcome = ORACLES[task.policy](task.parameters, changes, task.seed)
    else:
        outcome = _gate(task, changes).run()
    ends_at = task.limit_hours * 3600
    found = measures.figures(outcome, ends_at=ends_at)
    best = sorted(measures.waits(_oracle(task, changes), ends_at)) or [0.0]
    found["p95_over_oracle"] = found["p95_s"] / max(1e-9, measures.quantile(best, 0.95))
    return Result(
        policy=task.policy,
        seed=task.seed,
        figures={name: found[name] for name in measures.UNITS},
        waits=tuple(sorted(measures.waits(outcome, ends_at))),
        busy=tuple(outcome.busy),
    )


def _gate(task: Task, changes: list[Arrival]) -> Gate:
    setup = contestants.ALL[task.policy].make(task.landing_set)
    return Gate(
        task.parameters,
        changes,
        setup.policy,
        setup.verdicts,
        seed=task.seed,
        early=setup.early,
        believes=setup.believes,
        limit_hours=task.limit_hours,
    )


def _oracle(task: Task, changes: list[Arrival]) -> Outcome:
    return oracle.in_order(task.parameters, changes, task.seed)


def compare(tasks: Sequence[Task], *, jobs: int) -> list[Row]:
    """Run all; a row for each policy and way of landing, in the order of the tasks."""
    found: dict[tuple[str, bool], list[Result]] = {}
    for task, result in zip(tasks, _played(tasks, jobs), strict=True):
        found.setdefault((task.policy, task.landing_set), []).append(result)
    return [row(policy, results, sets) for (policy, sets), results in found.items()]


def _played(tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    if jobs <= 1 or len(tasks) <= 1:
        yield from map(play, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(play, tasks)


def row(policy: str, results: Sequence[Result], landing_set: bool) -> Row:
    """The estimates of a policy over its seeds; no measure can be below zero."""
    estimates: dict[str, Estimate] = {}
    for name in measures.UNITS:
        found = measures.estimate([result.figures[name] for result in results])
        estimates[name] = dataclasses.replace(found, low=max(0.0, found.low))
    known = contestants.ALL.get(policy)
    landing = "oracle" if known is None else known.landing(landing_set=landing_set)
    return Row(policy=policy, landing=landing, measures=estimates, results=tuple(results))
