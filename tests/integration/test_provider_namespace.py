"""Namespace machines, for real: the contract, isolation, limits, crashes, leaks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Machine, Provider, Stream, Usage
from cupel.host.providers.namespace import NamespaceProvider, cgroups, disk, users
from integration import escape_contract, images, leftovers, provider_contract
from integration.provider_contract import machine_of, run, shell, succeed

FLAVOUR = cgroups.detect(cgroups.MOUNTINFO.read_text())


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    images.need()
    images.ensure()


pytestmark = pytest.mark.e2e


def needs(*limits: str) -> pytest.MarkDecorator:
    missing = set(limits) - FLAVOUR.enforced
    return pytest.mark.skipif(bool(missing), reason=f"no control groups for {missing} here")


class TestNamespaceProvider(escape_contract.EscapeContract):
    def provider(self, state: Path) -> Provider:
        return NamespaceProvider(state, images=images.cache())

    def spec(self) -> MachineSpec:
        return images.machine_spec()


def on_provider(state: Path, scenario: Callable[[NamespaceProvider], Awaitable[None]]) -> None:
    provider_contract.play(
        lambda state: NamespaceProvider(state, images=images.cache()), state, scenario
    )


def on_machine(
    state: Path, scenario: Callable[[Machine], Awaitable[None]], **changes: object
) -> None:
    async def whole(provider: NamespaceProvider) -> None:
        async with machine_of(provider, images.machine_spec(**changes)) as machine:
            await scenario(machine)

    on_provider(state, whole)


async def fail(machine: Machine, script: str) -> str:
    status, out, err = await run(machine, script)
    assert status != 0, out.decode()
    return err.decode()


class TestInside:
    def test_it_is_a_fresh_system_with_its_own_name(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            assert await succeed(machine, "hostname") == "cupel-m1\n"
            assert await succeed(machine, "id -u; id -g") == "0\n0\n"
            assert await succeed(machine, "cat /etc/hostname") == "cupel-m1\n"
            assert await succeed(machine, "getent hosts localhost") != ""
            await succeed(machine, "test -d /build && touch /build/a /etc/b /usr/c /tmp/d /root/e")
            await succeed(machine, "echo to the pipe > /dev/stdout; echo too > /dev/stderr")
            await succeed(machine, "python3 -m venv /build/venv && /build/venv/bin/python -V")
            await succeed(machine, "useradd -m someone && su someone -c 'touch ~/mine'")
            await succeed(machine, "git init -q /build/r && chown -R 1000:1000 /build/r")

        on_machine(tmp_path, scenario)

    def test_the_environment_is_what_is_given_and_nothing_of_the_host(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUPEL_TEST_SECRET", "seen")

        async def scenario(machine: Machine) -> None:
            process = await machine.exec(
                ["sh", "-c", "env; pwd"], env={"GIVEN": "yes", "HOME": "/build"}, cwd="/tmp"
            )
            text = b"".join([data async for _, data in process.output()]).decode().splitlines()
            assert {"GIVEN=yes", "HOME=/build", "/tmp"} <= set(text)
            assert not any("CUPEL" in line for line in text)

        on_machine(tmp_path, scenario)

    def test_a_program_that_is_missing_is_named(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            process = await machine.exec(["no-such-program"], env={}, cwd="/")
            said = [piece async for piece in process.output()]
            assert await process.wait() == 127
            assert said[0][0] is Stream.ERR
            assert b"no-such-program" in said[0][1]

        on_machine(tmp_path, scenario)

    def test_stdin_arrives_whole(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            process = await machine.exec(["wc", "-c"], env={}, cwd="/", stdin=b"x" * 1_000_000)
            assert [data async for _, data in process.output()] == [b"1000000\n"]

        on_machine(tmp_path, scenario)

    def test_a_bind_is_read_only_and_its_files_are_roots(self, tmp_path: Path) -> None:
        mirror = tmp_path / "mirror"
        mirror.mkdir(mode=0o700)
        (mirror / "secretive").write_text("readable")
        (mirror / "secretive").chmod(0o600)

        async def scenario(provider: NamespaceProvider) -> None:
            machine = await provider.create(
                1, images.machine_spec(), binds={mirror: "/build/.mirror"}
            )
            assert await succeed(machine, "cat /build/.mirror/secretive") == "readable"
            assert await succeed(machine, "stat -c %u:%g /build/.mirror/secretive") == "0:0\n"
            assert "Read-only" in await fail(machine, "touch /build/.mirror/new")
            assert "Read-only" in await fail(machine, "chmod 777 /build/.mirror/secretive")

        on_provider(tmp_path / "state", scenario)


TRACE = "import ctypes; raise SystemExit(ctypes.CDLL(None).ptrace(16, 1, 0, 0) == -1)"


class TestIsolation:
    def test_signals_do_what_they_do_whatever_the_agent_ignores(self, tmp_path: Path) -> None:
        """As one does that was started with nohup, or in the background of a script."""

        async def scenario(machine: Machine) -> None:
            status = await succeed(machine, "grep -E '^Sig(Ign|Blk)' /proc/self/status")
            assert {line.split()[1] for line in status.splitlines()} == {"0" * 16}

        ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
        try:
            on_machine(tmp_path / "state", scenario)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def test_nothing_of_the_host_is_seen(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("the host's")
        secret.chmod(0o644)

        async def scenario(machine: Machine) -> None:
            for path in (secret, Path(f"/proc/1/root{secret}"), Path(f"/proc/1/cwd{secret}")):
                await fail(machine, f"cat {path}")
            pids = (await succeed(machine, "cd /proc; echo [0-9]*")).split()
            assert len(pids) <= 3
            await fail(machine, f"kill -0 {os.getpid()}")
            assert (await succeed(machine, "ls /sys/class/net")).split() == ["lo"]
            assert (await succeed(machine, "ls /proc/self/fd")).split() == ["0", "1", "2", "3"]
            await fail(machine, "ls /sys/fs/cgroup/*")

        on_machine(tmp_path / "state", scenario)

    def test_root_inside_is_nobody_outside(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            inside, outside, count = (await succeed(machine, "cat /proc/self/uid_map")).split()
            assert (int(inside), int(count)) == (0, 65536)
            assert int(outside) >= users.FIRST
            for forbidden in (
                "mount -t tmpfs none /mnt",
                "mount --bind / /mnt",
                "umount /proc",
                "mknod /build/disk b 7 0",
                "unshare --user true",
                "unshare --mount true",
                "unshare --net true",
                "chroot /proc/1/root true",
                "echo 1 > /proc/sys/kernel/sysrq",
                "echo core > /proc/sys/kernel/core_pattern",
                "cat /proc/kmsg | grep .",
                "dmesg",
                "nsenter -t 1 -m true",
                "ip link add dummy0 type dummy",
                "hostname other",
            ):
                await fail(machine, forbidden)
            status = await succeed(machine, "cat /proc/self/status")
            assert "NoNewPrivs:\t1" in status

        on_machine(tmp_path, scenario)

    def test_the_init_is_out_of_a_builds_reach(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            for forbidden in (
                "cat /proc/1/environ",
                "ls /proc/1/fd",
                "head -c 1 /proc/1/mem",
                f"python3 -c '{TRACE}'",
            ):
                await fail(machine, forbidden)
            await run(machine, "for s in STOP INT TERM HUP USR1 CHLD KILL; do kill -$s 1; done")
            await run(machine, "sleep 987654 & kill -9 -1")
            await succeed(machine, "true")

        on_machine(tmp_path, scenario)

    def test_machines_do_not_see_one_another(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            spec = images.machine_spec()
            async with machine_of(provider, spec, 1) as one, machine_of(provider, spec, 2) as two:
                await succeed(one, "echo mine > /build/a; echo mine > /dev/shm/a")
                await fail(two, "cat /build/a")
                await fail(two, "cat /dev/shm/a")
                maps = [await succeed(each, "cat /proc/self/uid_map") for each in (one, two)]
                assert maps[0] != maps[1]
                listening = await shell(
                    one, "python3 -c 'import socket; s = socket.create_server((\"\", 4321));"
                    " print(1, flush=True); s.accept()'"
                )  # fmt: skip
                async for _ in listening.output():
                    break
                await fail(two, "exec 3<>/dev/tcp/127.0.0.1/4321")
            async with machine_of(provider, spec, 3) as fresh:
                await fail(fresh, "cat /build/a")

        on_provider(tmp_path, scenario)

    @pytest.mark.parametrize("network", ["none", "full"])
    def test_the_hosts_services_are_out_of_reach(self, tmp_path: Path, network: str) -> None:
        if network != "none" and shutil.which("slirp4netns") is None:
            pytest.skip("slirp4netns is not installed")

        async def scenario(machine: Machine) -> None:
            for address in ("127.0.0.1", "198.18.0.2", "198.18.0.1", *own_addresses()):
                await fail(machine, f"timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/{port}'")

        with socket.create_server(("0.0.0.0", 0)) as service:
            port = service.getsockname()[1]
            on_machine(tmp_path, scenario, network=network)

    def test_a_network_reaches_package_indexes(self, tmp_path: Path) -> None:
        if not host_has_packages(tmp_path):
            pytest.skip("the host itself does not reach a package index")

        async def scenario(machine: Machine) -> None:
            await succeed(machine, "pip install --quiet six && python3 -c 'import six'")

        on_machine(tmp_path / "state", scenario, network="full")


def own_addresses() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.254", 9))  # a route is looked up, nothing is sent
        except OSError:
            return []
        return [str(sock.getsockname()[0])]


def host_has_packages(scratch: Path) -> bool:
    pip = shutil.which("pip3")
    if pip is None or shutil.which("slirp4netns") is None:
        return False
    command = [pip, "download", "--quiet", "--no-cache-dir", "--dest", str(scratch), "six"]
    return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0


GREEDY = """
import os, signal
try:
    while os.fork():
        pass
    signal.pause()
except OSError as error:
    print(error.errno)
"""


class TestLimits:
    @needs("pids")
    def test_a_fork_bomb_is_stopped_and_the_machine_still_answers(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            bomb = await machine.exec(["python3", "-c", GREEDY], env={}, cwd="/")
            refusal = f"{errno.EAGAIN}\n".encode()
            assert [piece async for piece in bomb.output()] == [(Stream.OUT, refusal)]
            endless = await shell(machine, ":() { : | : & : ; }; :")
            async for stream, _ in endless.output():
                assert stream is Stream.ERR
                break
            process = await machine.exec(["/bin/true"], env={}, cwd="/")
            assert await process.wait() == 0

        on_machine(tmp_path, scenario, pids=64)

    @needs("memory")
    def test_who_eats_all_memory_is_killed_and_it_is_told(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            process = await machine.exec(
                ["python3", "-c", "b = [bytearray(1 << 20) for _ in range(1 << 20)]"],
                env={},
                cwd="/",
            )
            assert await process.wait() == -signal.SIGKILL
            usage = machine.usage()
            assert usage.oom_kills > 0
            assert usage.memory_peak is None or usage.memory_peak <= 128 << 20
            await succeed(machine, "true")

        on_machine(tmp_path, scenario, memory=128 << 20)

    @needs("memory")
    def test_memory_eaten_by_many_does_not_take_the_init(self, tmp_path: Path) -> None:
        script = (
            "import os, signal\n"
            "open('/proc/self/oom_score_adj', 'w').write('0')\n"
            "for _ in range(100):\n"
            "  if os.fork() == 0: kept = bytearray(4 << 20); signal.pause()\n"
        )

        async def scenario(machine: Machine) -> None:
            process = await machine.exec(["python3", "-c", script], env={}, cwd="/")
            await process.wait()
            status, _, _ = await run(machine, "true")
            assert status in (0, -signal.SIGKILL)  # an answer: there may be no memory for more

        on_machine(tmp_path, scenario, memory=64 << 20)

    def test_a_full_disk_is_the_machines_own(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            said = await fail(machine, "dd if=/dev/zero of=/build/all bs=1M")
            assert "No space left on device" in said
            await succeed(machine, "rm /build/all && echo fits > /build/again")

        on_machine(tmp_path, scenario, disk=256 << 20)
        left = sum(path.lstat().st_blocks * 512 for path in tmp_path.rglob("*"))
        assert left < 32 << 20

    def test_a_process_that_ignores_sigterm_is_killed(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            process = await shell(machine, "trap '' TERM INT; echo up; while :; do sleep 9; done")
            async for _ in process.output():
                break
            await process.kill()
            assert await process.wait() == -signal.SIGKILL

        on_machine(tmp_path, scenario)

    def test_a_daemon_outlives_its_step_but_not_its_machine(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            step = await shell(machine, "setsid sleep 987654 & echo started")
            assert [piece async for piece in step.output()] == [(Stream.OUT, b"started\n")]
            assert await step.wait() == 0
            await succeed(machine, "grep -lz 987654 /proc/[0-9]*/cmdline")

        on_machine(tmp_path, scenario)

    def test_a_daemon_that_never_stops_writing_does_not_hold_its_step(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            step = await shell(machine, "yes & echo done")
            async for _ in step.output():
                pass
            assert await step.wait() == 0

        on_machine(tmp_path, scenario)

    def test_all_that_a_process_wrote_is_read(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            process = await shell(machine, "seq 1000000; seq 1000000 >&2")
            written = {Stream.OUT: bytearray(), Stream.ERR: bytearray()}
            async for stream, data in process.output():
                written[stream] += data
            expected = "".join(f"{number}\n" for number in range(1, 1_000_001)).encode()
            assert written[Stream.OUT] == expected
            assert written[Stream.ERR] == expected

        on_machine(tmp_path, scenario)

    def test_a_reader_that_pauses_stops_the_writer(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            script = "head -c 10000000 /dev/zero; touch /build/written"
            process = await shell(machine, script)
            reading = process.output()
            read = len((await anext(reading))[1])
            await succeed(machine, "for i in $(seq 100); do ls /usr/bin; done")
            await fail(machine, "test -e /build/written")
            assert read + sum([len(data) async for _, data in reading]) == 10_000_000
            await succeed(machine, "test -e /build/written")

        on_machine(tmp_path, scenario)


class TestWithoutControlGroups:
    @pytest.fixture(autouse=True)
    def _none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mountinfo").touch()
        monkeypatch.setattr(cgroups, "MOUNTINFO", tmp_path / "mountinfo")

    def test_limits_hold_by_other_means_and_it_is_said(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            assert len(machine.notes) == 3
            assert machine.usage() == Usage()
            bomb = await machine.exec(["python3", "-c", GREEDY], env={}, cwd="/")
            refusal = f"{errno.EAGAIN}\n".encode()
            assert [piece async for piece in bomb.output()] == [(Stream.OUT, refusal)]
            await run(machine, "kill -9 -1")
            eating = "b = bytearray(1 << 30)"
            assert "MemoryError" in await fail(machine, f"python3 -c '{eating}'")
            assert await succeed(machine, "nproc") == "1\n"

        on_machine(tmp_path / "state", scenario, pids=64)

    def test_nothing_is_left_of_a_crash(self, tmp_path: Path) -> None:
        with agent(tmp_path / "state", 2) as crashing:
            assert crashing.stdout is not None
            for _ in range(2):
                assert crashing.stdout.readline()
            crashing.kill()

        async def heir(provider: NamespaceProvider) -> None:
            assert list(await provider.list()) == [1, 2]

        on_provider(tmp_path / "state", heir)


class TestWithoutLoopDevices:
    def test_files_are_kept_in_memory_and_it_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, "tool", lambda: None)

        async def scenario(machine: Machine) -> None:
            assert any("memory" in note for note in machine.notes)
            said = await fail(machine, "dd if=/dev/zero of=/build/all bs=1M")
            assert "No space left on device" in said

        on_machine(tmp_path, scenario, disk=64 << 20)


AGENT = """
import asyncio, sys
from pathlib import Path
from integration import images
from cupel.host.providers.namespace import NamespaceProvider, cgroups

async def main(state):
    cgroups.MOUNTINFO = Path(sys.argv[3])
    provider = NamespaceProvider(state, images=images.cache())
    number = 0
    while True:
        number += 1
        machine = await provider.create(number, images.machine_spec())
        await machine.exec(
            ["bash", "-c", "setsid sleep 987654 & dd if=/dev/zero of=/build/x bs=1M count=50; cat"],
            env={}, cwd="/",
        )
        print(number, flush=True)
        if number == int(sys.argv[2]):
            await asyncio.sleep(987654)

asyncio.run(main(Path(sys.argv[1])))
"""


def agent(state: Path, machines: int) -> subprocess.Popen[bytes]:
    sources = [str(Path(__file__).parents[1]), *sys.path]
    return subprocess.Popen(
        [sys.executable, "-c", AGENT, str(state), str(machines), str(cgroups.MOUNTINFO)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sources))},
    )


class TestCrashes:
    def test_what_a_killed_agent_left_is_found_and_removed(self, tmp_path: Path) -> None:
        with agent(tmp_path, 3) as crashing:
            assert crashing.stdout is not None
            for _ in range(3):
                assert crashing.stdout.readline()
            crashing.kill()

        async def heir(provider: NamespaceProvider) -> None:
            assert list(await provider.list()) == [1, 2, 3]
            for machine in (1, 2, 3):
                await provider.purge(machine)
            assert list(await provider.list()) == []
            assert leftovers.of(tmp_path) == {}

        on_provider(tmp_path, heir)

    @pytest.mark.parametrize("milliseconds", [300, 350, 400, 450, 500, 550, 600, 700])
    def test_a_kill_at_any_moment_leaves_nothing(self, tmp_path: Path, milliseconds: int) -> None:
        with agent(tmp_path, 100) as crashing:
            killing = threading.Timer(milliseconds / 1000, crashing.kill)
            killing.start()
            crashing.wait()

        async def heir(provider: NamespaceProvider) -> None:
            for machine in await provider.list():
                await provider.purge(machine)
            # What was laid out for no machine yet ends when it sees that the agent is gone.
            for _ in range(100):
                if leftovers.of(tmp_path):
                    await asyncio.sleep(0.05)

        on_provider(tmp_path, heir)

    def test_a_recycled_pid_is_not_killed(self, tmp_path: Path) -> None:
        directory = tmp_path / "machines" / "5"
        directory.mkdir(parents=True)
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        (directory / "machine.json").write_text(
            f'{{"pid": {os.getpid()}, "started": 1, "boot": "{boot}"}}'
        )

        async def heir(provider: NamespaceProvider) -> None:
            assert list(await provider.list()) == [5]
            await provider.purge(5)

        on_provider(tmp_path, heir)

    def test_processes_end_when_the_machine_dies_under_them(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            machine = await provider.create(1, images.machine_spec())
            process = await shell(machine, "echo up; exec sleep 987654")
            reading = process.output()
            await anext(reading)
            os.kill(machine.pid, signal.SIGKILL)
            assert [piece async for piece in reading] == []
            with pytest.raises(InfraError):
                await process.wait()
            with pytest.raises(InfraError):
                await shell(machine, "true")
            await machine.destroy()

        on_provider(tmp_path, scenario)

    def test_a_machine_that_can_not_be_made_leaves_nothing(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            with pytest.raises(InfraError, match="nowhere"):
                await provider.create(
                    1, images.machine_spec(), binds={tmp_path / "nowhere": "/build/x"}
                )
            assert leftovers.of(tmp_path / "state") == {}
            async with machine_of(provider, images.machine_spec(), 2) as machine:
                await succeed(machine, "true")

        on_provider(tmp_path / "state", scenario)

    def test_a_cancelled_creation_leaves_nothing(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            for number in range(1, 11):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(number / 500):
                        await provider.create(number, images.machine_spec())
                for machine in await provider.list():
                    await provider.purge(machine)
                assert leftovers.of(tmp_path) == {}

        on_provider(tmp_path, scenario)


class TestStandby:
    """The process that waits for the next order is within reach of builds."""

    @pytest.mark.parametrize("signal_name", ["KILL", "STOP"])
    def test_a_build_that_kills_or_stops_it_keeps_nothing_from_starting(
        self, tmp_path: Path, signal_name: str
    ) -> None:
        async def scenario(machine: Machine) -> None:
            await succeed(machine, "true")
            await asyncio.sleep(0.2)  # the next one is there
            others = "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || "
            await succeed(machine, f"{others} kill -{signal_name} $p 2>/dev/null; done; true")
            assert await succeed(machine, "echo once >> /build/log; cat /build/log") == "once\n"
            await asyncio.sleep(0.2)
            assert await succeed(machine, "echo well") == "well\n"

        on_machine(tmp_path, scenario)

    @needs("pids")
    def test_it_counts_neither_as_a_process_nor_against_their_limit(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            process = await machine.exec(["sleep", "60"], env={}, cwd="/")
            await asyncio.sleep(0.3)
            assert machine.usage().processes == 1
            await process.kill()
            await process.wait()

        on_machine(tmp_path, scenario, pids=16)


class TestAhead:
    def test_a_machine_is_made_of_the_shell_that_waits_for_it(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            async with machine_of(provider, images.machine_spec(), 1) as machine:
                assert await succeed(machine, "hostname") == "cupel-m1\n"
                waiting = await children(provider) - {machine.pid}
            async with machine_of(provider, images.machine_spec(), 2) as machine:
                assert {machine.pid} == waiting
                assert await succeed(machine, "hostname; cat /etc/hostname") == "cupel-m2\n" * 2
                await succeed(machine, "touch /build/a")

        ahead(tmp_path, scenario)

    def test_one_of_another_kind_is_given_up(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            async with machine_of(provider, images.machine_spec(), 1):
                waiting = await children(provider)
            smaller = images.machine_spec(disk=128 << 20)
            async with machine_of(provider, smaller, 2) as machine:
                assert machine.pid not in waiting
                size = await succeed(machine, "df --output=size -B 1048576 / | tail -1")
                assert int(size) <= 128

        ahead(tmp_path, scenario)

    def test_one_whose_process_has_ended_is_not_used(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            async with machine_of(provider, images.machine_spec(), 1) as machine:
                for pid in await children(provider) - {machine.pid}:
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.1)
            async with machine_of(provider, images.machine_spec(), 2) as machine:
                await succeed(machine, "true")

        ahead(tmp_path, scenario)


def ahead(state: Path, scenario: Callable[[NamespaceProvider], Awaitable[None]]) -> None:
    provider_contract.play(
        lambda state: NamespaceProvider(state, images=images.cache(), ahead=True), state, scenario
    )


async def children(provider: NamespaceProvider) -> set[int]:
    """The processes of machines and of what is laid out for one, once there is something."""
    launcher = provider._launcher._process
    assert launcher is not None
    path = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    for _ in range(500):
        if len(path.read_text().split()) > 1:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # what is begun is laid out
    return {int(word) for word in path.read_text().split()}


class TestLeaks:
    def test_fifty_machines_in_a_row_leave_nothing(self, tmp_path: Path) -> None:
        async def scenario(provider: NamespaceProvider) -> None:
            async with machine_of(provider, images.machine_spec()) as machine:
                await succeed(machine, "true")
            before = counts()
            for number in range(2, 52):
                async with machine_of(provider, images.machine_spec(), number) as machine:
                    await succeed(machine, "echo something > /build/x")
            assert counts() == before
            assert leftovers.of(tmp_path) == {}

        on_provider(tmp_path, scenario)


def counts() -> dict[str, int]:
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
    }
