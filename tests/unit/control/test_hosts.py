"""The server's end of a host: what it is told, and what of that becomes a fact."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from cupel.artefact.store import ArtefactStore
from cupel.config.server import ServerConfig
from cupel.control.engine import Engine
from cupel.control.hosts import Hosts
from cupel.control.visits import Visits
from cupel.core import actions, events
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Item,
    ItemState,
    Job,
    Machine,
    MachineState,
    Part,
    Pipeline,
    Policy,
    Project,
    Step,
    Usage,
)
from cupel.host import messages, protocol, transport
from cupel.image import base
from cupel.image.definition import Definition
from cupel.log import metrics
from cupel.log.loads import LoadStore
from cupel.log.store import LogStore
from cupel.report.results.store import ResultStore
from cupel.store.interface import Store

CONFIG = ServerConfig(slots=2)
HELLO = messages.Hello(version=messages.VERSION, name="h", slots=2, machines=(7,))
IMAGES = messages.Images(images=(("debian-12", "sha256:1"),))


class ImagesHere:
    """A keeper that offers one image and notes what it is told of images."""

    def __init__(self) -> None:
        self.offer: str | None = None
        self.coming = False
        self.judged: list[tuple[str, bool]] = []
        self.heard = asyncio.Event()

    def offered(self, definition: Definition) -> str | None:
        return self.offer

    def is_coming(self, definition: Definition) -> bool:
        return self.coming

    def judge(self, digest: str, *, by_itself: bool) -> None:
        self.judged.append((digest, by_itself))
        self.heard.set()


class Recorder:
    """An engine that only notes what it is told."""

    def __init__(self) -> None:
        self.facts: list[events.Fact] = []
        self.news = asyncio.Event()
        self.images = ImagesHere()

    async def record(self, *facts: events.Fact) -> None:
        self.facts += facts
        self.news.set()

    async def hears(self, kind: type, count: int = 1) -> None:
        while sum(isinstance(fact, kind) for fact in self.facts) < count:
            self.news.clear()
            await self.news.wait()


class Host:
    """The host's end, played by a test."""

    def __init__(self, end: transport.Transport) -> None:
        self.transport = end
        self.connection = protocol.HostConnection()
        self.heard: list[messages.ToHost] = []

    async def say(self, *said: messages.ToServer) -> None:
        await self.transport.write(b"".join(map(self.connection.send, said)))

    async def hears(self) -> Any:
        while not self.heard:
            self.heard += self.connection.receive(await self.transport.read())
        return self.heard.pop(0)


Scenario = Callable[[Host, Hosts, Recorder], Awaitable[None]]


def play(
    tmp_path: Path, scenario: Scenario, loads: dict[str, messages.HostLoad] | None = None
) -> list[events.Fact]:
    """What is recorded while the host and the server talk."""

    async def all_of_it() -> list[events.Fact]:
        recorder: Any = Recorder()
        hosts = Hosts(
            cast("Store", None),
            cast("Engine", recorder),
            recorder.images,
            LogStore(tmp_path / "logs"),
            ArtefactStore(tmp_path / "artefacts"),
            lambda: 1.0,
            CONFIG,
            {} if loads is None else loads,
            LoadStore(tmp_path / "loads"),
            Visits(cast("Store", None), cast("Engine", recorder)),
            results=ResultStore(tmp_path / "results"),
            url="http://server",
            token="secret",
        )
        ours, theirs = transport.pair()
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(hosts.serve(ours))
            await scenario(Host(theirs), hosts, recorder)
            theirs.close()
        return cast("Recorder", recorder).facts

    return asyncio.run(all_of_it())


def test_a_host_is_connected_once_it_has_told_its_images(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await host.say(HELLO)
        welcome = await host.hears()
        assert welcome.token == "secret"
        specs = {spec.label: spec for spec in welcome.labels}
        assert specs.keys() == CONFIG.labels.keys()
        assert specs["debian-12"].image.suite == CONFIG.labels["debian-12"].image.suite
        assert recorder.facts == []
        await host.say(IMAGES)
        await recorder.news.wait()

    facts = play(tmp_path, scenario)
    assert facts[0] == events.HostConnected(
        name="h",
        slots=2,
        labels=(),
        machines=(7,),
        detail=None,
        images=(("debian-12", "sha256:1"),),
        cache_room=CONFIG.caches.room,
        cache_share=CONFIG.caches.share,
    )
    assert facts[1:] == [events.HostLost(name="h", reason="it went away")]


def test_a_host_that_tells_no_images_was_never_there(tmp_path: Path) -> None:
    async def leaves(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await host.say(HELLO)
        await host.hears()

    async def goes_on(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await leaves(host, hosts, recorder)
        await host.say(messages.Heartbeat())
        assert await host.transport.read() == b""

    assert play(tmp_path, leaves) == []
    assert play(tmp_path / "other", goes_on) == []


def test_a_build_gets_the_projects_beside_by_their_commits(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await host.say(HELLO)
        await host.hears()
        await host.say(IMAGES)
        await recorder.news.wait()
        action = _run()
        await hosts.make(actions.MakeMachine(machine=action.machine, host="h"))
        make = await host.hears()
        assert (make.machine, make.spec.label) == (6, "debian-12")
        await hosts.run(action)
        run = await host.hears()
        assert run.build.source.ref == "refs/cupel/states/4"
        assert run.build.beside == (
            messages.BesideSpec(
                project="lib",
                source=messages.SourceSpec(
                    url="http://server/lib.git", ref="b" * 40, commit="b" * 40, branch="main"
                ),
            ),
        )

    play(tmp_path, scenario)


def test_what_is_told_of_a_machine_goes_into_the_log_of_its_build(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        await host.say(
            messages.Progress(machine=6, text="building the image"),
            messages.Progress(machine=6, text="no cgroups"),
            messages.MachineReady(machine=6, image="sha256:1", seconds=0.5),
        )
        await recorder.hears(events.MachineReady)
        await hosts.run(_run())
        await host.hears()

    facts = play(tmp_path, scenario)
    assert events.MachineTold(machine_id=6, text="building the image") in facts
    assert events.MachineReady(machine_id=6, image="sha256:1", seconds=0.5) in facts
    [log] = (tmp_path / "logs").rglob("log")
    assert log.read_text() == "building the image\nno cgroups\n"


def test_what_a_host_cannot_make_or_refuses_is_recorded(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        await host.say(messages.Heartbeat(refuses="memory is short", images=(("b", "2"),)))
        await host.say(messages.MachineFailed(machine=9, reason="no space left"))
        await recorder.hears(events.MachineFailed)
        await hosts.run(_run())
        await host.hears()
        await host.say(messages.BuildRefused(machine=6, build=4, reason="not this one"))
        await host.say(messages.BuildRefused(machine=6, build=5, reason="it is used already"))
        await recorder.hears(events.BuildFinished)

    facts = play(tmp_path, scenario)
    seen = events.HostSeen(name="h", refuses="memory is short", images=(("b", "2"),))
    assert seen in facts
    assert events.MachineFailed(machine_id=9, reason="no space left") in facts
    [ended] = [fact for fact in facts if isinstance(fact, events.BuildFinished)]
    assert (ended.machine_id, ended.verdict, ended.reason) == (6, "infra", "it is used already")


def test_a_build_that_was_cancelled_before_its_host_heard_of_it_ends(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        await hosts.cancel(actions.CancelBuild(machine_id=6, host="h"))
        assert await host.hears() == messages.Cancel(machine=6)
        await host.say(
            messages.BuildFinished(
                machine=6, verdict="cancelled", reason="x", cpu_seconds=None, memory_peak=None
            )
        )
        await recorder.hears(events.BuildFinished)

    facts = play(tmp_path, scenario)
    [ended] = [fact for fact in facts if isinstance(fact, events.BuildFinished)]
    assert (ended.machine_id, ended.verdict) == (6, "cancelled")


def test_what_is_told_of_a_build_that_has_ended_is_dropped(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        await hosts.run(_run())
        await host.hears()
        await host.say(
            messages.BuildFinished(
                machine=6, verdict="success", reason=None, cpu_seconds=None, memory_peak=None
            ),
            messages.Progress(machine=6, text="something else"),
            messages.MachineGone(machine=6),
        )
        await recorder.hears(events.MachineGone)

    facts = play(tmp_path, scenario)
    assert events.MachineGone(machine_id=6) in facts
    [log] = (tmp_path / "logs").rglob("log")
    assert log.read_text() == ""


def test_a_build_that_its_host_stopped_for_its_own_sake_is_nobodys_fault(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        await hosts.run(_run())
        await host.hears()
        await host.say(
            messages.BuildFinished(
                machine=6, verdict="protected", reason="short", cpu_seconds=None, memory_peak=None
            )
        )
        await recorder.hears(events.BuildFinished)

    facts = play(tmp_path, scenario)
    [ended] = [fact for fact in facts if isinstance(fact, events.BuildFinished)]
    assert (ended.verdict, ended.reason) == ("infra", "its host protected itself: short")


MEASURE = messages.Measure(
    at=1.0, cpu_seconds=2.0, memory=3, processes=4, disk=5, waits_cpu=None, waits_memory=6.0,
    waits_io=7.0, read=8, written=9,
)  # fmt: skip


def test_what_each_machine_of_a_build_used_is_kept_by_itself(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        action = _run()
        beside = replace(action.machine, id=7, part="beside")
        await hosts.run(replace(action, others=(beside,), job=_of_two(action.job)))
        await host.hears()
        own, other = MEASURE, replace(MEASURE, at=2.0)
        await host.say(messages.Metrics(machine=6, measures=(own,)))
        await host.say(messages.Metrics(machine=7, measures=(own, other)))
        await host.say(messages.Metrics(machine=9, measures=(own,)))  # nobody's
        await host.say(messages.MachineGone(machine=7))
        await host.say(messages.Metrics(machine=7, measures=(own,)))
        await host.say(messages.MachineGone(machine=6))
        await recorder.hears(events.MachineGone, 2)

    play(tmp_path, scenario)
    logs = LogStore(tmp_path / "logs")
    [row] = metrics.read(logs.metrics(5, 0), 0, 9)
    assert row == (1.0, 2.0, 3.0, 4.0, 5.0, None, 6.0, 7.0, 8.0, 9.0)
    assert [row[0] for row in metrics.read(logs.metrics(5, 1), 0, 9)] == [1.0, 2.0]


def test_how_busy_a_host_is_is_known_while_it_is_connected(tmp_path: Path) -> None:
    loads: dict[str, messages.HostLoad] = {}
    load = messages.HostLoad(
        cores=2, runnable=0.5, memory=9, available=5, disk=7, disk_free=6, waits_cpu=12.5
    )

    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        await host.say(messages.Heartbeat(load=load))
        await recorder.hears(events.HostSeen)
        assert loads == {"h": load}
        await host.say(messages.Heartbeat(refuses="x"))  # of an older version
        await recorder.hears(events.HostSeen, 2)
        assert loads == {"h": load}

    play(tmp_path, scenario, loads)
    assert loads == {}


def packed(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


JUNIT = b"""<testsuite><testcase classname="C" name="good"/>
<testcase classname="C" name="bad"><failure message="1 != 2">at x.py:3</failure></testcase>"""


def test_results_of_each_machine_are_read_before_the_end_of_a_build_is_recorded(
    tmp_path: Path,
) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        action = _run()
        beside = replace(action.machine, id=7, part="beside")
        two = _of_two(action.job)
        build = replace(action.build, parts=two.parts)
        await hosts.run(replace(action, others=(beside,), job=two, build=build))
        await host.hears()
        data = packed(r=JUNIT)
        await host.say(
            messages.ResultData(machine=6, part=0, data=data[:700]),
            messages.ResultData(machine=6, part=0, data=data[700:]),
            messages.ResultData(machine=6, part=1, data=packed(t=b"1..2\nok 1\n")),
            messages.BuildFinished(
                machine=6, verdict="failure", reason="x", cpu_seconds=None, memory_peak=None
            ),
            messages.MachineGone(machine=6),
        )
        await recorder.hears(events.MachineGone)

    facts = play(tmp_path, scenario)
    ends = [each for each in facts if isinstance(each, events.BuildFinished | events.MachineGone)]
    ended = ends[0]
    assert isinstance(ended, events.BuildFinished)
    found = ended.findings
    assert found is not None
    assert (found.tally.passed, found.tally.failed, found.tally.error) == (2, 1, 1)
    assert [each.id for each in found.failing] == ["C::bad", "t::(plan)"]
    assert found.notices == ("r: line 2: it ends too early; 2 results of it were read",)
    assert list((tmp_path / "results" / "incoming").iterdir()) == []
    with ResultStore(tmp_path / "results").open(5) as kept:
        assert [each.name for each in kept] == ["bad", "(plan)", "good", "test 1"]


def test_a_build_that_leaves_no_results_has_none(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        await connect(host, recorder)
        await hosts.run(_run())
        await host.hears()
        await host.say(
            messages.ResultData(machine=6, part=0, data=packed()),
            messages.BuildFinished(
                machine=6, verdict="success", reason=None, cpu_seconds=None, memory_peak=None
            ),
        )
        await recorder.hears(events.BuildFinished)

    [ended] = [each for each in play(tmp_path, scenario) if isinstance(each, events.BuildFinished)]
    assert ended.findings is None


def _of_two(job: Job) -> Job:
    return replace(job, parts=tuple(Part(name=n, label="debian-12") for n in ("own", "beside")))


async def connect(host: Host, recorder: Recorder) -> None:
    await host.say(HELLO)
    await host.hears()
    await host.say(IMAGES)
    await recorder.hears(events.HostConnected)


def _run() -> actions.RunBuild:
    job = Job(
        name="j", base="j", label="debian-12", steps=(Step(name="x", run="x"),), projects=("lib",)
    )
    return actions.RunBuild(
        project=_project(1, "p"),
        item=Item(
            id=2,
            pipeline=Pipeline.GATE,
            project_id=1,
            branch="main",
            change_id=3,
            patch_set=1,
            commit="c" * 40,
            state=ItemState.LIVE,
            position=2,
            buildset_id=4,
            enqueued_at=0.0,
        ),
        buildset=Buildset(
            id=4,
            item_id=2,
            number=1,
            onto=None,
            state=BuildsetState.READY,
            commit="a" * 40,
            tree="d" * 40,
            jobs=(job,),
            detail=None,
            notice=None,
            created_at=0.0,
        ),
        build=Build(
            id=5,
            buildset_id=4,
            item_id=2,
            project_id=1,
            pipeline=Pipeline.GATE,
            job="j",
            label="debian-12",
            attempt=1,
            voting=True,
            state=BuildState.STARTING,
            verdict=None,
            reason=None,
            machine_id=6,
            steps=(),
            usage=Usage(),
            queued_at=0.0,
        ),
        job=job,
        machine=Machine(
            id=6,
            label="debian-12",
            image=None,
            host_id=1,
            build_id=5,
            state=MachineState.NEW,
            detail=None,
            created_at=0.0,
        ),
        host="h",
        needed=(),
        beside=((_project(2, "lib"), "b" * 40),),
    )


def _project(number: int, name: str) -> Project:
    return Project(
        id=number, name=name, queue_id=9, branches=("main",), policy=Policy(), created_at=0.0
    )


def test_a_host_that_fetches_images_is_told_their_digests_and_when_they_change(
    tmp_path: Path,
) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        recorder.images.offer = "sha256:1"
        await host.say(replace(HELLO, fetches=base.architecture()))
        welcome = await host.hears()
        assert welcome.images == "http://server/api/images"
        assert {spec.digest for spec in welcome.labels} == {"sha256:1"}
        await host.say(IMAGES, messages.Heartbeat())
        recorder.images.offer = "sha256:2"
        await host.say(messages.Heartbeat())
        told = await host.hears()
        assert {spec.digest for spec in told.labels} == {"sha256:2"}
        await host.say(messages.Heartbeat(), messages.Judged(image="sha256:2", by_itself=False))
        await recorder.hears(events.HostConnected)
        await hosts.make(actions.MakeMachine(machine=_run().machine, host="h"))
        made = await host.hears()
        assert made.spec.digest == "sha256:2", "nothing is told twice"
        await recorder.images.heard.wait()
        assert recorder.images.judged == [("sha256:2", False)]

    play(tmp_path, scenario)


def test_a_host_is_told_of_an_image_that_is_being_built(tmp_path: Path) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        recorder.images.coming = True
        await host.say(replace(HELLO, fetches=base.architecture()))
        assert {(spec.digest, spec.coming) for spec in (await host.hears()).labels} == {
            (None, True)
        }
        recorder.images.coming, recorder.images.offer = False, "sha256:1"
        await host.say(IMAGES, messages.Heartbeat())
        told = {(spec.digest, spec.coming) for spec in (await host.hears()).labels}
        assert told == {("sha256:1", False)}

    play(tmp_path, scenario)


@pytest.mark.parametrize("fetches", ["", "another"])
def test_a_host_is_told_no_digest_that_is_not_for_it(tmp_path: Path, fetches: str) -> None:
    async def scenario(host: Host, hosts: Hosts, recorder: Recorder) -> None:
        recorder.images.offer = "sha256:1"
        await host.say(replace(HELLO, fetches=fetches))
        assert {spec.digest for spec in (await host.hears()).labels} == {None}

    play(tmp_path, scenario)
