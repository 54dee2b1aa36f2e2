"""A provider in memory: steps do what a script says, and faults are ordered beforehand.

It keeps the interface's promises: a machine that is gone raises, destroying is repeatable, a number
is used once, and what was copied in can be read back.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from cupel.errors import InfraError, UserError
from cupel.host.messages import LinkSpec, MachineSpec
from cupel.host.providers.interface import Machine, Process, Progress, Size, Stream, Usage
from cupel.host.providers.oom import Killed

OOM = "out of memory"
"""An exit of a script: the kernel kills its process for memory."""

DIES = "the machine dies"
"""An exit of a script: the machine fails while the step runs."""

FOREVER = "forever"
"""An exit of a script: the step prints what it has to print, and goes on until it is killed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a step does: prints, uses, leaves files (by paths from /build/artifacts) and exits."""

    prints: Sequence[tuple[Stream, bytes]] = ()
    exit: int | str = 0
    cpu_seconds: float = 0.0
    leaves: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class Faults:
    """What goes wrong. Counts go down by one each time."""

    prepare: str | None = None
    create: str | None = None
    copy_in: str | None = None
    copy_out: str | None = None
    lay: str | None = None
    destroy: int = 0
    purge: int = 0
    join: str | None = None


class FakeProvider:
    """`scripts` maps the script of a step to what it does; an unknown one does nothing, well."""

    name = "fake"

    def __init__(self, scripts: Mapping[str, Script] | None = None) -> None:
        self.scripts = dict(scripts or {})
        self.faults = Faults()
        self.existing: dict[int, FakeMachine | None] = {}
        """What is there by number; None: something left of an earlier life."""
        self.made: list[FakeMachine] = []
        self.networks: list[FakeNetwork] = []
        self.may_create = asyncio.Event()
        self.may_create.set()
        self.creating = asyncio.Event()
        self.stepping = asyncio.Event()
        """Set when a step that runs forever has printed all."""
        self.built: set[str] = set()
        """The suites of the images that there are."""
        self.progress: Sequence[str] = ()
        self.notes: Sequence[str] = ()
        self.sharing = True
        self.lays = True
        self.fault: str | None = None
        """What a script that kills the machine is to blame for."""
        self.records: Mapping[str, Path] = {}
        self.casualties: Sequence[Killed] = ()

    def shares(self, spec: MachineSpec) -> bool:
        return self.sharing

    async def prepare(self, spec: MachineSpec, progress: Progress) -> str:
        for text in self.progress:
            progress(text)
        if self.faults.prepare:
            raise InfraError(self.faults.prepare)
        await asyncio.sleep(0)
        self.built.add(spec.image.suite)
        return f"sha256:{spec.image.suite}"

    def find(self, spec: MachineSpec) -> str | None:
        return f"sha256:{spec.image.suite}" if spec.image.suite in self.built else None

    async def create(
        self, machine: int, spec: MachineSpec, *, binds: Mapping[Path, str] | None = None
    ) -> Machine:
        assert machine not in self.existing, "numbers are used once"
        assert all(path.is_dir() for path in binds or {})
        self.existing[machine] = None
        self.creating.set()
        await self.may_create.wait()
        if self.faults.create:
            raise InfraError(self.faults.create)
        made = FakeMachine(self, machine, spec, dict(binds or {}))
        self.existing[machine] = made
        self.made.append(made)
        return made

    async def join(
        self, spec: MachineSpec, machines: Mapping[str, Machine], links: Sequence[LinkSpec]
    ) -> FakeNetwork:
        if self.faults.join:
            raise UserError(self.faults.join)
        network = FakeNetwork(tuple(machines), list(links))
        self.networks.append(network)
        return network

    async def list(self) -> Sequence[int]:
        return sorted(self.existing)

    async def purge(self, machine: int) -> None:
        await asyncio.sleep(0)
        if machine in self.existing and self.faults.purge:
            self.faults.purge -= 1
            raise InfraError("a mount is busy")
        self.existing.pop(machine, None)

    async def close(self) -> None:
        self.existing.clear()


class FakeNetwork:
    """The network of a build: remembers what it was told."""

    def __init__(self, names: Sequence[str], links: list[LinkSpec]) -> None:
        self.addresses = {name: f"198.19.0.{at}" for at, name in enumerate(names, 1)}
        self.links = links
        self.closed = False

    async def set(self, link: LinkSpec) -> None:
        self.links.append(link)

    def close(self) -> None:
        self.closed = True


class FakeMachine:
    """A machine of the fake provider. `files` is everything that was copied in, by path."""

    def __init__(
        self, provider: FakeProvider, number: int, spec: MachineSpec, binds: Mapping[Path, str]
    ) -> None:
        self.id = number
        self.image = f"sha256:{spec.image.suite}"
        self.notes = provider.notes
        self.binds = binds
        self.files: dict[str, bytes] = {}
        self.ran: list[tuple[Sequence[str], Mapping[str, str], str]] = []
        self.talks: list[FakeTalk] = []
        self.killed = 0
        self.laid: list[tuple[str, str]] = []
        """Each path over which something was laid, and what."""
        self._provider = provider
        self._usage = Usage(cpu_seconds=0.5, memory_peak=1 << 20)
        self._gone = False

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: bytes | None = None,
    ) -> Process:
        self.must_be_there()
        self.ran.append((tuple(argv), dict(env), cwd))
        return FakeProcess(self, self._provider, self._provider.scripts.get(argv[-1], Script()))

    async def talk(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, size: Size | None
    ) -> FakeTalk:
        self.must_be_there()
        self.ran.append((tuple(argv), dict(env), cwd))
        talk = FakeTalk(self, size)
        self.talks.append(talk)
        return talk

    async def copy_in(self, tar: AsyncIterator[bytes], target: str) -> None:
        self.must_be_there()
        data = b"".join([piece async for piece in tar])
        if self._provider.faults.copy_in:
            raise InfraError(self._provider.faults.copy_in)
        with tarfile.open(fileobj=io.BytesIO(data)) as unpacked:
            for member in unpacked:
                file = unpacked.extractfile(member) if member.isfile() else None
                content = file.read() if file else member.linkname.encode()
                self.files[f"{target}/{member.name}"] = content

    async def copy_out(self, source: str, *, smallest_first: bool = False) -> AsyncIterator[bytes]:
        self.must_be_there()
        if self._provider.faults.copy_out:
            raise InfraError(self._provider.faults.copy_out)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            sizes = {path: len(content) * smallest_first for path, content in self.files.items()}
            for path, content in sorted(self.files.items(), key=lambda file: sizes[file[0]]):
                if path.startswith(f"{source}/"):
                    member = tarfile.TarInfo(path.removeprefix(f"{source}/"))
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        data = packed.getvalue()
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    @property
    def lays(self) -> bool:
        return self._provider.lays

    async def lay(self, image: Path, paths: Sequence[str]) -> None:
        self.must_be_there()
        if self._provider.faults.lay:
            raise UserError(self._provider.faults.lay)
        self.laid += [(path, f"{image.name}/{number}") for number, path in enumerate(paths)]

    def usage(self) -> Usage:
        self.must_be_there()
        return self._usage

    async def fault(self) -> str | None:
        return self._provider.fault if self._gone else None

    def casualties(self) -> Sequence[Killed]:
        return self._provider.casualties

    def records(self) -> Mapping[str, Path]:
        return self._provider.records

    async def destroy(self) -> None:
        await asyncio.sleep(0)
        if self._provider.faults.destroy:
            self._provider.faults.destroy -= 1
            raise InfraError("a process does not die")
        self._gone = True
        for talk in self.talks:
            talk.lose()
        self._provider.existing.pop(self.id, None)

    def must_be_there(self) -> None:
        if self._gone:
            raise InfraError(f"machine {self.id} is gone")

    def die(self) -> None:
        self._gone = True

    def use(self, script: Script) -> None:
        used = self._usage
        self._usage = Usage(
            cpu_seconds=(used.cpu_seconds or 0.0) + script.cpu_seconds,
            memory_peak=used.memory_peak,
            oom_kills=used.oom_kills + (script.exit == OOM),
        )
        for path, content in script.leaves.items():
            self.files[str(PurePosixPath("/build/artifacts") / path)] = content


class FakeProcess:
    """A step being played."""

    def __init__(self, machine: FakeMachine, provider: FakeProvider, script: Script) -> None:
        self._machine = machine
        self._provider = provider
        self._script = script
        self._killed = asyncio.Event()

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        for stream, data in self._script.prints:
            await asyncio.sleep(0)
            self._machine.must_be_there()
            yield stream, data
        self._machine.use(self._script)
        if self._script.exit == FOREVER:
            self._provider.stepping.set()
            await self._killed.wait()
        if self._script.exit == DIES:
            self._machine.die()
            self._machine.must_be_there()

    async def wait(self) -> int:
        self._machine.must_be_there()
        if self._killed.is_set() or self._script.exit == OOM:
            return -9
        assert isinstance(self._script.exit, int)
        return self._script.exit

    async def kill(self) -> None:
        self._machine.killed += 1
        self._killed.set()


class FakeTalk:
    """What gives back all that is typed, as cat does, until its input ends or it is told `exit`."""

    def __init__(self, machine: FakeMachine, size: Size | None) -> None:
        self.machine = machine
        self.size = size
        self.sizes = [size]
        self.hung_up = False
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(maxsize=4)
        self._ended = asyncio.Event()
        self._status: int | None = None

    async def write(self, data: bytes) -> None:
        if self._ended.is_set():
            return
        if data.startswith(b"exit "):
            self._end(int(data[5:]))
        else:
            await self._pieces.put(data)

    async def close_input(self) -> None:
        if self.size is None:
            self._end(0)

    async def resize(self, size: Size) -> None:
        if self.size is not None:
            self.sizes.append(size)

    async def hang_up(self) -> None:
        self.hung_up = True
        self._end(-1 if self.size is not None else -9)

    async def kill(self) -> None:
        self._end(-9)

    def lose(self) -> None:
        """It went with its machine."""
        self._ended.set()

    def _end(self, status: int) -> None:
        if not self._ended.is_set():
            self._status = status
            self._ended.set()

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        while True:
            async with asyncio.TaskGroup() as group:
                piece = group.create_task(self._pieces.get())
                ended = group.create_task(self._ended.wait())
                await asyncio.wait({piece, ended}, return_when=asyncio.FIRST_COMPLETED)
                piece.cancel()
                ended.cancel()
            if piece.cancelled():
                return
            yield Stream.OUT, piece.result()

    async def wait(self) -> int:
        await self._ended.wait()
        if self._status is None:
            raise InfraError("the machine went away while a process ran in it")
        return self._status
