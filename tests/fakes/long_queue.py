"""A server whose queue is long: what pages and figures of many changes are made from."""

from __future__ import annotations

import dataclasses

from cupel.core.model import (
    Buildset,
    BuildState,
    ChangeState,
    Host,
    Item,
    ItemState,
    MachineState,
    Pipeline,
    Pool,
    Project,
    Verdict,
)
from fakes.rows import NOW, World, job, oid

JOBS = tuple(
    job(name)
    for name in (
        "tests (python=3.11)", "tests (python=3.12)", "tests (python=3.13)", "lint", "types",
        "docs", "integration",
    )
)  # fmt: skip
"""What every change of the queue is proved with."""

SECONDS = {"lint": 22.0, "types": 41.0, "docs": 65.0, "integration": 410.0}
"""How long a pass of a job takes; the others need three minutes."""

AUTHORS = tuple(
    f"{name} <{name.partition(' ')[0].lower()}@example.org>"
    for name in (
        "Ada Lovelace", "Barbara Liskov", "Edsger Dijkstra", "Grace Hopper", "Katherine Johnson",
        "Margaret Hamilton", "Radia Perlman", "Tony Hoare", "Frances Allen", "Alan Kay",
    )
)  # fmt: skip

TOPICS = (None, None, "caches", "typing", None, "release-7")


def long_queue(count: int = 500, now: float = NOW, *, machines: int = 120) -> World:
    """A queue of `count` changes, which three projects share, each on all that are ahead of it.

    Every change has a state of its own and a build of each of its seven jobs: of the first ones
    they have passed, or were reused; then `machines` of them run; the rest is queued. Each 97th
    change has failed and stands off the lane. Ten more have landed, which their jobs' records know.
    """
    world = World(now)
    queue = world.queue("platform", window=count, window_floor=8, window_ceiling=2 * count)
    projects = [
        world.project(name, head=oid(f"head of {name}"), queue=queue)
        for name in ("server", "agent", "console")
    ]
    hosts = [world.host(f"forge-{number}", machines // 4) for number in range(4)]
    world.put(Pool(id=1, label="debian-12", ready=4, boot=0.1, definition="d"))
    _records(world, projects)
    _landed(world, projects)
    heads = {project.id: oid(f"head of {project.name}") for project in projects}
    free = machines
    for number in range(count):
        project = projects[number % 3]
        failing = number % 97 == 40
        item, commit = _proved(world, project, number, heads, count)
        if not failing:
            heads[project.id] = commit
        free -= _builds(world, item, number, hosts, free, failing=failing)
    return world


def _records(world: World, projects: list[Project]) -> None:
    for project in projects:
        for each in JOBS:
            world.record(project, each.name, SECONDS.get(each.name, 180.0))


def _landed(world: World, projects: list[Project]) -> None:
    for number in range(10):
        project = projects[number % 3]
        change = world.change(
            project, f"Landed before, {number}", AUTHORS[number], state=ChangeState.LANDED, age=9000
        )
        item = world.item(
            change, Pipeline.GATE, state=ItemState.LANDED, jobs=JOBS, age=4000 - 300 * number,
            ended=3300 - 300 * number,
        )  # fmt: skip
        for each in JOBS:
            world.build(
                item, each.name, BuildState.FINISHED, Verdict.SUCCESS, ended=3400 - 300 * number
            )


def _proved(
    world: World, project: Project, number: int, heads: dict[int, str], count: int
) -> tuple[Item, str]:
    """The item of a new change, on all that is ahead of it in each project, and its commit."""
    title = f"{TITLES[number % len(TITLES)]} in part {number + 1} of {count}"
    change = world.change(project, title, AUTHORS[number % len(AUTHORS)], age=7200.0 - number)
    world.put(dataclasses.replace(change, topic=TOPICS[number % len(TOPICS)]))
    item = world.item(
        change, Pipeline.GATE, onto=heads[project.id], jobs=JOBS, age=3600.0 - 3.0 * number
    )
    beside = tuple((other, head) for other, head in heads.items() if other != project.id)
    buildset = world.row(Buildset, item.buildset_id or 0)
    world.put(dataclasses.replace(buildset, beside=beside))
    return item, world.head_of(item)


def _builds(
    world: World, item: Item, number: int, hosts: list[Host], free: int, *, failing: bool
) -> int:
    """A build of each job; how many of the `free` machines they use."""
    used = 0
    for place, each in enumerate(JOBS):
        if number < 12 and place != 6:
            done = world.build(item, each.name, BuildState.FINISHED, Verdict.SUCCESS, ended=30)
            if number % 3 and place > 2:
                world.put(dataclasses.replace(done, reused_from=done.id - len(JOBS)))
        elif failing and place == 1:
            world.build(
                item, each.name, BuildState.FINISHED, Verdict.FAILURE, ended=20,
                reason="step 'pytest' ended with exit status 1",
            )  # fmt: skip
        elif used < free:
            machine = world.machine(hosts[(free - used) % len(hosts)], MachineState.USED)
            world.build(
                item, each.name, BuildState.RUNNING, machine=machine, ran=11.0 + number % 90
            )
            used += 1
        else:
            world.build(item, each.name, BuildState.QUEUED, ran=None)
    return used


TITLES = (
    "Evict the least recently used entry first", "Name the cache in its repr",
    "Raise KeyError from popitem on what is empty", "Read the configuration once",
    "Let the agent say why a machine was refused", "Speed up the search for free slots",
    "Document the decorators", "Type the keys", "Drop support for what nobody runs any more",
)  # fmt: skip
