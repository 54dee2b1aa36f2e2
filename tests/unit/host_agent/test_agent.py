"""The agent against a fake provider and a server at the other end of an in-process transport."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from cupel.errors import InfraError
from cupel.host import (
    agent,
    messages,
    pressure,
    processes,
    protection,
    protocol,
    runner,
    transport,
)
from cupel.host.messages import (
    ArtefactData,
    BesideSpec,
    BuildFinished,
    BuildRefused,
    BuildSpec,
    Cancel,
    Destroy,
    Heartbeat,
    Hello,
    Images,
    ImageSpec,
    Judged,
    Labels,
    MachineFailed,
    MachineGone,
    MachineReady,
    MachineSpec,
    Make,
    Metrics,
    Output,
    Progress,
    ResultData,
    Run,
    SourceSpec,
    StepFinished,
    StepSpec,
    StepStarted,
    ToHost,
    ToServer,
    Welcome,
)
from cupel.host.providers.interface import Stream
from cupel.host.providers.oom import Killed
from cupel.image import base
from fakes import provider as fakes


@dataclasses.dataclass(frozen=True)
class Repository:
    path: Path
    commit: str


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = tmp_path_factory.mktemp("repository")

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e@x", *words]
        done = subprocess.run(command, cwd=path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    (path / "hello.txt").write_text("hello\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    return Repository(path, git("rev-parse", "HEAD"))


class Server:
    """The server's end, played by a test. `heard` is everything but heartbeats, in order."""

    def __init__(self, end: transport.Transport) -> None:
        self.transport = end
        self.connection = protocol.ServerConnection()
        self.heard: list[ToServer] = []
        self.beats: list[Heartbeat] = []
        self._news = asyncio.Event()

    async def say(self, *said: ToHost) -> None:
        await self.transport.write(b"".join(map(self.connection.send, said)))

    async def listen(self) -> None:
        while data := await self.transport.read():
            received = self.connection.receive(data)
            self.heard += [each for each in received if not isinstance(each, Heartbeat)]
            self.beats += [each for each in received if isinstance(each, Heartbeat)]
            self._news.set()
        self._news.set()

    async def hears(self, kind: type, machine: int | None = None) -> Any:
        while True:
            for each in self.heard:
                if isinstance(each, kind) and getattr(each, "machine", None) == machine:
                    return each
            self._news.clear()
            await self._news.wait()

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.heard if isinstance(each, kind)]


@dataclasses.dataclass
class World:
    provider: fakes.FakeProvider
    agent: agent.Agent
    server: Server
    repository: Repository

    def make(self, machine: int) -> Make:
        image = ImageSpec(suite="bookworm")
        spec = MachineSpec(label="l", image=image, memory=64 << 20)
        return Make(machine=machine, spec=spec)

    def run(self, machine: int, *scripts: str, **fields: Any) -> Run:
        source = SourceSpec(
            url=str(self.repository.path),
            ref="refs/heads/main",
            commit=self.repository.commit,
            branch="main",
        )
        steps = tuple(StepSpec(name=f"step {script}", run=script) for script in scripts)
        spec = BuildSpec(build=machine * 10, project="p", job="j", source=source, steps=steps)
        return Run(machine=machine, build=dataclasses.replace(spec, **fields))

    def both(self, machine: int, *scripts: str, **fields: Any) -> tuple[Make, Run]:
        return self.make(machine), self.run(machine, *scripts, **fields)

    async def finish(self, machine: int, *scripts: str, **fields: Any) -> BuildFinished:
        await self.server.say(*self.both(machine, *scripts, **fields))
        finished: BuildFinished = await self.server.hears(BuildFinished, machine)
        return finished

    async def destroy(self, machine: int) -> None:
        await self.server.say(Destroy(machine=machine))
        await self.server.hears(MachineGone, machine)


LABELS = tuple(
    MachineSpec(label=label, image=ImageSpec(suite=suite))
    for label, suite in (("small", "bookworm"), ("large", "bookworm"), ("other", "trixie"))
)

Scenario = Callable[[World], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def connected(
    state: Path, repository: Repository, provider: fakes.FakeProvider, **options: Any
) -> AsyncIterator[World]:
    ours, theirs = transport.pair()
    host = agent.Agent("here", 2, provider, state, pauses=(0.0,), **{"grace": 1.0, **options})
    server = Server(theirs)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(host.serve(ours))
        group.create_task(server.listen())
        await server.hears(Hello)
        await server.say(
            Welcome(version=messages.VERSION, heartbeat=60.0, token="t", labels=LABELS)
        )
        yield World(provider, host, server, repository)
        host.stop()
    assert await provider.list() == [] or provider.faults.destroy or provider.faults.purge


@pytest.fixture
def play(tmp_path: Path, repository: Repository) -> Callable[..., None]:
    def play(
        scenario: Scenario,
        scripts: dict[str, fakes.Script] | None = None,
        prepare: Callable[[fakes.FakeProvider], None] = lambda provider: None,
        **options: Any,
    ) -> None:
        async def all_of_it() -> None:
            provider = fakes.FakeProvider(scripts)
            prepare(provider)
            async with connected(tmp_path / "state", repository, provider, **options) as world:
                await scenario(world)

        asyncio.run(all_of_it())

    return play


OUT, ERR = Stream.OUT, Stream.ERR


def test_a_build_that_succeeds_is_told_from_the_machine_to_the_artefacts(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "one", "two", env=(("CI", "no"), ("CUPEL_JOB", "forged")))
        assert (finished.verdict, finished.reason) == ("success", None)
        assert (finished.cpu_seconds, finished.memory_peak) == (2.5, 1 << 20)
        heard = world.server.heard
        hello = heard[0]
        assert isinstance(hello, Hello)
        assert hello.system.startswith("Cupel ")
        assert dataclasses.replace(hello, cpu="", system="") == Hello(
            version=messages.VERSION, name="here", slots=2, machines=()
        )
        assert [each.text for each in world.server.of(Progress)] == ["building", "no cgroups"]
        assert world.server.of(MachineReady)[0].image == "sha256:bookworm"
        assert [(m.step, m.stream, m.data) for m in world.server.of(Output)] == [
            (0, "out", b"a\n"),
            (0, "err", b"b\n"),
        ]
        assert [(m.step, m.name) for m in world.server.of(StepStarted)] == [
            (0, "step one"),
            (1, "step two"),
        ]
        assert [(m.exit_status, m.cpu_seconds) for m in world.server.of(StepFinished)] == [
            (0, 2.0),
            (0, 0.0),
        ]
        assert [m.last for m in world.server.of(ArtefactData)][-1]
        packed = b"".join(m.data for m in world.server.of(ArtefactData))
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            assert "wheel.whl" in tar.getnames()
        [machine] = world.provider.made
        argv, env, cwd = machine.ran[0]
        assert argv == ("/bin/bash", "-eo", "pipefail", "-c", "one")
        assert cwd == "/build/src"
        assert env["CI"] == "no"
        assert env["CUPEL_JOB"] == "j"
        assert env["CUPEL_COMMIT"] == world.repository.commit
        assert "USER" not in env
        assert await world.provider.list() == [1]
        await world.destroy(1)
        assert await world.provider.list() == []

    def prepare(provider: fakes.FakeProvider) -> None:
        provider.progress, provider.notes = ["building"], ["no cgroups"]

    one = fakes.Script(
        prints=[(OUT, b"a\n"), (ERR, b"b\n")], cpu_seconds=2.0, leaves={"wheel.whl": b"zip"}
    )
    play(scenario, {"one": one}, prepare)


def test_a_host_tells_the_images_that_it_has_before_anything_else(play):
    def prepare(provider: fakes.FakeProvider) -> None:
        provider.built = {"bookworm"}
        provider.existing[5] = None
        provider.faults.purge = 10**9

    async def scenario(world: World) -> None:
        digest = "sha256:bookworm"
        told = await world.server.hears(Images)
        assert told.images == (("small", digest), ("large", digest))
        world.provider.faults.purge = 0
        await world.server.hears(MachineGone, 5)
        assert [type(each) for each in world.server.heard] == [Hello, Images, MachineGone]

    play(scenario, prepare=prepare, grace=0.02)


def test_a_host_tells_the_images_of_its_own_labels_alone(play):
    def prepare(provider: fakes.FakeProvider) -> None:
        provider.built = {"bookworm", "trixie"}

    async def scenario(world: World) -> None:
        told = await world.server.hears(Images)
        assert told.images == (("other", "sha256:trixie"),)

    play(scenario, prepare=prepare, labels=["other"])


def test_projects_beside_are_found_through_the_environment(play):
    async def scenario(world: World) -> None:
        beside = BesideSpec(project="lib", source=world.run(1).build.source)
        await world.finish(1, "x", beside=(beside,))
        [machine] = world.provider.made
        assert machine.ran[0][1]["CUPEL_PROJECTS"] == "/build/projects"
        assert machine.files["/build/projects/lib/hello.txt"] == b"hello\n"
        [(room, inside)] = machine.binds.items()
        assert inside == "/build/.mirrors"
        assert {path.name for path in room.iterdir()} == {"p.git", "lib.git"}

    play(scenario)


def test_the_checkout_is_whole_and_borrows_what_is_lent_to_its_machine(play):
    async def scenario(world: World) -> None:
        await world.finish(1, "x")
        [machine] = world.provider.made
        [(room, inside)] = machine.binds.items()
        assert inside == "/build/.mirrors"
        assert list((room / "p.git" / "objects" / "pack").glob("*.pack"))
        assert machine.files["/build/src/hello.txt"] == b"hello\n"
        git = "/build/src/.git"
        assert machine.files[f"{git}/HEAD"].decode() == f"{world.repository.commit}\n"
        assert machine.files[f"{git}/objects/info/alternates"] == b"/build/.mirrors/p.git/objects\n"
        assert machine.files["/build/results"] == b"artifacts/.results"
        await world.destroy(1)
        assert not room.exists()

    play(scenario)


def test_the_first_step_that_fails_is_the_last(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "bad", "never")
        assert finished.verdict == "failure"
        assert finished.reason == "step 'step bad' exited with status 3"
        assert len(world.server.of(StepStarted)) == 1
        assert world.server.of(ArtefactData)[-1].last
        assert (await world.finish(2, "crash")).reason == "step 'step crash' was killed by SIGSEGV"

    play(scenario, {"bad": fakes.Script(exit=3), "crash": fakes.Script(exit=-11)})


def test_a_build_that_takes_too_long_names_the_step(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "slow", timeout=0.05)
        assert finished.verdict == "timeout"
        assert finished.reason == "took longer than 0.05 s, in step 'step slow'"
        assert world.server.of(StepFinished)[0].exit_status is None
        assert world.provider.made[0].killed == 1
        assert world.server.of(ArtefactData)[-1].last

    play(scenario, {"slow": fakes.Script(exit=fakes.FOREVER)})


def test_what_was_running_when_the_time_was_over_is_in_the_log_and_kept(play):
    stat = b"7 (sleep) S 1 " + b"0 " * 9 + b"100 0 0 0 20 0 1 0 9000 0"
    seen = b"99\x00100.0\x00" + b"\x00".join((stat, b"hrtimer_nanosleep", b"sleep 60", b"", b""))

    async def scenario(world: World) -> None:
        finished = await world.finish(1, "slow", timeout=0.05)
        assert finished.reason == "took longer than 0.05 s, in step 'step slow'"
        (said,) = [each.data.decode() for each in world.server.of(Output) if each.stream == "cupel"]
        assert said.splitlines()[0] == "still running after 0.05 s:"
        assert "hrtimer_nanosleep    sleep 60" in said
        left = b"".join(each.data for each in world.server.of(ArtefactData))
        assert b"./.machine/processes" in left
        assert b"hrtimer_nanosleep sleep 60" in left

    scripts = {
        "slow": fakes.Script(exit=fakes.FOREVER),
        processes.LOOK: fakes.Script(prints=((OUT, seen),)),
    }
    play(scenario, scripts)


def test_a_machine_that_cannot_be_looked_at_times_out_all_the_same(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "slow", timeout=0.05)
        assert finished.verdict == "timeout"

    scripts = {
        "slow": fakes.Script(exit=fakes.FOREVER),
        processes.LOOK: fakes.Script(exit=fakes.FOREVER),
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runner, "LOOK_SECONDS", 0.1)
        play(scenario, scripts)


def test_a_build_that_prints_too_much_keeps_what_fits(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "loud", log_limit=2 << 20)
        assert (finished.verdict, finished.reason) == ("failure", "printed more than 2 MiB")
        assert sum(len(each.data) for each in world.server.of(Output)) == 2 << 20
        finished = await world.finish(2, "lines", log_limit=1600)
        assert finished.reason == "printed more than 100 lines"

    loud = fakes.Script(prints=[(OUT, b"x" * 3_000_000)], exit=fakes.FOREVER)
    play(scenario, {"loud": loud, "lines": fakes.Script(prints=[(OUT, b"\n" * 101)])})


def test_cores_of_a_failed_build_are_gathered_and_named(play):
    async def scenario(world: World) -> None:
        assert (await world.finish(1, "crash")).verdict == "failure"
        said = b"".join(each.data for each in world.server.of(Output))
        assert b"its core /build/src/core is kept as an artefact" in said
        assert (await world.finish(2, "well")).verdict == "success"
        assert b"".join(each.data for each in world.server.of(Output)) == said

    found = fakes.Script(prints=[(OUT, b"/build/src/core\n")])
    play(scenario, {"crash": fakes.Script(exit=139), runner.CORES: found})


def test_a_step_killed_for_memory_says_so(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "hungry")
        reason = "killed for memory: limit 64 MiB, peak 1 MiB"
        assert (finished.verdict, finished.reason) == ("failure", reason)

    play(scenario, {"hungry": fakes.Script(exit=fakes.OOM)})


def test_who_was_killed_for_memory_is_named_and_what_ran_beside_it_is_in_the_log(play):
    async def scenario(world: World) -> None:
        world.provider.casualties = [
            Killed(name="python3", memory=60 << 20, others=(("make", 3 << 20), ("sh", 1 << 20)))
        ]
        finished = await world.finish(1, "hungry")
        assert finished.reason == (
            "killed for memory: limit 64 MiB, peak 1 MiB; it was python3, which had 60 MiB"
        )
        (said,) = [each.data.decode() for each in world.server.of(Output) if each.stream == "cupel"]
        assert said.splitlines() == [
            "killed for memory: python3, which had 60 MiB; beside it ran:",
            "  3 MiB make",
            "  1 MiB sh",
        ]

    play(scenario, {"hungry": fakes.Script(exit=fakes.OOM)})


@pytest.mark.parametrize("fault", ["prepare", "create", "copy_in", "copy_out"])
def test_what_the_provider_fails_at_is_not_the_changes_fault(play, fault):
    async def scenario(world: World) -> None:
        setattr(world.provider.faults, fault, "no space left")
        finished = await world.finish(1, "x")
        assert finished.verdict == "infra"
        assert finished.reason is not None
        assert "no space left" in finished.reason
        setattr(world.provider.faults, fault, None)
        await world.destroy(1)
        assert (await world.finish(2, "x")).verdict == "success"

    play(scenario)


def test_a_machine_that_dies_is_not_the_changes_fault(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "die")
        assert (finished.verdict, finished.reason) == ("infra", "machine 1 is gone")
        assert world.server.of(StepFinished)[0].exit_status is None

    play(scenario, {"die": fakes.Script(exit=fakes.DIES)})


def test_a_machine_that_its_build_brought_down_is_the_changes_fault(play, tmp_path):
    console = tmp_path / "console.log"
    console.write_bytes(b"Kernel panic" * 100)

    async def scenario(world: World) -> None:
        world.provider.fault = "the machine's kernel panicked: Oops"
        world.provider.records = {"console.log": console}
        finished = await world.finish(1, "die")
        assert (finished.verdict, finished.reason) == ("failure", world.provider.fault)
        left = world.server.of(ArtefactData)
        assert left[-1].last
        data = io.BytesIO(b"".join(each.data for each in left))
        with tarfile.open(fileobj=data) as tar:
            assert tar.getnames() == ["./.machine/console.log"]
            file = tar.extractfile(tar.next() or tar.getmembers()[0])
            assert file is not None
            assert file.read() == console.read_bytes()

    play(scenario, {"die": fakes.Script(exit=fakes.DIES)})


def test_what_a_machine_tells_of_itself_comes_before_the_artefacts(play, tmp_path):
    console = tmp_path / "console.log"
    console.write_bytes(b"booted")

    async def scenario(world: World) -> None:
        world.provider.records = {"console.log": console}
        assert (await world.finish(1, "leave")).verdict == "success"
        data = io.BytesIO(b"".join(each.data for each in world.server.of(ArtefactData)))
        with tarfile.open(fileobj=data) as tar:
            assert tar.getnames()[0] == "./.machine/console.log"
            assert any(name.endswith("report") for name in tar.getnames())

    play(scenario, {"leave": fakes.Script(leaves={"report": b"fine"})})


def test_a_source_that_is_not_there_is_not_the_changes_fault(play):
    async def scenario(world: World) -> None:
        run = world.run(1, "x")
        source = dataclasses.replace(run.build.source, url="/nonexistent")
        assert (await world.finish(1, "x", source=source)).verdict == "infra"
        source = dataclasses.replace(run.build.source, commit="1" * 40)
        assert (await world.finish(2, "x", source=source)).verdict == "infra"

    play(scenario)


def test_too_many_artefacts_fail_a_build_and_are_not_kept(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "leave", artefact_limit=2048)
        reason = "left more than 2 KiB of artefacts"
        assert (finished.verdict, finished.reason) == ("failure", reason)
        assert not any(each.last for each in world.server.of(ArtefactData))

    play(scenario, {"leave": fakes.Script(leaves={"big": b"x" * 5000})})


def test_a_build_is_cancelled_while_its_machine_is_made(play):
    async def scenario(world: World) -> None:
        world.provider.may_create.clear()
        await world.server.say(*world.both(1, "x"))
        await world.provider.creating.wait()
        await world.server.say(Cancel(machine=1), Cancel(machine=1))
        finished = await world.server.hears(BuildFinished, 1)
        assert finished.verdict == "cancelled"
        await world.destroy(1)
        assert await world.provider.list() == []
        world.provider.may_create.set()
        assert (await world.finish(2, "x")).verdict == "success"
        assert (await world.finish(3, "x")).verdict == "success"

    play(scenario)


def test_a_build_is_cancelled_before_it_began(play):
    async def scenario(world: World) -> None:
        await world.server.say(*world.both(1, "x"), Cancel(machine=1), Destroy(machine=1))
        await world.server.hears(MachineGone, 1)
        assert world.server.of(BuildFinished)[0].verdict == "cancelled"

    play(scenario)


def test_a_step_is_cancelled(play):
    async def scenario(world: World) -> None:
        await world.server.say(*world.both(1, "slow"))
        await world.provider.stepping.wait()
        await world.server.say(Cancel(machine=1))
        assert (await world.server.hears(BuildFinished, 1)).verdict == "cancelled"
        assert world.provider.made[0].killed == 1
        assert world.server.of(StepFinished)[0].exit_status is None
        assert await world.provider.list() == [1]

    play(scenario, {"slow": fakes.Script(exit=fakes.FOREVER)})


def test_a_machine_that_does_not_go_is_tried_until_it_does(play):
    async def scenario(world: World) -> None:
        world.provider.faults.destroy = 3
        await world.finish(1, "x")
        await world.server.say(Destroy(machine=1), Destroy(machine=1))
        await world.server.hears(MachineGone, 1)
        assert world.provider.faults.destroy == 0
        assert await world.provider.list() == []

    play(scenario)


def test_repeated_and_unknown_orders_are_harmless(play):
    async def scenario(world: World) -> None:
        await world.server.say(*world.both(1, "x"), *world.both(1, "x"))
        await world.server.hears(BuildFinished, 1)
        await world.server.say(*world.both(1, "x"), Cancel(machine=1))
        await world.destroy(1)
        assert len(world.server.of(BuildFinished)) == 1
        world.server.heard.clear()
        await world.destroy(1)
        world.server.heard.clear()
        await world.server.say(*world.both(1, "x"))
        await world.server.hears(MachineGone, 1)
        await world.destroy(99)
        await world.server.say(Cancel(machine=98))
        await world.server.hears(MachineGone, 98)
        assert len(world.provider.made) == 1

    play(scenario)


def test_more_than_the_host_has_room_for_is_refused(play):
    async def scenario(world: World) -> None:
        await world.finish(1, "x")
        await world.server.say(world.make(2))
        await world.server.hears(MachineReady, 2)
        finished = await world.finish(3, "x")
        reason = "the host has no free slot: 2 of 2 are taken"
        assert (await world.server.hears(MachineFailed, 3)).reason == reason
        assert (finished.verdict, finished.reason) == ("infra", reason)
        await world.destroy(1)
        await world.destroy(3)
        assert (await world.finish(4, "x")).verdict == "success"
        assert [made.id for made in world.provider.made] == [1, 2, 4]

    play(scenario)


def test_a_machine_stands_ready_until_a_build_comes(play):
    async def scenario(world: World) -> None:
        await world.server.say(world.make(1), world.make(1))
        await world.server.hears(MachineReady, 1)
        [machine] = world.provider.made
        assert list(machine.binds) == [next(iter(machine.binds))]
        assert list(next(iter(machine.binds)).iterdir()) == []
        await world.server.say(world.run(1, "x"))
        assert (await world.server.hears(BuildFinished, 1)).verdict == "success"
        assert machine.files["/build/src/hello.txt"] == b"hello\n"
        await world.server.say(world.make(2))
        await world.server.hears(MachineReady, 2)
        await world.destroy(2)
        assert len(world.server.of(BuildFinished)) == 1

    play(scenario)


def test_a_machine_that_is_not_wanted_any_more_is_not_made_to_its_end(play):
    async def scenario(world: World) -> None:
        world.provider.may_create.clear()
        await world.server.say(world.make(1))
        await world.provider.creating.wait()
        await world.destroy(1)
        assert [type(each) for each in world.server.heard[2:]] == [MachineGone]

    play(scenario)


def test_a_machine_that_cannot_be_made_says_why_and_refuses_no_deletion(play):
    async def scenario(world: World) -> None:
        world.provider.faults.create = "no space left"
        await world.server.say(world.make(1))
        assert (await world.server.hears(MachineFailed, 1)).reason == "no space left"
        assert world.server.of(BuildFinished) == []
        await world.server.say(world.run(1, "x"))
        finished = await world.server.hears(BuildFinished, 1)
        assert (finished.verdict, finished.reason) == ("infra", "no space left")
        await world.destroy(1)

    play(scenario)


def test_builds_on_machines_that_are_not_theirs_are_refused_in_words(play):
    async def scenario(world: World) -> None:
        await world.server.say(world.run(7, "x"))
        assert await world.server.hears(BuildRefused, 7) == BuildRefused(
            machine=7, build=70, reason="there is no machine 7 here: nobody has ordered it"
        )
        await world.server.say(*world.both(1, "slow"), world.run(1, "x", build=99))
        refused = await world.server.hears(BuildRefused, 1)
        assert (refused.build, refused.reason) == (99, "machine 1 is used already, by build 10")
        await world.provider.stepping.wait()
        world.provider.faults.destroy = 10**9
        await world.server.say(world.make(2))
        await world.server.hears(MachineReady, 2)
        await world.server.say(Destroy(machine=2), world.run(2, "x"))
        refused = await world.server.hears(BuildRefused, 2)
        assert refused.reason == "machine 2 is being deleted"
        world.provider.faults.destroy = 0

    play(scenario, {"slow": fakes.Script(exit=fakes.FOREVER)})


def test_a_provider_that_shares_nothing_is_sent_everything(play):
    def prepare(provider: fakes.FakeProvider) -> None:
        provider.sharing = False

    async def scenario(world: World) -> None:
        await world.finish(1, "x")
        [machine] = world.provider.made
        assert machine.binds == {}
        packs = "/build/.mirrors/p.git/objects/pack/"
        assert any(path.startswith(packs) for path in machine.files)

    play(scenario, prepare=prepare)


def test_what_an_earlier_life_left_is_gone_before_hello(play):
    async def scenario(world: World) -> None:
        assert world.server.of(Hello)[0].machines == ()
        assert await world.provider.list() == []

    def prepare(provider: fakes.FakeProvider) -> None:
        provider.existing |= {5: None, 6: None}
        provider.faults.purge = 1

    play(scenario, prepare=prepare)


def test_what_an_earlier_life_left_and_does_not_go_is_named_and_tried_again(play):
    async def scenario(world: World) -> None:
        assert world.server.of(Hello)[0].machines == (5,)
        world.provider.faults.purge = 0
        await world.server.hears(MachineGone, 5)

    def prepare(provider: fakes.FakeProvider) -> None:
        provider.existing[5] = None
        provider.faults.purge = 10**9

    play(scenario, prepare=prepare, grace=0.02)


def test_the_end_of_the_transport_destroys_everything(tmp_path, repository):
    async def scenario() -> None:
        provider = fakes.FakeProvider({"slow": fakes.Script(exit=fakes.FOREVER)})
        async with connected(tmp_path, repository, provider) as world:
            await world.server.say(*world.both(1, "slow"))
            await provider.stepping.wait()
            provider.may_create.clear()
            provider.creating.clear()
            await world.server.say(*world.both(2, "x"))
            await provider.creating.wait()
            world.server.transport.close()
        assert provider.existing == {}
        assert provider.made[0].killed == 1

    asyncio.run(scenario())


def test_a_server_that_breaks_the_protocol_is_left(tmp_path):
    async def scenario() -> None:
        ours, theirs = transport.pair()
        async with asyncio.TaskGroup() as group:
            host = agent.Agent("here", 1, fakes.FakeProvider(), tmp_path)
            group.create_task(host.serve(ours))
            await theirs.read()
            await theirs.write(b"GET / HTTP/1.1\r\n\r\n")

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(scenario())
    assert raised.group_contains(InfraError, match="broke the protocol")


def test_a_stopped_agent_does_not_serve(tmp_path):
    async def scenario() -> None:
        host = agent.Agent("here", 1, fakes.FakeProvider(), tmp_path)
        host.stop()
        ours, theirs = transport.pair()
        await host.serve(ours)
        assert await theirs.read() == b""

    asyncio.run(scenario())


def test_a_host_shows_that_it_lives(tmp_path):
    async def scenario() -> None:
        ours, theirs = transport.pair()
        connection = protocol.ServerConnection()
        guard = protection.Guard(tmp_path)
        host = agent.Agent("here", 1, fakes.FakeProvider(), tmp_path, guard=guard)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(host.serve(ours))
            connection.receive(await theirs.read())
            welcome = Welcome(version=messages.VERSION, heartbeat=0.01, token="t")
            await theirs.write(connection.send(welcome))
            assert connection.receive(await theirs.read()) == [Images(images=())]
            [beat] = connection.receive(await theirs.read())
            assert beat.refuses is None
            assert 0 < beat.load.available <= beat.load.memory
            guard.refuses = "memory is short"
            connection.receive(await theirs.read())
            last = connection.receive(await theirs.read())[-1]
            assert last.refuses == "memory is short"
            host.stop()

    asyncio.run(scenario())


def test_a_host_tells_of_an_image_that_changed_with_its_next_heartbeat(tmp_path):
    async def scenario() -> None:
        ours, theirs = transport.pair()
        connection = protocol.ServerConnection()
        provider = fakes.FakeProvider()
        host = agent.Agent("here", 1, provider, tmp_path)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(host.serve(ours))
            connection.receive(await theirs.read())
            welcome = Welcome(
                version=messages.VERSION, heartbeat=0.01, token="t", labels=LABELS[:1]
            )
            await theirs.write(connection.send(welcome))
            assert connection.receive(await theirs.read()) == [Images(images=())]
            provider.built = {LABELS[0].image.suite}
            beats = [connection.receive(await theirs.read()) for _ in range(5)]
            told = [beat.images for heard in beats for beat in heard if beat.images is not None]
            assert told == [((LABELS[0].label, f"sha256:{LABELS[0].image.suite}"),)]
            host.stop()

    asyncio.run(scenario())


def test_a_build_that_is_cancelled_before_it_comes_never_runs(play):
    async def scenario(world: World) -> None:
        await world.server.say(world.make(1), Cancel(machine=1))
        assert (await world.server.hears(BuildFinished, 1)).verdict == "cancelled"
        await world.server.say(world.run(1, "x"))
        refused = await world.server.hears(BuildRefused, 1)
        assert refused.reason == "what was to run on machine 1 has been cancelled"
        await world.destroy(1)

    play(scenario)


def test_a_build_that_is_stopped_for_the_hosts_sake_says_so_and_its_machine_is_killed(play):
    def look(state: Path, at: float, loads: Any) -> pressure.Sample:
        gib = 1 << 30
        short = 1 if loads else 8 * gib
        return pressure.Sample(
            at=at, memory=16 * gib, available=short, disk=gib << 9, disk_free=gib << 8, loads=loads
        )

    async def scenario(world: World) -> None:
        await world.server.say(*world.both(1, "forever"))
        finished = await world.server.hears(BuildFinished, 1)
        assert finished.verdict == "protected"
        assert finished.reason.startswith("the host's memory had 1 bytes")
        assert "this build had most of the builds' memory" in world.server.of(Progress)[-1].text
        assert world.provider.existing.get(1) is None
        refused = [each for each in world.server.beats if each.refuses]
        assert "its memory has 1 bytes left" in refused[0].refuses
        assert len((await world.server.hears(Metrics, 1)).measures) == 1
        await world.destroy(1)

    scripts = {"forever": fakes.Script(exit=fakes.FOREVER)}
    play(scenario, scripts, guard=protection.Guard(Path("/"), look=look))


def results(world: World, part: int = 0) -> dict[str, bytes]:
    """What was sent of a machine's $CUPEL_RESULTS, by name."""
    packed = b"".join(m.data for m in world.server.of(ResultData) if m.part == part)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}


@pytest.mark.parametrize("exit", [0, 1, fakes.FOREVER], ids=["passes", "fails", "takes too long"])
def test_results_are_sent_however_a_build_ends_and_before_its_artefacts(play, exit):
    async def scenario(world: World) -> None:
        await world.finish(1, "test", timeout=0.5)
        assert results(world) == {"junit.xml": b"<testsuite/>"}
        kinds = [type(each) for each in world.server.heard]
        assert kinds.index(ResultData) < kinds.index(ArtefactData)

    left = {"/build/results/junit.xml": b"<testsuite/>"}
    play(scenario, {"test": fakes.Script(exit=exit, leaves=left)})


def test_no_more_of_results_is_sent_than_may_be_read_and_the_log_says_so(play):
    async def scenario(world: World) -> None:
        finished = await world.finish(1, "test", result_limit=3000)
        assert finished.verdict == "success"
        assert sum(len(m.data) for m in world.server.of(ResultData)) == 3001
        assert b"larger than what is read" in world.server.of(Output)[-1].data
        assert world.server.of(ArtefactData)[-1].last

    play(scenario, {"test": fakes.Script(leaves={"/build/results/x": b"x" * 9000})})


PAIR = (messages.PartSpec(name="server", machine=1), messages.PartSpec(name="client", machine=2))


def test_a_build_of_two_machines_runs_on_both_and_tells_which(play):
    async def scenario(world: World) -> None:
        await world.server.say(world.make(1), world.make(2))
        steps = (StepSpec(name="a", run="one"), StepSpec(name="b", run="other", on="client"))
        link = messages.LinkSpec(one="server", other="client", delay=0.1)
        await world.server.say(world.run(1, parts=PAIR, steps=steps, links=(link,)))
        finished = await world.server.hears(BuildFinished, 1)
        assert (finished.verdict, finished.reason) == ("success", None)
        printed = [(m.machine, m.step, m.part, m.data) for m in world.server.of(Output)]
        assert printed == [(1, 0, 0, b"x\n"), (1, 1, 1, b"y\n")]
        [network] = world.provider.networks
        assert network.links == [link]
        assert not network.closed  # somebody may want to look
        own, other = sorted(world.provider.made, key=lambda each: each.id)
        assert all(each.files["/build/src/hello.txt"] == b"hello\n" for each in (own, other))
        [(_, env, _)] = [ran for ran in other.ran if ran[0][-1] == "other"]
        assert env["CUPEL_MACHINE"] == "client"
        packed = b"".join(m.data for m in world.server.of(ArtefactData))
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            assert "client/left" in tar.getnames()
        assert results(world, part=1) == {"r.tap": b"ok"}
        assert not [each for each in world.server.heard if getattr(each, "machine", 0) == 2][1:]
        await world.destroy(1)
        await world.destroy(2)
        assert network.closed

    scripts = {
        "one": fakes.Script(prints=[(OUT, b"x\n")]),
        "other": fakes.Script(
            prints=[(OUT, b"y\n")], leaves={"left": b"1", "/build/results/r.tap": b"ok"}
        ),
    }
    play(scenario, scripts)


def test_a_build_of_two_machines_counts_as_one_and_is_stopped_on_both(play):
    seen: list[Any] = []

    def look(state: Path, at: float, loads: Any) -> pressure.Sample:
        gib = 1 << 30
        seen.append(loads)
        short = 1 if loads else 8 * gib
        return pressure.Sample(
            at=at, memory=16 * gib, available=short, disk=gib << 9, disk_free=gib << 8, loads=loads
        )

    async def scenario(world: World) -> None:
        await world.server.say(world.make(1), world.make(2))
        await world.server.say(world.run(1, "forever", parts=PAIR))
        finished = await world.server.hears(BuildFinished, 1)
        assert finished.verdict == "protected"
        assert world.provider.existing == {}
        assert {load.machine for loads in seen for load in loads} == {1}
        assert not [each for each in world.server.of(BuildFinished) if each.machine == 2]
        await world.destroy(1)
        await world.destroy(2)

    scripts = {"forever": fakes.Script(exit=fakes.FOREVER)}
    play(scenario, scripts, guard=protection.Guard(Path("/"), look=look))


def test_a_machine_is_lent_to_one_build_alone(play):
    async def scenario(world: World) -> None:
        await world.server.say(world.make(1), world.make(2))
        await world.server.say(world.run(1, "slow", parts=PAIR))
        await world.provider.stepping.wait()
        await world.server.say(world.run(2, "x"))
        refused = await world.server.hears(BuildRefused, 2)
        assert refused.reason == "machine 2 is used already, by build 10"

    play(scenario, {"slow": fakes.Script(exit=fakes.FOREVER)})


def test_a_build_is_refused_when_one_of_its_machines_is_not_there(play):
    async def scenario(world: World) -> None:
        await world.server.say(world.make(1), world.run(1, "x", parts=PAIR))
        refused = await world.server.hears(BuildRefused, 1)
        assert refused.reason == "there is no machine 2 here: nobody has ordered it"

    play(scenario)


def test_machines_that_cannot_be_joined_fail_the_build_in_words(play):
    async def scenario(world: World) -> None:
        world.provider.faults.join = "virtual machines can't be joined"
        await world.server.say(world.make(1), world.make(2), world.run(1, "x", parts=PAIR))
        finished = await world.server.hears(BuildFinished, 1)
        assert (finished.verdict, finished.reason) == ("failure", world.provider.faults.join)

    play(scenario)


def test_a_service_that_fails_ends_the_build_before_its_first_step(play):
    async def scenario(world: World) -> None:
        db = messages.ServiceSpec(name="client", run="serve", health="sick", ports=(), timeout=5.0)
        await world.server.say(world.make(1), world.make(2))
        await world.server.say(world.run(1, "x", parts=PAIR, services=(db,)))
        finished = await world.server.hears(BuildFinished, 1)
        assert finished.verdict == "failure"
        assert finished.reason == (
            "service 'client' ended with status 3 and was not healthy; it printed last:\nno disk"
        )
        assert world.server.of(StepStarted) == []

    serve = fakes.Script(prints=[(ERR, b"no disk\n")], exit=3)
    play(scenario, {"serve": serve, "sick": fakes.Script(exit=1), "\nsick": fakes.Script(exit=1)})


def test_a_build_ends_when_another_of_its_machines_goes(play):
    async def scenario(world: World) -> None:
        await world.server.say(world.make(1), world.make(2))
        steps = (StepSpec(name="a", run="slow", on="client"),)
        await world.server.say(world.run(1, parts=PAIR, steps=steps))
        finished = await world.server.hears(BuildFinished, 1)
        assert finished.verdict == "infra"

    play(scenario, {"slow": fakes.Script(exit=fakes.DIES)})


class Stocked:
    """A stock that notes what it is asked for."""

    def __init__(self) -> None:
        self.url = self.token = ""
        self.kept: list[tuple[str | None, ...]] = []
        self.obtained: list[str] = []
        self.fails = False

    async def keep(self, specs: Sequence[MachineSpec]) -> None:
        self.kept.append(tuple(spec.digest for spec in specs))

    def learn(self, specs: Sequence[MachineSpec]) -> None:
        pass

    async def obtain(self, spec: MachineSpec, tell: Callable[[str], None]) -> MachineSpec:
        tell("Fetching it")
        if self.fails:
            raise InfraError("the image is gone")
        self.obtained.append(spec.label)
        return spec


def test_a_host_with_a_stock_fetches_images_and_leaves_the_verdict_on_them_to_the_server(play):
    stock = Stocked()

    async def scenario(world: World) -> None:
        hello = world.server.of(Hello)[0]
        assert hello.fetches == base.architecture()
        told = [dataclasses.replace(spec, digest="sha256:9") for spec in LABELS]
        await world.server.say(Labels(labels=tuple(told)))
        good = await world.finish(1, "one")
        bad = await world.finish(2, "breaks")
        assert (good.verdict, bad.verdict) == ("success", "infra")
        assert stock.obtained == ["l", "l"]
        assert "Fetching it" in [each.text for each in world.server.of(Progress)]
        judged = [(each.image, each.by_itself) for each in world.server.of(Judged)]
        assert judged == [("sha256:bookworm", True), ("sha256:bookworm", False)]

    play(scenario, {"breaks": fakes.Script(exit=fakes.DIES)}, stock=stock)
    assert stock.token == "t"
    assert stock.kept[-1] == ("sha256:9",) * len(LABELS), "at once, not with the next look"


def test_an_image_that_does_not_come_is_why_a_machine_cannot_be_made(play):
    stock = Stocked()
    stock.fails = True

    async def scenario(world: World) -> None:
        await world.server.say(world.make(1))
        failed = await world.server.hears(MachineFailed, 1)
        assert "the image is gone" in failed.reason
        assert world.server.of(Judged) == [], "an image that is not here has done nothing"
        await world.destroy(1)

    play(scenario, stock=stock)
