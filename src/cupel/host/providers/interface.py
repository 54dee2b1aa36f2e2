"""The one interface that every provider of machines implements."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from cupel.host.messages import LinkSpec, MachineSpec
from cupel.host.providers.oom import Killed

T = TypeVar("T")


class Stream(enum.StrEnum):
    OUT = "out"
    ERR = "err"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used so far: seconds of cpu, bytes of memory at the peak (None: not known).

    And now: `memory` without page cache that can be dropped at once, `processes` with threads;
    `disk` is what the machine's own disk holds. `waits` are the percents of the last ten seconds in
    which some process waited for cpu, memory and io. `read` and `written` are bytes that came from
    disks and went there since the machine's beginning, as far as the page cache did not spare it.
    """

    cpu_seconds: float | None = None
    memory_peak: int | None = None
    oom_kills: int = 0
    memory: int | None = None
    processes: int | None = None
    disk: int | None = None
    waits: tuple[float | None, float | None, float | None] = (None, None, None)
    read: int | None = None
    written: int | None = None
    cpu_of_host: float | None = None
    """Seconds of cpu that the machine cost its host, where that is more than what ran in it."""


class Process(Protocol):
    """A process in a machine."""

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """What it writes, in chunks as they come; ends when it has exited and all is read.

        A grandchild that keeps a pipe open does not keep the iterator open.
        """
        ...

    async def wait(self) -> int:
        """Its exit status; negative for a signal."""
        ...

    async def kill(self) -> None:
        """SIGKILL to it and to its process group."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How large a terminal is, in characters."""

    rows: int
    columns: int


class Talk(Process, Protocol):
    """A process in a machine that somebody talks to, perhaps at a terminal of its own."""

    async def write(self, data: bytes) -> None:
        """Type to it, at the pace of its reading. What comes after its end is lost."""
        ...

    async def close_input(self) -> None:
        """Nothing more will be typed: the end of its stdin. A terminal has no such end."""
        ...

    async def resize(self, size: Size) -> None:
        """Its terminal has another size now; without one this does nothing."""
        ...

    async def hang_up(self) -> None:
        """Nobody talks to it any more: what runs at its terminal gets SIGHUP, as when a line is
        lost, and whatever has no terminal is killed. Repeatable."""
        ...


class Machine(Protocol):
    """A machine that exists. Every method but `destroy` raises `InfraError` once it is gone."""

    @property
    def id(self) -> int: ...

    @property
    def image(self) -> str:
        """The digest of its root filesystem."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Limits that are enforced by other means than cgroups, or not, in words."""
        ...

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: bytes | None = None,
    ) -> Process:
        """Start a process as the build's user, who is root inside.

        `env` is added to what the machine itself sets, such as PATH and where its trust store is;
        nothing of the host's environment is inherited. A program that can't be started ends with
        126 or 127, as in a shell, and says why on stderr.
        """
        ...

    async def talk(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, size: Size | None
    ) -> Talk:
        """Start a process as `exec` does, whose stdin stays open.

        With a `size` it leads a session at a terminal of the machine, and all that it writes comes
        as `Stream.OUT`.
        """
        ...

    async def copy_in(self, tar: AsyncIterator[bytes], target: str) -> None:
        """Unpack a tar stream below `target`, inside the machine."""
        ...

    def copy_out(self, source: str, *, smallest_first: bool = False) -> AsyncIterator[bytes]:
        """A tar stream of what lies below `source`; packed inside the machine.

        With `smallest_first` of files alone, for who may not read all of it.
        """
        ...

    @property
    def lays(self) -> bool:
        """Whether `lay` can work on it at all."""
        ...

    async def lay(self, image: Path, paths: Sequence[str]) -> None:
        """Show directory `N` of an image (erofs) at the Nth path, by copy-on-write, from now on.

        What is written there is the machine's own. Nothing of the image gives rights or is a
        device. Raises `UserError` where that can't be done, in words.
        """
        ...

    def usage(self) -> Usage: ...

    async def fault(self) -> str | None:
        """What ended the machine itself, when that was what ran in it; in words for its author.

        None for a machine that goes on, and for one that was lost in any other way.
        """
        ...

    def casualties(self) -> Sequence[Killed]:
        """What its kernel has killed in it for want of memory, as far as that can be known."""
        ...

    def records(self) -> Mapping[str, Path]:
        """Files of the host that tell what became of the machine, by the name to show them by."""
        ...

    async def destroy(self) -> None:
        """Kill all that is in it and remove every trace. Repeatable; InfraError if some stays."""
        ...


class How(enum.Enum):
    """How a system that was booted ended."""

    OFF = enum.auto()
    RESTART = enum.auto()
    EXIT = enum.auto()
    PANIC = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """`number` is what it ended with, if it said one."""

    how: How
    number: int | None = None

    @property
    def text(self) -> str:
        match self.how:
            case How.OFF:
                return "switched itself off"
            case How.RESTART:
                return "restarted itself"
            case How.EXIT:
                return f"ended with {self.number}"
            case How.PANIC:
                return "panicked"


@runtime_checkable
class Bootable(Protocol):
    """A machine that boots a system of its own, in which nothing can be started."""

    def boot(self) -> AsyncIterator[bytes]:
        """Let it boot; what comes over its console, until it has ended. Once."""
        ...

    def ending(self) -> Ending:
        """How it ended. Raises `InfraError` where that was not its own doing."""
        ...


class Network(Protocol):
    """The private network of a build that has several machines. Nothing else is in it."""

    @property
    def addresses(self) -> Mapping[str, str]:
        """The IPv4 address of each machine, by its name in the build."""
        ...

    async def set(self, link: LinkSpec) -> None:
        """Change what happens to packets between two machines. InfraError once it has ended."""
        ...

    def close(self) -> None:
        """Remove it. Repeatable."""
        ...


class Provider(Protocol):
    """How machines are made."""

    name: str

    def shares(self, spec: MachineSpec) -> bool:
        """Whether a machine sees what comes into its `binds` later.

        If not, none are asked for, and all that a build needs is copied in.
        """
        ...

    async def prepare(self, spec: MachineSpec, progress: Progress) -> str:
        """Make the image of `spec` available, building it if need be; its digest."""
        ...

    def find(self, spec: MachineSpec) -> str | None:
        """The digest of the image that `create` would use, if it is built."""
        ...

    async def create(
        self, machine: int, spec: MachineSpec, *, binds: Mapping[Path, str] = ...
    ) -> Machine:
        """Make machine number `machine`; `binds` are host directories shown read-only inside."""
        ...

    async def join(
        self, spec: MachineSpec, machines: Mapping[str, Machine], links: Sequence[LinkSpec]
    ) -> Network:
        """Join machines, the first of which is as `spec` says, into a network of their own.

        Raises `UserError` for machines that can't be joined.
        """
        ...

    async def list(self) -> Sequence[int]:
        """Every machine of which anything is left, whoever made it."""
        ...

    async def purge(self, machine: int) -> None:
        """Remove what is left of a machine of an earlier life. Repeatable."""
        ...

    async def close(self) -> None:
        """Remove what it has made and is there still. It makes nothing any more."""
        ...


class Progress(Protocol):
    def __call__(self, text: str) -> None: ...


@contextlib.asynccontextmanager
async def closing(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """End an iterator that is left early at once, and what it reads from with it."""
    try:
        yield iterator
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()
