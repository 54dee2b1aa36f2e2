"""Actions are asked once, and again exactly when that is of use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from cupel.control import dispatch as dispatching
from cupel.control.dispatch import Dispatch
from cupel.control.engine import Engine
from cupel.control.hosts import Hosts
from cupel.control.states import States
from cupel.core import actions, events
from cupel.core.model import (
    Buildset,
    BuildsetState,
    Item,
    ItemState,
    Pipeline,
    Policy,
    Project,
)
from cupel.errors import InfraError

PROJECT = Project(id=1, name="p", queue_id=9, branches=("main",), policy=Policy(), created_at=0.0)
ITEM = Item(
    id=2,
    pipeline=Pipeline.GATE,
    project_id=1,
    branch="main",
    change_id=3,
    patch_set=1,
    commit="c",
    state=ItemState.LANDING,
    position=2,
    buildset_id=4,
    enqueued_at=0.0,
)
BUILDSET = Buildset(
    id=4,
    item_id=2,
    number=1,
    onto="o",
    state=BuildsetState.READY,
    commit="m",
    tree="t",
    jobs=(),
    detail=None,
    notice=None,
    created_at=0.0,
)
LAND = actions.Land(steps=((PROJECT, ITEM, BUILDSET),))
REFUSED = events.LandingRefused(item_ids=(2,), head="elsewhere")
DESTROY = actions.DestroyMachine(machine_id=7, host="h")


class Stage:
    """An engine, states and hosts that only note what they are asked."""

    def __init__(self) -> None:
        self.recorded: list[events.Fact] = []
        self.landings = 0
        self.destroyed = 0
        self.connected = 1
        self.woken = 0
        self.fails = 0

    async def record(self, *facts: events.Fact) -> None:
        self.recorded += facts

    def wake(self) -> None:
        self.woken += 1

    async def land(self, action: actions.Land) -> tuple[events.Fact, ...]:
        self.landings += 1
        if self.fails:
            self.fails -= 1
            raise InfraError("the disk is full")
        return (events.Landed(item_ids=(1,)), REFUSED)

    async def destroy(self, action: actions.DestroyMachine) -> None:
        self.destroyed += 1

    def connections(self, name: str) -> int:
        return self.connected


def play(*rounds: Sequence[actions.Action] | Callable[[Stage], None]) -> Stage:
    """Dispatch what is outstanding, round after round, each done before the next."""

    async def scenario() -> Stage:
        stage: Any = Stage()
        async with asyncio.TaskGroup() as group:
            made = Dispatch(
                group, cast("Engine", stage), cast("States", stage), cast("Hosts", stage)
            )
            for each in rounds:
                if callable(each):
                    each(stage)
                else:
                    made.dispatch(each)
                    await asyncio.sleep(0.01)
        return cast("Stage", stage)

    return asyncio.run(scenario())


def test_what_is_under_way_is_not_asked_again() -> None:
    assert play([DESTROY], [DESTROY], [DESTROY]).destroyed == 1


def test_what_was_done_and_comes_up_again_is_asked_again() -> None:
    assert play([DESTROY], [], [DESTROY]).destroyed == 2


def test_a_landing_that_was_refused_may_be_asked_again_at_once() -> None:
    stage = play([LAND], [LAND])
    assert stage.landings == 2
    assert stage.recorded == [events.Landed(item_ids=(1,)), REFUSED] * 2


def test_what_a_broken_connection_did_not_deliver_is_asked_over_the_next() -> None:
    def reconnect(stage: Stage) -> None:
        stage.connected += 1

    assert play([DESTROY], reconnect, [DESTROY], [DESTROY]).destroyed == 2


def test_what_the_infrastructure_failed_is_asked_again_after_a_while(monkeypatch: Any) -> None:
    monkeypatch.setattr(dispatching, "_PATIENCE", 0.0)

    def fail_once(stage: Stage) -> None:
        stage.fails = 1

    stage = play(fail_once, [LAND], [LAND])
    assert stage.landings == 2
    assert stage.woken == 1
    assert len(stage.recorded) == 2
