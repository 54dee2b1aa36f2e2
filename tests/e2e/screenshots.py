"""Makes the images of the docs: `python -m e2e.screenshots DIRECTORY [NAME…]`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cupel.control.auth import Scope
from e2e.sights import SIGHTS, Sight
from e2e.stage import Stage, perform
from fakes import afternoon, weeks
from fakes.busy import Busy
from fakes.rows import NOW

WIDTH = 1280
TALLEST = 1500
"""Pixels; what is below says nothing new."""

PORT = 8470
"""The server's own, so that the addresses in the images are those that a reader has."""


WEEKS = {"trends", "grid"}
"""Pages that an afternoon says little on."""

World = Callable[[Path], dict[str, Any]]


def take(directory: Path, wanted: Sequence[Sight], world: World) -> None:
    """Write `NAME-light.png` and `NAME-dark.png` of each; of the same moment each time."""

    async def act(stage: Stage) -> None:
        link = await stage.served.auth.login_link("ada", scopes=list(Scope))
        page = await stage.open(
            f"/login?token={link}",
            viewport={"width": WIDTH, "height": 720},
            reduced_motion="reduce",
        )
        for sight in wanted:
            await page.goto(sight.address(stage.told), wait_until="load")
            await page.wait_for_timeout(700)
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                await page.wait_for_timeout(100)
                tall = await page.evaluate("document.documentElement.scrollHeight")
                clip = {"x": 0, "y": 0, "width": WIDTH, "height": min(tall, TALLEST)}
                path = directory / f"{sight.name}-{scheme}.png"
                await page.screenshot(path=path, full_page=True, clip=clip)

    with tempfile.TemporaryDirectory() as state:
        perform(Path(state), act, now=lambda: NOW, port=PORT, **world(Path(state)))


def an_afternoon(directory: Path) -> dict[str, Any]:
    return afternoon.on(directory, now=NOW)


def some_weeks(directory: Path) -> dict[str, Any]:
    """What needs more than an afternoon to be told."""
    made = weeks.weeks(NOW)

    def prepare(told: Busy) -> None:
        for row in made.world.rows:
            told.world.put(row)

    return {"prepare": prepare, "fill": lambda served, _: made.write(served.results)}


def main() -> None:
    directory, *names = sys.argv[1:]
    known = {sight.name for sight in SIGHTS}
    if unknown := set(names) - known:
        sys.exit(
            f"there is no page {', '.join(sorted(unknown))}; there is {', '.join(sorted(known))}"
        )
    wanted = [sight for sight in SIGHTS if (sight.name in names if names else sight.shown)]
    of_weeks = [sight for sight in wanted if sight.name in WEEKS]
    take(Path(directory), [sight for sight in wanted if sight not in of_weeks], an_afternoon)
    take(Path(directory), of_weeks, some_weeks)


if __name__ == "__main__":
    main()
