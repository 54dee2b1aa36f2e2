"""Everything that the core can ask of the world. Each is the intent of a row, so it has a key.

An action is asked again until its row has moved on: adapters are idempotent by `key`.
"""

from __future__ import annotations

import dataclasses

from cupel.core.cache import Wanted
from cupel.core.model import Build, Buildset, Item, Job, Machine, Project
from cupel.core.results import Result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PrepareState:
    """Merge the item's commit onto `buildset.onto` and freeze the jobs of its pipeline.

    A buildset whose role is BASE takes `onto` as it stands. `beside` are the queue's other
    projects with their commits in this state.
    """

    project: Project
    item: Item
    buildset: Buildset
    beside: tuple[tuple[Project, str], ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        return ("prepare", self.buildset.id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Land:
    """Verify tested trees and compare-and-swap each branch to the last state of its items.

    `steps` are the items that land together, in order, each with its project and its state; a
    project's branch goes from the first one's `onto` to the last one's commit in one move.
    """

    steps: tuple[tuple[Project, Item, Buildset], ...]

    @property
    def key(self) -> tuple[str, int]:
        return ("land", self.steps[-1][1].id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MakeMachine:
    machine: Machine
    host: str

    @property
    def key(self) -> tuple[str, int]:
        return ("make", self.machine.id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunBuild:
    """Run the build on its machine, which is ready. `needed`: job name → build id.

    `beside`: the projects that the job asks for, with their commits in this state.
    """

    project: Project
    item: Item
    buildset: Buildset
    build: Build
    job: Job
    machine: Machine
    host: str
    needed: tuple[tuple[str, int], ...]
    beside: tuple[tuple[Project, str], ...] = ()
    others: tuple[Machine, ...] = ()
    """The machines that it has beside its own one, on the same host."""
    failed: tuple[Result, ...] = ()
    """The tests that it is to run alone, if it is."""
    caches: tuple[Wanted, ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        return ("run", self.machine.id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CancelBuild:
    machine_id: int
    host: str

    @property
    def key(self) -> tuple[str, int]:
        return ("cancel", self.machine_id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DestroyMachine:
    """`why` is told to those who are in it."""

    machine_id: int
    host: str
    why: str = dataclasses.field(default="", compare=False)

    @property
    def key(self) -> tuple[str, int]:
        return ("destroy", self.machine_id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DropCache:
    """Remove a cache, by the name `file`, from its host."""

    cache_id: int
    file: str
    host: str

    @property
    def key(self) -> tuple[str, int]:
        return ("drop", self.cache_id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeepMachine:
    """Have the host keep a machine that is held, also while the server is away."""

    machine_id: int
    host: str

    @property
    def key(self) -> tuple[str, int]:
        return ("keep", self.machine_id)


Action = (
    PrepareState
    | Land
    | MakeMachine
    | RunBuild
    | CancelBuild
    | DestroyMachine
    | KeepMachine
    | DropCache
)
