"""Bounds to hold policies against: they know what is bad, and no run of theirs flakes."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from cupel.simulate.queueing import workload
from cupel.simulate.queueing.gate import Fate, Outcome
from cupel.simulate.queueing.workload import Arrival, Parameters


def in_order(parameters: Parameters, changes: Sequence[Arrival], seed: int) -> Outcome:
    """Each good change's jobs run once, when it arrives, and it lands when all before it have.

    Runs wait for a machine in order of arrival and are as long as under any policy; bad changes
    are known, and never run. Changes that clash are taken for good ones.
    """
    outcome = Outcome(fates=[Fate(change) for change in changes])
    machines = [0.0] * min(parameters.machines, sum(len(c.parts) for c in changes) or 1)
    last = 0.0
    for change, fate in zip(changes, outcome.fates, strict=True):
        if change.bad:
            fate.rejected_at = change.at
            continue
        for seconds in _runs(parameters, change, seed):
            ends = max(change.at, machines[0]) + seconds
            heapq.heapreplace(machines, ends)
            outcome.machine_seconds += seconds
            outcome.builds += 1
            last = max(last, ends)
        fate.landed_at = last = max(last, change.at)
    return outcome


def set_bound(parameters: Parameters, changes: Sequence[Arrival], seed: int) -> Outcome:
    """What no landing in sets can beat: a change's own longest run, or the work of a set.

    A set of all that waits needs one run of each job that anything in it touches; where these are
    more than the machines, they take turns.
    """
    outcome = Outcome(fates=[Fate(change) for change in changes])
    work = parameters.parts * (parameters.job + parameters.boot) / parameters.machines
    for change, fate in zip(changes, outcome.fates, strict=True):
        if change.bad:
            fate.rejected_at = change.at
            continue
        own = max(_runs(parameters, change, seed), default=0.0)
        fate.landed_at = change.at + max(own, work if len(change.parts) > 1 else 0.0)
    return outcome


def _runs(parameters: Parameters, change: Arrival, seed: int) -> list[float]:
    return [
        parameters.boot + workload.run_seconds(parameters, seed, change, workload.job(part), 1)
        for part in change.parts
    ]
