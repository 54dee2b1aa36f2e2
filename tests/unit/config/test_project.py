"""`.cupel.yaml`: what it says, and every way in which it can be wrong, with its place."""

from __future__ import annotations

import contextlib
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import load
from cupel.config.job import JobConfig, JobShape
from cupel.config.matrix import Matrix
from cupel.config.problem import ConfigErrors
from cupel.config.project import ProjectConfig, parse
from cupel.core.model import Pipeline, Step

LABELS = ("debian-12", "debian-12-net")

FULL = """\
jobs:
  build:
    machine: debian-12
    steps: [make]
  tests:
    machine: debian-12-net
    steps:
      - pip install .[tests]
      - name: pytest
        run: |
          cd tests
          pytest
    inputs: ["src/**", "!src/doc", "pyproject.toml"]
    timeout: 1h30m
    env: {LEVEL: 3, RATIO: 0.5, DEBUG: true, EMPTY: "", TEXT: some words}
    needs: [build]
    voting: false
    evidence: never
    projects: [lib, other-lib]
    semaphore: [licence, device]
    matrix:
      python: ["3.10", 3.11]
      exclude: [{python: "3.10"}]
check: [tests]
gate: [build, tests]
post: []
semaphores: {licence: 2}
"""


def lint(text: str, path: str = ".cupel.yaml") -> str:
    """All that is wrong with a file, without its name."""
    with pytest.raises(ConfigErrors) as caught:
        load.load({path: text}, [path], LABELS)
    return str(caught.value).replace(f"{path}:", "")


def job(text: str) -> str:
    """A file with a job `a` that has a machine, steps and the lines of a text from line 5 on."""
    lines = "jobs:\n  a:\n    machine: debian-12\n    steps: [x]\n"
    return lines + textwrap.indent(textwrap.dedent(text), "    ") + "\ncheck: [a]\n"


def test_everything_that_can_be_said() -> None:
    config = parse({".cupel.yaml": FULL})
    assert config == ProjectConfig(
        jobs={
            "build": JobConfig(
                name="build", machine="debian-12", steps=(Step(name="make", run="make"),)
            ),
            "tests": JobConfig(
                name="tests",
                machine="debian-12-net",
                steps=(
                    Step(name="pip install .[tests]", run="pip install .[tests]"),
                    Step(name="pytest", run="cd tests\npytest\n"),
                ),
                inputs=("src/**", "!src/doc", "pyproject.toml"),
                timeout=5400.0,
                env=(
                    ("LEVEL", "3"),
                    ("RATIO", "0.5"),
                    ("DEBUG", "true"),
                    ("EMPTY", ""),
                    ("TEXT", "some words"),
                ),
                needs=("build",),
                voting=False,
                evidence=False,
                projects=("lib", "other-lib"),
                semaphores=("licence", "device"),
                matrix=Matrix(
                    axes=(("python", ("3.10", "3.11")),), exclude=((("python", "3.10"),),)
                ),
            ),
        },
        check=("tests",),
        gate=("build", "tests"),
        post=(),
        semaphores={"licence": 2},
    )


def test_a_semaphore_may_stand_by_itself_and_evidence_be_spelled_out() -> None:
    made = parse({".cupel.yaml": job("semaphore: db\nevidence: inputs")}).jobs["a"]
    assert (made.semaphores, made.evidence) == (("db",), True)


def test_semaphores_of_all_files_count_and_are_declared_once() -> None:
    one = job("semaphore: [a, b]") + "semaphores: {a: 2}\n"
    two = {".cupel.yaml": one, ".cupel/x.yaml": "semaphores: {b: 3}\n"}
    assert parse(two).semaphores == {"a": 2, "b": 3}
    with pytest.raises(ConfigErrors) as caught:
        parse(two | {".cupel/x.yaml": "semaphores: {a: 3}\n"})
    assert str(caught.value) == (
        '.cupel/x.yaml:1:14: duplicate semaphore "a"\n  the first is at .cupel.yaml:7:14'
    )


def test_an_audit_runs_what_the_gate_runs() -> None:
    assert parse({".cupel.yaml": FULL}).pipeline(Pipeline.PERIODIC) == ("build", "tests")


@pytest.mark.parametrize(("written", "other"), [("check", "gate"), ("gate", "check")])
def test_check_and_gate_stand_for_each_other(written: str, other: str) -> None:
    text = f"jobs: {{a: {{machine: debian-12, steps: [x]}}}}\n{written}: [a]\n"
    config = parse({".cupel.yaml": text})
    assert config.pipeline(Pipeline(other)) == ("a",)
    assert config.pipeline(Pipeline.POST) == ()


def test_a_check_may_be_empty_on_purpose() -> None:
    text = "jobs: {a: {machine: debian-12, steps: [x]}}\ncheck: []\ngate: [a]\n"
    assert load.load({".cupel.yaml": text}, [".cupel.yaml"], LABELS).config.check == ()


def test_a_step_is_called_by_its_first_line() -> None:
    text = job("").replace("[x]", f'["\\n  make  \\nmore", "{"y" * 100}"]')
    names = [step.name for step in parse({".cupel.yaml": text}).jobs["a"].steps]
    assert names == ["make", "y" * 71 + "…"]


def test_files_are_merged_the_main_one_first() -> None:
    files = {
        ".cupel/b.yaml": "jobs: {b: {machine: debian-12, steps: [x], needs: [a]}}\ncheck: [b]",
        ".cupel.yaml": "jobs: {m: {machine: debian-12, steps: [x]}}\ncheck: [m]\ngate: [b]",
        ".cupel/a.yaml": "jobs: {a: {machine: debian-12, steps: [x]}}",
    }
    config = parse(files)
    assert list(config.jobs) == ["m", "a", "b"]
    assert config.check == ("m", "b")


def test_a_name_in_two_files_is_an_error_that_names_both() -> None:
    files = {
        ".cupel.yaml": "jobs:\n  a: {machine: debian-12, steps: [x]}\ncheck: [a]",
        ".cupel/x.yaml": "jobs:\n\n  a: {machine: debian-12, steps: [x]}\ncheck: [a]",
    }
    with pytest.raises(ConfigErrors) as caught:
        parse(files)
    assert str(caught.value) == (
        '.cupel/x.yaml:3:3: duplicate job "a"\n  the first is at .cupel.yaml:2:3\n'
        '.cupel/x.yaml:4:9: "a" is listed twice\n  the first is at .cupel.yaml:3:9'
    )


def test_the_errors_of_all_files_are_told() -> None:
    files = {".cupel/a.yaml": "a: b: c", ".cupel/b.yaml": "jbos: {}"}
    with pytest.raises(ConfigErrors) as caught:
        parse(files)
    places = [str(problem.at) for problem in caught.value.problems]
    assert places == [".cupel/a.yaml:1:5", ".cupel/b.yaml:1:1"]


WRONG_FILES = {
    "": "1:1: no jobs\n  `cupel init` writes",
    "jobs": 'expected a mapping with jobs and pipelines, found the text "jobs"',
    "jobs:build": "1:1: expected a mapping with jobs and pipelines",
    "- a": "1:1: expected a mapping with jobs and pipelines, found a list",
    "jobs: [a]": "1:7: expected a mapping of jobs, found a list",
    "jobs:": "1:6: expected a mapping of jobs, found nothing",
    "jobs: {a: 3}\ncheck: [a]": "1:11: expected a job, which is a mapping, found the number 3",
    "jobs: {}\njbos: {}": '2:1: unknown key "jbos"\n  did you mean "jobs"?',
    "jobs: {}\nperiodic: [a]": '2:1: "periodic" is not supported by this version of Cupel',
    "jobs: {a: {machine: debian-12, steps: [x]}}": (
        '1:1: neither check nor gate runs a job\n  add a line such as "check: [a]"'
    ),
    job("") + "post: [b]": '7:8: no job "b"\n  jobs: a',
    job("") + "post: [a, a]": '7:11: "a" is listed twice\n  the first is at 7:8',
    job("") + "post: a": (
        '7:7: expected a list of names of jobs, found the text "a"\n  write it as a list: [a]'
    ),
    job("") + "gate: []": "7:7: nothing to prove: gate lists no job",
    job("") + "semaphores: [a]": "7:13: expected a mapping of semaphores to numbers, found a list",
    job("") + "semaphores: {a: 0}": "7:17: 0 is out of bounds\n  1 to 1000 is possible",
    job("") + "semaphores: {a: 1.5}": (
        '7:17: expected a number of builds, found "1.5"\n  write it as in 2'
    ),
    job("") + "semaphores: {a b: 1}": '7:14: "a b" is not a name for a semaphore',
    job("voting: false"): "6:8: nothing to prove: no job of gate votes",
    "jobs: {/a: {machine: debian-12, steps: [x]}}\ncheck: [a]": '1:8: "/a" is not a name for a job',
    'jobs: {"a\\e": {machine: debian-12, steps: [x]}}\ncheck: [a]': (
        "1:8: a control character, U+001B, in the text"
    ),
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_wrong_files(text: str) -> None:
    assert WRONG_FILES[text] in lint(text)


WRONG_JOBS = {
    "machne: x": '5:5: unknown key "machne"\n  did you mean "machine"?',
    "xyzzy: x": '5:5: unknown key "xyzzy"\n  known keys: extends, abstract, machine, machines',
    "secrets: {db: x}": '5:5: "secrets" is not supported by this version of Cupel',
    "cartesian: tests.cfg": '5:5: "cartesian" is not supported by this version of Cupel',
    "steps: [y]": '5:5: duplicate key "steps"\n  the first is at 4:5',
    "timeout: soon": (
        '5:14: expected a duration, found "soon"\n  write it as in 20m, 1h30m or 90s'
    ),
    "timeout: 0": "5:14: 0 is out of bounds\n  1s to 1d is possible",
    "timeout: -5": '5:14: expected a duration, found "-5"',
    "timeout: 25h": "5:14: 25h is out of bounds\n  1s to 1d is possible",
    "timeout: [1]": "5:14: expected a duration, found a list",
    "timeout: true": "5:14: expected a duration, found the boolean true",
    "voting: yes": "5:13: yes is a boolean to some readers only\n  write true or false",
    "voting: 1": "5:13: expected true or false, found the number 1",
    "inputs: src": '5:13: expected a list of patterns, found the text "src"',
    "inputs: []": "5:13: an empty list of patterns\n  leave the key out for all files",
    'inputs: ["!"]': '5:14: "!" is not a pattern as in .gitignore',
    'inputs: ["# no"]': '5:14: "# no" is not a pattern as in .gitignore',
    "env: [A]": "5:10: expected a mapping of variables to texts, found a list",
    "env: {A: 010}": '5:14: 010 without quotes is a number to YAML\n  write "010" if',
    "env: {A: 3.10}": '5:14: 3.10 without quotes is a number to YAML\n  write "3.10" if',
    "env: {A: on}": '5:14: on without quotes is a boolean to YAML\n  write "on" if',
    "env: {A: }": "5:13: expected a text, found nothing",
    "env: {A: {}}": "5:14: expected a text, found a mapping",
    "env: {1A: x}": '5:11: "1A" is not a name for a variable',
    "env: {CUPEL_JOB: x}": '5:11: "CUPEL_JOB" is not a name for a variable',
    'env: {A: "\\0"}': "5:14: a control character, U+0000, in the text",
    'env: {A: "\\ud800"}': "5:14: a control character, U+D800, in the text",
    'env: {A: "{{matrix.os}}"}': '5:14: the matrix has no "os"\n  there are no axes',
    "needs: [b]": '5:13: no job "b"\n  jobs: a',
    "needs: [a]": "5:13: these needs go round in a circle: a needs a",
    "evidence: always": '5:15: expected inputs or never, found "always"',
    "evidence: [never]": "5:15: expected inputs or never, found a list",
    "evidence: false": '5:15: expected inputs or never, found "false"',
    "projects: lib": '5:15: expected a list of names of projects, found the text "lib"',
    "projects: [a/b]": '5:16: "a/b" is not the name of a project',
    "projects: [lib, lib]": '5:21: "lib" is there twice',
    "semaphore: a b": '5:16: "a b" is not a name for a semaphore',
    "semaphore: {a: 1}": "5:16: expected a list of names of semaphores, found a mapping",
    "semaphore: [a, a]": '5:20: "a" is there twice',
    "matrix: [a]": "5:13: expected a mapping from axes to lists of values, found a list",
    "matrix: {}": "5:13: the matrix has no cells",
    "matrix: {os: linux}": '5:18: expected a list of values, found the text "linux"',
    "matrix: {os: []}": "5:18: an empty list of values",
    "matrix: {os: [a, a]}": '5:18: the value "a" is there twice',
    "matrix: {os: [3.10]}": "5:19: 3.10 without quotes is a number to YAML",
    "matrix: {os: [[a]]}": "5:19: expected a text or a number, found a list",
    "matrix: {o s: [a]}": '5:14: "o s" is not the name of an axis',
    "matrix: {a-b: [x], A_B: [y]}": '5:13: "a-b" and "A_B" would both be $MATRIX_A_B',
    "matrix: {os: [a], exclude: [{so: a}]}": '5:33: the matrix has no "so"\n  axes: os',
    "matrix: {os: [a], exclude: [{os: b}]}": '5:33: "os" has no value "b"\n  values: a',
    "matrix: {os: [a], exclude: [{os: a}]}": "5:13: the matrix has no cells",
    "matrix: {os: [a], include: {os: b}}": "5:32: expected a list of mappings",
    "matrix: {os: [a/b, a-b]}": '5:13: two cells of the matrix would have the name "(os=a-b)"',
    f"matrix: {{a: {list(range(33))}, b: {list(range(32))}}}": (
        "5:13: 1,056 combinations; at most 1,024 are possible"
    ),
}


@pytest.mark.parametrize("text", WRONG_JOBS)
def test_wrong_jobs(text: str) -> None:
    assert WRONG_JOBS[text] in "\n" + lint(job(text))


WRONG_STEPS = {
    "[]": '4:12: an empty list of steps\n  write a script: ["make test"]',
    "make": '4:12: expected a list of steps, found the text "make"\n  write it as a list: [make]',
    "[[x]]": "4:13: expected a shell script or a mapping, found a list",
    '[" "]': "4:13: expected a shell script, found an empty one",
    "[3.10]": "4:13: 3.10 without quotes is a number to YAML",
    "[{run: x, nme: y}]": '4:22: unknown key "nme"\n  did you mean "name"?',
    "[{name: y}]": '4:13: the key "run" is missing',
    '[{run: x, name: "a\\nb"}]': "4:28: a control character, U+000A",
    "[echo a: b]": "4:13: “: ” makes a mapping of this step\n  put the script in quotes",
    '["a\\rb"]': "4:13: a control character, U+000D",
    '["${{ matrix.os }}"]': "4:13: ${{ matrix.os }} is not replaced\n  write {{matrix",
    f"[{'x' * 100_001}]": "4:13: longer than 100,000 bytes",
}


@pytest.mark.parametrize("text", WRONG_STEPS)
def test_wrong_steps(text: str) -> None:
    assert WRONG_STEPS[text] in lint(job("").replace("[x]", text))


def test_keys_that_have_to_be_there() -> None:
    errors = lint("jobs:\n  a: {}\ncheck: [a]")
    assert '2:6: the key "machine" is missing' in errors
    assert '2:6: the key "steps" is missing' in errors


def test_a_misspelt_key_is_not_missing_too() -> None:
    assert "missing" not in lint("jobs: {a: {machne: x, steps: [x]}}\ncheck: [a]")


def test_an_unknown_label_gets_the_nearest_one() -> None:
    errors = lint(job("").replace("debian-12", "debian-13"))
    assert errors == '3:14: no machine has the label "debian-13"\n  did you mean "debian-12"?'


def test_labels_are_told_when_none_is_near() -> None:
    errors = lint(job("").replace("debian-12", "plan9"))
    assert errors.endswith("labels: debian-12, debian-12-net")


def test_jobs_in_no_pipeline_are_checked_too() -> None:
    text = job("").replace("check:", "  b: {machine: plan9, steps: [x]}\ncheck:")
    assert '6:16: no machine has the label "plan9"' in lint(text)


def test_labels_are_checked_for_each_cell() -> None:
    text = job("matrix: {os: [debian-12, bsd]}").replace(": debian-12\n", ': "{{matrix.os}}"\n')
    assert lint(text).startswith('3:14: no machine has the label "bsd"')


def test_unknown_labels_pass_where_labels_are_not_known() -> None:
    text = job("").replace("debian-12", "plan9")
    assert load.load({".cupel.yaml": text}, [".cupel.yaml"]).config.jobs["a"].machine == "plan9"


def test_a_circle_of_needs_is_spelled_out() -> None:
    names = {"a": "c", "b": "a", "c": "b"}
    lines = [f"  {n}: {{machine: debian-12, steps: [x], needs: [{m}]}}" for n, m in names.items()]
    errors = lint("jobs:\n" + "\n".join(lines) + "\ncheck: [a]")
    assert errors == ("2:47: these needs go round in a circle: a needs c needs b needs a")


def test_all_errors_of_a_file_are_told_in_order() -> None:
    errors = lint(job("timeout: 0\nvoting: 3\nneeds: [q]") + "pst: []\n")
    places = [line.split(": ")[0] for line in errors.splitlines() if not line.startswith(" ")]
    assert places == ["5:14", "6:13", "7:13", "9:1"]


def test_the_errors_of_hostile_text_are_bounded() -> None:
    keys = "\n".join(f"    {'k' * 150}{number}: 1" for number in range(5000))
    errors = lint(f"jobs:\n  a:\n{keys}\ncheck: [a]")
    assert errors.endswith("more")


JOB_KEYS = [*(field.key for field in JobShape.record.fields), "name", "run", "include", "exclude"]
CONFIGISH = st.recursive(
    st.sampled_from(
        ["debian-12", "a", "b", "20m", "3.10", "yes", "~", "0", "{{matrix.a}}", "'{{matrix.a}}'"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(
            st.sampled_from(
                ["jobs", "check", "gate", "post", "a", "b", "services", "<<", *JOB_KEYS]
            ),
            inner,
            max_size=6,
        ).map(lambda table: "{" + ", ".join(f"{k}: {v}" for k, v in table.items()) + "}"),
    ),
    max_leaves=25,
)


@given(st.one_of(CONFIGISH, st.text(max_size=100)), st.one_of(st.none(), CONFIGISH))
def test_any_text_is_read_or_refused_as_configuration(text: str, job: str | None) -> None:
    if job is not None:
        text = f"jobs: {{a: {job}, b: {text}}}\ncheck: [a]\n"
    with contextlib.suppress(ConfigErrors):
        load.load({".cupel.yaml": text}, [".cupel.yaml"], LABELS)
