"""The simulated server process: the real engine, the hands that obey it, and its deaths."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Mapping
from typing import assert_never

from cupel.control import engine as engines
from cupel.control.feed import Feed
from cupel.core import events
from cupel.core.actions import (
    Action,
    CancelBuild,
    DestroyMachine,
    DropCache,
    KeepMachine,
    Land,
    MakeMachine,
    PrepareState,
    RunBuild,
)
from cupel.core.model import Job, Pipeline, Role
from cupel.simulate.fate import by_name
from cupel.simulate.faults import Change, Faults, Killed, MortalStore
from cupel.simulate.git import Commit, Git, Patches, Ref
from cupel.simulate.host import FakeHost
from cupel.simulate.timeline import Timeline, at_once
from cupel.store.memory import Disk, MemoryStore

LATENCY = 0.01
WORK = 0.1
"""Seconds that a merge or a landing takes, once to act and once to tell."""
DOWN = 5.0
"""Seconds between a death and the next start."""
PULSE = 30.0
GRACE = 60.0
"""Seconds after which a host that does not answer is held to be lost."""


Jobs = Callable[[int, Pipeline, Patches], tuple[Job, ...]]
"""The jobs of a project's pipeline where these patches are."""


@dataclasses.dataclass(slots=True)
class _Move:
    """A branch that is to go from `old` to `new`, which lands `items`."""

    ref: Ref
    old: str | None
    new: str
    items: tuple[int, ...]


class Server:
    """`observe` is told what each transaction changed and whether a plan made it."""

    def __init__(
        self,
        disk: Disk,
        *,
        timeline: Timeline,
        git: Git,
        hosts: Mapping[str, FakeHost],
        jobs: Jobs,
        chance: random.Random,
        faults: Faults,
        observe: Callable[[list[Change], bool], None],
        tell: Callable[[str], None],
    ) -> None:
        self.faults = faults
        self.up = False
        self.deaths = 0
        self.doomed: int | None = None
        """At how many more points it may die before it does."""
        self.life = 0
        """Grows with every start: what an earlier life had under way is no more."""
        self._disk = disk
        self._timeline = timeline
        self._git = git
        self._hosts = hosts
        self._jobs = jobs
        self._chance = chance
        self._observe = observe
        self._tell = tell
        self._planning = False
        self._woken = False
        self._in_flight: set[tuple[str, int]] = set()
        self._last_dispatch = 0.0
        self._arrivals: dict[str, float] = {}
        self.start()

    # Life and death.

    def start(self) -> None:
        self.life += 1
        self.up = True
        self._woken = False
        self._in_flight.clear()
        store = MortalStore(MemoryStore(self._disk), self._doom, self._committed)
        self.engine = self._make_engine(store)
        self._timeline.after(self._chance.uniform(0.0, 2.0), self._alive(self.plan))
        for host in self._hosts.values():
            self._timeline.after(self._chance.uniform(0.1, 2.0), self._alive(host.say_hello))
            self._timeline.after(GRACE, self._alive(functools.partial(self.miss, host)))

    def _make_engine(self, store: MortalStore) -> engines.Engine:
        return engines.Engine(store, Feed(), self._timeline)

    def die(self, where: str) -> None:
        self._tell(f"the server dies {where}")
        self.up = False
        self.deaths += 1
        for host in self._hosts.values():
            host.hang_up()
        self._timeline.after(DOWN, self.start)

    def _doom(self, where: str) -> None:
        if self.doomed is not None:
            self.doomed = self.doomed - 1 or None
            if self.doomed is None:
                raise Killed(where)
        if self._chance.random() < self.faults.kill:
            raise Killed(where)

    def _alive(self, happen: Callable[[], None]) -> Callable[[], None]:
        """`happen`, unless this life is over by then."""
        life = self.life

        def guarded() -> None:
            if self.up and self.life == life:
                happen()

        return guarded

    # Facts come in.

    def record(self, *facts: events.Fact) -> bool:
        """Store facts; False if the server is down or died of it, stored or not."""
        if not self.up:
            return False
        self._planning = False
        try:
            at_once(self.engine.record(*facts))
        except Killed as killed:
            self.die(f"{killed} of {', '.join(type(fact).__name__ for fact in facts)}")
            return False
        self.wake()
        return True

    def hear(self, host: FakeHost, fact: events.Fact) -> None:
        """A host's report, in order on its connection."""
        session = host.session

        def arrive() -> None:
            if host.connected and host.session == session:
                self.record(fact)

        if host.connected:
            self._in_order(f"from {host.name}", self._alive(arrive))
            self._perhaps_again(fact)

    def miss(self, host: FakeHost) -> None:
        """No heartbeat came for too long."""
        if not host.connected:
            self.record(events.HostLost(name=host.name, reason="no heartbeat"))

    def _perhaps_again(self, *facts: events.Fact) -> None:
        if any(isinstance(fact, events.HostConnected) for fact in facts):
            return  # A connection begins once: a second hello on it ends it.
        if self._chance.random() < self.faults.doubled:
            delay = self._chance.choice((0.05, 5.0, 500.0))
            self._timeline.after(delay, functools.partial(self._hear_again, facts))

    def _hear_again(self, facts: tuple[events.Fact, ...]) -> None:
        self.record(*facts)

    # Plans go out.

    def wake(self, *, certainly: bool = False) -> None:
        lost = not certainly and self._chance.random() < self.faults.lost_wake
        if not self._woken and not lost:
            self._woken = True
            self._timeline.after(0.0, self._alive(self.plan))

    def plan(self) -> None:
        """Plan once, and ask of the world what is outstanding."""
        self._woken = False
        self._planning = True
        try:
            actions = at_once(self.engine.step())
        except Killed as killed:
            self.die(f"{killed} of a plan")
            return
        slow = self._chance.random() < self.faults.slow_dispatch
        now = self._timeline.now
        # Dispatches keep their order: the engine plans and dispatches in one loop.
        due = self._last_dispatch = max(self._last_dispatch, now + (1.0 if slow else 0.0))
        if due <= now:
            self.dispatch(actions)
        else:
            self._timeline.at(due, self._alive(lambda: self.dispatch(actions)))

    def dispatch(self, actions: list[Action]) -> None:
        for action in actions:
            if action.key not in self._in_flight:
                self._in_flight.add(action.key)
                self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case PrepareState():
                self._work(action, lambda: self._prepare(action))
            case Land():
                self._work(action, lambda: self._land(action))
            case MakeMachine():
                self._send(action, action.host, lambda host: host.make(action))
            case RunBuild():
                self._send(action, action.host, lambda host: host.run(action))
            case CancelBuild():
                self._send(action, action.host, lambda host: host.cancel(action))
            case KeepMachine():
                self._send(action, action.host, lambda host: host.keep(action))
            case DestroyMachine():
                self._send(action, action.host, lambda host: host.destroy(action))
            case DropCache():
                self._send(action, action.host, lambda host: host.drop(action))
            case _:
                assert_never(action)

    def _work(self, action: Action, act: Callable[[], tuple[events.Fact, ...]]) -> None:
        """The world acts first and tells later: the server may die before either.

        A program that the server has started goes on without it.
        """

        def acting() -> None:
            facts = act()
            self._timeline.after(WORK, self._alive(lambda: telling(facts)))

        def telling(facts: tuple[events.Fact, ...]) -> None:
            self._in_flight.discard(action.key)
            self.record(*facts)
            self._perhaps_again(*facts)

        self._timeline.after(WORK, acting)

    def _send(self, action: Action, name: str, deliver: Callable[[FakeHost], None]) -> None:
        """A message is delivered in order, or never, when its connection ends first.

        What is on its way when the server dies arrives all the same.
        """
        host = self._hosts[name]
        session = host.session
        landed = self._alive(lambda: self._in_flight.discard(action.key))
        if not host.connected:
            self._timeline.after(LATENCY, landed)
            return

        def arrive() -> None:
            landed()
            if host.alive and host.session == session:
                deliver(host)

        self._in_order(f"to {name}", arrive)

    def _in_order(self, channel: str, arrive: Callable[[], None]) -> None:
        latency = LATENCY * (1.0 + self._chance.random())
        due = max(self._arrivals.get(channel, 0.0), self._timeline.now + latency)
        self._arrivals[channel] = due
        self._timeline.at(due, arrive)

    # What the adapters of git do.

    def _prepare(self, action: PrepareState) -> tuple[events.Fact, ...]:
        number = action.buildset.id
        made = self._make(action)
        if isinstance(made, tuple):
            return (events.StateConflicted(buildset_id=number, paths=made),)
        jobs = self._jobs(action.project.id, action.item.pipeline, made.patches)
        beside = by_name(action.beside)
        missing = {name for job in jobs for name in job.projects} - set(beside)
        if missing or any(patch.misconfigured for patch in made.patches):
            return (events.StateMisconfigured(buildset_id=number, error=".cupel.yaml:1:1: no"),)
        return (
            events.StatePrepared(
                buildset_id=number,
                commit=made.id,
                tree=made.tree,
                jobs=jobs,
                notice=None,
                keys=tuple((job.name, self._key(job, made.id, beside)) for job in jobs),
            ),
        )

    def _make(self, action: PrepareState) -> Commit | tuple[str, ...]:
        if action.buildset.role is Role.BASE:
            assert action.buildset.onto is not None
            return self._git.commits[action.buildset.onto]
        return self._git.merge(action.buildset.onto, action.item.commit)

    def _key(self, job: Job, commit: str, beside: Mapping[str, str]) -> str:
        return self._git.key(job, commit, beside)

    def _land(self, action: Land) -> tuple[events.Fact, ...]:
        """Look at every branch before any is moved; what a death leaves half done is told apart."""
        landed: list[_Move] = []
        waiting: list[_Move] = []
        refused: list[_Move] = []
        for move in self._moves(action):
            at = self._git.heads[move.ref]
            if self._git.contains(at, move.new):
                landed.append(move)
            else:
                (waiting if at == move.old else refused).append(move)
        while waiting and not refused:
            if landed and self._dies_while_landing():
                return ()
            move = waiting.pop(0)
            moved = self._git.compare_and_swap(move.ref, move.old, move.new)
            (landed if moved else refused).append(move)
        return self._told(action, landed, refused, waiting)

    def _moves(self, action: Land) -> list[_Move]:
        moves: dict[Ref, _Move] = {}
        for project, item, buildset in action.steps:
            ref, new = (project.id, item.branch), buildset.commit
            assert new is not None
            below = moves.get(ref)
            if below is None:
                moves[ref] = _Move(ref, buildset.onto, new, (item.id,))
            else:
                assert buildset.onto == below.new, f"item {item.id} is not proved on {below.new}"
                moves[ref] = _Move(ref, below.old, new, (*below.items, item.id))
        return list(moves.values())

    def _dies_while_landing(self) -> bool:
        try:
            if self.up:
                self._doom("while landing")
        except Killed as killed:
            self.die(f"{killed} several projects")
            return True
        return False

    def _told(
        self, action: Land, landed: list[_Move], refused: list[_Move], waiting: list[_Move]
    ) -> tuple[events.Fact, ...]:
        done = {number for move in landed for number in move.items}
        in_order = tuple(item.id for _, item, _ in action.steps if item.id in done)
        facts: list[events.Fact] = [events.Landed(item_ids=in_order)] if in_order else []
        others = tuple(number for move in waiting for number in move.items)
        for move in refused:
            head = self._git.heads[move.ref]
            facts.append(events.LandingRefused(item_ids=(*move.items, *others), head=head))
            others = ()
        return tuple(facts)

    def _committed(self, changes: list[Change]) -> None:
        self._observe(changes, self._planning)
