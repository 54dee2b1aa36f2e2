"""A company's afternoon: the busy server with all that people have done there, for every page.

`make` adds rows to a busy world, `fill` what stands in files. Each subject is a small function;
those of other modules are called here too, so that every page has something to show.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cupel.config.image import ImageConfig
from cupel.control.visits import Visits
from cupel.core import results
from cupel.core.coverage import FileCoverage
from cupel.core.flake import Flake, FlakeProof
from cupel.core.hold import Hold, HoldState
from cupel.core.model import (
    Build,
    BuildState,
    Change,
    ChangeState,
    Event,
    Host,
    Item,
    ItemState,
    Machine,
    MachineState,
    Pipeline,
    Pool,
    Project,
    Reason,
    Usage,
    Verdict,
)
from cupel.core.quarantine import Quarantine
from cupel.core.results import Annotation, Level, Outcome, Result, Results
from cupel.host.messages import HostLoad
from cupel.image import definition
from cupel.image.catalogue import Catalogue
from cupel.image.keeper import Keeper
from cupel.log.loads import SPAN
from cupel.report.results import kept
from cupel.report.results.notes import Notes
from cupel.store.memory import MemoryStore
from fakes import hostile as harm
from fakes import left, measured, reviewed
from fakes.busy import Busy
from fakes.rows import LINT, World, job, oid, steps
from fakes.served import Served

if TYPE_CHECKING:
    from cupel.control.engine import Engine

ADA = "Ada Lovelace <ada@example.org>"
GRACE = "Grace Hopper <grace@example.org>"
KATHERINE = "Katherine Johnson <katherine@example.org>"
RADIA = "Radia Perlman <radia@example.org>"
FRANCES = "Frances Allen <frances@example.org>"

UNIT = job("unit")
RACE = job("race detector")
CONTRACT = job("contract with billing", needs="unit")
BROWSERS = job("browsers")
STYLE = job("style", LINT)
COVERAGE = job("coverage", voting=False)
GATEWAY = (UNIT, RACE, CONTRACT, STYLE)
BILLING = (UNIT, CONTRACT, STYLE, COVERAGE)
SHOP = (UNIT, BROWSERS, STYLE)

FLAKY = "tests.test_expiry.TTLTest::test_items_expire_while_iterated"
RESULTS = [
    Result(
        suite="tests.test_lru.LRUTest", name="test_lru_order", outcome=Outcome.FAILED, seconds=0.04,
        message="AssertionError: 1 not found in LRUCache({2: 2, 3: 3})", file="tests/test_lru.py",
        line=31, text="def test_lru_order(self):\n    cache = LRUCache(maxsize=2)\n"
        "    cache[1], cache[2] = 1, 2\n    cache[1]\n    cache[3] = 3\n"
        ">   self.assertIn(1, cache)\nE   AssertionError: 1 not found in LRUCache({2: 2, 3: 3})\n",
    ),
    Result(
        suite="tests.test_expiry.TTLTest", name="test_items_expire_while_iterated",
        outcome=Outcome.PASSED, seconds=1.31, flaky=True, message="RuntimeError: changed size",
    ),
    Result(suite="tests.test_cached", name="test_slow", outcome=Outcome.SKIPPED,
           message="needs CUPEL_SLOW"),
    *(
        Result(suite=f"tests.test_{part}", name=f"test_{part}_{what}", outcome=Outcome.PASSED,
               seconds=0.003 * (1 + number % 17))
        for number, (part, what) in enumerate(
            (part, what)
            for part in ("lru", "lfu", "ttl", "tlru", "keys", "cached", "func")
            for what in ("get", "set", "delete", "pop", "clear", "iterate", "pickle", "subclass",
                         "decorator", "missing", "missing_subclass", "getsizeof", "repr", "lock",
                         "threads", "maxsize", "typed", "info", "methods", "weak", "update",
                         "setdefault", "popitem", "len", "eq", "copy", "none", "zero", "negative",
                         "huge")
        )
    ),
]  # fmt: skip

SAID = Notes(
    annotations=(
        Annotation(
            path="src/cache.py", line=6, end_line=6, column=9, level=Level.WARNING, title="B905",
            message="popitem without an order takes the newest item, not the oldest", tool="ruff",
        ),
    ),
    coverage={"src/cache.py": FileCoverage(covered=((1, 5), (8, 9)), missed=((6, 6), (10, 11)))},
)  # fmt: skip

FILES = {
    "junit/pytest.xml": b"<testsuite tests='213' failures='1'></testsuite>\n",
    "bench.csv": b"name,seconds\nget,0.0031\nset,0.0042\nevict,0.0107\n",
    "summary.md": b"# Cache sizes\n\nThe hit rate fell from **91 %** to 64 %.\n",
    "report.json": b'{"hits": 6421, "misses": 3579, "sizes": [128, 256]}\n',
}


def make(told: Busy, directory: Path) -> None:
    """Add an afternoon to the rows of a busy server; `directory` is for its repositories."""
    world = told.world
    reviewed.make(told, directory)
    _shared_queue(world)
    _own_changes(world)
    _machines(world)
    _holds(told)
    _flakes(world)
    _results(told)
    _events(world)


def fill(served: Served, told: Busy) -> None:
    """Write what stands in files: results, notes, artefacts; and say how busy the hosts are."""
    build = told.failed_build
    file = served.state / "results.out"
    with file.open("wb") as out:
        kept.write(out, RESULTS, results.tally(RESULTS))
    served.results.keep(build, file)
    served.results.keep_notes(build, SAID)
    left.keep(served.artefacts, build, FILES)
    for each in (build, told.running_build):
        measured.measure(served.logs, each, told.world.now - 42, 33)
    for number in range(180):
        at = told.world.now - (180 - number) * SPAN
        busy = 0.5 + 0.4 * math.sin(number / 21)
        load = _load(16, 14 * busy, 0.71 * busy, 0.48, (30 * busy**3, 0.0, 3.0))
        served.past_loads.note("forge", at, dataclasses.astuple(load))
    served.loads.update(
        forge=_load(16, 11.4, 0.71, 0.48, (12.0, 0.0, 3.0)),
        bellows=_load(8, 1.2, 0.22, 0.31, (0.0, 0.0, 0.0)),
    )


def on(directory: Path, *, hostile: bool = False) -> dict[str, Any]:
    """How `stage.perform` plays on an afternoon whose files are in `directory`."""

    def prepare(told: Busy) -> None:
        make(told, directory)
        if hostile:
            harm.soil(told)

    def write(served: Served, told: Busy) -> None:
        fill(served, told)
        if hostile:
            harm.fill(served, told, FILES)

    return {
        "prepare": prepare,
        "fill": write,
        "parts": lambda store: _parts(store, directory),
    }


def _parts(store: MemoryStore, directory: Path) -> dict[str, Any]:
    """What is served besides: images that the configuration names, and shells that nobody opens."""
    named = [
        definition.define(ImageConfig(name=name, tests=tests, refresh=7 * 86_400.0), "amd64")
        for name, tests in (("python", ("python3 --version",)), ("browsers", ()))
    ]
    return {
        "images": Keeper(Catalogue(directory / "images"), named=named),
        "visits": Visits(store, cast("Engine", None)),
    }


def _shared_queue(world: World) -> None:
    """Three projects that land in one order, some changes across them."""
    queue = world.queue("platform", window=20)
    gateway = world.project("gateway", head=oid("gateway head"), queue=queue)
    billing = world.project("billing", head=oid("billing head"), queue=queue)
    shop = world.project("shop", head=oid("shop head"), queue=queue)
    host = world.row(Host, 1)
    _landed_today(world, host, [(gateway, GATEWAY), (billing, BILLING), (shop, SHOP)])
    done, run = BuildState.FINISHED, BuildState.RUNNING

    token = world.change(billing, "Refuse tokens that have been used before", KATHERINE, age=5200)
    one = world.item(token, Pipeline.GATE, onto=oid("billing head"), jobs=BILLING, age=420)
    for each in (UNIT, STYLE):
        world.build(one, each.name, done, Verdict.SUCCESS, ran=61.0, ended=140)
    machine = world.machine(host, MachineState.USED, age=130)
    world.build(
        one, CONTRACT.name, run, machine=machine, ran=128.0, steps=steps(world.now, 0, None)
    )
    world.build(one, COVERAGE.name, done, Verdict.FAILURE, ran=44.0, ended=90,
                reason="step 'coverage' ended with exit status 2")  # fmt: skip

    send = world.change(gateway, "Send the new token with each request", KATHERINE,
                        depends_on=[token], age=5100)  # fmt: skip
    two = world.item(send, Pipeline.GATE, onto=oid("gateway head"), jobs=GATEWAY, age=415)
    world.build(two, UNIT.name, done, Verdict.SUCCESS, ran=38.0, ended=200)
    world.build(two, STYLE.name, done, Verdict.SUCCESS, ran=4.2, ended=320)
    machine = world.machine(host, MachineState.USED, age=60)
    world.build(two, RACE.name, run, machine=machine, ran=55.0, steps=steps(world.now, 0, None))
    world.build(two, CONTRACT.name, BuildState.QUEUED, ran=None)

    for number, (project, title, author, jobs) in enumerate(
        (
            (shop, "Show prices with the tax of the country", RADIA, SHOP),
            (gateway, "Give up on a backend after three timeouts", FRANCES, GATEWAY),
            (billing, "Round half to even, as the bank does", GRACE, BILLING),
            (shop, "Let a basket be shared by a link", ADA, SHOP),
        )
    ):
        change = world.change(project, title, author, age=4000 - 300 * number)
        item = world.item(change, Pipeline.GATE, onto=oid(f"{title} onto"), jobs=jobs,
                          age=360 - 70 * number)  # fmt: skip
        for each in jobs:
            world.build(item, each.name, BuildState.QUEUED, ran=None)


def _landed_today(world: World, host: Host, kinds: list[Any]) -> None:
    titles = (
        ("Name the retry that gave up in the log", FRANCES),
        ("Remove the old invoice format", GRACE),
        ("Load product pictures late", RADIA), ("Limit a client to 50 connections", ADA),
        ("Test refunds across years", KATHERINE), ("Use the system's fonts", RADIA),
        ("Close idle connections after a minute", FRANCES), ("Print invoices on A4", GRACE),
    )  # fmt: skip
    for number, (title, author) in enumerate(titles):
        project, jobs = kinds[number % len(kinds)]
        ended = 900.0 + 1500 * number
        change = world.change(project, title, author, state=ChangeState.LANDED, age=ended + 4000)
        item = world.item(change, Pipeline.GATE, onto=oid("onto"), jobs=jobs, ended=ended,
                          state=ItemState.LANDED, age=ended + 200 + 40 * number)  # fmt: skip
        for place, each in enumerate(jobs):
            machine = world.machine(host, MachineState.GONE, age=ended + 190, gone=ended)
            world.build(item, each.name, BuildState.FINISHED, Verdict.SUCCESS, machine=machine,
                        ran=40.0 + 25 * place + 3 * number, ended=ended + 5)  # fmt: skip
        world.event("change.landed", f"landed as {change.landed_commit}", ago=ended,
                    project=project.id, change=change.id)  # fmt: skip


def _own_changes(world: World) -> None:
    """What of Ada's waits for somebody."""
    project = world.row(Project, 1)
    waiting = world.change(project, "Count hits per key", ADA, approved=False, age=7300)
    item = world.item(waiting, Pipeline.CHECK, age=7000, ended=6800, state=ItemState.PASSED)
    for name in ("tests (python=3.11)", "tests (python=3.12)", "lint"):
        world.build(item, name, BuildState.FINISHED, Verdict.SUCCESS, ended=6810)
    conflict = world.change(project, "Rename Cache.getsizeof", ADA, age=9100)
    world.item(conflict, Pipeline.GATE, onto=oid("base"), state=ItemState.REJECTED, age=3100,
               ended=3000, reason=Reason.CONFLICT, detail="conflicts in src/cache.py")  # fmt: skip
    broken = world.change(project, "Test on PyPy as well", ADA, approved=False, age=2300)
    world.item(broken, Pipeline.CHECK, state=ItemState.REJECTED, age=2200, ended=2190,
               reason=Reason.MISCONFIGURED,
               detail=".cupel.yaml:14:9: the job tests has no machine; give it one")  # fmt: skip


def _machines(world: World) -> None:
    bellows = world.host("bellows", 8, detail="disk limits by quota: yes")
    for _ in range(3):
        world.machine(bellows, MachineState.READY, age=200)
    world.machine(bellows, MachineState.ERROR, age=300, detail="its network could not be made")
    for label, ready, boot in (("debian-12", 3, 0.25), ("browsers", 1, 4.1)):
        world.put(
            Pool(id=world.id(Pool), label=label, ready=ready, ceiling=12, definition=label,
                 boot=boot, arrivals=4.2, arrivals_at=world.now - 60, counted=140)
        )  # fmt: skip


def _holds(told: Busy) -> None:
    """Ada looks into a failure on its machine, and Grace waits for the next."""
    world = told.world
    change = world.row(Change, told.rejected_change)
    item = next(row for row in world.rows_of(Item).values() if row.change_id == change.id)
    host = world.row(Host, 1)
    machine = world.machine(host, MachineState.HELD, age=1700)
    build = world.build(item, "tests (python=3.11)", BuildState.FINISHED, Verdict.FAILURE,
                        machine=machine, ran=31.0, ended=1700,
                        reason="step 'pytest' ended with exit status 1",
                        steps=steps(world.now, 0, 1),
                        usage=Usage(cpu_seconds=28.0, memory_peak=390 << 20))  # fmt: skip
    hold = world.put(
        Hold(id=world.id(Hold), owner="ada", reason="see what popitem leaves behind", left=0,
             state=HoldState.FULL, seconds=7200, created_at=world.now - 1690, build_id=build.id,
             expires_at=world.now + 5510, project_id=change.project_id)
    )  # fmt: skip
    kept_machine = world.row(Machine, machine.id)
    world.put(
        dataclasses.replace(kept_machine, hold_id=hold.id, held_until=world.now + 5510, visitors=1)
    )
    world.put(
        Hold(id=world.id(Hold), owner="grace", reason="the next time the browsers hang", left=1,
             state=HoldState.OPEN, seconds=3600, created_at=world.now - 8000, job="browsers",
             expires_at=world.now + 78_400)
    )  # fmt: skip


def _flakes(world: World) -> None:
    for number, (name, count, weight) in enumerate(
        (
            (FLAKY, 4, 1.6),
            ("tests.test_threads::test_two_writers", 2, 0.5),
            ("tests.test_func.CachedTest::test_timing", 1, 0.2),
        )
    ):
        world.put(
            Flake(id=world.id(Flake), project_id=1, job="tests (python=3.11)", name=name,
                  test=results.digest(name), first_seen=world.now - 12 * 86_400, count=count,
                  last_seen=world.now - 4000 - 90_000 * number, weight=weight, runs=40.0,
                  proofs=(FlakeProof(failed=1, passed=4, at=world.now - 4000),), at=world.now)
        )  # fmt: skip
    world.put(
        Quarantine(id=world.id(Quarantine), project_id=1, job="tests", name=FLAKY, owner="grace",
                   test=results.digest(FLAKY), reason="it waits for the clock", created_by="ada",
                   created_at=world.now - 86_400, expires_at=world.now + 6 * 86_400)
    )  # fmt: skip


def _results(told: Busy) -> None:
    world = told.world
    build = world.row(Build, told.failed_build)
    summary = world.put(
        Results(id=build.id, project_id=build.project_id, job=build.job, key=build.key,
                tally=results.tally(RESULTS), notices=(), at=world.now - 11)
    )  # fmt: skip
    for each in RESULTS:
        if each.is_failed:
            row = results.failed_test(
                summary, results.excerpt(each), id=world.id(results.FailedTest)
            )
            world.put(row)
    left.leave(world, build, FILES)


def _events(world: World) -> None:
    """What a server tells in an afternoon, the oldest first."""
    told = [
        ("host.connected", "bellows connected with 8 slots", 5000, {}),
        ("build.finished", "unit: success", 3900, {"project": 3}),
        ("item.rejected", "left the gate: does not merge", 3000, {"project": 1}),
        ("hold.made", "a machine is kept for ada", 1690, {"project": 1}),
        ("quarantine.made", f"{FLAKY} is quarantined", 1200, {"project": 1}),
        ("host.lost", "anvil: the connection was lost", 900, {}),
        ("item.rebuilt", "is proved anew on what is ahead", 80, {"project": 1}),
        ("build.started", "contract with billing", 55, {"project": 4}),
    ]
    for kind, text, ago, about in told:
        row = world.event(kind, text, ago=ago, **about)
        if kind.startswith(("hold", "quarantine")):
            world.put(dataclasses.replace(world.row(Event, row.id), user="ada"))


def _load(
    cores: int, runnable: float, memory: float, disk: float, waits: tuple[float, float, float]
) -> HostLoad:
    """How busy a host is; `memory` and `disk` are the parts that are in use."""
    cpu, mem, io = waits
    whole, room = 64 << 30, 900 << 30
    return HostLoad(
        cores=cores, runnable=runnable, memory=whole, available=int(whole * (1 - memory)),
        disk=room, disk_free=int(room * (1 - disk)), waits_cpu=cpu, waits_memory=mem, waits_io=io,
    )  # fmt: skip
