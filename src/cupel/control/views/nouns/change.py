"""A change with all that was tried for it."""

from __future__ import annotations

import enum

from cupel.control.views.nouns.build import AttemptView
from cupel.control.views.nouns.cause import CauseView
from cupel.control.views.nouns.item import ItemView
from cupel.control.views.nouns.view import View
from cupel.core.model import BuildsetState, ChangeState, ItemState, Pipeline, Role


class ChangeRef(View):
    """A change in one line."""

    id: int
    project: str
    branch: str
    title: str
    author: str
    topic: str | None
    state: ChangeState
    patch_set: int
    wants_land: bool
    urgent: bool
    created_at: float
    updated_at: float


class ListedChange(ChangeRef):
    """A change in a list: what an open one is `waiting` for, and how its newest patch set stands.

    `check` and `gate` are the states of its newest items there, null where it has none.
    """

    waiting: str | None
    check: ItemState | None
    gate: ItemState | None
    approvals_given: int
    approvals_needed: int


class PatchSetView(View):
    number: int
    commit: str
    tree: str
    parent: str | None
    needs_change: int | None
    depends_on: list[int]
    files: int
    lines: int
    pushed_by: str
    created_at: float


class ApprovalView(View):
    """`counts` is whether it stands for the newest patch set under the project's policy."""

    user: str
    patch_set: int
    created_at: float
    withdrawn_at: float | None
    counts: bool


class BuildsetView(View):
    """One speculative state of an item, with every attempt at its jobs.

    One whose `role` is base is the branch without the item, where a job that failed is tried.
    """

    id: int
    number: int
    state: BuildsetState
    role: Role
    current: bool
    onto: str | None
    commit: str | None
    tree: str | None
    detail: str | None
    notice: str | None
    builds: list[AttemptView]
    created_at: float
    finished_at: float | None


class Block(enum.StrEnum):
    """What kind of a thing stands between a change and its branch."""

    ABANDONED = "abandoned"
    APPROVALS = "approvals"
    REQUEST = "request"
    """Nobody has asked to land it."""
    DEPENDENCY = "dependency"
    CIRCLE = "circle"
    OUTDATED = "outdated"
    LEFT = "left"
    """It was in the gate and has left it."""
    TREE = "tree"
    CONFLICT = "conflict"
    CONFIGURATION = "configuration"
    JOB = "job"
    """A required job has failed."""
    PROOF = "proof"
    """How it is proved: what its state, a rerun or the planner waits for."""
    MACHINE = "machine"
    """A job waits for a machine, or for what goes with one: a semaphore, a quota."""
    RUNNING = "running"
    AHEAD = "ahead"


class BlockView(View):
    """One thing that stands between a change and its branch.

    With a `cure` somebody has to do something, which that says, perhaps by a `command`; without one
    it passes by itself.
    `changes` and `builds` are those that it is about.
    """

    kind: Block
    text: str
    cure: str | None
    command: str | None
    changes: list[int]
    builds: list[int]


class ChainView(ChangeRef):
    """A change that another needs or that needs it, at any depth, or that one itself (`is_self`).

    `needs` are those of the chain that it needs. What needs itself is in a `circle`.
    """

    needs: list[int]
    is_self: bool
    circle: bool
    waiting: str | None


class PlaceView(View):
    """Where in its queue a change is, from 1 on: the changes of all projects that share it."""

    queue: str
    place: int
    of: int


class CostView(View):
    """What was spent on a change in a pipeline, in machine-seconds: a build with three machines
    spends three each second.

    `wasted` are those of builds that ended cancelled, by the fault of the infrastructure, or on a
    state that was given up; `repeated` those of attempts after the first on the same state. What
    passes that were reused had taken is `saved`. `cpu` are processor-seconds, as far as measured.
    """

    pipeline: Pipeline
    builds: int
    seconds: float
    wasted: float
    repeated: float
    reused: int
    saved: float
    cpu: float


class HistoryView(View):
    """An item with all that was tried for it, newest buildset first."""

    item: ItemView
    buildsets: list[BuildsetView]


class ChangeView(ChangeRef):
    """All of a change. `waiting` says what an open one waits for; `text` why it left the gate.

    `blocked` is each thing that stands between it and its branch, those first that somebody has to
    do something about. `place` is null unless it is in the gate. `costs` are by pipeline.
    `chain` has it and, in the order in which they land, those that it needs and that need it.

    `needs` are the change below and those of `Depends-On`, of any project; `kept_out` is each
    thing about these that keeps it out of the gate. `causes` are why builds of its newest item
    that has ended badly, or that goes on, did not pass.
    """

    key: str
    description: str
    owner: str
    commit: str
    landed_commit: str | None
    approvals: list[ApprovalView]
    approvals_given: int
    approvals_needed: int
    needs: list[ChangeRef]
    needed_by: list[ChangeRef]
    patch_sets: list[PatchSetView]
    items: list[HistoryView]
    waiting: str | None
    kept_out: list[str]
    text: str | None
    causes: list[CauseView]
    blocked: list[BlockView]
    place: PlaceView | None
    costs: list[CostView]
    chain: list[ChainView]
