"""People in the machines of builds: who may go in, and what goes to and fro."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
import shlex
from collections.abc import Awaitable, Callable

import structlog

from cupel.control.auth import Principal, Scope
from cupel.control.clock import Clock
from cupel.control.engine import Engine
from cupel.core import events
from cupel.core.model import (
    Build,
    BuildState,
    Change,
    Host,
    Item,
    Machine,
    MachineState,
    Pipeline,
)
from cupel.errors import Conflict, Forbidden, InfraError, NotFound, UserError
from cupel.host import messages
from cupel.report.messages import ends_soon
from cupel.store.interface import Store

log = structlog.get_logger(__name__)

Say = Callable[[messages.ToHost], Awaitable[None]]

OWN = frozenset({Pipeline.CHECK, Pipeline.GATE})
"""The pipelines whose machines are open to those who may write; others are the administrators'."""

OPEN = frozenset({MachineState.USED, MachineState.HELD})

LOOKS = 1.0
"""Seconds between two looks at whose hold ends soon."""

WARNINGS = (300.0, 60.0, 10.0)
"""So many seconds before a hold ends whoever is there is told."""

MOST = 16
"""Visits of a machine at a time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants in a machine: `argv`, or a shell where there is none.

    With `size`, rows and columns, at a terminal. `part` is the name of the machine, in a build
    that has several. With `company` they hear who is there, first and whenever that changes.
    """

    argv: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    term: str = ""
    part: str = ""
    company: bool = False

    @property
    def text(self) -> str:
        return shlex.join(self.argv) if self.argv else "a shell"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    stream: str
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What whoever is there should know."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Who is in the machine, in the order in which they came; once for each of their processes."""

    users: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """`status` is None where the process did not end by itself; `reason` says what happened."""

    status: int | None
    reason: str | None = None


News = Output | Notice | Company | Ended


class Visit:
    """One person's process. `next` says what comes of it, until it has ended."""

    def __init__(
        self, number: int, machine: Machine, user: str, say: Say, *, company: bool = False
    ) -> None:
        self.number = number
        self.machine = machine
        self.user = user
        self._say = say
        self._company = company
        self._news: collections.deque[News] = collections.deque()
        self._heard = asyncio.Event()
        self._room = messages.VISIT_WINDOW
        self._more_room = asyncio.Event()
        self._read = 0
        self.ended: Ended | None = None

    async def next(self) -> News:
        """What comes next; what came before is dealt with. After the end, the end again."""
        if self._read >= messages.VISIT_WINDOW // 4:
            count, self._read = self._read, 0
            await self._say(messages.VisitRoom(visit=self.number, count=count))
        while not self._news:
            if self.ended is not None:
                return self.ended
            self._heard.clear()
            await self._heard.wait()
        news = self._news.popleft()
        if isinstance(news, Output):
            self._read += len(news.data)
        return news

    async def type(self, data: bytes) -> None:
        """Send what was typed, at the pace of its reading."""
        at = 0
        while at < len(data) and self.ended is None:
            if self._room <= 0:
                self._more_room.clear()
                await self._more_room.wait()
                continue
            piece = data[at : at + self._room]
            at += len(piece)
            self._room -= len(piece)
            await self._say(messages.VisitInput(visit=self.number, data=piece))

    async def close_input(self) -> None:
        await self._say(messages.VisitInput(visit=self.number, data=b""))

    async def resize(self, rows: int, columns: int) -> None:
        await self._say(messages.VisitSize(visit=self.number, rows=rows, columns=columns))

    def hear(self, news: News) -> None:
        if self.ended is not None or (isinstance(news, Company) and not self._company):
            return
        if isinstance(news, Ended):
            self.ended = news
            self._more_room.set()
        else:
            self._news.append(news)
        self._heard.set()

    def grant(self, count: int) -> None:
        self._room += count
        self._more_room.set()


class Visits:
    """Every visit that is under way, whichever host it is on."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._lines: dict[str, Say] = {}
        self._visits: dict[int, Visit] = {}
        self._hosts: dict[int, str] = {}
        """The name of each visit's host."""
        self._numbers = itertools.count(1)

    # For hosts.

    def connect(self, host: str, say: Say) -> None:
        self._lines[host] = say

    def disconnect(self, host: str, reason: str) -> None:
        """All visits there have ended with the connection."""
        self._lines.pop(host, None)
        for number, visit in tuple(self._visits.items()):
            if self._hosts[number] == host:
                visit.hear(Ended(status=None, reason=f"the host {host} is lost: {reason}"))

    def hear(
        self, message: messages.VisitOutput | messages.VisitTaken | messages.VisitEnded
    ) -> None:
        """What comes for somebody who has left is late, and means nothing."""
        visit = self._visits.get(message.visit)
        if visit is None:
            return
        match message:
            case messages.VisitOutput(stream=stream, data=data):
                visit.hear(Output(stream=stream, data=data))
            case messages.VisitTaken(count=count):
                visit.grant(count)
            case messages.VisitEnded(status=status, reason=reason):
                visit.hear(Ended(status=status, reason=reason))

    def tell(self, machine: int, text: str) -> None:
        """Tell all who are in a machine."""
        for visit in self._visits.values():
            if visit.machine.id == machine:
                visit.hear(Notice(text=text))

    def inside(self) -> set[int]:
        """The machines in which somebody is."""
        return {visit.machine.id for visit in self._visits.values()}

    def company(self, machine: int) -> tuple[str, ...]:
        """Who is in a machine, in the order in which they came."""
        return tuple(each.user for each in self._visits.values() if each.machine.id == machine)

    def _tell_company(self, machine: int) -> None:
        news = Company(users=self.company(machine))
        for visit in self._visits.values():
            if visit.machine.id == machine:
                visit.hear(news)

    async def warn(self, clock: Clock) -> None:
        """Tell those who are in held machines in time that these will be deleted; until cancelled.

        Each of `WARNINGS` is said once to each, and again if the hold was made longer meanwhile.
        """
        said: dict[tuple[int, float], float] = {}
        while True:
            await asyncio.sleep(LOOKS)
            visits = tuple(self._visits.values())
            said = {key: until for key, until in said.items() if key[0] in self._visits}
            if not visits:
                continue
            async with self._store.read() as tx:
                ids = {visit.machine.id for visit in visits}
                rows = {row.id: row for row in await tx.select(Machine, {"id": ids})}
            for visit in visits:
                self._warn(visit, rows.get(visit.machine.id), clock(), said)

    def _warn(
        self,
        visit: Visit,
        machine: Machine | None,
        now: float,
        said: dict[tuple[int, float], float],
    ) -> None:
        if machine is None or machine.state is not MachineState.HELD or machine.held_until is None:
            return
        left = machine.held_until - now
        due = [seconds for seconds in WARNINGS if left <= seconds]
        news = [each for each in due if said.get((visit.number, each)) != machine.held_until]
        if news:
            said |= {(visit.number, each): machine.held_until for each in due}
            visit.hear(Notice(text=ends_soon(machine.build_id, left)))

    async def end(self, machine: int, reason: str) -> None:
        """Let all leave a machine, and tell them why."""
        for number, visit in tuple(self._visits.items()):
            if visit.machine.id == machine:
                visit.hear(Ended(status=None, reason=reason))
                await self._hang_up(number)

    # For people.

    async def begin(self, build_id: int, wish: Wish, principal: Principal) -> Visit:
        """Start what somebody wants in a build's machine; it goes on until `leave`.

        Raises UserError and its kin for what cannot be, or is not theirs to do.
        """
        machine, host = await self.find(build_id, wish.part, principal)
        say = self._lines.get(host)
        if say is None:
            raise InfraError(f"host {host}, on which the machine is, is not connected")
        if sum(each.machine.id == machine.id for each in self._visits.values()) >= MOST:
            raise Conflict(f"{MOST} are in machine {machine.id} already")
        number = next(self._numbers)
        visit = Visit(number, machine, principal.user, say, company=wish.company)
        message = _message(number, machine.id, wish)
        fact = events.VisitBegan(machine_id=machine.id, user=principal.user, what=wish.text)
        await self._engine.record(fact)
        self._visits[number], self._hosts[number] = visit, host
        self._tell_company(machine.id)
        try:
            await say(message)
        except BaseException:
            await self.leave(visit)
            raise
        return visit

    async def leave(self, visit: Visit) -> None:
        """Whoever came is gone; what still runs there is hung up on."""
        how = _how(visit.ended)
        if visit.ended is None:
            await self._hang_up(visit.number)
        self._visits.pop(visit.number, None)
        self._hosts.pop(visit.number, None)
        self._tell_company(visit.machine.id)
        fact = events.VisitEnded(machine_id=visit.machine.id, user=visit.user, how=how)
        await self._engine.record(fact)

    async def _hang_up(self, number: int) -> None:
        say = self._lines.get(self._hosts.get(number, ""))
        if say is not None:
            try:
                await say(messages.VisitLeft(visit=number))
            except InfraError as error:
                log.info("a host goes away with a visit", visit=number, why=error.message)

    async def find(self, build_id: int, part: str, principal: Principal) -> tuple[Machine, str]:
        """The machine that somebody may go into, and the name of its host.

        Raises NotFound, Forbidden, and Conflict for one that nobody can go into now.
        """
        async with self._store.read() as tx:
            build = await tx.get(Build, build_id)
            if build is None:
                raise NotFound(f"there is no build {build_id}", hint="`cupel build list` has them")
            item = await tx.get(Item, build.item_id)
            change = None
            if item is not None and item.change_id is not None:
                change = await tx.get(Change, item.change_id)
            check(build, change, principal)
            machines = await tx.select(Machine, {"build_id": build.id})
            machine = chosen(build, machines, part)
            host = await tx.get(Host, machine.host_id)
        if host is None:
            raise InfraError(f"the host of machine {machine.id} is not known any more")
        return machine, host.name


def check(build: Build, change: Change | None, principal: Principal) -> None:
    """Whether somebody may go into the machine of a build. Raises `Forbidden`.

    Whoever may write can have anything run for a change, so a shell there gives them nothing more.
    What runs after landing may be given what only landed jobs see.
    """
    if principal.may(Scope.ADMIN):
        return
    if not principal.may(Scope.WRITE):
        raise Forbidden("this token may not go into machines", hint="it needs the scope `write`")
    if build.pipeline not in OWN or change is None:
        raise Forbidden(
            f"build {build.id} is of the pipeline {build.pipeline}: its machine is for "
            "administrators alone",
            hint="ask somebody whose token has the scope `admin`",
        )


def chosen(build: Build, machines: list[Machine], part: str) -> Machine:
    """The machine of a build that is meant by `part`. Raises `NotFound`, and `Conflict` for one
    that nobody can enter now."""
    names = [each.name for each in build.parts]
    if part and part not in names:
        which = f"it has: {', '.join(names)}" if names else "it has but one"
        raise NotFound(f"build {build.id} has no machine {part!r}", hint=which)
    if build.state is BuildState.QUEUED:
        raise Conflict(f"build {build.id} has no machine yet", hint="it waits for one")
    wanted = part or (names[0] if names else "")
    found = next((each for each in machines if each.part == wanted), None)
    if found is None or found.state not in OPEN:
        raise Conflict(_closed(build, found), hint=_how_to_hold(build))
    return found


def _closed(build: Build, machine: Machine | None) -> str:
    if build.reused_from is not None:
        return f"build {build.id} had no machine: it is reused from build {build.reused_from}"
    if machine is not None and machine.hold_id is not None:
        return f"the machine of build {build.id} is not held any more: {machine.detail}"
    if build.state is BuildState.FINISHED:
        return f"the machine of build {build.id} is gone: it was not held"
    return f"the machine of build {build.id} is not there"


def _how_to_hold(build: Build) -> str:
    return (
        f"`cupel hold --job {shlex.quote(build.job)}` keeps the machine of the next one that fails"
    )


def _message(number: int, machine: int, wish: Wish) -> messages.Visit:
    if any("\0" in word for word in wish.argv):
        raise UserError("a command cannot hold a NUL character")
    rows, columns = wish.size or (None, None)
    env = (("TERM", wish.term or "dumb"),) if wish.size is not None else ()
    return messages.Visit(
        machine=machine, visit=number, argv=wish.argv, env=env, rows=rows, columns=columns
    )


def _how(ended: Ended | None) -> str:
    if ended is None:
        return "left"
    if ended.status is None:
        return ended.reason or "lost"
    return f"status {ended.status}"
