"""A fake host: it makes machines, runs builds on them and loses them, as its protocol says."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping

from cupel.core import events
from cupel.core.actions import CancelBuild, DestroyMachine, RunBuild
from cupel.core.model import Build, Job, Usage, Verdict
from cupel.simulate import git
from cupel.simulate.faults import Faults
from cupel.simulate.timeline import Timeline

IMAGE = "sha256:simulated"


@dataclasses.dataclass(slots=True)
class _Machine:
    build: Build
    ended: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What truly happened on a machine."""

    machine: int
    build: int
    verdict: Verdict


class FakeHost:
    """`report` sends a fact to the server; it is lost when there is no connection."""

    def __init__(
        self,
        name: str,
        slots: int,
        *,
        timeline: Timeline,
        repositories: git.Git,
        report: Callable[[FakeHost, events.Fact], None],
        chance: random.Random,
        faults: Faults,
        durations: Mapping[str, float],
    ) -> None:
        self.name = name
        self.slots = slots
        self.session = 0
        """Grows with every connection: what was sent on an older one does not arrive."""
        self.connected = False
        self.alive = True
        self.boot = 1.0
        self.machines: dict[int, _Machine] = {}
        self.made: list[tuple[int, int]] = []
        """Every machine that was ever made here, with its build."""
        self.ran: list[Ran] = []
        self._timeline = timeline
        self._git = repositories
        self._report = report
        self._chance = chance
        self.faults = faults
        self._durations = durations

    # What the server can tell it.

    def run(self, action: RunBuild) -> None:
        number = action.machine.id
        if number in self.machines:
            return
        machine = self.machines[number] = _Machine(action.build)
        self.made.append((number, action.build.id))
        slow = self._chance.random() < self.faults.slow
        boot = self.boot * (100.0 if slow else 1.0)

        def ready() -> None:
            if self._works(number, machine):
                self._report(self, events.MachineReady(machine_id=number, image=IMAGE))
                self._work(number, machine, action)

        self._timeline.after(boot, ready)

    def cancel(self, action: CancelBuild) -> None:
        number = action.machine_id
        machine = self.machines.get(number)
        if machine is None:
            self._report(self, events.MachineGone(machine_id=number))
        elif not machine.ended:
            self._end(number, machine, Verdict.CANCELLED, "cancelled")

    def destroy(self, action: DestroyMachine) -> None:
        number = action.machine_id

        def gone() -> None:
            if self.alive:
                self.machines.pop(number, None)
                self._report(self, events.MachineGone(machine_id=number))

        if number in self.machines:
            self.machines[number].ended = True
        self._timeline.after(0.1, gone)

    # What becomes of it.

    def say_hello(self) -> None:
        if not self.alive:
            return
        self.session += 1
        self.connected = True
        self._report(
            self,
            events.HostConnected(
                name=self.name,
                slots=self.slots,
                labels=(),
                machines=tuple(sorted(self.machines)),
                detail=None,
            ),
        )

    def hang_up(self) -> None:
        self.connected = False

    def crash(self, *, keeping_machines: bool) -> None:
        """Stop at once. What ran is over, but the machines may still be there when it is back."""
        self.alive = self.connected = False
        if not keeping_machines:
            self.machines.clear()
        for machine in self.machines.values():
            machine.ended = True

    def start(self) -> None:
        self.alive = True

    # How builds go.

    def _works(self, number: int, machine: _Machine) -> bool:
        return self.machines.get(number) is machine and not machine.ended

    def _work(self, number: int, machine: _Machine, action: RunBuild) -> None:
        takes, verdict, reason = self._fate(action)

        def end() -> None:
            if self._works(number, machine):
                self._end(number, machine, verdict, reason)

        self._timeline.after(takes, end)

    def _fate(self, action: RunBuild) -> tuple[float, Verdict, str | None]:
        own = self._git.own_patch(action.item.commit).takes
        takes = self._durations.get(action.job.name, own)
        roll = self._chance.random()
        if roll < self.faults.infra:
            return takes * self._chance.random(), Verdict.INFRA, "the disk failed"
        if roll < self.faults.infra + self.faults.dead:
            return action.job.timeout, Verdict.INFRA, "the machine was silent"
        if self._fails(action.buildset.commit, action.job):
            return takes, Verdict.FAILURE, "exit status 1"
        return takes, Verdict.SUCCESS, None

    def _fails(self, commit: str | None, job: Job) -> bool:
        assert commit is not None
        patches = self._git.commits[commit].patches
        flaky = max((patch.flaky for patch in patches), default=0.0)
        return git.broken(patches, job.base) or self._chance.random() < flaky

    def _end(self, number: int, machine: _Machine, verdict: Verdict, reason: str | None) -> None:
        machine.ended = True
        self.ran.append(Ran(machine=number, build=machine.build.id, verdict=verdict))
        self._report(
            self,
            events.BuildFinished(
                machine_id=number,
                verdict=verdict,
                reason=reason,
                steps=(),
                usage=Usage(),
                artefacts=(),
            ),
        )
