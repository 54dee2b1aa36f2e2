"""How two builds of a job differ: what each ran on, what landed in between, and what came of it."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cupel import logger
from cupel.control.views import build as builds
from cupel.control.views import lookup
from cupel.control.views.nouns.compare import (
    ComparisonView,
    FactDifferenceView,
    LandedView,
    StepDifferenceView,
    TestDifferenceView,
    TestsDifferenceView,
)
from cupel.control.views.nouns.image import PackageChangeView
from cupel.core import contrast
from cupel.core.contrast import Ran
from cupel.core.model import Build, Buildset, Host, Item, Machine, Project, Verdict
from cupel.core.results import Result, one_line
from cupel.errors import InfraError, NotFound, UserError
from cupel.git import commits
from cupel.git.commits import Commit
from cupel.image.keeper import Keeper
from cupel.report import messages
from cupel.report.results.kept import Kept
from cupel.report.results.store import ResultStore
from cupel.store.interface import Transaction

if TYPE_CHECKING:
    from cupel.control.context import Context

log = logger.Logger(__name__)

LOOKED_AT = 20
"""Earlier passes among which one of the same branch is looked for."""

LANDED = 50
"""Commits that are told, the newest."""

TESTS = 100
"""Tests that are told which have begun to fail, or ceased to."""

REMEMBERED = 64
"""Pairs of commits of which is remembered what lies between them: that never changes."""

_between: collections.OrderedDict[tuple[Path, str, str], tuple[Commit, ...]] = (
    collections.OrderedDict()
)


async def last_green(tx: Transaction, build: Build) -> Build | None:
    """The pass of the same job before a build that says most about it; None if there is none."""
    where = {"project_id": build.project_id, "job": build.job, "verdict": Verdict.SUCCESS}
    passes = await tx.select(
        Build, where, descending=True, limit=LOOKED_AT, before=build.reused_from or build.id
    )
    items = await lookup.by_id(tx, Item, {build.item_id, *(each.item_id for each in passes)})
    branches = {number: item.branch for number, item in items.items()}
    return contrast.last_green(build, passes, branches)


async def comparison(
    tx: Transaction, here: Context, id: int, other: int | None = None
) -> ComparisonView:
    """How a build differs from another of its job, by default from the last that passed before.

    Raises `NotFound` if there is none, and `UserError` for one of another job.
    """
    new = await builds.build_row(tx, id)
    old = await last_green(tx, new) if other is None else await builds.build_row(tx, other)
    if old is None:
        raise NotFound(
            f"no build of job {new.job[:200]} has passed before build {id}",
            hint="name another build of the job to compare it with",
        )
    if (old.project_id, old.job) != (new.project_id, new.job):
        raise UserError(
            f"build {old.id} is one of another job, {old.job[:200]}",
            hint=f"compare build {id} with builds of job {new.job[:200]}",
        )
    before, after = await _ran(tx, old), await _ran(tx, new)
    differences, same = contrast.between(before, after)
    landed = await _landed(tx, here.repositories.root, before, after)
    packages = _packages(here.images, before.machine, after.machine)
    tests = await asyncio.to_thread(_tests, here.results, old, new)
    return ComparisonView(
        text=messages.since(
            landed=None if landed is None else len(landed[:LANDED]),
            more=landed is not None and len(landed) > LANDED,
            differing=[each.what for each in differences],
            packages=None if packages is None else len(packages),
            tests=0 if tests is None else len(tests.failing),
        ),
        old=await builds.build_ref(tx, old, here.clock()),
        new=await builds.build_ref(tx, new, here.clock()),
        differences=[
            FactDifferenceView(what=each.what, old=each.old, new=each.new) for each in differences
        ],
        same=same,
        packages=packages,
        landed=None if landed is None else landed[:LANDED],
        more_landed=landed is not None and len(landed) > LANDED,
        steps=_steps(old, new),
        tests=tests,
        old_log_lines=here.logs.reader(old.id).line_count,
        new_log_lines=here.logs.reader(new.id).line_count,
    )


async def _ran(tx: Transaction, build: Build) -> Ran:
    """A build with what it ran on; of a pass that was reused, the build that ran."""
    machine = await tx.get(Machine, build.machine_id) if build.machine_id is not None else None
    return Ran(
        build=build,
        state=await tx.get(Buildset, build.buildset_id),
        machine=machine,
        host=None if machine is None else await tx.get(Host, machine.host_id),
    )


def _packages(
    images: Keeper, old: Machine | None, new: Machine | None
) -> list[PackageChangeView] | None:
    """What differs between the packages of their images; None where these are not known here."""
    one, other = (each.image if each is not None else None for each in (old, new))
    if one is None or other is None:
        return None
    if one == other:
        return []
    try:
        before, after = images.catalogue.packages(one), images.catalogue.packages(other)
    except (OSError, ValueError):
        return None
    return [
        PackageChangeView(name=name, old=before.get(name), new=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


async def _landed(tx: Transaction, root: Path, old: Ran, new: Ran) -> list[LandedView] | None:
    """The commits that the newer build is merged onto and the older one was not."""
    before = old.state.onto if old.state is not None else None
    after = new.state.onto if new.state is not None else None
    project = await tx.get(Project, new.build.project_id)
    if before is None or after is None or project is None:
        return None
    if before == after:
        return []
    try:
        found = await _commits(root / f"{project.name}.git", before, after)
    except (InfraError, UserError) as error:
        log.info("two states can't be compared", build=new.build.id, error=str(error))
        return None
    states = await tx.select(Buildset, {"commit": {each.id for each in found}}) if found else []
    items = await lookup.by_id(tx, Item, (state.item_id for state in states))
    changes = {state.commit: items[state.item_id].change_id for state in states}
    return [
        LandedView(
            commit=each.id,
            title=each.subject,
            author=each.author_name,
            at=float(each.authored_at),
            change=changes.get(each.id),
        )
        for each in reversed(found)
    ]


async def _commits(repo: Path, old: str, new: str) -> Sequence[Commit]:
    key = (repo, old, new)
    if key not in _between:
        _between[key] = await commits.stack(repo, [old], new, limit=LANDED + 1)
        while len(_between) > REMEMBERED:
            _between.popitem(last=False)
    return _between[key]


def _steps(old: Build, new: Build) -> list[StepDifferenceView]:
    """How long each step took, in the order of the newer build."""
    took = [
        {
            step.name: step.finished_at - step.started_at
            for step in each.steps
            if step.finished_at is not None
        }
        for each in (old, new)
    ]
    names = dict.fromkeys(step.name for each in (new, old) for step in each.steps)
    return [
        StepDifferenceView(name=name, old=took[0].get(name), new=took[1].get(name))
        for name in names
    ]


def _tests(store: ResultStore, old: Build, new: Build) -> TestsDifferenceView | None:
    """The tests that ended otherwise. It reads files: call it in a thread."""
    try:
        with (
            store.open(old.reused_from or old.id) as before,
            store.open(new.reused_from or new.id) as after,
        ):
            return TestsDifferenceView(
                failing=list(_begun(before, after)),
                fixed=[_turned(each) for each in _begun(after, before)],
                old_total=before.tally.total,
                new_total=after.tally.total,
            )
    except NotFound:
        return None


def _begun(before: Kept, after: Kept) -> Iterator[TestDifferenceView]:
    """The tests that fail in the second and did not in the first."""
    for result in after.of("failed", 0, TESTS):
        earlier = before.find(result.digest)
        if earlier is None or not earlier.is_failed:
            yield _test(result, earlier)


def _test(result: Result, earlier: Result | None) -> TestDifferenceView:
    return TestDifferenceView(
        test=result.digest,
        id=result.id,
        old=None if earlier is None else earlier.outcome,
        new=result.outcome,
        message=one_line(result.message, 300),
    )


def _turned(found: TestDifferenceView) -> TestDifferenceView:
    return found.model_copy(update={"old": found.new, "new": found.old})
