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
from cupel.host.providers.interface import Machine, Process, Provider, Size, Stream, Talk
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

    def test_files_come_out_in_the_order_of_their_sizes(self, tmp_path: Path) -> None:
        files = {"a": b"a" * 2000, "b b\n": b"b" * 300_000, "deep/-c": b"c", "d": b"d" * 1000}

        async def scenario(machine: Machine) -> None:
            await machine.copy_in(pieces(packed(files)), "/build/place")
            tar = machine.copy_out("/build/place", smallest_first=True)
            found = unpacked(b"".join([piece async for piece in tar]))
            assert found == files
            assert list(found) == ["deep/-c", "d", "a", "b b\n"]

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

    def test_what_is_typed_is_read_until_the_input_ends(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            talk = await machine.talk(["/bin/cat"], env={}, cwd="/", size=None)
            await talk.write(b"one\n")
            heard = Heard(talk)
            await heard.until(b"one\n")
            await talk.write(b"two\n")
            await talk.close_input()
            assert await heard.rest() == b"one\ntwo\n"
            assert await talk.wait() == 0
            await talk.write(b"to nobody")
            await talk.hang_up()

        self.on_machine(tmp_path, scenario)

    def test_what_nobody_talks_to_any_more_ends(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            for size, signal in ((None, -9), (Size(24, 80), -1)):
                talk = await machine.talk(["/bin/cat"], env={}, cwd="/", size=size)
                await talk.write(b"one\n")
                await Heard(talk).until(b"one")
                await talk.hang_up()
                await talk.hang_up()
                assert await asyncio.wait_for(talk.wait(), 10) == signal

        self.on_machine(tmp_path, scenario)

    def test_a_talk_ends_with_its_machine(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            talk = await machine.talk(["/bin/cat"], env={}, cwd="/", size=Size(24, 80))
            heard = Heard(talk)
            await talk.write(b"one\n")
            await heard.until(b"one")
            await machine.destroy()
            with pytest.raises(InfraError, match="went away"):
                await asyncio.wait_for(talk.wait(), 10)
            with pytest.raises(InfraError, match="is gone"):
                await machine.talk(["/bin/cat"], env={}, cwd="/", size=None)

        self.on_machine(tmp_path, scenario)


class Heard:
    """What a talk has said so far; `output` may be read by one only."""

    def __init__(self, talk: Talk) -> None:
        self._output = talk.output()
        self._seen = 0
        self.all = b""

    async def until(self, wanted: bytes, seconds: float = 20.0) -> None:
        """Read on until that has come, after what was waited for last."""
        try:
            async with asyncio.timeout(seconds):
                while (at := self.all.find(wanted, self._seen)) < 0:
                    self.all += (await anext(self._output))[1]
        except (TimeoutError, StopAsyncIteration):
            raise AssertionError(f"{wanted!r} is not in {self.all[self._seen :]!r}") from None
        self._seen = at + len(wanted)

    async def rest(self, seconds: float = 20.0) -> bytes:
        async with asyncio.timeout(seconds):
            async for _, data in self._output:
                self.all += data
        return self.all


ORDINARY = Size(24, 80)
SHELL = {"PS1": "$ ", "TERM": "dumb", "HISTFILE": ""}


async def at_terminal(machine: Machine, size: Size = ORDINARY) -> tuple[Talk, Heard]:
    """A shell that has said that it is ready."""
    argv = ["/bin/bash", "--norc", "--noprofile", "-i"]
    talk = await machine.talk(argv, env=SHELL, cwd="/tmp", size=size)
    heard = Heard(talk)
    await heard.until(b"$ ")
    assert b"no job control" not in heard.all
    return talk, heard


async def works_at_a_terminal(machine: Machine) -> None:
    """All that people do at a terminal, on a real machine."""
    talk, heard = await at_terminal(machine, Size(30, 100))

    async def type_and_await(text: bytes, *answers: bytes) -> None:
        await talk.write(text)
        for answer in answers:
            await heard.until(answer)

    await type_and_await(
        b"stty size; tty; id -u; pwd\n", b"30 100\r\n/dev/pts/0\r\n0\r\n/tmp", b"$ "
    )
    await type_and_await(b"trap 'echo size is $(stty size)' WINCH\n", b"\r\n", b"$ ")
    await talk.resize(Size(50, 132))
    await type_and_await(b"\n", b"size is 50 132", b"$ ")
    await type_and_await(b"sh -c 'echo sl\"\"eeps; exec sleep 1000'\n", b"sleeps")
    await type_and_await(b"\x03", b"$ ")
    await type_and_await(b"echo after $?\n", b"after 130", b"$ ")
    await type_and_await(b"sh -c 'echo re\"\"ads; exec cat > /tmp/typed'\n", b"reads\r\n")
    await type_and_await(b"\x1a", b"Stopped", b"$ ")
    await type_and_await(b"fg\n", b"fg\r\n", b"cat > /tmp/typed'\r\n")
    await type_and_await(b"another\n", b"another\r\n")
    await type_and_await(b"\x04", b"$ ")
    await type_and_await(b"wc -l /tmp/typed\n", b"1 /tmp/typed", b"$ ")
    await talk.write(b"exit 7\n")
    await heard.rest()
    assert await talk.wait() == 7


async def several_terminals_are_apart(machine: Machine) -> None:
    one, heard_one = await at_terminal(machine)
    other, heard_other = await at_terminal(machine)
    await one.write(b"tty; exit\n")
    await other.write(b"tty; exit\n")
    assert b"/dev/pts/0" in await heard_one.rest()
    assert b"/dev/pts/1" in await heard_other.rest()


async def a_lost_line_hangs_up(machine: Machine) -> None:
    """All that ran at the terminal is gone, in the foreground and behind."""
    talk, heard = await at_terminal(machine)
    await talk.write(b"sleep 4242 & sleep 4243\n")
    await heard.until(b"[1]")
    for _ in range(100):
        if await ran_with(machine, b"4243"):
            break
        await asyncio.sleep(0.05)
    await talk.hang_up()
    await asyncio.wait_for(talk.wait(), 10)
    for _ in range(100):
        left = [await ran_with(machine, each) for each in (b"4242", b"4243")]
        if not any(left):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"still there: {left}")


async def ran_with(machine: Machine, argument: bytes) -> bool:
    script = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    _, out, _ = await run(machine, script)
    return argument in out


async def a_flood_waits_and_is_stopped(machine: Machine) -> None:
    """What nobody reads is not gathered, and Ctrl-C ends it soon."""
    talk, heard = await at_terminal(machine)
    await talk.write(b"yes\n")
    await heard.until(b"y\r\ny\r\n")
    await asyncio.sleep(0.5)  # it fills what there is room for, and waits
    await talk.write(b"\x03")
    before = len(heard.all)
    await talk.write(b"echo it is ov''er\n")
    await heard.until(b"it is over")
    assert len(heard.all) - before < 2 << 20
    await talk.write(b"exit\n")
    await heard.rest()
    assert await talk.wait() == 0


TERMINAL_SCENARIOS = (
    works_at_a_terminal,
    several_terminals_are_apart,
    a_lost_line_hangs_up,
    a_flood_waits_and_is_stopped,
)
