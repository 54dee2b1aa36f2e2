"""What the benchmarks share: a Cupel with a project, pushes to it, and how figures are told."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

if importlib.util.find_spec("cupel") is None:  # begun by a Python that does not have it
    ours = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"
    if not ours.exists():
        sys.exit("Cupel is not set up here: run scripts/setup first")
    os.execv(ours, [str(ours), *sys.argv])

import httpx2

from cupel.client import Client
from cupel.core.model import Pipeline
from cupel.demo import releases
from cupel.demo.server import running

CONFIG = """\
jobs:
  noop:
    machine: debian-12
    steps: ["true"]
check: [noop]
gate: [noop]
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value; `goal` is an upper bound, None where there is none."""

    name: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal


def arguments(doc: str) -> argparse.Namespace:
    return parser(doc).parse_args()


def parser(doc: str) -> argparse.ArgumentParser:
    """What every benchmark can be told; one may add to it."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--quick", action="store_true", help="fewer runs, under a minute")
    parser.add_argument("--json", action="store_true", help="a list of figures, as JSON")
    parser.add_argument(
        "--state",
        type=Path,
        help="use this state directory, whose image may be built already, and keep it",
    )
    return parser


def tell(figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print the figures; exit with 1 if a goal is missed."""
    if as_json:
        print(json.dumps([{**dataclasses.asdict(f), "met": f.met} for f in figures], indent=2))
    else:
        for figure in figures:
            goal = "" if figure.goal is None else f"  (goal ≤ {figure.goal:g}: {figure.met})"
            print(f"{figure.name:<52} {figure.value:>12.3f} {figure.unit}{goal}")
    sys.exit(any(figure.met is False for figure in figures))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A running server with the project `bench`, and a developer's work tree."""

    client: Client
    work: Path
    state: Path

    async def push(self, number: int, *options: str) -> float:
        """Commit something new on top of the branch and push it; seconds of the push alone."""
        await releases.git(self.work, "fetch", "--quiet", "cupel", "main")
        await releases.git(self.work, "reset", "--quiet", "--hard", "FETCH_HEAD")
        (self.work / "number").write_text(f"{number} {time.time_ns()}\n")
        await releases.commit(self.work, f"Number {number} {time.time_ns()}")
        words = [word for option in options for word in ("-o", option)]
        began = time.perf_counter()
        await releases.git(self.work, "push", "cupel", "HEAD:refs/for/main", *words)
        return time.perf_counter() - began

    def newest(self) -> dict[str, float]:
        """When each kind of event came, of the newest change in the gate: seconds of the clock."""
        change = self.client.changes(limit=1).entries[0].id
        places = self.client.change(change).items
        item = next(each.item.id for each in places if each.item.pipeline is Pipeline.GATE)
        url = f"{self.client.url}/api/events?limit=200"
        events = httpx2.get(url, trust_env=False).json()["entries"]
        return {e["kind"]: e["at"] for e in events if change == e["change"] or item == e["item"]}


@contextlib.asynccontextmanager
async def bench(state: Path | None, settings: str = "") -> AsyncIterator[Bench]:
    """Start everything, and warm it up until one change has landed.

    `settings` are of the server's configuration.
    """
    directory = Path(tempfile.mkdtemp(prefix="cupel-bench-"))
    kept = state or directory / "state"
    try:
        async with running(kept, settings) as client:
            rig = await project(client, kept, directory)
            await rig.push(0, "land", "wait")
            yield rig
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


async def project(client: Client, state: Path, directory: Path) -> Bench:
    """Add the project, with a work tree below `directory`."""
    work = directory / "bench"
    work.mkdir()
    await releases.git(work, "init", "--quiet", "--initial-branch", "main")
    (work / ".cupel.yaml").write_text(CONFIG)
    await releases.commit(work, "Begin")
    known = {project.name: project for project in client.projects()}
    added = known.get("bench") or client.add_project("bench", source=str(work))
    await releases.git(work, "remote", "add", "cupel", client.remote(added.git_url))
    return Bench(client=client, work=work, state=state)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
