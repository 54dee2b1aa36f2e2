"""Whose fault a build that did not pass is, and what speaks for that.

It judges nothing: who leaves the gate is decided in `judgement`, which says why in the item's
`conviction`. This puts what that and the builds of the same job show into one finding. A pass and a
failure of the very same question make a flake whatever else is known; what is failed without any
change is the branch's; what the gate has convicted a change for is the change's. `check` runs a job
once, so there the finding is only as sure as what is known of the commit that it was merged with.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence

from cupel.core import host
from cupel.core.model import (
    LIVE_ITEMS,
    Build,
    Buildset,
    BuildState,
    Item,
    ItemState,
    Pipeline,
    Reason,
    Role,
    Verdict,
)

FAILED = frozenset({Verdict.FAILURE, Verdict.TIMEOUT})
BAD = FAILED | {Verdict.INFRA}
"""The verdicts that are somebody's fault."""


class Blame(enum.StrEnum):
    """Whose fault it is; `report.blame` words it."""

    CHANGE = "change"
    INFRASTRUCTURE = "infrastructure"
    FLAKE = "flake"
    BRANCH = "branch"
    """It fails without the change as well."""
    OTHER = "other"
    """What it was proved on: the job fails on that, or passes with the change on another state."""
    UNDECIDED = "undecided"


class Sign(enum.StrEnum):
    """What speaks for a finding; `builds` of its proof are those that show it."""

    LOST = "lost"
    """The infrastructure failed it: `text` is how, `seconds` how long it had run."""
    TRIED_AGAIN = "tried-again"
    GIVEN_UP = "given-up"
    """It was lost as often as it may be."""
    FAILED_AGAIN = "failed-again"
    FAILED_ONCE = "failed-once"
    """It was run once: nobody has looked whether it comes back."""
    PASSED_SAME = "passed-same"
    KNOWN_FLAKES = "known-flakes"
    """Each test that failed has both failed and passed before, with the same inputs."""
    PASSED_WITHOUT = "passed-without"
    RUNS_WITHOUT = "runs-without"
    """Without the change it got further than where it failed."""
    FAILED_WITHOUT = "failed-without"
    FAILED_AHEAD = "failed-ahead"
    """So did what was ahead of the change in the queue, without it."""
    NEW_JOB = "new-job"
    """The branch does not have the job."""
    NO_CHANGE = "no-change"
    """It ran on the branch itself."""
    UNKNOWN_WITHOUT = "unknown-without"
    PASSED_ELSEWHERE = "passed-elsewhere"
    WAITS_RERUN = "waits-rerun"
    WAITS_WITHOUT = "waits-without"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One thing that speaks for a finding, and the builds in which it is seen."""

    sign: Sign
    builds: tuple[int, ...] = ()
    text: str | None = None
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Whose fault a build is. One that is not `sure` is the likeliest of what is known."""

    blame: Blame
    proofs: tuple[Proof, ...]
    sure: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A build, and what else was seen of its job.

    `others` are the other builds of the job that ask the same, are of the same item, or ran on the
    commit that `state` is merged with; `states` are those of all of them, by id. `ahead` are the
    states of changes that had not landed. `flakes` are the builds that prove for every test which
    failed that it is flaky; empty if one is not known to be.
    """

    build: Build
    state: Buildset
    item: Item
    others: Sequence[Build]
    states: Mapping[int, Buildset]
    ahead: frozenset[int] = frozenset()
    flakes: tuple[int, ...] = ()


def find(known: Known) -> Finding | None:
    """Whose fault the build is; None for one that is nobody's, or goes on."""
    build = known.build
    if build.state is not BuildState.FINISHED or build.verdict not in BAD:
        return None
    if build.verdict is Verdict.INFRA:
        return _lost(known)
    passed = [other.id for other in _same(known) if other.verdict is Verdict.SUCCESS]
    if passed:
        return _finding(Blame.FLAKE, _proof(Sign.PASSED_SAME, passed))
    if _is_without_change(known):
        return _finding(Blame.BRANCH, Proof(sign=Sign.NO_CHANGE), *_again(known))
    return _convicted(known) or _weigh(known)


def _lost(known: Known) -> Finding:
    build = known.build
    ran = None
    if build.started_at is not None and build.finished_at is not None:
        ran = build.finished_at - build.started_at
    lost = Proof(sign=Sign.LOST, text=build.reason, seconds=ran)
    tried = [b for b in known.others if b.buildset_id == build.buildset_id]
    after = [other.id for other in tried if other.attempt > build.attempt]
    if after:
        return _finding(Blame.INFRASTRUCTURE, lost, _proof(Sign.TRIED_AGAIN, after[:1]))
    if known.item.reason is Reason.INFRASTRUCTURE:
        before = [b.id for b in tried if b.verdict is Verdict.INFRA and not host.is_hosts_fault(b)]
        return _finding(Blame.INFRASTRUCTURE, lost, _proof(Sign.GIVEN_UP, before))
    return _finding(Blame.INFRASTRUCTURE, lost)


def _convicted(known: Known) -> Finding | None:
    """What the gate rejected the change for."""
    conviction = known.item.conviction
    if conviction is None or known.build.id not in conviction.failures:
        return None
    again = [number for number in conviction.failures if number != known.build.id]
    proofs = [_proof(Sign.FAILED_AGAIN, again)] if again else []
    if conviction.new:
        proofs.append(Proof(sign=Sign.NEW_JOB))
    elif conviction.witness is not None:
        witness = next((b for b in known.others if b.id == conviction.witness), None)
        ran_on = witness is not None and witness.verdict is not Verdict.SUCCESS
        sign = Sign.RUNS_WITHOUT if ran_on else Sign.PASSED_WITHOUT
        proofs.append(_proof(sign, [conviction.witness]))
    return _finding(Blame.CHANGE, *proofs)


def _weigh(known: Known) -> Finding:
    """What the builds show where the gate has not spoken."""
    again = _again(known)
    without = _without(known)
    if without and without[-1].verdict in FAILED:
        failed = [build for build in without if build.verdict in FAILED]
        on_branch = [build.id for build in failed if build.buildset_id not in known.ahead]
        if on_branch:
            proof = _proof(Sign.FAILED_WITHOUT, on_branch[-2:])
            return _finding(Blame.BRANCH, proof, *again, sure=len(on_branch) > 1 or bool(again))
        ahead = [build.id for build in failed]
        return _finding(Blame.OTHER, _proof(Sign.FAILED_AHEAD, ahead[-2:]), *again)
    waits = _waits(known)
    elsewhere = [b.id for b in _elsewhere(known) if b.verdict is Verdict.SUCCESS]
    if elsewhere:
        proof = _proof(Sign.PASSED_ELSEWHERE, elsewhere[-1:])
        return _finding(Blame.OTHER, proof, sure=known.item.state is ItemState.LANDED)
    proofs = list(again)
    if without:
        proofs.append(_proof(Sign.PASSED_WITHOUT, [without[-1].id]))
    if known.flakes:
        proofs.append(_proof(Sign.KNOWN_FLAKES, known.flakes))
    is_open = known.item.pipeline is Pipeline.GATE and known.item.state in LIVE_ITEMS
    if waits or is_open:
        return _finding(Blame.UNDECIDED, *proofs, *waits, sure=False)
    if known.flakes and not again:
        return _finding(Blame.FLAKE, *proofs, sure=False)
    if not again:
        proofs.append(Proof(sign=Sign.FAILED_ONCE))
    if without:
        return _finding(Blame.CHANGE, *proofs, sure=bool(again))
    return _finding(Blame.UNDECIDED, *proofs, Proof(sign=Sign.UNKNOWN_WITHOUT), sure=False)


def _again(known: Known) -> tuple[Proof, ...]:
    failed = [other.id for other in _same(known) if other.verdict in FAILED]
    return (_proof(Sign.FAILED_AGAIN, failed),) if failed else ()


def _waits(known: Known) -> tuple[Proof, ...]:
    """What is under way that will tell more."""
    rerun = [other.id for other in _same(known) if other.state is not BuildState.FINISHED]
    without = [
        other.id
        for other in known.others
        if other.state is not BuildState.FINISHED and _is_on_branch(known, other)
    ]
    found = ((Sign.WAITS_RERUN, rerun), (Sign.WAITS_WITHOUT, without))
    return tuple(_proof(sign, builds) for sign, builds in found if builds)


def _same(known: Known) -> list[Build]:
    """The other builds that asked the very same question, oldest first."""
    build = known.build
    return [
        other
        for other in known.others
        if other.buildset_id == build.buildset_id
        or (build.key is not None and other.key == build.key)
    ]


def _without(known: Known) -> list[Build]:
    """How the job ended on what the change was merged with, the last one last."""
    there = [other for other in known.others if _is_on_branch(known, other)]
    passed = {b.buildset_id for b in there if b.verdict is Verdict.SUCCESS}
    ended = [
        other
        for other in there
        if other.verdict is Verdict.SUCCESS
        or (other.verdict in FAILED and other.buildset_id not in passed)  # else it was a flake
    ]
    return sorted(ended, key=lambda build: (build.finished_at or 0.0, build.id))


def _is_on_branch(known: Known, build: Build) -> bool:
    state = known.states.get(build.buildset_id)
    return state is not None and state.commit is not None and state.commit == known.state.onto


def _elsewhere(known: Known) -> Iterable[Build]:
    """The builds of the same change on other states."""
    for other in known.others:
        state = known.states.get(other.buildset_id)
        mine = other.item_id == known.item.id and other.buildset_id != known.build.buildset_id
        if mine and state is not None and state.role is Role.PROOF:
            yield other


def _is_without_change(known: Known) -> bool:
    landed = known.item.pipeline in (Pipeline.POST, Pipeline.PERIODIC)
    return landed or known.state.role is Role.BASE


def _proof(sign: Sign, builds: Sequence[int]) -> Proof:
    return Proof(sign=sign, builds=tuple(builds))


def _finding(blame: Blame, *proofs: Proof, sure: bool = True) -> Finding:
    return Finding(blame=blame, proofs=proofs, sure=sure)
