"""What became of the changes of a simulated world, read from its rows and events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from cupel.core import events as facts
from cupel.core.draft import Draft
from cupel.core.model import (
    Branch,
    Build,
    Buildset,
    BuildsetState,
    Change,
    Event,
    Host,
    Item,
    ItemState,
    Machine,
    PatchSet,
    Pipeline,
    Project,
    Queue,
    Role,
)
from cupel.simulate.git import Git


@dataclasses.dataclass(frozen=True, slots=True)
class Ref:
    """A change by the name that it was given."""

    name: str
    id: int

    def __repr__(self) -> str:
        return self.name


class Findings:
    """The reading half of a world."""

    rows: Draft
    events: list[Event]
    git: Git
    _names: dict[int, str]
    _projects: dict[str, int]
    _told: list[facts.Fact]

    def change(self, ref: Ref) -> Change:
        return self.rows.get(Change, ref.id)

    def find(self, ref: Ref) -> Change | None:
        """The change, once the server has taken it."""
        return self.rows.find(Change, ref.id)

    def patch_set(self, ref: Ref) -> PatchSet:
        """The newest patch set, also when the server has not taken it yet."""
        for fact in reversed(self._told):
            if isinstance(fact, facts.ChangePushed) and fact.change.id == ref.id:
                return fact.patch_set
        return self.rows.patch_set(ref.id, self.change(ref).patch_set)

    def landed(self) -> list[Ref]:
        """What has landed, in order."""
        landed = [event for event in self.events if event.kind == "change.landed"]
        return [self._ref(event.change_id) for event in landed]

    def rejected(self) -> dict[Ref, str]:
        """What left the gate by its own fault or ours, with the reason."""
        return self._left(ItemState.REJECTED)

    def removed(self) -> dict[Ref, str]:
        """What left the gate for another reason."""
        return self._left(ItemState.REMOVED)

    def _left(self, state: ItemState) -> dict[Ref, str]:
        return {
            self._ref(item.change_id): str(item.reason)
            for item in self.rows.all(Item)
            if item.pipeline is Pipeline.GATE and item.state is state
        }

    def queue(self) -> list[Ref]:
        """The gate, in order."""
        return [self._ref(item.change_id) for item in self.rows.live_items(Pipeline.GATE)]

    def item(self, ref: Ref) -> Item:
        """The change's newest place in the gate."""
        found = [
            item
            for item in self.rows.all(Item)
            if item.change_id == ref.id and item.pipeline is Pipeline.GATE
        ]
        return max(found, key=lambda item: item.id)

    def wait(self, ref: Ref) -> str:
        """What it says that it waits for."""
        return self.item(ref).wait or ""

    def proved_on(self, ref: Ref) -> list[str] | None:
        """The names of the changes beneath it where it is to land; None if it has no state."""
        present = self.rows.find(Buildset, self.item(ref).buildset_id)
        if present is None or present.commit is None or present.onto is None:
            return None
        return self._names_in(present.onto)

    def states(self, ref: Ref) -> list[list[str]]:
        """The names beneath it in each state that it is proved on now, oldest first."""
        return [
            self._names_in(state.onto)
            for state in self.rows.buildsets(self.item(ref).id)
            if state.role is Role.PROOF
            and state.state in (BuildsetState.PREPARING, BuildsetState.READY)
            and state.onto is not None
        ]

    def _names_in(self, commit: str) -> list[str]:
        patches = self.git.commits[commit].patches
        return sorted(patch.name for patch in patches if not patch.name.endswith("-first"))

    def builds(
        self, ref: Ref, pipeline: Pipeline = Pipeline.GATE, role: Role = Role.PROOF
    ) -> list[Build]:
        """Every build that the change ever had in a pipeline, in order.

        Those of a BASE are of states without it.
        """
        items = {item.id for item in self.rows.all(Item) if item.change_id == ref.id}
        return [
            build
            for build in self.rows.all(Build)
            if build.item_id in items
            and build.pipeline is pipeline
            and self.rows.get(Buildset, build.buildset_id).role is role
        ]

    def verdicts(self, ref: Ref) -> list[str]:
        """How its builds in the gate went, in order; the state of those that have not ended."""
        return [str(build.verdict or build.state) for build in self.builds(ref)]

    def ran(self, ref: Ref) -> list[str]:
        """The jobs of which its builds in the gate had a machine, in order."""
        return [build.job for build in self.builds(ref) if build.machine_id is not None]

    def running(self, ref: Ref) -> bool:
        return "running" in self.verdicts(ref)

    def has(self, kind: str, ref: Ref | None = None) -> int:
        """How often something has happened (to the change)."""
        return sum(
            event.kind == kind and (ref is None or event.change_id == ref.id)
            for event in self.events
        )

    def host_of(self, ref: Ref, build: Build | None = None) -> str:
        """The host of a build in the gate, by default of the newest one."""
        of = build if build is not None else self.builds(ref)[-1]
        machine = self.rows.get(Machine, of.machine_id)
        return self.rows.get(Host, machine.host_id).name

    def machines(self) -> list[Machine]:
        return self.rows.all(Machine)

    def queue_row(self, name: str | None = None) -> Queue:
        """The queue of this name, or of the first project."""
        if name is None:
            return self.rows.queue(next(iter(self._projects.values())))
        return next(queue for queue in self.rows.all(Queue) if queue.name == name)

    def project_names(self) -> dict[int, str]:
        return {project.id: project.name for project in self.rows.all(Project)}

    def head(self, project: str | None = None) -> frozenset[str]:
        """The names of the patches in the branch of a project, by default the first."""
        name = project or next(iter(self._projects))
        head = self.git.heads[self._projects[name], "main"]
        return (
            frozenset()
            if head is None
            else frozenset(patch.name for patch in self.git.commits[head].patches)
        )

    def _ref(self, change_id: int | None) -> Ref:
        assert change_id is not None
        return Ref(self._names[change_id], change_id)

    def branches(self) -> Mapping[tuple[int, str], str | None]:
        return {(b.project_id, b.name): b.head for b in self.rows.all(Branch)}
