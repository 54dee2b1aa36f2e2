"""Why a queue does what it does, in words and numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from cupel.control import load
from cupel.control.views import queue
from cupel.control.views.nouns.view import View
from cupel.core import explain
from cupel.core.draft import Draft
from cupel.core.explain import (
    Explained,
    Factor,
    Failure,
    Possible,
    Proved,
    Standing,
    Wanted,
)
from cupel.core.model import Landing, Queue
from cupel.report import reasons
from cupel.store.interface import Transaction


class FactorView(View):
    """Something known of a change before anything ran; `odds` are added up, as logarithms.

    The first one is the project's record; those below zero speak for the change.
    """

    name: str
    odds: float
    text: str


class FailureView(View):
    """A job that failed `times` on a state and has not passed there yet.

    `changes` may be to blame; of these `doubted` have not passed the job elsewhere. `flake` is the
    chance that none of them is; null where that is not weighed.
    """

    project: str
    job: str
    changes: list[int]
    doubted: list[int]
    times: int
    flake: float | None
    text: str


class EntryView(View):
    """A change in the queue, or several that need each other and are one.

    `bad` is the chance that it breaks the branch, `began` what that was before anything ran. `on`
    are the changes beneath it on the state that it is expected to land on; null while that is
    unclear. `others` are the same for other states of it. `aside` is why those behind it are proved
    without it: suspect, half, cannot or needs.
    """

    changes: list[int]
    title: str
    bad: float
    began: float
    factors: list[FactorView]
    failures: list[FailureView]
    on: list[int] | None
    others: list[list[int]]
    aside: str | None
    aside_text: str | None
    waiting: str | None


class StateView(View):
    """A state that the branch may come to, with the `changes` on top of it, the last of which are
    `own`.

    `how` is passed, failing, cannot (it can never pass), running, waiting or unmade. `chance` is
    that of those ahead of its own changes just those land that it holds; `expected` is whether that
    is taken to be so.
    """

    changes: list[int]
    own: list[int]
    how: str
    expected: bool
    chance: float
    text: str


class WantView(View):
    """A run that the planner wants. `state` are the changes on top of the branch.

    An empty `state` is the branch as it stands. Of a higher `score` more is expected. `build` runs
    since `since`; null while the run `waits` for something.
    """

    project: str
    job: str
    state: list[int]
    score: float
    why: str
    rerun: bool
    build: int | None
    since: float | None
    waits: str | None


class BrokenView(View):
    """The chance that a job which has failed does so on the branch itself, without any change."""

    project: str
    job: str
    chance: float


class ProvedView(View):
    """Changes that are proved. They land when nothing is left in `needs`, `first` and `closed`.

    `needs` are changes that they need, `first` those whose turn it is before them.
    """

    changes: list[int]
    needs: list[int]
    first: list[int]
    text: str


class PlanView(View):
    """What a queue believes, expects and wants for one branch, at the time `now`.

    `landing_now` are the changes to which the branch is being moved. `wants` are best first.
    `states` are in the order of the queue, each after the one beneath it.
    """

    queue: str
    branch: str
    now: float
    landing: Landing
    planner: str
    machines: int
    window: int | None
    closed: str | None
    shared: bool
    landing_now: list[int]
    entries: list[EntryView]
    states: list[StateView]
    wants: list[WantView]
    broken: list[BrokenView]
    proved: list[ProvedView]


async def plan_view(tx: Transaction, name: str, branch: str | None, *, now: float) -> PlanView:
    """The explained plan of the queue of this name, or of the project of this name.

    The branch is by default the first. Raises NotFound.
    """
    line = await queue.line_of(tx, name, branch)
    draft = Draft(await load.everything_live(tx), now=now, ids=itertools.count())
    explained = explain.explain(draft, line.queue, line.branch)
    return _plan(line, explained, now)


def _plan(line: queue.Line, explained: Explained, now: float) -> PlanView:
    row = line.queue
    return PlanView(
        queue=row.name,
        branch=line.branch,
        now=now,
        landing=row.landing,
        planner=row.planner,
        machines=explained.machines,
        window=row.window,
        closed=row.closed,
        shared=len(line.projects) > 1,
        landing_now=list(explained.landing),
        entries=[_entry(entry) for entry in explained.entries],
        states=[_state(state, explained.entries) for state in explained.states],
        wants=[_want(want) for want in explained.wants],
        broken=[
            BrokenView(project=each.project, job=each.job, chance=each.chance)
            for each in explained.broken
        ],
        proved=[_proved(each, row, explained.landing) for each in explained.proved],
    )


def _entry(entry: Standing) -> EntryView:
    first, *others = entry.factors
    return EntryView(
        changes=list(entry.changes),
        title=entry.title,
        bad=entry.bad,
        began=entry.began,
        factors=[
            FactorView(name=first.name, odds=first.odds, text=reasons.usual(first.odds)),
            *(_factor(each) for each in others),
        ],
        failures=[_failure(each) for each in entry.failures],
        on=None if entry.on is None else list(entry.on),
        others=[list(each) for each in entry.others],
        aside=entry.aside,
        aside_text=None if entry.aside is None else reasons.ASIDE[entry.aside],
        waiting=entry.wait,
    )


def _factor(factor: Factor) -> FactorView:
    text = reasons.factor(factor.name, factor.odds)
    return FactorView(name=factor.name, odds=factor.odds, text=text)


def _failure(failure: Failure) -> FailureView:
    return FailureView(
        project=failure.project,
        job=failure.job,
        changes=list(failure.changes),
        doubted=list(failure.doubted),
        times=failure.times,
        flake=failure.flake,
        text=reasons.failure(failure),
    )


def _state(state: Possible, entries: Sequence[Standing]) -> StateView:
    return StateView(
        changes=list(state.changes),
        own=list(state.own),
        how=state.how.value,
        expected=state.expected,
        chance=state.chance,
        text=reasons.possible(state, _ahead(state, entries)),
    )


def _ahead(state: Possible, entries: Sequence[Standing]) -> list[int]:
    """The changes ahead of those of a state, in the order of the queue."""
    found: list[int] = []
    for entry in entries:
        if entry.changes == state.own:
            break
        found += entry.changes
    return found


def _want(want: Wanted) -> WantView:
    return WantView(
        project=want.project,
        job=want.job,
        state=list(want.state),
        score=want.score,
        why=want.why,
        rerun=want.rerun,
        build=want.build,
        since=want.since,
        waits=None if want.pending is None else reasons.PENDING[want.pending],
    )


def _proved(proved: Proved, row: Queue, landing: explain.Changes) -> ProvedView:
    return ProvedView(
        changes=list(proved.changes),
        needs=list(proved.needs),
        first=list(proved.first),
        text=reasons.proved(proved, closed=row.closed, landing=bool(landing)),
    )
