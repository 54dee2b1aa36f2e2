"""People in the machines of builds: who went in, and what that does to what a build proves.

Whoever is in a machine can make its build say anything. So a build of the gate, or of an audit,
that was visited while it ran counts as lost, and runs again without using up an attempt; and no
visited build is evidence, in whatever pipeline. After the build has ended, visits change nothing.
"""

from __future__ import annotations

from dataclasses import replace

from cupel.core import events, holding
from cupel.core.draft import Draft
from cupel.core.host import VISITED
from cupel.core.model import Build, BuildState, Machine, MachineState, Pipeline, Verdict

_PROVING = frozenset({Pipeline.GATE, Pipeline.PERIODIC})
LONGEST = 200
"""Characters of a command that are told."""


def began(draft: Draft, fact: events.VisitBegan) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is None or machine.state is MachineState.GONE:
        return
    machine = draft.put(replace(machine, visitors=machine.visitors + 1))
    holding.visited(draft, machine)
    build = draft.find(Build, machine.build_id)
    if build is not None and build.state is not BuildState.FINISHED:
        draft.put(replace(build, visited_by=fact.user))
    _tell(draft, "visit.began", fact.what[:LONGEST], fact.user, machine)


def ended(draft: Draft, fact: events.VisitEnded) -> None:
    machine = draft.find(Machine, fact.machine_id)
    if machine is None:
        return
    machine = draft.put(replace(machine, visitors=max(machine.visitors - 1, 0)))
    if not machine.visitors:
        holding.left(draft, machine)
    _tell(draft, "visit.ended", fact.how[:LONGEST], fact.user, machine)


def spoils(build: Build) -> bool:
    """Whether the build would prove nothing any more if somebody went into its machine now."""
    return build.state is not BuildState.FINISHED and build.pipeline in _PROVING


def judged(build: Build, verdict: Verdict, reason: str | None) -> tuple[Verdict, str | None]:
    """The verdict that stands for a build that ends so."""
    if build.visited_by is None or build.pipeline not in _PROVING:
        return verdict, reason
    if verdict in (Verdict.CANCELLED, Verdict.INFRA):
        return verdict, reason
    ending = f"{verdict}: {reason}" if reason else str(verdict)
    return Verdict.INFRA, f"{VISITED} ({build.visited_by}), and proves nothing; {ending}"


def _tell(draft: Draft, kind: str, text: str, user: str, machine: Machine) -> None:
    build = draft.find(Build, machine.build_id)
    draft.tell(
        kind,
        text,
        project_id=None if build is None else build.project_id,
        item_id=None if build is None else build.item_id,
        build_id=machine.build_id,
        machine_id=machine.id,
        user=user,
    )
