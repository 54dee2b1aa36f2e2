"""A busy server: a queue of six whose third fails, running builds with logs, hosts, a history."""

from __future__ import annotations

import dataclasses

from cupel.core.model import (
    BuildsetState,
    BuildState,
    Change,
    ChangeState,
    Host,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Project,
    Reason,
    Usage,
    Verdict,
)
from cupel.log.append import LogWriter
from cupel.log.store import LogStore
from fakes.rows import IMAGE, JOBS, NOW, World, oid, steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Busy:
    """The busy server, and the numbers of what is worth looking at."""

    world: World
    failing_change: int
    rejected_change: int
    failed_build: int
    running_build: int
    infra_build: int
    queued_build: int


def busy(now: float = NOW) -> Busy:
    """A queue of six with a failure in the middle, running builds, two hosts and a history."""
    world = World(now)
    cachetools = world.project("cachetools", head=oid("landed head"))
    world.project("nightjar", head=None)
    big = world.host("forge", 8, detail="disk limits by quota: no; by a loop device")
    world.host("anvil", 4, lost=True, detail="the connection was lost")
    _history(world, cachetools, big)
    return _queue(world, cachetools, big)


def _history(world: World, project: Project, host: Host) -> None:
    for each in JOBS:
        world.record(project, each.name, 4.0 if each.name == "lint" else 90.0)
    titles = ["Drop support for Python 3.8", "Name the cache in its repr", "Speed up LRUCache.get"]
    for number, title in enumerate(titles):
        change = world.change(project, title, state=ChangeState.LANDED, age=9000 - 900 * number)
        ended = 7000.0 - 2800 * number
        commit = oid("landed head") if number == 2 else oid(f"landed {change.id}")
        item = world.item(
            change, Pipeline.GATE, state=ItemState.LANDED, onto=oid("base"),
            age=ended + 90, ended=ended, commit=commit,
        )  # fmt: skip
        for name in (each.name for each in JOBS):
            machine = world.machine(host, MachineState.GONE, age=ended + 60, gone=ended)
            world.build(
                item, name, BuildState.FINISHED, Verdict.SUCCESS, machine=machine, ended=ended
            )
    world.event("change.landed", "landed as " + oid("landed head"), ago=1400, project=project.id)


def _queue(world: World, project: Project, host: Host) -> Busy:
    head = oid("landed head")
    done, run, queued = BuildState.FINISHED, BuildState.RUNNING, BuildState.QUEUED
    good, now = Verdict.SUCCESS, world.now
    names = [each.name for each in JOBS]

    def used() -> Machine:
        return world.machine(host, MachineState.USED)

    first = world.change(project, "Add TLRUCache, a cache with per-item times to live")
    one = world.item(first, Pipeline.GATE, onto=head, state=ItemState.LANDING, age=131)
    for name in names:
        world.build(one, name, done, good, ended=3)

    second = world.change(
        project, "Raise KeyError from popitem on an empty cache", "Barbara Liskov <b@example.org>"
    )
    two = world.item(second, Pipeline.GATE, onto=world.head_of(one), age=118)
    world.build(two, names[0], done, good, ended=6)
    running = world.build(two, names[1], run, machine=used(), steps=steps(now, 0, None))
    world.build(two, names[2], done, good, ran=3.1, ended=30)

    third = world.change(
        project,
        "Evict the least recently used item first",
        "Edsger Dijkstra <e@example.org>",
        patch_sets=2,
    )
    three = world.item(third, Pipeline.GATE, onto=world.head_of(two), age=96)
    failed = world.build(
        three, names[0], done, Verdict.FAILURE, machine=world.machine(host, MachineState.DELETING),
        reason="step 'pytest' ended with exit status 1", steps=steps(now, 0, 1),
        usage=Usage(cpu_seconds=31.7, memory_peak=412 << 20),
    )  # fmt: skip
    world.build(three, names[1], run, machine=used(), ran=21.0, steps=steps(now, 0, None))
    world.build(three, names[2], done, good, ran=2.8)
    world.artefact(failed, "junit/pytest.xml", 48_213)
    world.artefact(failed, "htmlcov/index.html", 1_204_992)

    fourth = world.change(project, "Document the decorators", "Grace Hopper <grace@example.org>")
    four = world.item(fourth, Pipeline.GATE, onto=world.head_of(two), number=2, age=88)
    older = world.older_state(four, world.head_of(three))
    world.build(four, names[0], done, Verdict.CANCELLED, buildset=older.id, ended=50)
    infra = world.build(
        four, names[0], done, Verdict.INFRA, ran=0.4, ended=26,
        reason="the machine could not be made: no space left on device",
        machine=world.machine(host, MachineState.GONE, age=27, gone=26, detail="no space"),
    )  # fmt: skip
    world.build(four, names[0], run, machine=used(), ran=18.0, attempt=2, steps=steps(now, 0, None))
    world.build(
        four,
        names[1],
        BuildState.STARTING,
        machine=world.machine(host, MachineState.BUILDING, age=0.1),
        ran=None,
    )
    waiting = world.build(four, names[2], queued, ran=None)

    fifth = world.change(project, "Type the keys module", needs=fourth)
    five = world.item(fifth, Pipeline.GATE, onto=world.head_of(four), age=60)
    for name in names:
        world.build(five, name, queued, ran=None)

    sixth = world.change(
        project, "Test with the development version of Python", "Margaret Hamilton <m@example.org>"
    )
    world.item(
        sixth, Pipeline.GATE, onto=world.head_of(five), set_state=BuildsetState.PREPARING, age=4
    )

    rejected = _checks(world, project, host)
    world.event(
        "build.finished",
        f"{names[0]}: failure",
        ago=10,
        project=project.id,
        change=third.id,
        build=failed.id,
    )
    world.event("item.enqueued", "entered gate", ago=4, project=project.id, change=sixth.id)
    return Busy(
        world=world, failing_change=third.id, rejected_change=rejected.id, failed_build=failed.id,
        running_build=running.id, infra_build=infra.id, queued_build=waiting.id,
    )  # fmt: skip


def _checks(world: World, project: Project, host: Host) -> Change:
    fresh = world.change(project, "Let cached() report hits and misses", approved=False, age=50)
    item = world.item(fresh, Pipeline.CHECK, age=31)
    world.build(
        item, JOBS[0].name, BuildState.RUNNING, machine=world.machine(host, MachineState.USED)
    )
    world.build(item, JOBS[2].name, BuildState.FINISHED, Verdict.SUCCESS, ran=2.9)
    broken = world.change(project, "Replace OrderedDict by dict", approved=False, patch_sets=3)
    world.item(
        broken, Pipeline.GATE, onto=oid("base"), state=ItemState.REJECTED, age=1900, ended=1700,
        reason=Reason.BUILD_FAILED, detail="tests (python=3.11)",
    )  # fmt: skip
    world.change(project, "Give it up", state=ChangeState.ABANDONED, approved=False)
    return broken


RULE = "=" * 28
PYTEST_LOG = (
    "$ pytest -q\n"
    f"\x1b[1m{RULE} test session starts {RULE}\x1b[0m\n"
    "collecting ... \rcollecting 214 items\r\x1b[Kcollected 214 items\n"
    "\n"
    "tests/test_cached.py \x1b[32m....\x1b[0m\x1b[32m                 [ 18%]\x1b[0m\n"
    "tests/test_lru.py \x1b[32m.\x1b[31mF\x1b[32m.\x1b[31m                     [ 64%]\x1b[0m\n"
    "\n"
    f"{RULE}{'=' * 6} FAILURES {'=' * 6}{RULE}\n"
    f"\x1b[31m\x1b[1m{'_' * 26} LRUTest.test_lru_order {'_' * 26}\x1b[0m\n"
    "\n"
    "    \x1b[94mdef\x1b[39;49;00m \x1b[92mtest_lru_order\x1b[39;49;00m(\x1b[96mself\x1b[0m):\n"
    "        cache = LRUCache(maxsize=\x1b[94m2\x1b[39;49;00m)\n"
    "\x1b[1m\x1b[31mE       AssertionError: 1 not found in LRUCache({2: 2, 3: 3})\x1b[0m\n"
    "\n"
    "\x1b[1m\x1b[31mtests/test_lru.py\x1b[0m:31: AssertionError\n"
    "\x1b[31mFAILED\x1b[0m tests/test_lru.py::\x1b[1mLRUTest::test_lru_order\x1b[0m\n"
    "\x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m213 passed\x1b[0m\x1b[31m in 29.41s\x1b[0m\n"
)


def write_logs(logs: LogStore, told: Busy) -> LogWriter:
    """The logs of the failed and the running build; the writer of the latter, which is open."""
    now = told.world.now
    failed = logs.writer(told.failed_build)
    _install(failed, now)
    failed.append(1, "out", now - 20, PYTEST_LOG.encode())
    failed.append(1, "cupel", now - 10, b"exit status 1 after 30.7 s\n")
    failed.close()
    running = logs.writer(told.running_build)
    _install(running, now)
    running.append(1, "out", now - 20, "".join(PYTEST_LOG.splitlines(keepends=True)[:5]).encode())
    return running


def _install(log: LogWriter, now: float) -> None:
    log.append(
        0xFFFF, "cupel", now - 43, b"debian-12 made in 84 ms from " + IMAGE[:19].encode() + b"\n"
    )
    log.append(0, "out", now - 42, b"$ pip install .[tests]\nProcessing /src\n")
    log.append(0, "out", now - 40, b"  Preparing metadata (pyproject.toml): started\n")
    log.append(0, "out", now - 33, b"Successfully installed cachetools-5.4.0 pytest-8.3.2\n")
    log.append(0, "err", now - 32, b"WARNING: Running pip as root will break packages\n")
