"""A fake host: it makes machines, runs builds on them and loses them, as its protocol says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cupel.core import alone, events
from cupel.core.actions import (
    CancelBuild,
    DestroyMachine,
    DropCache,
    KeepMachine,
    MakeMachine,
    RunBuild,
)
from cupel.core.cache import CacheUse, Wanted, file_of
from cupel.core.model import StepResult, Usage, Verdict
from cupel.core.results import Findings, Outcome, Result, Tally
from cupel.simulate.fate import Cause, Fate, Nature, by_name
from cupel.simulate.faults import Faults
from cupel.simulate.timeline import Timeline

LABEL = "debian-12"
CACHE_ROOM = 100
"""Bytes that the caches of a host may take."""

SICK = Fate(seconds=0.5, verdict=Verdict.INFRA, reason="the disk is full", cause=Cause.HOST)
"""What becomes of every build on a host that cannot run any."""


@dataclasses.dataclass(slots=True)
class _Machine:
    image: str
    action: RunBuild | None = None
    is_ready: bool = False
    ended: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What truly happened on a machine. `key` names what the job says that it depends on."""

    machine: int
    build: int
    verdict: Verdict
    cause: Cause | None
    key: str
    image: str


class FakeHost:
    """`report` sends a fact to the server; it is lost when there is no connection."""

    def __init__(
        self,
        name: str,
        slots: int,
        *,
        timeline: Timeline,
        nature: Nature,
        report: Callable[[FakeHost, events.Fact], None],
        faults: Faults,
    ) -> None:
        self.name = name
        self.slots = slots
        self.session = 0
        """Grows with every connection: what was sent on an older one does not arrive."""
        self.connected = False
        self.alive = True
        self.sick = False
        """Whether it fails every build in its first second."""
        self.slowness = 1.0
        """How many times as long builds take here."""
        self.boot = 1.0
        self.machines: dict[int, _Machine] = {}
        self.held: set[int] = set()
        """Those that it was told to keep."""
        self.cannot_make = False
        """Whether it fails to make any machine."""
        self.made: list[int] = []
        """Every machine that was ever made here."""
        self.used: list[tuple[int, int]] = []
        """Every machine that was ever used here, with its build."""
        self.ran: dict[int, Ran] = {}
        """By machine, how its build ended."""
        self.caches: set[str] = set()
        """The files of the caches that are here; a crash does not take them."""
        self.given: list[tuple[int, int]] = []
        """The build that each build was given a cache of, behind it."""
        self.faults = faults
        self._timeline = timeline
        self._nature = nature
        self._report = report

    # What the server can tell it.

    def make(self, action: MakeMachine) -> None:
        number = action.machine.id
        if number in self.machines:
            return
        machine = self.machines[number] = _Machine(action.machine.pinned or self._nature.image)
        self.made.append(number)
        slow = self._nature.chance.random() < self.faults.slow
        boot = self.boot * (100.0 if slow else 1.0)
        fails = self.cannot_make or self._nature.chance.random() < self.faults.unmade

        def ready() -> None:
            if not self._works(number, machine):
                return
            if fails:
                machine.ended = True
                reason = "no space left"
                self._report(self, events.MachineFailed(machine_id=number, reason=reason))
                return
            machine.is_ready = True
            self._report(
                self,
                events.MachineReady(machine_id=number, image=machine.image, seconds=boot),
            )

        self._timeline.after(boot, ready)

    def run(self, action: RunBuild) -> None:
        number = action.machine.id
        machine = self.machines.get(number)
        if machine is None:
            self._report(self, events.MachineGone(machine_id=number))
        elif machine.action is None and not machine.ended:
            assert machine.is_ready, f"build {action.build.id} came before machine {number}"
            machine.action = action
            self.used.append((number, action.build.id))
            self._start(number, machine, action)

    def cancel(self, action: CancelBuild) -> None:
        number = action.machine_id
        machine = self.machines.get(number)
        if machine is None:
            self._report(self, events.MachineGone(machine_id=number))
        elif not machine.ended:
            fate = Fate(seconds=0.0, verdict=Verdict.CANCELLED, reason="cancelled")
            self._end(number, machine, fate)

    def destroy(self, action: DestroyMachine) -> None:
        number = action.machine_id

        def gone() -> None:
            if self.alive:
                self.machines.pop(number, None)
                self._report(self, events.MachineGone(machine_id=number))

        if number in self.machines:
            self.machines[number].ended = True
        self._timeline.after(0.1, gone)

    def keep(self, action: KeepMachine) -> None:
        machine = self.machines.get(action.machine_id)
        if machine is not None and machine.ended:
            self.held.add(action.machine_id)

    def drop(self, action: DropCache) -> None:
        self.caches.discard(action.file)
        self._report(self, events.CachesGone(host=self.name, files=(action.file,)))

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
                held=tuple(sorted(self.held & self.machines.keys())),
                detail=None,
                images=((LABEL, self._nature.image),),
                caches=tuple(sorted(self.caches)),
                cache_room=CACHE_ROOM,
                cache_share=CACHE_ROOM // 2,
            ),
        )

    def hang_up(self) -> None:
        self.connected = False

    def crash(self, *, keeping_machines: bool) -> None:
        """Stop at once. What ran is over, but the machines may still be there when it is back."""
        self.alive = self.connected = False
        self.held.clear()
        if not keeping_machines:
            self.machines.clear()
        for machine in self.machines.values():
            machine.ended = True

    def start(self) -> None:
        self.alive = True

    # How builds go.

    def _works(self, number: int, machine: _Machine) -> bool:
        return self.machines.get(number) is machine and not machine.ended

    def _start(self, number: int, machine: _Machine, action: RunBuild) -> None:
        fate = SICK if self.sick else self._nature.fate(action, self.faults)
        now = self._timeline.now
        steps = tuple(
            StepResult(name=step.name, started_at=now, finished_at=None, exit_status=None)
            for step in action.job.steps[:1]
        )
        self._report(self, events.StepsChanged(machine_id=number, steps=steps))

        def end() -> None:
            if self._works(number, machine):
                self._end(number, machine, fate)

        self._timeline.after(fate.seconds * self.slowness, end)

    def _end(self, number: int, machine: _Machine, fate: Fate) -> None:
        machine.ended = True
        caches: tuple[CacheUse, ...] = ()
        if machine.action is not None:
            self._remember(number, machine, machine.action, fate)
            passed = fate.verdict is Verdict.SUCCESS
            caches = tuple(
                self._keep(machine.action.build.id, wanted, passed=passed)
                for wanted in machine.action.caches
            )
        self._report(
            self,
            events.BuildFinished(
                machine_id=number,
                verdict=fate.verdict,
                reason=fate.reason,
                steps=_ended(machine.action, fate),
                usage=Usage(),
                artefacts=(),
                caches=caches,
                findings=_findings(machine.action, fate),
            ),
        )

    def _keep(self, build: int, wanted: Wanted, *, passed: bool) -> CacheUse:
        """What becomes of a cache in a build that ends."""
        name, given = wanted.cache.name, wanted.restore
        there = given is not None and given.file in self.caches
        if given is not None and there:
            self.given.append((build, given.build_id))
        saves = wanted.save and passed
        if saves:
            self.caches.add(file_of(build, name))
        return CacheUse(
            name=name,
            restored=given.build_id if given is not None and there else None,
            saved=self._nature.chance.randint(1, CACHE_ROOM // 4) if saves else None,
        )

    def _remember(self, number: int, machine: _Machine, action: RunBuild, fate: Fate) -> None:
        assert action.buildset.commit is not None
        key = self._nature.repositories.key(
            action.job, action.buildset.commit, by_name(action.beside)
        )
        if fate.verdict is Verdict.SUCCESS:
            self._nature.passed.add(key)
        self.ran[number] = Ran(
            machine=number,
            build=action.build.id,
            verdict=fate.verdict,
            cause=fate.cause,
            key=key,
            image=machine.image,
        )


TESTS = 10
"""The tests of a job that leaves results; those that do say how to run failed ones alone."""


def _ended(action: RunBuild | None, fate: Fate) -> tuple[StepResult, ...]:
    """The one step of a job that leaves results."""
    if action is None or not alone.offers(action.job):
        return ()
    status = {Verdict.SUCCESS: 0, Verdict.FAILURE: 1}.get(fate.verdict)
    return (StepResult(name="tests", started_at=0.0, finished_at=0.0, exit_status=status),)


def _findings(action: RunBuild | None, fate: Fate) -> Findings | None:
    """One of its tests has failed where the job has."""
    if action is None or not alone.offers(action.job) or fate.verdict not in _TOLD:
        return None
    bad = () if fate.verdict is Verdict.SUCCESS else (_FAILED,)
    total = len(action.failed) or TESTS
    return Findings(tally=Tally(passed=total - len(bad), failed=len(bad)), failing=bad)


_TOLD = frozenset({Verdict.SUCCESS, Verdict.FAILURE})
_FAILED = Result(suite="suite", name="test", outcome=Outcome.FAILED)
