"""One simulation from a seed to its end."""

from __future__ import annotations

import dataclasses

from cupel.errors import CupelError
from cupel.simulate import scenario, truth
from cupel.simulate.scenario import Scenario
from cupel.simulate.world import Broken, World


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What happened, line by line; `broken` says what should not have, None if all went well."""

    seed: int
    lines: tuple[str, ...]
    broken: str | None
    landed: int
    rejected: int
    deaths: int


def simulate(seed: int, what: Scenario = scenario.STORM) -> Trace:
    """Let a scenario happen, then mend the world and let it come to rest."""
    world = scenario.world(seed, what)
    broken: str | None = None
    try:
        scenario.Director(world, what, scenario.dice(f"people {seed}")).schedule()
        world.run_for(what.seconds)
        world.calm()
        world.settle(repairing=True)
        broken = _starved(world, what.patience)
    except (Broken, CupelError) as error:
        broken = f"{type(error).__name__}: {error}"
    return Trace(
        seed=seed,
        lines=tuple(world.trace),
        broken=broken,
        landed=len(world.landed()),
        rejected=len(world.rejected()),
        deaths=world.server.deaths,
    )


def _starved(world: World, patience: float) -> str | None:
    """What has landed, but not within so many seconds."""
    late = [(seconds, item) for seconds, item in truth.waited(world) if seconds > patience]
    return f"item {late[0][1].id} has waited {late[0][0]:.0f} s" if late else None
