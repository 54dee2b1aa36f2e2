"""Jobs with several machines, services and links, as written and as frozen."""

from __future__ import annotations

import pytest

from cupel.config.freeze import freeze
from cupel.config.problem import ConfigErrors
from cupel.config.project import parse
from cupel.config.render import render_yaml
from cupel.core.model import Job, Link, Part, Pipeline, Service, Step

WHOLE = """\
jobs:
  t:
    machines: {server: "{{matrix.box}}", client: deb}
    services:
      cache: deb
      db: {machine: pg, run: "serve {{matrix.box}}", health: ready, ports: [5432, 80], timeout: 5s}
    links:
      - {between: [client, server], delay: 50ms, loss: 30%, rate: 10mbit}
      - {between: [db, server], down: true}
    steps:
      - first
      - {run: second, on: client}
    matrix: {box: [deb]}
check: [t]
"""


def check(text: str) -> tuple[Job, ...]:
    return freeze(parse({".cupel.yaml": text}), Pipeline.CHECK, ["deb", "pg"])


def wrong(lines: str) -> str:
    body = "\n".join(f"    {line}" for line in lines.splitlines())
    with pytest.raises(ConfigErrors) as caught:
        check(f"jobs:\n  t:\n{body}\ncheck: [t]\n")
    return str(caught.value)


def test_all_of_it_is_frozen() -> None:
    (job,) = check(WHOLE)
    assert job.label == "deb"
    assert job.parts == (
        Part(name="server", label="deb"),
        Part(name="client", label="deb"),
        Part(name="cache", label="deb"),
        Part(name="db", label="pg"),
    )
    assert job.services == (
        Service(name="cache"),
        Service(name="db", run="serve deb", health="ready", ports=(5432, 80), timeout=5.0),
    )
    assert job.links == (
        Link(one="client", other="server", delay=0.05, loss=0.3, rate=1e7),
        Link(one="db", other="server", cut=True),
    )
    assert [step.on for step in job.steps] == ["", "client"]


def test_a_machine_beside_others_is_main() -> None:
    (job,) = check("jobs: {t: {machine: deb, services: {db: pg}, steps: [x]}}\ncheck: [t]")
    assert job.parts == (Part(name="main", label="deb"), Part(name="db", label="pg"))


def test_a_single_machine_is_as_before_whatever_it_is_called() -> None:
    (job,) = check("jobs: {t: {machines: {one: deb}, steps: [{run: x, on: one}]}}\ncheck: [t]")
    assert job.parts == ()
    assert job.label == "deb"
    assert job.steps == (Step(name="x", run="x"),)


def test_what_is_written_is_read_back() -> None:
    config = parse({".cupel.yaml": WHOLE})
    assert parse({".cupel.yaml": render_yaml(config)}) == config


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("steps: [x]", '3:5: the key "machine" is missing'),
        ("machines: {}\nsteps: [x]", '3:5: the key "machine" is missing'),
        ("machines: {A: deb}\nsteps: [x]", '3:16: "A" is not a name for a machine'),
        ("machines: {localhost: deb}\nsteps: [x]", "3:16: "),
        ("machines: {a: dbe}\nsteps: [x]", '3:19: no machine has the label "dbe"'),
        (
            "machines: {a: deb, b: dbe}\nsteps: [x]",
            '3:27: no machine has the label "dbe"\n  did you mean "deb"?',
        ),
        (
            "machine: deb\nservices: {db: {machine: gp}}\nsteps: [x]",
            '4:30: no machine has the label "gp"',
        ),
        (
            "machine: deb\nmachines: {main: deb}\nsteps: [x]",
            '4:16: two machines are called "main"\n  the machine of “machine” is called main',
        ),
        ("machines: {a: deb}\nservices: {a: pg}\nsteps: [x]", '4:16: two machines are called "a"'),
        (
            "machines: {server: deb, b: deb}\nsteps: [{run: x, on: sever}]",
            '4:26: the job has no machine "sever"\n  did you mean "server"?',
        ),
        ("machine: deb\nsteps: [{run: x, on: b}]", '4:26: the job has no machine "b"'),
        (
            "machines: {a: deb, b: deb}\nlinks: [{between: [a, c]}]\nsteps: [x]",
            '4:27: the job has no machine "c"',
        ),
        (
            "machines: {a: deb, b: deb}\nlinks: [{between: [a, a]}]\nsteps: [x]",
            "4:23: a link is between two machines",
        ),
        (
            "machines: {a: deb, b: deb}\nlinks: [{between: [a, b]}, {between: [b, a]}]\nsteps: [x]",
            "4:43: b and a have two links",
        ),
        (
            "machines: {a: deb, b: deb}\nlinks: [{between: [a, b], loss: 130%}]\nsteps: [x]",
            '4:37: expected a share, found "130%"',
        ),
        (
            "machines: {a: deb, b: deb}\nlinks: [{between: [a, b], delay: 11s}]\nsteps: [x]",
            "4:38: 11s is out of bounds",
        ),
        (
            "machine: deb\nservices: {db: {machine: pg, ports: [99999]}}\nsteps: [x]",
            "4:42: 99999 is out of bounds",
        ),
        (
            f"machines: {{{', '.join(f'm{n}: deb' for n in range(9))}}}\nsteps: [x]",
            "a job has at most 8 machines",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(lines: str, why: str) -> None:
    assert why in wrong(lines)
