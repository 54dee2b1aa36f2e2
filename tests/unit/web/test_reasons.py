"""Every reason for a wait that there is reaches the page of the queue, in words."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from cupel.control import views
from cupel.core.model import (
    Buildset,
    BuildState,
    Failure,
    Host,
    HostState,
    Item,
    MachineState,
    Part,
    Pipeline,
    Pool,
    Verdict,
)
from cupel.web import choice, queue, site
from fakes.rows import World, job, oid


class Scene:
    """One change in the gate whose only build is queued, on a host that could take it."""

    def __init__(self) -> None:
        self.world = World()
        self.project = self.world.project("p", head=oid("head"))
        self.host = self.world.host("forge", 1)
        self.world.put(Pool(id=1, label="debian-12", definition="d"))
        change = self.world.change(self.project, "It waits")
        self.item = self.world.item(
            change, Pipeline.GATE, onto=oid("head"), jobs=[job("tests"), job("docs", needs="tests")]
        )
        self.build = self.world.build(self.item, "tests", BuildState.QUEUED, ran=None)

    def of_host(self, **values: object) -> None:
        self.world.put(replace(self.world.row(Host, self.host.id), **values))

    def of_pool(self, **values: object) -> None:
        self.world.put(replace(self.world.row(Pool, 1), **values))

    def of_item(self, **values: object) -> None:
        self.world.put(replace(self.world.row(Item, self.item.id), **values))

    def of_jobs(self, **values: object) -> None:
        row = self.world.row(Buildset, self.item.buildset_id or 0)
        first, *others = row.jobs
        self.world.put(replace(row, jobs=(replace(first, **values), *others)))

    def runs(self) -> None:
        """Another change's build has the only machine."""
        other = self.world.change(self.project, "It runs", approved=False)
        check = self.world.item(other, Pipeline.CHECK, jobs=[job("tests")])
        used = self.world.machine(self.host, MachineState.USED)
        self.world.build(check, "tests", BuildState.RUNNING, machine=used)


def _lost(scene: Scene) -> None:
    machine = scene.world.machine(scene.host, MachineState.GONE)
    scene.world.build(
        scene.item, "tests", BuildState.FINISHED, Verdict.INFRA, machine=machine, reason="its disk"
    )
    again = scene.world.build(scene.item, "tests", BuildState.QUEUED, ran=None, attempt=2)
    scene.world.put(replace(again, queued_at=scene.world.now))


def _semaphore(scene: Scene) -> None:
    scene.of_jobs(semaphores=(("licence", 1),))
    other = scene.world.change(scene.project, "It holds", approved=False)
    check = scene.world.item(
        other, Pipeline.CHECK, jobs=[replace(job("tests"), semaphores=(("licence", 1),))]
    )
    scene.of_host(slots=4)
    used = scene.world.machine(scene.host, MachineState.USED)
    scene.world.build(check, "tests", BuildState.RUNNING, machine=used)


def _held(scene: Scene) -> None:
    scene.world.machine(scene.host, MachineState.HELD)


def _parts(scene: Scene) -> None:
    parts = (Part(name="server", label="debian-12"), Part(name="client", label="debian-12"))
    scene.of_jobs(parts=parts)
    scene.world.put(replace(scene.build, parts=parts))


def _ceiling(scene: Scene) -> None:
    scene.of_host(slots=4)
    scene.of_pool(ceiling=1)
    scene.runs()


def _quota(scene: Scene) -> None:
    scene.of_host(slots=4)
    scene.of_pool(quota=1)
    scene.runs()


WAITS: dict[str, tuple[str, Callable[[Scene], None]]] = {
    "machine": ("the only machine is busy", Scene.runs),
    "held machines": ("1 of them held by people", _held),
    "semaphore": ("waits for semaphore licence, held by build 2", _semaphore),
    "quota": ("its project uses 1 machine of debian-12 already, its quota", _quota),
    "ceiling": ("there are 1 machines of debian-12 already, its ceiling", _ceiling),
    "no host": ("no host is connected", lambda s: s.of_host(state=HostState.LOST)),
    "no host for it": ("no host makes debian-12", lambda s: s.of_host(labels=("other",))),
    "label": ("debian-12 is not in the server's configuration", lambda s: s.of_pool(definition="")),
    "draining": ("host forge is being drained", lambda s: s.of_host(draining=True)),
    "refusing": ("memory is short", lambda s: s.of_host(refuses="memory is short")),
    "quarantine": (
        "host forge is quarantined until",
        lambda s: s.of_host(strikes=3, quarantined_until=s.world.now + 600),
    ),
    "probe": (
        "waits for the probe of forge",
        lambda s: (s.of_host(strikes=3, quarantined_until=s.world.now - 1), s.runs())[0],
    ),
    "lost": ("its host failed it and is asked again in 5 s", _lost),
    "image": (
        "a machine is being made on forge: fetching packages",
        lambda s: (
            s.world.machine(s.host, MachineState.BUILDING, detail="fetching packages"),
            None,
        )[1],
    ),
    "making failed": (
        "forge could not make debian-12 and tries again in",
        lambda s: s.of_host(
            failures=(Failure(label="debian-12", count=2, at=s.world.now, reason="no space"),)
        ),
    ),
    "room": (
        "a machine is being deleted to make room",
        lambda s: (s.world.machine(s.host, MachineState.DELETING), None)[1],
    ),
    "several machines": ("it can't run on any host that is connected", _parts),
    "need": ("needs tests", lambda _: None),
}


@pytest.mark.parametrize("name", WAITS)
def test_why_a_build_has_no_machine_stands_in_its_row(name: str) -> None:
    said, happen = WAITS[name]
    scene = Scene()
    happen(scene)
    assert said.lower() in row(scene).lower()


PLANNED = [
    "waits for the window: 8 changes are under way at a time",
    "waits for the rerun of #3's job tests",
    "job tests failed; it is run again to see whose fault that is",
    "the branch itself is broken: tests fails on it without any change",
    "proved; waits for #3 ahead of it",
    "proved; the tree is closed: the lab moves",
    "waits for a change that it needs",
    "waits for the states ahead of it to be made",
    "to be proved together with those behind it",
    "cannot be proved on what is ahead of it: file.py conflicts",
    "stands so far back that nothing is planned for it yet",
]


@pytest.mark.parametrize("said", PLANNED)
def test_what_the_planner_waits_for_stands_in_the_row(said: str) -> None:
    scene = Scene()
    scene.of_item(wait=said)
    assert said.lower() in row(scene).lower()


def test_what_is_kept_out_says_why() -> None:
    scene = Scene()
    slow = scene.world.change(scene.project, "Slow", approved=False)
    scene.world.change(scene.project, "Needs it", depends_on=[slow])
    page = see(scene)
    kept = page.partition("Kept out of the gate")[2]
    assert f"Needs #{slow.id}, which lacks approval" in kept


def row(scene: Scene) -> str:
    """The text of the row."""
    markup = see(scene).partition(f'<li id="item-{scene.item.id}"')[2].partition("<!---->")[0]
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def see(scene: Scene) -> str:
    """The live part of the page, from the templates, which are compiled once for all scenes."""

    async def read() -> views.QueueView:
        store = await scene.world.store()
        async with store.read() as tx:
            return await views.queue_view(tx, "p", None, now=scene.world.now)

    chosen = choice.read({})
    return ENVIRONMENT.get_template("queue.html").render(
        queues=[queue.show(chosen, asyncio.run(read()))], chosen=chosen, branches=["main"],
        offers=choice.offers(chosen, ()), one=True, now=scene.world.now, here="/queue/p",
        user=None, section="/queue", stream="/events/stream", version="", fragment=True,
    )  # fmt: skip


ENVIRONMENT = site.environment()
