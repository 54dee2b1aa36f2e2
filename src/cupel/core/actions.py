"""Everything that the core can ask of the world. Each is the intent of a row, so it has a key.

An action is asked again until its row has moved on: adapters are idempotent by `key`.
"""

from __future__ import annotations

import dataclasses

from cupel.core.model import Build, Buildset, Item, Job, Machine, Project


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PrepareState:
    """Merge the item's commit onto `buildset.onto` and freeze the jobs of its pipeline."""

    project: Project
    item: Item
    buildset: Buildset

    @property
    def key(self) -> tuple[str, int]:
        return ("prepare", self.buildset.id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Land:
    """Verify the tested tree and compare-and-swap the branch from `buildset.onto` to its commit."""

    project: Project
    item: Item
    buildset: Buildset

    @property
    def key(self) -> tuple[str, int]:
        return ("land", self.item.id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunBuild:
    """Make the machine on its host and run the build there. `needed`: job name → build id."""

    project: Project
    item: Item
    buildset: Buildset
    build: Build
    job: Job
    machine: Machine
    host: str
    needed: tuple[tuple[str, int], ...]

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
    machine_id: int
    host: str

    @property
    def key(self) -> tuple[str, int]:
        return ("destroy", self.machine_id)


Action = PrepareState | Land | RunBuild | CancelBuild | DestroyMachine
