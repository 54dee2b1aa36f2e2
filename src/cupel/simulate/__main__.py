"""`python -m cupel.simulate SEED [--scenario NAME] [--count N]`: play seeds, show what breaks."""

from __future__ import annotations

import argparse
import sys

from cupel.simulate import scenario
from cupel.simulate.run import Trace, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m cupel.simulate", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--scenario", choices=sorted(scenario.SCENARIOS), default="storm")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, from SEED on")
    given = parser.parse_args()
    what = scenario.SCENARIOS[given.scenario]
    traces = [simulate(seed, what) for seed in range(given.seed, given.seed + given.count)]
    broken = [trace for trace in traces if trace.broken is not None]
    for trace in broken or traces[:1]:
        _show(trace)
    print(
        f"{len(traces)} seeds, {len(broken)} broken; {sum(t.landed for t in traces)} changes"
        f" landed, {sum(t.rejected for t in traces)} were rejected,"
        f" the server died {sum(t.deaths for t in traces)} times"
    )
    return 1 if broken else 0


def _show(trace: Trace) -> None:
    print("\n".join(trace.lines))
    print(f"seed {trace.seed}: {trace.broken or 'all went well'}\n")


if __name__ == "__main__":
    sys.exit(main())
