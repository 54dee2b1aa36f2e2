"""A gate that is stepped by hand: states are made at once, and what they hold is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cupel.core import events, intents
from cupel.core.actions import (
    CancelBuild,
    DestroyMachine,
    Land,
    MakeMachine,
    PrepareState,
    RunBuild,
)
from cupel.core.model import (
    Branch,
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Job,
    Pipeline,
    Policy,
    Queue,
    Role,
    Verdict,
)
from unit.core.making import Core, change, job, patch_set, project

KeysOf = Callable[[Job, tuple[int, ...]], str | None]
IMAGES = (("debian-12", "sha256:image"),)


class Gate(Core):
    """Queue 3 over projects 1 and 2. States and runs are named by the changes that they hold.

    `keys` gives what a job depends on in a state, by the changes in it; None: on all of it.
    """

    def __init__(
        self,
        *jobs: Job,
        slots: int = 20,
        keys: KeysOf | None = None,
        conflicts: Iterable[tuple[int, ...]] = (),
        head: str | None = "head",
        **rules: object,
    ) -> None:
        super().__init__(slots=slots, head=head)
        self.jobs = jobs or (job(),)
        self.keys_of = keys
        self.conflicts = set(conflicts)
        self.holds: dict[str | None, tuple[int, ...]] = {None: (), "head": (), "other": ()}
        self._keep(
            [
                project(2, name="other", policy=Policy(approvals=1)),
                Branch(id=4, project_id=2, name="main", head="other"),
            ]
        )
        self.hear(self.hello(slots=slots, images=IMAGES))
        self.rule(**rules)

    def rule(self, **rules: object) -> None:
        present = self.draft().get(Queue, 3)
        names = (
            "landing", "planner", "window", "window_floor", "window_ceiling", "cycles", "closed",
        )  # fmt: skip
        given: dict[str, object] = {name: getattr(present, name) for name in names}
        fact: dict[str, object] = {**given, **rules}
        self.hear(events.QueueSet(name="project", user="ada", **fact))  # type: ignore[arg-type]

    def enter(self, *ids: int, project_id: int = 1, needs: tuple[int, ...] = ()) -> None:
        self.push_only(*ids, project_id=project_id, needs=needs)
        self.settle()

    def push_only(self, *ids: int, project_id: int = 1, needs: tuple[int, ...] = ()) -> None:
        """Approved and wanted, but nothing is planned yet."""
        for number in ids:
            parent = "head" if project_id == 1 else "other"
            self.hear(
                events.ChangePushed(
                    change=change(number, project_id=project_id),
                    patch_set=patch_set(number, parent=parent, depends_on=needs),
                    approved_by="bob",
                )
            )

    def settle(self) -> None:
        """Make every state that is asked for and stop what is to stop, until no more is."""
        asked = True
        while asked:
            asked = False
            for action in self.step():
                asked = asked or not isinstance(action, RunBuild | Land)
                match action:
                    case PrepareState():
                        self._prepare(action)
                    case MakeMachine():
                        self.ready(action.machine.id)
                    case CancelBuild():
                        self.finish(action.machine_id, Verdict.CANCELLED)
                    case DestroyMachine():
                        self.hear(events.MachineGone(machine_id=action.machine_id))

    def forget_given_up(self) -> None:
        """Leave out the states that were given up, as planning on a store does."""
        for key, row in list(self.rows.items()):
            if isinstance(row, Buildset) and row.state is BuildsetState.SUPERSEDED:
                del self.rows[key]

    def _prepare(self, action: PrepareState) -> None:
        number, base = action.buildset.id, action.buildset.role is Role.BASE
        if action.item.pipeline is Pipeline.GATE:
            beneath = self.holds[action.buildset.onto]
            held = beneath if base else (*beneath, action.item.change_id or 0)
        else:
            held = self.holds[action.item.commit]
        beside = [self.holds[commit] for _, commit in action.beside]
        if held in self.conflicts:
            self.hear(events.StateConflicted(buildset_id=number, paths=("a.py",)))
            return
        commit = f"{action.project.name} {held}"
        if base or action.item.pipeline is not Pipeline.GATE:
            commit = action.buildset.onto or action.item.commit
        self.holds[commit] = held
        everything = (*held, *(each for other in beside for each in other))
        named = ((each.name, self._key(each, everything)) for each in self.jobs)
        self.hear(
            events.StatePrepared(
                buildset_id=number,
                commit=commit,
                tree=f"tree of {commit}",
                jobs=self.jobs,
                notice=None,
                keys=tuple((name, key) for name, key in named if key is not None),
            )
        )

    def _key(self, definition: Job, held: tuple[int, ...]) -> str | None:
        if self.keys_of is None:
            return f"{definition.name} {held}"
        return self.keys_of(definition, held)

    def held(self, build: Build) -> tuple[int, ...]:
        """The changes of its project that are in the state of a build."""
        return self.holds[self.draft().get(Buildset, build.buildset_id).commit]

    def going(self) -> dict[tuple[str, tuple[int, ...]], int]:
        """The machine of everything that runs, by job and changes; what waits to start does."""
        found: dict[tuple[str, tuple[int, ...]], int] = {}
        self.settle()
        for action in self.step():
            if isinstance(action, RunBuild):
                self.begin(action.machine.id)
        for build in self.builds():
            if build.pipeline is Pipeline.GATE and build.state is BuildState.RUNNING:
                found[build.job, self.held(build)] = build.machine_id or 0
        return found

    def end(self, held: tuple[int, ...], verdict: Verdict, name: str = "tests") -> None:
        """A run ends; the states that are then asked for are made."""
        self.finish(self.going()[name, held], verdict)
        self.settle()

    def passes(self, *held: int, name: str = "tests") -> None:
        self.end(held, Verdict.SUCCESS, name)

    def fails(self, *held: int, name: str = "tests") -> None:
        self.end(held, Verdict.FAILURE, name)

    def all_fail(self, *bad: int, name: str = "tests") -> None:
        """Every run of a job that holds one of these fails, as a true fault would have it."""
        for (ran, held), machine in self.going().items():
            if ran == name and set(held) & set(bad):
                self.finish(machine, Verdict.FAILURE)
        self.settle()

    def landing(self) -> Land | None:
        found = [each for each in intents.outstanding(self.draft()) if isinstance(each, Land)]
        assert len(found) <= 1
        return found[0] if found else None

    def land(self) -> list[int]:
        """Do the landing that is asked for; the changes that landed, in order."""
        action = self.landing()
        assert action is not None
        items = tuple(item.id for _, item, _ in action.steps)
        self.hear(events.Landed(item_ids=items))
        self.settle()
        return [item.change_id or 0 for _, item, _ in action.steps]

    def wait(self, change_id: int) -> str | None:
        return self.item(change_id).wait
