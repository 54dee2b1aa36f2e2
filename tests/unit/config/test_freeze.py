"""From jobs as written to jobs as run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config.freeze import freeze
from cupel.config.problem import ConfigErrors
from cupel.config.project import ProjectConfig, parse
from cupel.core.model import Job, Pipeline, Step


def config(text: str) -> ProjectConfig:
    return parse({".cupel.yaml": text})


def gate(text: str) -> tuple[Job, ...]:
    return freeze(config(text), Pipeline.GATE, ["m"])


def refusal(text: str, pipeline: Pipeline = Pipeline.GATE) -> str:
    with pytest.raises(ConfigErrors) as caught:
        freeze(config(text), pipeline, ["m"])
    return str(caught.value)


def test_a_job_is_frozen_whole() -> None:
    (job,) = gate(
        """
        jobs:
          t:
            machine: "{{matrix.box}}"
            steps: [{name: "on {{matrix.box}}", run: "run {{matrix.box}} $A", failed-tests: 7}]
            env: {A: "x{{matrix.box}}"}
            inputs: [src]
            timeout: 60
            hold: 10m
            evidence: never
            projects: [lib]
            semaphore: [licence, device]
            matrix: {box: [m]}
        gate: [t]
        semaphores: {licence: 2}
        """
    )
    assert job == Job(
        name="t (box=m)",
        base="t",
        label="m",
        steps=(Step(name="on m", run="run m $A", failed_tests=7),),
        env=(("MATRIX_BOX", "m"), ("A", "xm")),
        inputs=("src",),
        timeout=60.0,
        hold=600.0,
        needs=(),
        voting=True,
        cell=(("box", "m"),),
        evidence=False,
        projects=("lib",),
        semaphores=(("licence", 2), ("device", 1)),
    )


def test_an_audit_freezes_the_jobs_of_the_gate() -> None:
    text = "jobs:\n  t: {machine: m, steps: [x]}\n  c: {machine: m, steps: [x]}\n"
    made = config(text + "gate: [t]\ncheck: [c]\n")
    assert [job.name for job in freeze(made, Pipeline.PERIODIC)] == ["t"]


def test_a_project_that_cannot_be_beside_is_refused_where_it_stands() -> None:
    made = config("jobs:\n  t: {machine: m, steps: [x], projects: [lib, libs]}\ngate: [t]\n")
    with pytest.raises(ConfigErrors) as caught:
        freeze(made, Pipeline.GATE, ["m"], ["lib"])
    assert str(caught.value) == (
        '.cupel.yaml:2:47: no project "libs" with this branch shares the queue\n'
        '  did you mean "lib"?'
    )
    assert freeze(made, Pipeline.GATE, ["m"], ["lib", "libs"])[0].projects == ("lib", "libs")
    assert freeze(made, Pipeline.GATE, ["m"])[0].projects == ("lib", "libs")


def test_needs_are_pulled_in_before_and_mean_all_cells() -> None:
    jobs = gate(
        """
        jobs:
          t: {machine: m, steps: [x], needs: [b], matrix: {py: ["1", "2"]}}
          b: {machine: m, steps: [x], needs: [a], matrix: {os: [x, y]}}
          a: {machine: m, steps: [x]}
          other: {machine: m, steps: [x]}
        gate: [t]
        """
    )
    assert [(job.name, job.needs) for job in jobs] == [
        ("a", ()),
        ("b (os=x)", ("a",)),
        ("b (os=y)", ("a",)),
        ("t (py=1)", ("b (os=x)", "b (os=y)")),
        ("t (py=2)", ("b (os=x)", "b (os=y)")),
    ]


def test_a_key_that_a_cell_lacks_is_empty_and_no_variable() -> None:
    jobs = gate(
        """
        jobs:
          t:
            machine: m
            steps: ["run [{{matrix.flag}}]"]
            matrix: {py: ["1", "2"], include: [{py: "2", flag: --slow}]}
        gate: [t]
        """
    )
    assert [(job.steps[0].run, job.env) for job in jobs] == [
        ("run []", (("MATRIX_PY", "1"),)),
        ("run [--slow]", (("MATRIX_PY", "2"), ("MATRIX_FLAG", "--slow"))),
    ]


def test_a_label_that_vanished_is_refused_where_it_stands() -> None:
    text = "jobs:\n  t: {machine: gone, steps: [x]}\ngate: [t]\n"
    assert refusal(text).startswith('.cupel.yaml:2:16: no machine has the label "gone"')


def test_without_jobs_nothing_is_proved() -> None:
    nothing = ProjectConfig(jobs={})
    for pipeline in (Pipeline.CHECK, Pipeline.GATE):
        with pytest.raises(ConfigErrors, match="nothing to prove: there are no jobs"):
            freeze(nothing, pipeline)
    assert freeze(nothing, Pipeline.POST) == ()


def test_too_many_jobs_are_refused() -> None:
    axis = list(range(30))
    lines = [
        f"  j{number}: {{machine: m, steps: [x], matrix: {{a: {axis}, b: {axis}}}}}"
        for number in range(5)
    ]
    text = "jobs:\n" + "\n".join(lines) + "\ngate: [j0, j1, j2, j3, j4]\n"
    assert ":6:3: with this job the configuration expands to more than 4,096 jobs" in refusal(text)


def test_too_much_text_is_refused_before_it_is_made() -> None:
    step = "x" * 90_000
    text = f"jobs:\n  t: {{machine: m, steps: [{step}], matrix: {{a: {list(range(1000))}}}}}\n"
    assert ":2:3: with this job the configuration expands" in refusal(text + "gate: [t]")


def test_needs_of_many_cells_by_many_are_refused() -> None:
    axes = f"matrix: {{a: {list(range(900))}}}"
    text = (
        f"jobs:\n  a: {{machine: m, steps: [x], {axes}}}\n"
        f"  b: {{machine: m, steps: [x], needs: [a], {axes}}}\ngate: [b]"
    )
    assert ":3:3: with this job" in refusal(text)


def test_a_step_grown_too_long_is_refused() -> None:
    step = "{{matrix.a}}" * 5000
    text = f'jobs:\n  t: {{machine: m, steps: ["{step}"], matrix: {{a: [{"x" * 90}]}}}}\n'
    assert 'a step of "t (a=' in refusal(text + "gate: [t]")


def test_deep_chains_of_needs_freeze() -> None:
    lines = [f"  j{n}: {{machine: m, steps: [x], needs: [j{n + 1}]}}" for n in range(1500)]
    text = "jobs:\n" + "\n".join([*lines, "  j1500: {machine: m, steps: [x]}"]) + "\ngate: [j0]\n"
    assert [job.name for job in gate(text)] == [f"j{n}" for n in range(1500, -1, -1)]


@given(st.lists(st.lists(st.integers(0, 7), max_size=4, unique=True), min_size=1, max_size=8))
def test_what_is_needed_comes_first_and_once(needs: list[list[int]]) -> None:
    lines = [
        f"  j{number}: {{machine: m, steps: [x], needs: "
        f"[{', '.join(f'j{need}' for need in wanted if need < number)}]}}"
        for number, wanted in enumerate(needs)
    ]
    names = [f"j{number}" for number in range(len(needs))]
    text = "jobs:\n" + "\n".join(lines) + f"\ngate: [{', '.join(reversed(names))}]\n"
    jobs = gate(text)
    seen: set[str] = set()
    for job in jobs:
        assert set(job.needs) <= seen
        assert job.name not in seen
        seen.add(job.name)
    assert seen == set(names)
    assert jobs == gate(text)
