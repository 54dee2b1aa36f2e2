"""Runs one build on one machine: its steps, and what they leave."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import os
import signal
import tarfile
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from pathlib import Path

from cupel.errors import CupelError, InfraError
from cupel.host import messages, processes, results
from cupel.host.alongside import alongside
from cupel.host.beside import READY_SECONDS, Beside
from cupel.host.console import Watch
from cupel.host.messages import (
    ArtefactData,
    BuildSpec,
    Output,
    StepFinished,
    StepSpec,
    StepStarted,
    ToServer,
)
from cupel.host.providers import interface
from cupel.host.providers.interface import Bootable, Machine, Usage
from cupel.host.service import Served
from cupel.log import index

Send = Callable[[ToServer], Awaitable[None]]

SOURCE = "/build/src"
ARTEFACTS = "/build/artifacts"
NEEDS = "/build/needs"
PROJECTS = "/build/projects"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SHORTEST_LINE = 16
"""Bytes that a line counts for when the limit on lines is derived from that on bytes."""

LAST_WORDS = 1.0
"""Seconds of a console that are read on once it has said that all is lost: it may say why. So long
may programs whose time is over print where they are."""

LOOK_SECONDS = 10.0
"""A machine is looked at so long when its time is over; it may be too busy to answer."""

LOOKED = "still running"

_BESIDE = 10
"""Processes that are named beside one that was killed, the largest."""

ARTEFACT_SECONDS = 600.0

RECORDS = ".machine"
"""Where among the artefacts is what the machine itself has left, such as its console."""

_PIECE = 256 << 10

# A core is known by its kind of ELF file (4), not by its name, which other files have, too.
GATHER_CORES = """
find /build /root /tmp /var -xdev -type f -size "-$1c" \\( -name core -o -name 'core.*' \\) \\
    ! -path "$2/*" 2>/dev/null | while IFS= read -r found; do
    kind=$(head -c 18 "$found" | od -An -v -tx1 | tr -d ' \\n')
    case $kind in
    7f454c46*0400 | 7f454c46*0004)
        mkdir -p "$2" && mv -- "$found" "$2/core$(printf %s "$found" | tr / .)" && echo "$found" ;;
    esac
done
"""
"""Moves cores of crashed processes, of fewer bytes than $1, to $2 and prints where they were."""
CORES = f"{ARTEFACTS}/cores"
CORE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the steps of a build went, as in `BuildFinished`."""

    verdict: str
    reason: str | None = None


SUCCESS = Outcome(verdict="success")


class _Stopped(Exception):
    """A step was stopped because the build may not go on."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Runner:
    """One build on its machine, in which the checkout and the needed artefacts are laid out.

    `beside` are all its machines, if it has several, laid out alike. `memory` is the machine's
    limit, in bytes; `now` tells the time that reports carry.
    """

    def __init__(
        self,
        machine: Machine,
        build: BuildSpec,
        *,
        memory: int,
        send: Send,
        now: Callable[[], float],
        beside: Beside | None = None,
    ) -> None:
        self._machine = machine
        self._beside = beside
        self._machines: Mapping[str, Machine] = beside.machines if beside is not None else {}
        self._parts = {name: number for number, name in enumerate(self._machines)}
        self._listening = {name: asyncio.Event() for name in self._machines}
        self._served = [Served(spec, self._machines[spec.name]) for spec in build.services]
        self._build = build
        self._memory = memory
        self._send = send
        self._now = now
        self._step = index.NO_STEP if build.services else 0
        self._bytes = 0
        self._lines = 0
        self._over: Outcome | None = None
        """Set once the time is over: how the build ends, whatever its steps do yet."""
        self._records: dict[str, str] = {}
        """What was seen of the machines, by the name of the artefact."""

    async def run(self) -> Outcome:
        """Run the steps and send what they leave. Raises `InfraError` when the machine fails."""
        fault = None
        try:
            outcome = await self._with_services()
        except InfraError:
            # A kernel that nobody but the job used, and that it brought down, is no fault of ours.
            if (fault := await self._machine.fault()) is None:
                raise
            outcome = _failure(fault)
        try:
            if outcome.verdict == "failure" and fault is None and self._is_ours:
                await self._cores()
            if fault is None and self._is_ours:
                await self._results()
            left = await self._artefacts(is_gone=fault is not None)
        except (CupelError, TimeoutError) as error:
            left = Outcome(verdict="infra", reason=f"the artefacts are lost: {error}")
        if outcome is SUCCESS:
            return left
        if left.reason is not None:
            await self._remark(left.reason)
        return outcome

    @property
    def _is_ours(self) -> bool:
        """Whether something can be started in the build's machine."""
        return not isinstance(self._machine, Bootable)

    def usage(self, step: StepSpec | None = None) -> Usage:
        """What the machine of the step, by default the build's own, used so far; nothing is known
        of one that is gone."""
        with contextlib.suppress(InfraError):
            return self._machine_of(step).usage()
        return Usage()

    def _machine_of(self, step: StepSpec | None) -> Machine:
        return self._machines[step.on] if step is not None and step.on else self._machine

    async def _with_services(self) -> Outcome:
        """Run the steps while the services run; these are ended with the last step."""
        if self._beside is None:
            return await self._steps()
        listening = [self._beside.listen(name, ready) for name, ready in self._listening.items()]
        serving = [self._serve(each) for each in self._served]
        try:
            async with alongside(*listening, *serving):
                return await self._await_services() or await self._steps()
        except _Stopped as stopped:
            return stopped.outcome

    async def _serve(self, served: Served) -> None:
        """Run a service; what it prints is in the log, and that it ended."""
        name = served.spec.name
        async with interface.closing(served.run(self._environment(name))) as output:
            async for stream, data in output:
                await self._print(stream.value, data, self._parts[name])
        text = f"service {name!r} {_ended(served.status or 0)}"
        await self._print("cupel", f"{text}\n".encode(), self._parts[name])

    async def _await_services(self) -> Outcome | None:
        """Wait until every service is healthy and links can be changed; how it ends if not."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                for ready in self._listening.values():
                    await ready.wait()
        except TimeoutError:
            raise InfraError("a machine of the build does not answer") from None
        checks = [each.until_healthy(self._environment(each.spec.name)) for each in self._served]
        reasons = [reason for reason in await asyncio.gather(*checks) if reason is not None]
        return _failure("; ".join(reasons)) if reasons else None

    async def _steps(self) -> Outcome:
        try:
            async with asyncio.timeout(None) as limit, alongside(self._time_out(limit)):
                for number, step in enumerate(self._build.steps):
                    self._step = number
                    outcome = await self._run_step(step)
                    if self._over is not None or outcome is not SUCCESS:
                        return self._over or outcome
        except _Stopped as stopped:
            return self._over or stopped.outcome
        except TimeoutError:
            if self._over is None or not limit.expired():
                raise
            return self._over
        return SUCCESS

    async def _time_out(self, limit: asyncio.Timeout) -> None:
        """End the steps when their time is over, once it is known what was running."""
        await asyncio.sleep(self._build.timeout)
        took = f"took longer than {self._build.timeout:g} s"
        name = self._build.steps[max(self._step, 0)].name
        self._over = Outcome(verdict="timeout", reason=f"{took}, in step {name!r}")
        if self._is_ours:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    if await self._look_around():
                        await asyncio.sleep(LAST_WORDS)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _look_around(self) -> bool:
        """Put what runs in the machines into the log, and keep all that is known of it. Whether
        some of that was asked to say more."""
        asked = False
        for name, machine in (self._machines or {"": self._machine}).items():
            part = self._parts.get(name, 0)
            try:
                found = await processes.look(machine, self._environment(name))
            except InfraError as error:
                await self._remark(f"what was running can't be seen: {error.message}", part)
                continue
            if found:
                said = [f"{LOOKED} after {self._build.timeout:g} s:", *processes.tree(found)]
                await self._remark("\n".join(said), part)
                self._records[f"processes{f'-{name}' if name else ''}"] = processes.record(found)
                asked = asked or any(processes.is_asked(each) for each in found)
        return asked

    async def _run_step(self, step: StepSpec) -> Outcome:
        machine, number = self._machine.id, self._step
        started = StepStarted(machine=machine, step=number, name=step.name, at=self._now())
        await self._send(started)
        before = self.usage(step)
        status: int | None = None
        watch = Watch(step.boot) if step.boot is not None else None
        try:
            if watch is not None:
                status = await self._boot(watch)
            else:
                status = await self._execute(step)
        except InfraError:
            if self.usage(step).oom_kills > before.oom_kills:
                return _failure(await self._out_of_memory(step))
            raise
        finally:
            after = self.usage(step)
            await self._send(
                StepFinished(
                    machine=machine,
                    step=number,
                    at=self._now(),
                    exit_status=status,
                    cpu_seconds=_difference(before.cpu_seconds, after.cpu_seconds),
                    memory_peak=after.memory_peak,
                )
            )
        if watch is not None and watch.failed is not None:
            return _failure(watch.failed)
        killed = after.oom_kills > before.oom_kills
        if status == 0:
            if killed:
                await self._remark(f"a process was {await self._out_of_memory(step)}")
            return SUCCESS
        if killed:
            return _failure(await self._out_of_memory(step))
        return _failure(f"step {step.name!r} {_ended(status)}")

    async def _execute(self, step: StepSpec) -> int:
        process = await self._machine_of(step).exec(
            ["/bin/bash", "-eo", "pipefail", "-c", step.run],
            env=self._environment(step.on),
            cwd=SOURCE,
        )
        part = self._parts.get(step.on, 0)
        try:
            async with interface.closing(process.output()) as output:
                async for stream, data in output:
                    await self._print(stream.value, data, part)
            return await process.wait()
        except BaseException:
            await process.kill()
            raise

    async def _boot(self, watch: Watch) -> int:
        """Boot the machine's system; 0 if it passes, else 1."""
        system = self._machine
        if not isinstance(system, Bootable):
            raise InfraError(f"machine {system.id} has no system of its own to boot")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit, interface.closing(system.boot()) as console:
                async for data in console:
                    await self._print("out", data)
                    watch.feed(data)
                    if watch.is_over and watch.failed is None:
                        return 0
                    if watch.is_over and limit.when() is None:
                        limit.reschedule(asyncio.get_running_loop().time() + LAST_WORDS)
                watch.end(system.ending())
        return 0 if watch.failed is None else 1

    async def _print(self, stream: str, data: bytes, part: int = 0) -> None:
        room = self._build.log_limit - self._bytes
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        for piece in pieces(data[:room]):
            await self._send(self._output(stream, piece, part))
        if len(data) > room:
            raise _Stopped(_failure(f"printed more than {size(self._build.log_limit)}"))
        most = self._build.log_limit // SHORTEST_LINE
        if self._lines > most:
            raise _Stopped(_failure(f"printed more than {most} lines"))

    async def _remark(self, text: str, part: int = 0) -> None:
        await self._send(self._output("cupel", text.encode() + b"\n", part))

    def _output(self, stream: str, data: bytes, part: int = 0) -> Output:
        return Output(
            machine=self._machine.id,
            step=self._step,
            stream=stream,
            at=self._now(),
            data=data,
            part=part,
        )

    async def _artefacts(self, *, is_gone: bool) -> Outcome:
        """Send what the build left in its directories for that, and what its machine left.

        A machine that `is_gone` has left only the latter.
        """
        sent = 0
        machine = self._machine
        left = not is_gone and self._is_ours
        if left:
            await self._gather()
        records = _packed({**machine.records(), **self._records})
        async with asyncio.timeout(ARTEFACT_SECONDS):
            for tar in (records, machine.copy_out(ARTEFACTS) if left else _end_of_tar()):
                async with interface.closing(tar) as part:
                    async for data in part:
                        sent += len(data)
                        if sent > self._build.artefact_limit:
                            limit = size(self._build.artefact_limit)
                            return _failure(f"left more than {limit} of artefacts")
                        for piece in pieces(data):
                            await self._send(
                                ArtefactData(machine=machine.id, data=piece, last=False)
                            )
        await self._send(ArtefactData(machine=machine.id, data=b"", last=True))
        return SUCCESS

    async def _results(self) -> None:
        machines = list(self._machines.values()) or [self._machine]
        limit = self._build.result_limit
        lost = await results.fetch(machines, limit=limit, send=self._send)
        if lost is not None:
            await self._remark(lost)

    async def _gather(self) -> None:
        """Put what the other machines left beside what the build's own left, below their names."""
        for name, other in self._machines.items():
            if other is not self._machine:
                await self._machine.copy_in(other.copy_out(ARTEFACTS), f"{ARTEFACTS}/{name}")

    async def _cores(self) -> None:
        """Put cores of processes that crashed beside the artefacts, and say so in the log."""
        most = str(self._build.artefact_limit // 4)
        said = bytearray()
        process = await self._machine.exec(
            ["/bin/sh", "-c", GATHER_CORES, "sh", most, CORES], env={"PATH": PATH}, cwd="/"
        )
        try:
            with contextlib.suppress(TimeoutError):  # the artefacts matter more
                async with (
                    asyncio.timeout(CORE_SECONDS),
                    interface.closing(process.output()) as output,
                ):
                    async for _, data in output:
                        said += data[: 4096 - len(said)]
        finally:
            await process.kill()
        for where in said.decode(errors="replace").splitlines():
            await self._remark(f"a process crashed; its core {where} is kept as an artefact")

    def _environment(self, name: str = "") -> dict[str, str]:
        """The variables of what runs on the machine of this name."""
        own = next(iter(self._machines), "")
        return environment(self._build, name or own)

    async def _out_of_memory(self, step: StepSpec) -> str:
        """That the kernel has killed something, and what; what else ran is put into the log."""
        usage = self.usage(step)
        peak = f", peak {size(usage.memory_peak)}" if usage.memory_peak is not None else ""
        said = f"killed for memory: limit {size(self._memory)}{peak}"
        killed = self._machine_of(step).casualties()
        if not killed:
            return said
        last = killed[-1]
        lines = [f"{size(each)} {name}" for name, each in last.others[:_BESIDE]]
        if lines:
            head = f"killed for memory: {last.name}, which had {size(last.memory)}; beside it ran:"
            await self._remark("\n  ".join([head, *lines]), self._parts.get(step.on, 0))
        return f"{said}; it was {last.name}, which had {size(last.memory)}"


def environment(build: BuildSpec, name: str) -> dict[str, str]:
    """The variables of what a build runs on its machine of this name; empty: it has but one."""
    machine = {"CUPEL_MACHINE": name} if name else {}
    return {
        "PATH": PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "CI": "true",
        "PYTHONFAULTHANDLER": "1",
        **dict(build.env),
        "CUPEL": "1",
        "CUPEL_PROJECT": build.project,
        "CUPEL_BRANCH": build.source.branch,
        "CUPEL_COMMIT": build.source.commit,
        "CUPEL_JOB": build.job,
        "CUPEL_BUILD": str(build.build),
        "CUPEL_ARTIFACTS": ARTEFACTS,
        "CUPEL_RESULTS": results.DIRECTORY,
        "CUPEL_NEEDS": NEEDS,
        "CUPEL_PROJECTS": PROJECTS,
        **machine,
    }


async def _packed(files: Mapping[str, Path | str]) -> AsyncIterator[bytes]:
    """Files and texts below `RECORDS` as the beginning of a tar stream, which another continues."""
    for name, kept in files.items():
        with io.BytesIO(kept.encode()) if isinstance(kept, str) else kept.open("rb") as file:
            member = tarfile.TarInfo(f"./{RECORDS}/{name}")
            member.size = file.seek(0, os.SEEK_END)
            file.seek(0)
            yield member.tobuf(tarfile.GNU_FORMAT)
            left = member.size
            while left and (data := file.read(min(left, _PIECE))):
                left -= len(data)
                yield data
        yield b"\0" * (-member.size % tarfile.BLOCKSIZE)


async def _end_of_tar() -> AsyncIterator[bytes]:
    yield b"\0" * tarfile.RECORDSIZE


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` in pieces that fit into a frame."""
    return (
        data[at : at + messages.MAX_PAYLOAD] for at in range(0, len(data), messages.MAX_PAYLOAD)
    )


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"


def _failure(reason: str) -> Outcome:
    return Outcome(verdict="failure", reason=reason)


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _ended(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
