"""What differs between two builds of a job, and what is the same. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.core.model import Build, Buildset, Host, Job, Machine, Verdict

LONGEST = 2_000
"""Characters of a value that are compared in words."""


OF_MACHINE = frozenset({"image", "host", "processor", "merged onto"})
"""Facts that every build has that ran, so that one which is missing is only not known."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A build, and what it ran on; what is not known any more is None."""

    build: Build
    state: Buildset | None
    machine: Machine | None = None
    host: Host | None = None

    @property
    def job(self) -> Job | None:
        """Its definition, as frozen for its state."""
        jobs = self.state.jobs if self.state is not None else ()
        return next((job for job in jobs if job.name == self.build.job), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """`what` is the name of a fact; `old` and `new` are None where there is none such."""

    what: str
    old: str | None
    new: str | None


def between(old: Ran, new: Ran) -> tuple[list[Difference], list[str]]:
    """The facts that differ, and the names of those that are the same; what is likeliest to matter
    comes first.

    A fact that neither build has is in neither, and so is one of a machine that is not known of
    one of them any more.
    """
    before, after = facts(old), facts(new)
    names = [
        name
        for name in dict.fromkeys([*after, *before])
        if name not in OF_MACHINE or (name in before and name in after)
    ]
    differences = [
        Difference(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]
    differing = {each.what for each in differences}
    return differences, [name for name in names if name not in differing]


def facts(ran: Ran) -> dict[str, str]:
    """What is known of how a build ran, by name, in words."""
    found: dict[str, str] = {}
    if ran.machine is not None and ran.machine.image:
        found["image"] = ran.machine.image
    if ran.host is not None:
        found["host"] = ran.host.name
        if ran.host.cpu:
            found["processor"] = ran.host.cpu
    found["label"] = ", ".join(ran.build.labels)
    if ran.state is not None and ran.state.onto is not None:
        found["merged onto"] = ran.state.onto
    if ran.job is not None:
        found |= _of_job(ran.job)
    for use in ran.build.caches:
        found[f"cache {use.name}"] = _restored(use.restored, exact=use.exact)
    return found


def _of_job(job: Job) -> dict[str, str]:
    found = {f"environment {name}": value[:LONGEST] for name, value in job.env}
    found |= {f"parameter {name}": value[:LONGEST] for name, value in job.cell}
    found |= {f"step {step.name}": step.text[:LONGEST] for step in job.steps}
    found |= {f"service {each.name}": each.run[:LONGEST] for each in job.services}
    found["steps"] = ", ".join(step.name for step in job.steps)[:LONGEST]
    found["time limit"] = f"{job.timeout:.0f} s"
    if job.needs:
        found["needs"] = ", ".join(job.needs)[:LONGEST]
    return found


def _restored(build: int | None, *, exact: bool) -> str:
    if build is None:
        return "nothing was there"
    return f"of build {build}" + ("" if exact else ", of other files")


def last_green(build: Build, passes: Sequence[Build], branch: dict[int, str]) -> Build | None:
    """Of earlier passes of its job, newest first, the one to compare a build with: one that ran
    here and failed nothing, rather of the same branch (`branch`, by item) than of another."""
    ran = [
        each
        for each in passes
        if each.id != build.id
        and each.verdict is Verdict.SUCCESS
        and each.reused_from is None
        and each.offer is None
        and not each.but_for
    ]
    same = [each for each in ran if branch.get(each.item_id) == branch.get(build.item_id)]
    return next(iter([*same, *ran]), None)
