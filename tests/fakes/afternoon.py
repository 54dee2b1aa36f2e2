"""A company's afternoon: the busy server with all that people have done there, for every page.

`make` adds rows to a busy world, `fill` what stands in files. Each subject is a small function;
those of other modules are called here too, so that every page has something to show.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cupel.control.visits import Visits
from cupel.core import results
from cupel.core.coverage import FileCoverage
from cupel.core.flake import Flake, FlakeProof
from cupel.core.model import (
    Build,
    BuildState,
    ChangeState,
    Event,
    Host,
    ItemState,
    MachineState,
    Pipeline,
    Project,
    Reason,
    Verdict,
)
from cupel.core.quarantine import Quarantine
from cupel.core.results import Annotation, Level, Outcome, Result, Results
from cupel.host.messages import HostLoad
from cupel.report.results import kept
from cupel.report.results.notes import Notes
from cupel.store.memory import MemoryStore
from fakes import hostile as harm
from fakes import left, measured, reviewed
from fakes.busy import Busy
from fakes.park import Park
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
    "bench.csv": b"name,seconds\nget,0.0031\nset,0.0042\nevict,0.0107\n",
    "summary.md": b"# Cache sizes\n\nThe hit rate fell from **91 %** to 64 %.\n",
    "report.json": b'{"hits": 6421, "misses": 3579, "sizes": [128, 256]}\n',
}


def make(told: Busy, directory: Path) -> None:
    """Add an afternoon to the rows of a busy server; `directory` is for its repositories."""
    world = told.world
    reviewed.make(told, directory)
    Park().prepare(told)
    bellows = _machines(world)
    _shared_queue(world, bellows)
    _own_changes(world)
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
    served.loads["bellows"] = HostLoad(
        cores=8, runnable=1.2, memory=64 << 30, available=50 << 30, disk=900 << 30,
        disk_free=620 << 30, waits_cpu=0.0, waits_memory=0.0, waits_io=0.0,
    )  # fmt: skip


def on(directory: Path, *, hostile: bool = False, now: float | None = None) -> dict[str, Any]:
    """How `stage.perform` plays on an afternoon whose files are in `directory`; today, or then."""

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
        "parts": lambda store: _parts(store, directory, now or time.time()),
    }


def _parts(store: MemoryStore, directory: Path, now: float) -> dict[str, Any]:
    """What is served besides: a park of machines, and shells that nobody opens."""
    return {**Park().parts(directory, now), "visits": Visits(store, cast("Engine", None))}


def _shared_queue(world: World, host: Host) -> None:
    """Three projects that land in one order, some changes across them, on a host of theirs."""
    queue = world.queue("platform", window=20)
    gateway = world.project("gateway", head=oid("gateway head"), queue=queue)
    billing = world.project("billing", head=oid("billing head"), queue=queue)
    shop = world.project("shop", head=oid("shop head"), queue=queue)
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
        ended, took = 900.0 + 1500 * number, 170.0 + 40 * (number * 5 % 7)
        head = oid(f"{project.name} head") if number < len(kinds) else None
        change = world.change(project, title, author, state=ChangeState.LANDED,
                              age=ended + took + 420 + 60 * number)  # fmt: skip
        item = world.item(change, Pipeline.GATE, onto=oid("onto"), jobs=jobs, ended=ended,
                          state=ItemState.LANDED, age=ended + took, commit=head)  # fmt: skip
        for place, each in enumerate(jobs):
            ran = 21.0 + 37 * place + 3 * number
            machine = world.machine(host, MachineState.GONE, age=ended + 9 + ran, gone=ended)
            world.build(item, each.name, BuildState.FINISHED, Verdict.SUCCESS, machine=machine,
                        ran=ran, ended=ended + 5)  # fmt: skip
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
    world.put(dataclasses.replace(conflict, wants_land=False, land_asked_at=None))
    world.item(conflict, Pipeline.GATE, onto=oid("base"), state=ItemState.REJECTED, age=3100,
               ended=3000, reason=Reason.CONFLICT, detail="conflicts in src/cache.py")  # fmt: skip
    broken = world.change(project, "Test on PyPy as well", ADA, approved=False, age=2300)
    world.item(broken, Pipeline.CHECK, state=ItemState.REJECTED, age=2200, ended=2190,
               reason=Reason.MISCONFIGURED,
               detail=".cupel.yaml:14:9: the job tests has no machine; give it one")  # fmt: skip


def _machines(world: World) -> Host:
    """A host more, with machines that nobody uses yet."""
    bellows = world.host("bellows", 8, detail="disk limits by quota: yes")
    for _ in range(3):
        world.machine(bellows, MachineState.READY, age=200)
    world.machine(bellows, MachineState.ERROR, age=300, detail="its network could not be made")
    return bellows


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
    events = world.rows_of(Event)
    for number, row in zip(sorted(events), sorted(events.values(), key=_when), strict=True):
        world.put(dataclasses.replace(row, id=number))


def _when(event: Event) -> float:
    return event.at
