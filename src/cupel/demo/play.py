"""Plays the scenes against a running Cupel, watches the queue, and says what came of it."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cupel.client import Client
from cupel.control import views
from cupel.core.model import ChangeState, Pipeline, Verdict
from cupel.demo import releases, verify
from cupel.demo.scenes import (
    EJECTED,
    LANDED,
    Part,
    Scene,
    flaky_and_broken,
    releases_and_clash,
)
from cupel.demo.story import Told, tell
from cupel.demo.watch import Watch
from cupel.errors import InfraError

_CHANGE = re.compile(r"Change (\d+): ")
_SOON = 10.0
"""Seconds within which a job that installs nothing has surely begun on an idle server."""

_PATIENCE = 1200.0
"""Seconds after which the demo gives up on the queue."""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A change as pushed, with what must become of it."""

    number: int
    title: str
    expected: str
    part: Part | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened. `ejected` pairs a change with the reason; `seconds` from the first push."""

    landed: tuple[Pushed, ...]
    ejected: tuple[tuple[Pushed, str], ...]
    surprises: tuple[str, ...]
    story: tuple[Told, ...]
    proof: verify.Proof
    seconds: float

    @property
    def good(self) -> bool:
        return not self.surprises and self.proof.verified


async def play(client: Client, directory: Path, watch: Watch, say: Say) -> Outcome:
    """The whole demo but for starting the server; `directory` gets the developer's work tree."""
    say(f"fetching {releases.PACKAGE} {', '.join(releases.RELEASES)} from its registry")
    directories = await releases.fetch(directory / "sdists")
    work = directory / releases.PACKAGE
    await releases.begin(work, directories[0])
    say(f"cupel project add {releases.PACKAGE} --from {work}")
    project = client.add_project(releases.PACKAGE, source=str(work))
    await releases.git(work, "remote", "add", "cupel", client.remote(project.git_url))
    began = time.monotonic()
    pushed = await _act(client, work, releases_and_clash(directories), watch, say)
    patience = max(_SOON, 0.6 * _seconds_of_tests(client, pushed))
    pushed += await _act(client, work, flaky_and_broken(patience), watch, say)
    return await _outcome(client, directory, pushed, time.monotonic() - began)


async def _act(
    client: Client, work: Path, scenes: Sequence[Scene], watch: Watch, say: Say
) -> list[Pushed]:
    """Push everything at once, and watch until the gate has spoken."""
    pushed: list[Pushed] = []
    for scene in scenes:
        pushed += await _push(work, scene, say)
    await _settle(client, pushed, watch)
    return pushed


def _seconds_of_tests(client: Client, pushed: Sequence[Pushed]) -> float:
    """How long the package's test suite takes here at least, with what it installs."""
    took = [
        build.seconds
        for change in pushed
        for history in client.change(change.number).items
        for state in history.buildsets
        for build in state.builds
        if build.job == "tests" and build.verdict is Verdict.SUCCESS and build.seconds
    ]
    return min(took, default=0.0)


async def _push(work: Path, scene: Scene, say: Say) -> list[Pushed]:
    say(f"\ngit push cupel HEAD:refs/for/main -o land    # {scene.what}")
    await releases.git(work, "checkout", "--quiet", "--detach", "main")
    for title, make in scene.commits:
        made = make(work)
        if made is not None:
            await made
        await releases.commit(work, title)
    result = await releases.git(work, "push", "cupel", "HEAD:refs/for/main", "-o", "land")
    lines = [line.rstrip() for line in result.err.decode().splitlines()]
    for line in lines:
        if line.startswith("remote: "):
            say(line)
    numbers = [int(number) for line in lines for number in _CHANGE.findall(line)]
    titles = [title for title, _ in scene.commits]
    if len(numbers) != len(titles):
        raise InfraError("the push was not understood", hint="\n".join(lines))
    return [
        Pushed(number=number, title=title, expected=scene.expected, part=scene.part)
        for number, title in zip(numbers, titles, strict=True)
    ]


async def _settle(client: Client, pushed: list[Pushed], watch: Watch) -> None:
    """Watch until the gate has spoken of every change."""
    wanted = {change.number for change in pushed}
    try:
        async with asyncio.timeout(_PATIENCE):
            with watch:
                while True:
                    queue = client.queue(releases.PACKAGE)
                    watch.show(client, queue)
                    done = {i.change for i in queue.recent if i.pipeline is Pipeline.GATE}
                    if wanted <= done:
                        return
                    await asyncio.sleep(0.5)
    except TimeoutError:
        raise InfraError(f"the queue did not come to an end in {_PATIENCE:.0f} s") from None


async def _outcome(
    client: Client, directory: Path, pushed: list[Pushed], seconds: float
) -> Outcome:
    landed: list[Pushed] = []
    ejected: list[tuple[Pushed, str]] = []
    surprises: list[str] = []
    seen: dict[int, views.ChangeView] = {}
    for change in pushed:
        view = seen[change.number] = client.change(change.number)
        became = LANDED if view.state is ChangeState.LANDED else EJECTED
        if became == LANDED:
            landed.append(change)
        else:
            ejected.append((change, view.text or "no reason given"))
        if became != change.expected:
            surprises.append(f"change {change.number} was to be {change.expected}: {became}")
    story = tell([(c.part, seen[c.number]) for c in pushed if c.part is not None])
    surprises += [f"change {told.change}: {told.text}" for told in story if not told.so]
    proof = await verify.verify(
        directory / releases.PACKAGE, directory / "proof", [seen[c.number] for c in landed]
    )
    return Outcome(
        landed=tuple(landed),
        ejected=tuple(ejected),
        surprises=tuple(surprises),
        story=story,
        proof=proof,
        seconds=seconds,
    )
