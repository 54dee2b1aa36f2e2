"""What every provider of machines promises; run on the fake and on the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from cupel.errors import InfraError
from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Machine, Process, Provider, Stream
from integration import leftovers

P = TypeVar("P", bound=Provider)

FOREVER = "echo running; exec sleep 1000000"
SCRIPTS: Mapping[str, tuple[tuple[tuple[Stream, bytes], ...], int | None]] = {
    "true": ((), 0),
    "printf out": (((Stream.OUT, b"out"),), 0),
    "printf out; printf err >&2; exit 3": (((Stream.OUT, b"out"), (Stream.ERR, b"err")), 3),
    "printf '\\033[31mred\\377'": (((Stream.OUT, b"\x1b[31mred\xff"),), 0),
    FOREVER: (((Stream.OUT, b"running\n"),), None),
}
"""What each script prints and its exit status, None for one that never ends. Fakes play these."""


async def run(machine: Machine, script: str) -> tuple[int, bytes, bytes]:
    """Exit status, stdout and stderr of a script in a shell."""
    process = await shell(machine, script)
    written = {Stream.OUT: bytearray(), Stream.ERR: bytearray()}
    async for stream, data in process.output():
        written[stream] += data
    return await process.wait(), bytes(written[Stream.OUT]), bytes(written[Stream.ERR])


async def succeed(machine: Machine, script: str) -> str:
    """What a script prints that has to succeed."""
    status, out, err = await run(machine, script)
    assert status == 0, err.decode()
    return out.decode()


def play(
    provider: Callable[[Path], P], state: Path, scenario: Callable[[P], Awaitable[None]]
) -> None:
    """Play a scenario on a provider of its own, of which nothing may be left."""

    async def whole() -> None:
        made = provider(state)
        try:
            await scenario(made)
        finally:
            for machine in await made.list():
                await made.purge(machine)
            await made.close()

    asyncio.run(whole())
    left = leftovers.of(state)
    assert left == {}, left


async def shell(machine: Machine, script: str) -> Process:
    return await machine.exec(["/bin/bash", "-c", script], env={}, cwd="/")


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if (file := tar.extractfile(member)) is not None:
                files[member.name.removeprefix("./")] = file.read()
    return files


Scenario = Callable[[Provider], Awaitable[None]]


class ProviderContract:
    """Subclasses say how a provider is made and what machine to ask of it."""

    def provider(self, state: Path) -> Provider:
        raise NotImplementedError

    def spec(self) -> MachineSpec:
        raise NotImplementedError

    def play(self, state: Path, scenario: Scenario) -> None:
        """Run a scenario on a new provider; nothing must be left of it afterwards."""

        async def whole() -> None:
            provider = self.provider(state)
            try:
                await provider.prepare(self.spec(), print)
                await scenario(provider)
            finally:
                for machine in await provider.list():
                    await provider.purge(machine)
                await provider.close()

        asyncio.run(whole())

    def on_machine(self, state: Path, scenario: Callable[[Machine], Awaitable[None]]) -> None:
        async def whole(provider: Provider) -> None:
            machine = await provider.create(1, self.spec())
            try:
                await scenario(machine)
            finally:
                await machine.destroy()

        self.play(state, whole)

    def test_the_image_has_one_digest_and_machines_name_it(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            digest = await provider.prepare(self.spec(), print)
            assert provider.find(self.spec()) == digest
            machine = await provider.create(1, self.spec())
            assert digest.startswith("sha256:")
            assert machine.image == digest
            assert machine.id == 1

        self.play(tmp_path, scenario)

    @pytest.mark.parametrize("script", [script for script in SCRIPTS if script != FOREVER])
    def test_output_comes_raw_by_stream_with_the_exit_status(
        self, tmp_path: Path, script: str
    ) -> None:
        async def scenario(machine: Machine) -> None:
            prints, exit_status = SCRIPTS[script]
            status, out, err = await run(machine, script)
            assert status == exit_status
            assert out == b"".join(data for stream, data in prints if stream is Stream.OUT)
            assert err == b"".join(data for stream, data in prints if stream is Stream.ERR)

        self.on_machine(tmp_path, scenario)

    def test_a_killed_process_ends_with_the_signal(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            process = await shell(machine, FOREVER)
            async for _, data in process.output():
                assert data == b"running\n"
                break
            await process.kill()
            assert await process.wait() == -9

        self.on_machine(tmp_path, scenario)

    def test_machines_are_listed_until_they_are_destroyed(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            first = await provider.create(7, self.spec())
            second = await provider.create(8, self.spec())
            assert list(await provider.list()) == [7, 8]
            await first.destroy()
            assert list(await provider.list()) == [8]
            await first.destroy()
            await second.destroy()
            assert list(await provider.list()) == []

        self.play(tmp_path, scenario)

    def test_a_provider_that_is_closed_leaves_no_machine(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            machine = await provider.create(3, self.spec())
            await shell(machine, FOREVER)
            await provider.close()
            assert list(await provider.list()) == []

        self.play(tmp_path, scenario)

    def test_a_machine_that_is_gone_refuses(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            machine = await provider.create(1, self.spec())
            await machine.destroy()
            with pytest.raises(InfraError):
                await shell(machine, "true")
            with pytest.raises(InfraError):
                await machine.copy_in(pieces(packed({"a": b"b"})), "/build")
            with pytest.raises(InfraError):
                _ = [piece async for piece in machine.copy_out("/build")]
            with pytest.raises(InfraError):
                machine.usage()

        self.play(tmp_path, scenario)

    def test_purging_is_repeatable_and_knows_no_strangers(self, tmp_path: Path) -> None:
        async def scenario(provider: Provider) -> None:
            await provider.create(3, self.spec())
            await provider.purge(3)
            await provider.purge(3)
            await provider.purge(4711)
            assert list(await provider.list()) == []

        self.play(tmp_path, scenario)

    def test_files_go_in_and_out(self, tmp_path: Path) -> None:
        files = {"a": b"alpha", "deep/b": b"b" * 300_000}

        async def scenario(machine: Machine) -> None:
            await machine.copy_in(pieces(packed(files)), "/build/new/place")
            out = b"".join([piece async for piece in machine.copy_out("/build/new/place")])
            assert unpacked(out) == files

        self.on_machine(tmp_path, scenario)

    def test_usage_counts(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            await run(machine, "true")
            usage = machine.usage()
            assert usage.cpu_seconds is None or usage.cpu_seconds > 0
            assert usage.memory_peak is None or usage.memory_peak > 0
            assert usage.oom_kills == 0

        self.on_machine(tmp_path, scenario)


@contextlib.asynccontextmanager
async def machine_of(
    provider: Provider, spec: MachineSpec, number: int = 1
) -> AsyncIterator[Machine]:
    """A machine that is destroyed at the end."""
    machine = await provider.create(number, spec)
    try:
        yield machine
    finally:
        await machine.destroy()
