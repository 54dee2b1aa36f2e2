"""What an outcome is judged by, and how sure a mean over seeds is."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from cupel.simulate.queueing.gate import Outcome

UNITS: Mapping[str, str] = {
    "p50_s": "s",
    "p95_s": "s",
    "p99_s": "s",
    "p95_over_oracle": "",
    "machine_hours_per_landing": "h",
    "builds_per_landing": "",
    "aborted_share": "",
    "false_reject_rate": "",
    "bad_landings": "",
    "time_to_reject_s": "s",
    "longest_wait_s": "s",
    "not_landed": "",
    "plan_ms_p50": "ms",
    "plan_ms_p99": "ms",
}
"""Every measure with its unit, in the order in which they are told."""

# Quantiles of Student's t for 95 %, two-sided, by degrees of freedom; beyond, the normal's.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def figures(outcome: Outcome, *, ends_at: float) -> dict[str, float]:
    """The measures of one seed but those that need others. `ends_at` is when watching ended.

    A change's wait is from when it first came to when it landed, through false rejections; one
    that had not landed at the end has waited until then.
    """
    waited = sorted(waits(outcome, ends_at)) or [0.0]
    landed = sum(fate.landed_at is not None for fate in outcome.fates)
    good = [f for f in outcome.fates if not f.arrival.bad]
    rejects = [
        fate.rejected_at - fate.arrival.at for fate in outcome.fates if fate.rejected_at is not None
    ]
    plans = sorted(outcome.plan_seconds) or [0.0]
    return {
        "p50_s": quantile(waited, 0.5),
        "p95_s": quantile(waited, 0.95),
        "p99_s": quantile(waited, 0.99),
        "machine_hours_per_landing": outcome.machine_seconds / 3600 / max(1, landed),
        "builds_per_landing": outcome.builds / max(1, landed),
        "aborted_share": outcome.wasted_seconds / max(1e-9, outcome.machine_seconds),
        "false_reject_rate": sum(f.false_rejects for f in good) / max(1, len(good)),
        "bad_landings": float(outcome.bad_landings),
        "time_to_reject_s": statistics.median(rejects) if rejects else 0.0,
        "longest_wait_s": waited[-1],
        "not_landed": float(sum(f.landed_at is None and f.rejected_at is None for f in good)),
        "plan_ms_p50": 1000 * quantile(plans, 0.5),
        "plan_ms_p99": 1000 * quantile(plans, 0.99),
    }


def waits(outcome: Outcome, ends_at: float) -> list[float]:
    """Seconds from first coming to landing, of all that were not rejected for good."""
    return [
        (ends_at if fate.landed_at is None else fate.landed_at) - fate.arrival.at
        for fate in outcome.fates
        if fate.landed_at is not None or (fate.rejected_at is None and not fate.arrival.bad)
    ]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval by Student's t over seeds.

    Seeds are independent and alike, and each value already sums up hundreds of changes, so that
    means are near normal. With ten seeds a percentile bootstrap's intervals are too narrow.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, mean, mean)
    degrees = len(values) - 1
    factor = _T[degrees - 1] if degrees <= len(_T) else 1.96
    half = factor * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def ratio(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """The geometric mean of paired ratios, its interval by Student's t over their logarithms."""
    logs = [
        math.log(max(value, 1e-9) / max(other, 1e-9))
        for value, other in zip(values, others, strict=True)
    ]
    found = estimate(logs)
    return Estimate(math.exp(found.value), math.exp(found.low), math.exp(found.high))
