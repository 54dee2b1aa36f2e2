"""Plays the scenes against a running Cupel, watches the queue, and says what came of it."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cupel.demo import releases, verify
from cupel.demo.scenes import EJECTED, LANDED, Scene, scenes
from cupel.demo.server import Api
from cupel.demo.watch import Watch
from cupel.errors import InfraError

_CHANGE = re.compile(r"Change (\d+): ")
_PATIENCE = 1200.0
"""Seconds after which the demo gives up on the queue."""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A change as pushed, with what must become of it."""

    number: int
    title: str
    expected: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened. `ejected` pairs a change with the reason; `seconds` from the first push."""

    landed: tuple[Pushed, ...]
    ejected: tuple[tuple[Pushed, str], ...]
    surprises: tuple[str, ...]
    proof: verify.Proof
    seconds: float

    @property
    def good(self) -> bool:
        return not self.surprises and self.proof.verified


async def play(api: Api, directory: Path, watch: Watch, say: Say) -> Outcome:
    """The whole demo but for starting the server; `directory` gets the developer's work tree."""
    say(f"fetching {releases.PACKAGE} {', '.join(releases.RELEASES)} from its registry")
    directories = await releases.fetch(directory / "sdists")
    work = directory / releases.PACKAGE
    await releases.begin(work, directories[0])
    say(f"cupel project add {releases.PACKAGE} --from {work}")
    await api.post("/api/projects", {"name": releases.PACKAGE, "source": str(work)})
    began = time.monotonic()
    pushed: list[Pushed] = []
    for scene in scenes(directories):
        pushed += await _push(api, work, scene, say)
    await _settle(api, pushed, watch)
    return await _outcome(api, directory, pushed, time.monotonic() - began)


async def _push(api: Api, work: Path, scene: Scene, say: Say) -> list[Pushed]:
    say(f"\ngit push cupel HEAD:refs/for/main -o land    # {scene.what}")
    await releases.git(work, "checkout", "--quiet", "--detach", "main")
    for title, make in scene.commits:
        made = make(work)
        if made is not None:
            await made
        await releases.commit(work, title)
    result = await releases.git(
        work,
        "push",
        f"{api.url}/{releases.PACKAGE}.git",
        "HEAD:refs/for/main",
        "-o",
        "land",
        env=api.git_env,
    )
    lines = [line.rstrip() for line in result.err.decode().splitlines()]
    for line in lines:
        if line.startswith("remote: "):
            say(line)
    numbers = [int(number) for line in lines for number in _CHANGE.findall(line)]
    titles = [title for title, _ in scene.commits]
    if len(numbers) != len(titles):
        raise InfraError("the push was not understood", hint="\n".join(lines))
    return [
        Pushed(number=number, title=title, expected=scene.expected)
        for number, title in zip(numbers, titles, strict=True)
    ]


async def _settle(api: Api, pushed: list[Pushed], watch: Watch) -> None:
    """Watch until the gate has spoken of every change."""
    wanted = {change.number for change in pushed}
    try:
        async with asyncio.timeout(_PATIENCE):
            with watch:
                while True:
                    queue = await api.get(f"/api/queues/{releases.PACKAGE}")
                    await watch.show(api, queue)
                    done = {i["change"] for i in queue["recent"] if i["pipeline"] == "gate"}
                    if wanted <= done:
                        return
                    await asyncio.sleep(0.5)
    except TimeoutError:
        raise InfraError(f"the queue did not come to an end in {_PATIENCE:.0f} s") from None


async def _outcome(api: Api, directory: Path, pushed: list[Pushed], seconds: float) -> Outcome:
    landed: list[Pushed] = []
    ejected: list[tuple[Pushed, str]] = []
    surprises: list[str] = []
    views: dict[int, Any] = {}
    for change in pushed:
        view = views[change.number] = await api.get(f"/api/changes/{change.number}")
        became = LANDED if view["state"] == "landed" else EJECTED
        if became == LANDED:
            landed.append(change)
        else:
            ejected.append((change, view["text"] or "no reason given"))
        if became != change.expected:
            surprises.append(f"change {change.number} was to be {change.expected}: {became}")
    proof = await verify.verify(api, directory / "proof", [views[c.number] for c in landed])
    return Outcome(
        landed=tuple(landed),
        ejected=tuple(ejected),
        surprises=tuple(surprises),
        proof=proof,
        seconds=seconds,
    )
