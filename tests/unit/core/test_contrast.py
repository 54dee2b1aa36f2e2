"""What differs between two builds of a job."""

from __future__ import annotations

import dataclasses

from cupel.core import contrast
from cupel.core.cache import CacheUse
from cupel.core.contrast import Difference, Ran
from cupel.core.model import (
    Build,
    Buildset,
    BuildState,
    Host,
    Job,
    Machine,
    MachineState,
    Pipeline,
    Step,
    Verdict,
)
from cupel.core.offer import Offer
from fakes.rows import IMAGE, World, oid

JOB = Job(
    name="tests",
    base="tests",
    label="debian-12",
    steps=(Step(name="install", run="pip install ."), Step(name="unit", run="pytest")),
    env=(("MODE", "fast"), ("GONE", "1")),
)


def ran(job: Job = JOB, *, host: str = "forge", cpu: str = "", image: str = IMAGE) -> Ran:
    world = World()
    project = world.project("p", head=oid("head"))
    item = world.item(world.change(project, "c"), Pipeline.GATE, onto=oid("a"), jobs=[job])
    machine = world.machine(world.host(host, 1), MachineState.GONE)
    build = world.build(item, job.name, BuildState.FINISHED, Verdict.SUCCESS, machine=machine)
    return Ran(
        build=build,
        state=world.rows_of(Buildset)[item.buildset_id or 0],
        machine=dataclasses.replace(world.rows_of(Machine)[machine.id], image=image),
        host=dataclasses.replace(world.rows_of(Host)[1], cpu=cpu),
    )


def test_builds_that_ran_alike_have_nothing_that_differs() -> None:
    differences, same = contrast.between(ran(), ran())
    assert differences == []
    assert same[:2] == ["image", "host"]
    assert "step unit" in same
    assert "processor" not in same  # neither is known


def test_what_differs_is_named_with_both_values() -> None:
    job = dataclasses.replace(
        JOB,
        env=(("MODE", "slow"), ("NEW", "2")),
        steps=(JOB.steps[0], Step(name="unit", run="pytest -x")),
    )
    other = ran(job, host="anvil", cpu="EPYC", image="sha256:0")
    cached = dataclasses.replace(other.build, caches=(CacheUse(name="pip", restored=7),))
    old = ran(cpu="Xeon")
    differences, same = contrast.between(old, dataclasses.replace(other, build=cached))
    assert differences == [
        Difference("image", IMAGE, "sha256:0"),
        Difference("host", "forge", "anvil"),
        Difference("processor", "Xeon", "EPYC"),
        Difference("environment MODE", "fast", "slow"),
        Difference("environment NEW", None, "2"),
        Difference("step unit", "pytest", "pytest -x"),
        Difference("cache pip", None, "of build 7, of other files"),
        Difference("environment GONE", "1", None),
    ]
    assert "step install" in same


def test_what_is_not_known_any_more_is_no_fact() -> None:
    alone = Ran(build=ran().build, state=None)
    assert contrast.facts(alone) == {"label": "debian-12"}
    differences, same = contrast.between(dataclasses.replace(ran(), machine=None, host=None), ran())
    assert differences == []
    assert "image" not in same
    assert contrast.between(ran(), ran(cpu="EPYC"))[0] == []  # nobody asked the first host


def passed(id: int, item: int = 1, **fields: object) -> Build:
    return dataclasses.replace(ran().build, id=id, item_id=item, **fields)  # type: ignore[arg-type]


def test_the_last_green_build_ran_here_and_failed_nothing() -> None:
    failed = passed(9, verdict=Verdict.FAILURE)
    branch = {1: "main", 2: "stable"}
    worthless = [
        passed(8, reused_from=3),
        passed(7, offer=Offer(by="eve", host="laptop")),
        passed(6, but_for=("test",)),
        passed(5, verdict=Verdict.FAILURE),
    ]
    other = passed(4, item=2)
    assert contrast.last_green(failed, worthless, branch) is None
    assert contrast.last_green(failed, [*worthless, other], branch) == other
    same = passed(3)
    assert contrast.last_green(failed, [*worthless, other, same], branch) == same
