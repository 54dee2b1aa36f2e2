"""One `match`: action → adapter. What an adapter finds comes back as a fact."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import assert_never

import structlog

from cupel.control.engine import Engine
from cupel.control.hosts import Hosts
from cupel.control.states import States
from cupel.core import actions
from cupel.core.actions import Action
from cupel.errors import InfraError

log = structlog.get_logger(__name__)

_PATIENCE = 2.0
"""Seconds before an action that the infrastructure failed is asked again."""


class Dispatch:
    """Starts each outstanding action once, and again when the infrastructure failed it.

    An action's key is remembered until its row has moved on. The tasks live in `group`.
    """

    def __init__(
        self, group: asyncio.TaskGroup, engine: Engine, states: States, hosts: Hosts
    ) -> None:
        self._group = group
        self._engine = engine
        self._states = states
        self._hosts = hosts
        self._asked: dict[tuple[str, int], int] = {}

    def dispatch(self, outstanding: Sequence[Action]) -> None:
        keys = {action.key for action in outstanding}
        self._asked = {key: age for key, age in self._asked.items() if key in keys}
        for action in outstanding:
            age = self._age(action)
            if self._asked.get(action.key) != age:
                self._asked[action.key] = age
                self._group.create_task(self._perform(action), name="-".join(map(str, action.key)))

    def _age(self, action: Action) -> int:
        """Which connection the action goes over: what one did not deliver, the next is asked."""
        match action:
            case actions.PrepareState() | actions.Land():
                return 0
            case (
                actions.MakeMachine()
                | actions.RunBuild()
                | actions.CancelBuild()
                | actions.DestroyMachine()
                | actions.KeepMachine()
                | actions.DropCache()
            ):
                return self._hosts.connections(action.host)
            case _:
                assert_never(action)

    async def _perform(self, action: Action) -> None:
        try:
            await self._do(action)
        except InfraError as error:
            log.warning("an action failed, asking again", action=action.key, error=str(error))
            await asyncio.sleep(_PATIENCE)
            self._asked.pop(action.key, None)
            self._engine.wake()

    async def _do(self, action: Action) -> None:
        match action:
            case actions.PrepareState():
                await self._engine.record(await self._states.prepare(action))
                self._asked.pop(action.key, None)
            case actions.Land():
                # Refused, it may be asked again at once; the answer to this asking is in.
                await self._engine.record(*await self._states.land(action))
                self._asked.pop(action.key, None)
            case actions.MakeMachine():
                await self._hosts.make(action)
            case actions.RunBuild():
                await self._hosts.run(action)
            case actions.CancelBuild():
                await self._hosts.cancel(action)
            case actions.KeepMachine():
                await self._hosts.keep(action)
            case actions.DestroyMachine():
                await self._hosts.destroy(action)
            case actions.DropCache():
                await self._hosts.drop(action)
            case _:
                assert_never(action)
