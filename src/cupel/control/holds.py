"""What people may ask of holds: that machines be kept for them, and that they be let go."""

from __future__ import annotations

import dataclasses

from cupel.config import quantity
from cupel.control import visits
from cupel.control.auth import Principal, Scope
from cupel.control.clock import Clock
from cupel.control.engine import ID_COUNTER, Engine
from cupel.core import events, holding
from cupel.core.hold import Hold, HoldState
from cupel.core.model import (
    Build,
    BuildState,
    Change,
    ChangeState,
    Host,
    Item,
    Machine,
    MachineState,
    Pool,
    Project,
)
from cupel.errors import Conflict, Forbidden, NotFound, UserError
from cupel.store.interface import Store, Transaction

WISH = 24 * 3600.0
"""Seconds for which a wish stands that nothing has fulfilled."""

MOST = 20
"""Machines that may be asked for at a time."""

SECONDS = 2 * 3600.0
"""How long a machine is kept, if nothing is said."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be kept: the machine of a build, or of those that fail, as in `Hold`."""

    build: int | None = None
    project: str | None = None
    change: int | None = None
    job: str | None = None
    count: int = 1
    seconds: float = SECONDS
    reason: str = ""


def seconds(text: str) -> float:
    """For how long, as somebody writes it. Raises `UserError`."""
    found = quantity.seconds(text)
    if found is None:
        raise UserError(f"{text[:40]!r} is not a duration", hint="say it as 30m or 2h")
    return found


class Holds:
    """`longest` is for how many seconds a machine may be kept at most."""

    def __init__(self, store: Store, engine: Engine, clock: Clock, *, longest: float) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._longest = longest

    async def ask(self, wish: Wish, principal: Principal) -> int:
        """Have machines kept; the number of the hold.

        Raises UserError and its kin for what cannot be, or is not theirs to ask.
        """
        self._check(wish)
        async with self._store.write() as tx:
            project_id, change_id = await self._about(tx, wish, principal)
            number = await tx.reserve(ID_COUNTER)
        await self._engine.record(
            events.HoldAsked(
                hold_id=number,
                user=principal.user,
                reason=" ".join(wish.reason.split()),
                count=wish.count,
                seconds=wish.seconds,
                expires_at=self._clock() + WISH,
                project_id=project_id,
                change_id=change_id,
                build_id=wish.build,
                job=wish.job,
            )
        )
        return number

    async def release(self, number: int, principal: Principal) -> None:
        """Let the machines of a hold go: by whose it is, or by an administrator."""
        async with self._store.read() as tx:
            hold = await tx.get(Hold, number)
        if hold is None:
            raise NotFound(f"there is no hold {number}", hint="`cupel hold list` has them")
        if hold.owner != principal.user and not principal.may(Scope.ADMIN):
            raise Forbidden(f"hold {number} is of {hold.owner}", hint="they can release it")
        if hold.state is HoldState.OVER:
            raise Conflict(f"hold {number} is over already: {hold.detail}")
        await self._engine.record(events.HoldReleased(hold_id=number, user=principal.user))

    def _check(self, wish: Wish) -> None:
        if not wish.reason.strip():
            raise UserError("a machine is held for a reason", hint="say it: --reason TEXT")
        if not 0 < wish.seconds <= self._longest:
            longest = quantity.duration(self._longest)
            raise UserError(
                f"a machine can be held for {longest} at most",
                hint="`limits.hold` in the server's configuration says so",
            )
        if not 1 <= wish.count <= MOST:
            raise UserError(f"from 1 to {MOST} machines can be asked for, not {wish.count}")
        if wish.build is None and not (wish.job or wish.change):
            raise UserError("say what is to be held", hint="a build, --job JOB, or --change N")

    async def _about(
        self, tx: Transaction, wish: Wish, principal: Principal
    ) -> tuple[int | None, int | None]:
        """The ids of the project and the change."""
        if wish.build is not None:
            return await self._of_build(tx, wish.build, principal)
        if wish.change is not None:
            change = await tx.get(Change, wish.change)
            if change is None:
                raise NotFound(f"there is no change {wish.change}")
            if change.state is not ChangeState.OPEN:
                raise Conflict(f"change {wish.change} is {change.state}: nothing of it runs")
            return change.project_id, change.id
        if wish.project is None:
            return None, None
        found = await tx.select(Project, {"name": wish.project})
        if not found:
            raise NotFound(f"there is no project {wish.project}")
        return found[0].id, None

    async def _of_build(
        self, tx: Transaction, number: int, principal: Principal
    ) -> tuple[int, int | None]:
        build = await tx.get(Build, number)
        if build is None:
            raise NotFound(f"there is no build {number}", hint="`cupel build list` has them")
        item = await tx.get(Item, build.item_id)
        change = None
        if item is not None and item.change_id is not None:
            change = await tx.get(Change, item.change_id)
        visits.check(build, change, principal)
        machines = await tx.select(Machine, {"build_id": number})
        held = any(machine.state is MachineState.HELD for machine in machines)
        if build.state is BuildState.FINISHED and not held:
            raise Conflict(
                f"the machine of build {number} is gone",
                hint=f"`cupel hold --job {build.job!r}` keeps that of the next one that fails",
            )
        if machines and not held:
            await self._check_room(tx, number, machines)
        return build.project_id, None if change is None else change.id

    async def _check_room(self, tx: Transaction, build: int, mine: list[Machine]) -> None:
        """Whether the machines could be held now. Raises `Conflict`."""
        host = await tx.get(Host, mine[0].host_id)
        held = await tx.select(Machine, {"state": (MachineState.HELD,)})
        for pool in await tx.select(Pool, {"label": {machine.label for machine in mine}}):
            if host is not None:
                why = holding.why_not(held, pool, host, len(mine))
                if why is not None:
                    raise Conflict(
                        f"the machine of build {build} cannot be held: {why}",
                        hint="`cupel hold list` has those that are; release one",
                    )
