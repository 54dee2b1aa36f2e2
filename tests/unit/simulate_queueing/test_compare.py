import dataclasses
import xml.etree.ElementTree as ET

import pytest

from cupel.core.speculation.expected import Levers
from cupel.simulate.queueing import compare, contestants, measures, plot
from cupel.simulate.queueing.compare import Row, Task
from cupel.simulate.queueing.workload import Parameters

SMALL = Parameters(hours=1.0)


def tasks(*policies: str, seeds: int = 2) -> list[Task]:
    return [
        Task(parameters=SMALL, policy=policy, seed=seed, landing_set=False)
        for policy in policies
        for seed in range(seeds)
    ]


def told(rows: list[Row]) -> list[object]:
    """All that does not depend on the clock."""
    timed = {"plan_ms_p50", "plan_ms_p99"}
    return [
        (row.policy, row.landing, {k: v for k, v in row.measures.items() if k not in timed})
        for row in rows
    ]


def test_processes_do_not_change_the_answer() -> None:
    asked = tasks("zuul-20+", "oracle-in-order", "serial")
    alone = compare.compare(asked, jobs=1)
    assert told(alone) == told(compare.compare(asked, jobs=2))
    assert [row.policy for row in alone] == ["zuul-20+", "oracle-in-order", "serial"]
    assert [row.landing for row in alone] == ["strict", "oracle", "strict"]


def test_every_measure_is_there_and_the_oracle_is_its_own_measure() -> None:
    (row,) = compare.compare(tasks("oracle-in-order"), jobs=1)
    assert list(row.measures) == list(measures.UNITS)
    assert row.measures["p95_over_oracle"].value == 1


def test_one_policy_may_land_both_ways() -> None:
    asked = [
        dataclasses.replace(task, landing_set=landing_set)
        for landing_set in (False, True)
        for task in tasks("optimistic", seeds=1)
    ]
    assert [row.landing for row in compare.compare(asked, jobs=1)] == ["strict", "set"]


def test_each_lever_that_can_be_off_has_an_ablation() -> None:
    flags = {field.name for field in dataclasses.fields(Levers) if field.default is True}
    assert contestants.LEVERS_OFF.keys() <= {field.name for field in dataclasses.fields(Levers)}
    for name in flags | contestants.LEVERS_OFF.keys():
        assert f"expected-value-without-{name.replace('_', '-')}" in contestants.ABLATIONS


@pytest.mark.parametrize("count", [1, 40])
def test_the_picture_is_xml_and_names_every_policy(count: int) -> None:
    (row,) = compare.compare(tasks("optimistic", seeds=1), jobs=1)
    rows = [dataclasses.replace(row, policy=f"<policy {n}>") for n in range(count)]
    drawn = plot.svg(rows)
    root = ET.fromstring(drawn)
    texts = {"".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {f"<policy {n}> (strict)" for n in range(count)} <= texts
    assert "prefers-color-scheme:dark" in drawn
    assert float(root.attrib["viewBox"].split()[3]) > 20 * count


def test_a_picture_of_nothing_is_drawn() -> None:
    (row,) = compare.compare(
        [dataclasses.replace(tasks("serial")[0], parameters=Parameters(hours=1e-6))], jobs=1
    )
    assert row.results[0].waits == ()
    ET.fromstring(plot.svg([row]))


@pytest.mark.parametrize("most", [1, 3, 7, 34, 50, 1000])
def test_an_axis_has_a_few_round_marks(most: int) -> None:
    (row,) = compare.compare(tasks("optimistic", seeds=1), jobs=1)
    result = dataclasses.replace(row.results[0], busy=((0.0, most), (7200.0, 0)))
    root = ET.fromstring(plot.svg([dataclasses.replace(row, results=(result,))]))
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    marks = [
        float(each)
        for each in texts[texts.index("Machines busy over time (first seed)") :]
        if each.replace(".", "").isdigit()
    ]
    assert 4 < len(marks) < 12
    assert all(mark * 20 == int(mark * 20) for mark in marks)
    assert max(marks) <= most
