"""What is proved already: by a commit that is known to be good, by runs here, by a server.

A job's verdict is a function of what it depends on (`core.key`, `git.inputs`). Where none of that
differs from a state in which it passed, it need not run again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cupel.core import key as keys
from cupel.core.job import Job
from cupel.git import inputs, run
from cupel.local.choice import with_needs

DIRECTORY = "passes"

KEPT = 30 * 86_400.0
"""Seconds after which a pass of a run here is forgotten."""

NAMED = 3
"""Files that are named, of those in which a job's inputs differ."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A pass of a job, in words; `outputs` is the digest of what it left, where that is known."""

    text: str
    outputs: str | None = None


Ask = Callable[[str], Awaitable[Pass | None]]
"""Asks a server for the pass of a key."""


class Passes:
    """The passes of runs here, by key, a small file each."""

    def __init__(self, root: Path, *, now: Callable[[], float] = time.time) -> None:
        self._root = root
        self._now = now

    def find(self, key: str) -> Pass | None:
        try:
            kept = json.loads(self._path(key).read_text())
            text, at = f"it passed here {_ago(self._now() - kept['at'])} ago", float(kept["at"])
            found = Pass(text=text, outputs=str(kept["outputs"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if self._now() - at < KEPT else None

    def keep(self, key: str, outputs: str) -> None:
        """Remember a pass; where that is not possible, the job will just be run again."""
        path = self._path(key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".new")
            part.write_text(json.dumps({"at": self._now(), "outputs": outputs}))
            part.replace(path)

    def forget_old(self) -> None:
        for path in self._root.glob("*/*"):
            with contextlib.suppress(OSError):
                if self._now() - path.stat().st_mtime > KEPT:
                    path.unlink()

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / key


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state in which jobs have keys: its repository and commit, its jobs by name."""

    repo: Path
    commit: str
    jobs: Mapping[str, Job]
    keys: Mapping[str, str]


async def state(
    repo: Path, commit: str, jobs: Iterable[Job], beside: Sequence[tuple[str, Path, str]] = ()
) -> State:
    """The state of a commit. Of projects beside, jobs have keys only if all are given."""
    there = {name for name, _, _ in beside}
    known = [job for job in jobs if there.issuperset(job.projects)]
    found = await inputs.keys(repo, commit, known, beside=beside)
    return State(repo=repo, commit=commit, jobs={job.name: job for job in known}, keys=dict(found))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`run` are the jobs to run, in order, and `why`; `passed` are the others that were asked for,
    each with what proves it."""

    run: tuple[Job, ...]
    why: Mapping[str, str]
    passed: tuple[tuple[str, str], ...]


async def prove(
    jobs: Sequence[Job],
    here: State,
    since: State,
    *,
    images: Mapping[str, str | None],
    passes: Passes,
    ask: Ask | None = None,
) -> dict[str, Pass]:
    """The passes that are good for jobs in the state `here`, needed jobs before those that need.

    `since` is a state that counts as proved. `images` are the digests of labels' images.
    """
    found: dict[str, Pass] = {}
    same: set[str] = set()
    for job in jobs:
        if not job.evidence or job.name not in here.keys:
            continue
        if here.keys[job.name] == since.keys.get(job.name) and same.issuperset(job.needs):
            same.add(job.name)
            text = f"nothing that it depends on differs from {since.commit[:12]}"
            found[job.name] = Pass(text=text)
        known = await _known(job, here, found, images, passes, ask)
        if known is not None:
            found[job.name] = dataclasses.replace(known, text=found.get(job.name, known).text)
    return found


async def _known(
    job: Job,
    here: State,
    found: Mapping[str, Pass],
    images: Mapping[str, str | None],
    passes: Passes,
    ask: Ask | None,
) -> Pass | None:
    """A pass of exactly this key; None also where the key is not known."""
    left = [(name, found[name].outputs if name in found else None) for name in job.needs]
    needed = [(name, outputs) for name, outputs in left if outputs is not None]
    image = keys.together([images.get(label) for label in job.labels])
    if image is None or len(needed) < len(left):
        return None
    key = keys.combine(here.keys[job.name], image, needed)
    known = passes.find(key)
    if known is None and ask is not None:
        known = await ask(key)
    return known


async def decide(
    jobs: Sequence[Job],
    named: frozenset[str],
    proved: Mapping[str, Pass],
    here: State,
    since: State,
) -> Decision:
    """Which of the jobs are to run: those that nothing proves, and what these need."""
    wanted = {job.name for job in jobs if job.name in named and job.name not in proved}
    chosen = with_needs(jobs, wanted)
    why = {}
    for job in chosen:
        if job.name in wanted:
            why[job.name] = await _why(job, here, since)
        else:
            users = [each.name for each in chosen if job.name in each.needs]
            why[job.name] = f"{', '.join(users)} needs what it leaves"
    passed = [
        (job.name, proved[job.name].text)
        for job in jobs
        if job.name in named and job.name in proved and job.name not in why
    ]
    return Decision(run=chosen, why=why, passed=tuple(passed))


async def _why(job: Job, here: State, since: State) -> str:
    """Why nothing proves a job."""
    then = since.jobs.get(job.name)
    commit = since.commit[:12]
    if not job.evidence:
        return "a pass of it is never reused"
    if then is None:
        return f"{commit} has no such job"
    if inputs.definition(job) != inputs.definition(then):
        return f"its definition differs from that in {commit}"
    if here.keys.get(job.name) == since.keys.get(job.name):
        return f"what it needs, {', '.join(job.needs)}, has to run"
    files = await _differing(job, here, since)
    rest = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    named = ", ".join(files[:NAMED]) or "a project beside it"
    return f"{named}{rest} {'differ' if len(files) > 1 else 'differs'} from {commit}"


async def _differing(job: Job, here: State, since: State) -> list[str]:
    """The paths of a job's inputs in which two states differ."""
    done = await run.git(
        here.repo, "diff-tree", "-r", "-z", "--no-renames", "--name-only", since.commit, here.commit
    )
    paths = [path for path in done.out.split(b"\0") if path]
    entries = [inputs.Entry("100644", "", path) for path in paths]
    kept = inputs.match(entries, job.inputs) if job.inputs else entries
    return [entry.path.decode(errors="replace") for entry in kept]


def _ago(seconds: float) -> str:
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "a moment"
