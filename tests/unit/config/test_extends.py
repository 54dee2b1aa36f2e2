"""`extends`: what is merged, replaced and taken away, and every way in which it can be wrong."""

from __future__ import annotations

import itertools
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import freeze, job, load
from cupel.config.problem import ConfigErrors
from cupel.config.project import ProjectConfig, parse
from cupel.core.model import Job, Pipeline

VALUE = "give the key a value, or remove it"
CONCRETE = "extend it with a job that is no template, and name that"


def jobs(text: str, **others: str) -> ProjectConfig:
    """A configuration with these jobs, all of which the gate runs, and more in other files."""
    indented = textwrap.indent(textwrap.dedent(text), "  ")
    files = {".cupel.yaml": f"jobs:\n{indented}\ngate: [a]\n"}
    files |= {f".cupel/{name}.yaml": textwrap.dedent(more) for name, more in others.items()}
    return load.load(files, list(files)).config


def frozen(text: str, **others: str) -> Job:
    return freeze.freeze(jobs(text, **others), Pipeline.GATE)[-1]


def refusal(text: str, **others: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        jobs(text, **others)
    return str(caught.value)


def test_a_job_is_its_template_and_what_it_says_itself() -> None:
    made = frozen("""
        base: {abstract: true, machine: m, timeout: 5m, steps: [one, two], inputs: [x]}
        a: {extends: base, steps: [three]}
    """)
    assert (made.label, made.timeout, made.inputs) == ("m", 300.0, ("x",))
    assert [step.run for step in made.steps] == ["three"]


def test_env_and_services_are_merged_by_name() -> None:
    made = frozen("""
        base:
          abstract: true
          machine: m
          env: {ONE: "1", TWO: "2"}
          services: {db: {machine: pg, ports: [1]}, web: nginx}
        a:
          extends: base
          steps: [x]
          env: {TWO: "two", THREE: "3"}
          services: {db: other}
    """)
    assert made.env == (("ONE", "1"), ("TWO", "two"), ("THREE", "3"))
    assert [(each.name, each.ports) for each in made.services] == [("db", ()), ("web", ())]
    assert [part.label for part in made.parts] == ["m", "other", "nginx"]


def test_services_are_not_merged_within() -> None:
    made = frozen("""
        base:
          {abstract: true, machine: m, services: {env: {machine: one, ports: [1], timeout: 5s}}}
        a: {extends: base, steps: [x], services: {env: {machine: two}}}
    """)
    assert [(each.name, each.ports) for each in made.services] == [("env", ())]


def test_an_empty_value_takes_away() -> None:
    made = frozen("""
        base: {abstract: true, machine: m, timeout: 5m, env: {ONE: "1", TWO: "2"}, inputs: [x]}
        a: {extends: base, steps: [x], timeout: , inputs: null, env: {ONE: ~}}
    """)
    assert (made.timeout, made.inputs, made.env) == (1800.0, (), (("TWO", "2"),))


def test_the_last_of_several_parents_counts_most() -> None:
    made = frozen("""
        one: {abstract: true, machine: m1, timeout: 1m, env: {A: "1", B: "1"}}
        two: {abstract: true, machine: m2, env: {B: "2", C: "2"}}
        a: {extends: [one, two], steps: [x], env: {C: "3"}}
    """)
    assert (made.label, made.timeout) == ("m2", 60.0)
    assert made.env == (("A", "1"), ("B", "2"), ("C", "3"))


def test_a_job_that_runs_can_be_extended_too_and_abstract_is_not_inherited() -> None:
    config = jobs("""
        base: {abstract: true, machine: m}
        middle: {extends: base, steps: [x], voting: false}
        a: {extends: middle, voting: true}
    """)
    assert list(config.jobs) == ["middle", "a"]
    assert list(config.templates) == ["base"]
    assert config.jobs["a"].steps == config.jobs["middle"].steps


def test_jobs_of_other_files_can_be_extended() -> None:
    made = frozen(
        "a: {extends: base}", base="jobs: {base: {abstract: true, machine: m, steps: [x]}}"
    )
    assert made.label == "m"


def test_anchors_and_merge_keys_work_beside() -> None:
    made = frozen("""
        base: {abstract: true, machine: m, env: &env {ONE: "1"}}
        other: &other {machine: m, steps: [x], extends: base, timeout: 1m}
        a: {<<: *other, env: {<<: *env, TWO: "2"}}
    """)
    assert made.env == (("ONE", "1"), ("TWO", "2"))
    assert made.timeout == 60.0


def test_a_template_may_name_what_only_its_jobs_have() -> None:
    made = frozen("""
        base: {abstract: true, machine: m, steps: ["tox -e {{matrix.python}}"]}
        a: {extends: base, matrix: {python: [py]}}
    """)
    assert [step.run for step in made.steps] == ["tox -e py"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: {extends: bsae, machine: m, steps: [x]}\nbase: {abstract: true}",
         '.cupel.yaml:2:16: no job "bsae" to extend\n  did you mean "base"?'),
        ("a: {extends: a, machine: m, steps: [x]}",
         ".cupel.yaml:2:16: these jobs go round in a circle: a extends a"),
        ("b: {extends: a}\na: {extends: [c]}\nc: {extends: b}",
         ".cupel.yaml:2:16: these jobs go round in a circle: b extends a extends c extends b"),
        ("a: {extends: [b, b], machine: m, steps: [x]}\nb: {abstract: true}",
         '.cupel.yaml:2:20: "b" is there twice'),
        ("a: {extends: [], machine: m, steps: [x]}",
         ".cupel.yaml:2:16: an empty list of names of jobs\n  leave the key out"),
        ("a: {extends: {b: c}, machine: m, steps: [x]}",
         ".cupel.yaml:2:16: expected the name of a job, found a mapping"),
        ("a: {extends: [b,b,b,b,b,b,b,b,b], machine: m, steps: [x]}",
         ".cupel.yaml:2:16: a job extends at most 8 others"),
        ("a: {extends: b}\nb: {abstract: true, machine: m}",
         f'.cupel.yaml:2:6: the key "steps" is missing\n  {job.STEPS.text}'),
        ("a: {extends: b, steps: [x]}\nb: {abstract: true}",
         '.cupel.yaml:2:6: the key "machine" is missing\n  The label of its machine.'),
        ("a: {extends: b, steps: [x], machine: m}\nb: {abstract: true, timeout: 5q}",
         '.cupel.yaml:3:32: expected a duration, found "5q"\n  write it as in 20m, 1h30m or 90s'),
        ("a: {extends: b, steps: [x], timeout: }\nb: {abstract: true, machine: m}",
         f'.cupel.yaml:2:31: nothing to take away: no job above says "timeout"\n  {VALUE}'),
        ("a: {abstract: true, machine: m, steps: [x]}",
         f'.cupel.yaml:3:8: "a" is abstract: it is never run\n  {CONCRETE}'),
        ("a: {parent: b, machine: m, steps: [x]}",
         '.cupel.yaml:2:7: unknown key "parent"\n  write `extends`'),
        ("a: {abstract: maybe, machine: m, steps: [x]}",
         '.cupel.yaml:2:17: expected true or false, found the text "maybe"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(text: str, wanted: str) -> None:
    assert refusal(text) == wanted


def test_an_error_of_a_template_is_said_once_however_many_extend_it() -> None:
    many = "\n".join(f"a{number}: {{extends: a, steps: [x]}}" for number in range(60))
    text = f"a: {{machine: m, steps: [x], timeout: 5q}}\n{many}"
    assert refusal(text).count("5q") == 1
    assert "more" not in refusal(text)


def chain(length: int) -> str:
    """Jobs that extend each other, the last first; `a` is the one at the end."""
    names = [*(f"j{number}" for number in range(length)), "a"]
    pairs = list(itertools.pairwise(names))[::-1]
    lines = [f"{name}: {{extends: {parent}}}" for parent, name in pairs]
    return "\n".join([*lines, "j0: {abstract: true, machine: m, steps: [x]}"])


def test_ten_generations_are_enough() -> None:
    assert frozen(chain(10)).label == "m"
    assert "more than 10 jobs extend each other" in refusal(chain(11))
    assert "more than 10 jobs extend each other" in refusal(chain(400))


def test_a_large_template_cannot_be_multiplied_without_bound() -> None:
    env = ", ".join(f"V{number}: x" for number in range(900))
    many = "\n".join(f"a{number}: {{extends: b, machine: m, steps: [x]}}" for number in range(900))
    found = refusal(f"b: {{abstract: true, env: {{{env}}}}}\n{many}")
    assert "all that is extended is more than 20,000 values or 4 MiB of text" in found


NAMES = st.sampled_from("abcd")
VARIABLES = st.sampled_from(["ONE", "TWO", "THREE"])
BODY = st.fixed_dictionaries(
    {},
    optional={
        "extends": st.lists(NAMES, max_size=3, unique=True),
        "env": st.dictionaries(VARIABLES, st.sampled_from("123"), max_size=3),
        "timeout": st.integers(1, 9),
    },
)


@given(st.dictionaries(NAMES, BODY, min_size=1))
def test_it_is_the_same_as_merging_dictionaries(bodies: dict[str, dict[str, object]]) -> None:
    """Against a model that merges Python's dictionaries, parents in order, then the job itself."""

    def env(name: str, above: tuple[str, ...] = ()) -> dict[str, object]:
        if name in above or name not in bodies:
            raise LookupError(name)
        merged: dict[str, object] = {}
        timeout = None
        for parent in bodies[name].get("extends", ()):  # type: ignore[attr-defined]
            under = env(parent, (*above, name))
            timeout = under.pop("timeout", timeout)
            merged |= under
        merged |= bodies[name].get("env", {})  # type: ignore[arg-type]
        timeout = bodies[name].get("timeout", timeout)
        return merged | ({"timeout": timeout} if timeout else {})

    lines = [
        f"  {name}: {body | {'machine': 'm', 'steps': ['x']}}" for name, body in bodies.items()
    ]
    text = "\n".join(["jobs:", *lines, f"gate: [{next(iter(bodies))}]"])
    try:
        wanted = {name: env(name) for name in bodies}
    except LookupError:
        wanted = {}
    if not wanted or any(body.get("extends") == [] for body in bodies.values()):
        with pytest.raises(ConfigErrors):
            parse({".cupel.yaml": text})
        return
    for name, made in parse({".cupel.yaml": text}).jobs.items():
        timeout = wanted[name].pop("timeout", 1800)
        assert dict(made.env) == wanted[name]
        assert made.timeout == timeout
