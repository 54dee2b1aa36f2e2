"""Workflows as jobs: what is carried over, what is named, and that the outcome can be loaded."""

from __future__ import annotations

import contextlib
import subprocess
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.config import freeze, load, warning
from cupel.config.problem import ConfigErrors
from cupel.config.workflow import convert
from cupel.config.workflow.convert import Imported
from cupel.config.workflow.note import CURES, Code
from cupel.core.job import Job, Pipeline

REAL = Path(__file__).parent / "real"
PATH = ".github/workflows/ci.yml"


def imported(text: str, **others: str) -> Imported:
    files = {PATH: textwrap.dedent(text)}
    files |= {
        f".github/workflows/{name}.yml": textwrap.dedent(more) for name, more in others.items()
    }
    made = convert.convert(files)
    if made.config.jobs:
        again = load.load(dict(made.files), list(made.files)).config
        assert again == made.config
        assert warning.warnings(again) == ()
    return made


def job(body: str, head: str = "on: push") -> Imported:
    """A workflow with a job `a` on Ubuntu, and the rest of it."""
    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    return imported(f"{head}\njobs:\n  a:\n    runs-on: ubuntu-latest\n{lines}\n")


def frozen(made: Imported, pipeline: Pipeline = Pipeline.GATE) -> tuple[Job, ...]:
    return freeze.freeze(made.config, pipeline)


def codes(made: Imported) -> list[str]:
    return [f"{note.at.line} {note.code}" for note in made.notes]


def scripts(made: Imported) -> list[str]:
    return [step.run for step in frozen(made)[0].steps]


def test_a_plain_job_is_carried_over_whole() -> None:
    made = imported("""
        name: CI
        on: [push, pull_request]
        env: {LEVEL: 1, WHERE: "${{ github.sha }}"}
        defaults: {run: {working-directory: src}}
        permissions: {}
        concurrency: {group: x}
        jobs:
          build:
            runs-on: ubuntu-22.04
            steps:
              - uses: actions/checkout@v4
                with: {fetch-depth: 0}
              - run: make
          test:
            runs-on: [self-hosted, linux]
            needs: build
            timeout-minutes: 5
            continue-on-error: true
            env: {LEVEL: 2}
            steps:
              - name: Test it
                working-directory: tests
                env: {MODE: "a $b"}
                run: make test | tee log
              - run: import sys
                shell: python
    """)
    assert made.notes == ()
    build, test = frozen(made)
    assert dict(build.env) == {"CI": "true", "LEVEL": "1", "BASH_ENV": ".cupel/github.sh"}
    assert [step.run for step in build.steps] == ['export WHERE="${GITHUB_SHA}"\ncd "src"\nmake\n']
    assert (test.needs, test.timeout, test.voting) == (("build",), 300.0, False)
    assert dict(test.env)["LEVEL"] == "2"
    assert test.steps[0].name == "Test it"
    assert test.steps[0].run == (
        'export WHERE="${GITHUB_SHA}"\nexport MODE="a \\$b"\ncd "tests"\n'
        "set +o pipefail\nmake test | tee log\n"
    )
    assert "python3 - <<'END_OF_PYTHON'\nimport sys\n" in test.steps[1].run


def test_a_matrix_keeps_its_axes_and_what_is_used() -> None:
    made = job("""
        strategy:
          matrix:
            os: [ubuntu-latest]
            python: ["3.11", 3.12, "3.13"]
            extra: [x]
            exclude: [{python: "3.13"}]
        steps: [{run: "tox -e ${{ matrix.python }}-${{ matrix.extra }} # ${{ matrix.os }}"}]
    """)
    assert made.notes == ()
    assert made.config.jobs["a"].matrix
    assert [each.name for each in frozen(made)] == ["a (python=3.11)", "a (python=3.12)"]
    assert scripts(made)[-1] == "tox -e 3.11-x # ubuntu-latest\n"


def test_cells_of_other_systems_are_left_out_and_named() -> None:
    made = imported("""
        on: push
        jobs:
          a:
            runs-on: ${{ matrix.os }}
            strategy:
              matrix:
                os: [ubuntu-latest, windows-latest]
                n: [1, 2]
                include:
                  - {os: ubuntu-latest, n: 3, more: yes}
                  - {os: macos-latest, n: 3}
            steps: [{run: "x ${{ matrix.n }} ${{ matrix.more }}"}]
    """)
    assert [each.name for each in frozen(made)] == ["a (n=1)", "a (n=2)", "a (n=3, more=yes)"]
    assert codes(made) == ["5 runner", "5 runner"]
    assert {note.message for note in made.notes} == {
        'what the job "a" does on "windows-latest" is left out',
        'what the job "a" does on "macos-latest" is left out',
    }


def test_conditions_decide_as_far_as_is_known() -> None:
    made = job("""
        steps:
          - {run: never, if: runner.os == 'Windows'}
          - {run: never, if: "${{ github.event_name == 'push' }}"}
          - {run: ever, if: github.repository == 'us/here' && success()}
          - {run: perhaps, if: env.LEVEL == '1'}
    """)
    assert made.notes == ()
    assert scripts(made) == ["ever\n", '[[ "${LEVEL-}" == "1" ]] || exit 0\nperhaps\n']


@pytest.mark.parametrize(
    "condition",
    [
        "github.ref == 'refs/heads/main'",
        "github.event_name == 'push' && github.ref_name == 'master'",
    ],
)
def test_a_job_for_what_has_landed_runs_there(condition: str) -> None:
    made = imported(f"""
        on: push
        jobs:
          a: {{runs-on: ubuntu-latest, steps: [{{run: make}}]}}
          b: {{runs-on: ubuntu-latest, if: "{condition}", steps: [{{run: make publish}}]}}
    """)
    assert made.notes == ()
    assert (made.config.gate, made.config.post) == (("a",), ("b",))


def test_actions_that_are_known_become_scripts() -> None:
    made = job("""
        steps:
          - uses: actions/setup-python@v5
            with: {python-version: "3.12"}
          - uses: actions/setup-node@v4
            with: {node-version: 20}
          - uses: astral-sh/setup-uv@v5
          - run: python -m build && npm ci
          - uses: actions/upload-artifact@v4
            with: {name: dist, path: dist/}
          - uses: actions/download-artifact@v4
            with: {name: dist, path: there}
    """)
    assert made.notes == ()
    text = "\n".join(scripts(made))
    for part in (
        'version="3.12"', 'version="20"', 'echo /tmp/uv/bin >> "$GITHUB_PATH"',
        'into="$CUPEL_ARTIFACTS/dist"', '"$CUPEL_NEEDS"/*/"dist"',
    ):  # fmt: skip
        assert part in text
    assert ".cupel/github.sh" in made.files


def test_what_runners_have_is_set_up_where_scripts_use_it() -> None:
    made = job("steps: [{run: pip install tox}]")
    assert "python3 -m venv /tmp/python" in scripts(made)[0]
    assert "nodejs npm" in scripts(job("steps: [{run: npm ci}]"))[0]
    assert list(job("steps: [{run: make}]").files) == [".cupel.yaml"]


def test_what_actions_keep_are_caches() -> None:
    made = job("""
        strategy: {matrix: {py: [1, 2]}}
        steps:
          - uses: actions/setup-python@v5
            with: {python-version: 3.x, cache: pip}
          - uses: actions/setup-go@v5
            with: {cache: true}
          - uses: Swatinem/rust-cache@v2
          - uses: actions/cache@v4
            with:
              path: |
                ~/.ccache
                out/deps
              key: ${{ runner.os }}-cc-${{ matrix.py }}-${{ hashFiles('**/CMakeLists.txt') }}
          - run: make ${{ matrix.py }}
    """)
    assert made.notes == ()
    found = {cache.name: cache for cache in made.config.jobs["a"].caches}
    assert found["pip"].paths == ("/root/.cache/pip",)
    assert found["rust"].files == ("Cargo.lock",)
    assert found["Linux-cc"].paths == ("/root/.ccache", "out/deps")
    assert found["Linux-cc"].files == ("**/CMakeLists.txt",)
    assert found["Linux-cc"].texts == ("Linux-cc-{{matrix.py}}",)


def test_services_are_machines_whose_labels_are_named() -> None:
    made = job("""
        services:
          db: {image: "postgres:15", env: {POSTGRES_PASSWORD: x}, ports: ["5433:5432"]}
          other: {image: "ghcr.io/us/thing:1.2", ports: [80]}
        steps: [{run: make}]
    """)
    (only,) = frozen(made)
    assert [(each.name, each.ports) for each in only.services] == [
        ("db", (5432,)),
        ("other", (80,)),
    ]
    assert (
        only.services[0].run == 'export POSTGRES_PASSWORD="x"\nexec docker-entrypoint.sh postgres\n'
    )
    assert [part.label for part in only.parts] == ["debian-12-net", "postgres-15", "thing-1.2"]
    assert codes(made) == ["6 service", "7 service"]
    assert "image: {oci: docker://postgres:15}" in made.notes[0].hint


NAMED = [
    ("container: node:20\nsteps: [{run: x}]", ["5 container"]),
    ("outputs: {a: b}\nsteps: [{run: x}]", ["5 outputs"]),
    ("environment: production\nsteps: [{run: x}]", ["5 environment"]),
    ("strategy: {max-parallel: 1}\nsteps: [{run: x}]", ["5 option"]),
    ("strategy: {matrix: {a: '${{ fromJSON(needs.x.outputs.y) }}'}}\nsteps: [{run: x}]",
     ["5 matrix"]),
    ("strategy: {matrix: {a: [{b: c}]}}\nsteps: [{run: x}]", ["5 matrix"]),
    ("strategy: {matrix: '${{ fromJSON(inputs.m) }}'}\nsteps: [{run: x}]", ["5 matrix"]),
    ("if: github.actor == 'bot'\nsteps: [{run: x}]", ["5 condition"]),
    ("if: github.event_name == 'release'\nsteps: [{run: x}]", ["5 condition"]),
    ("needs: b\nsteps: [{run: x}]", ["5 needs"]),
    ("uses: ./.github/workflows/x.yml", ["5 reusable"]),
    ("steps: [{run: x}, {uses: us/own@v1}]", ["5 action"]),
    ("steps: [{run: x}, {uses: ./local}]", ["5 action"]),
    ("steps: [{run: x}, {uses: actions/cache@v4, with: {path: /etc}}]", ["5 cache"]),
    ("steps: [{run: x}, {uses: actions/cache@v4, with: {path: p, key: '${{ github.sha }}'}}]",
     ["5 cache"]),
    ("steps: [{run: x}, {uses: actions/setup-python@v5, with: {cache: new}}]", ["5 cache"]),
    ("steps: [{run: x}, {uses: actions/checkout@v4, with: {repository: a/b}}]", ["5 option"]),
    ("steps: [{run: x}, {uses: actions/setup-go@v5, with: {go-version: 1.22}}]", ["5 version"]),
    ("steps: [{run: x}, {uses: actions/download-artifact@v4, with: {name: n}}]", ["5 artefact"]),
    ("steps: [{run: x, shell: pwsh}]", ["5 shell"]),
    ("steps: [{run: x}, {run: y, if: always()}]", ["5 condition"]),
    ("steps: [{run: x}, {run: y, if: hashFiles('z')}]", ["5 condition"]),
    ("steps: [{run: x, timeout-minutes: 3}]", ["5 option"]),
    ("steps: [{run: '${{ secrets.X }}'}]", ["5 secret"]),
    ("steps: [{run: '${{ github.actor }}'}]", ["5 expression"]),
    ("env: {1X: y}\nsteps: [{run: x}]", ["5 malformed"]),
    ("steps: [x, {run: y}]", ["5 malformed"]),
    ("steps: [{uses: actions/checkout@v4}]", ["3 empty"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "wanted"), NAMED, ids=[body for body, _ in NAMED])
def test_what_cannot_be_carried_over_is_named_with_its_place(body: str, wanted: list[str]) -> None:
    assert codes(job(body)) == wanted


@pytest.mark.parametrize(
    ("on", "wanted"),
    [
        ("on: release", ["1 trigger"]),
        ("on: {push: {tags: [v*]}}", ["1 trigger"]),
        ("on: {push: , schedule: [{cron: x}]}", ["1 trigger"]),
        ("on: {push: {paths: [src/**]}}", ["1 paths"]),
        ("on: {push: {branches: [main], tags: [v*]}, workflow_dispatch: }", []),
        ("'on': pull_request", []),
        ("name: nothing", ["1 trigger"]),
    ],
)
def test_what_a_workflow_runs_for(on: str, wanted: list[str]) -> None:
    made = job("steps: [{run: x}]", on)
    assert codes(made) == wanted
    assert bool(made.config.jobs) == (wanted != ["1 trigger"] or "schedule" in on)


def test_every_code_is_tried_here_and_says_what_to_do() -> None:
    tried = {code.split()[1] for _, wanted in NAMED for code in wanted}
    assert tried | {"trigger", "paths", "runner", "service"} == set(Code)
    assert set(CURES) == set(Code)


def test_jobs_of_several_workflows_have_different_names() -> None:
    text = "on: push\njobs: {test: {runs-on: ubuntu-latest, steps: [{run: make}]}}\n"
    made = imported(text, docs=text, other=text.replace("push", "release"))
    assert list(made.config.jobs) == ["test", "docs-test"]
    assert "Imported from ci.yml, docs.yml, other.yml" in made.files[".cupel.yaml"]
    assert "#   .github/workflows/other.yml:1:5: trigger" in made.files[".cupel.yaml"]


def test_an_outcome_that_could_not_be_loaded_is_mended_and_named() -> None:
    made = imported("""
        on: push
        jobs:
          a: {runs-on: ubuntu-latest, needs: b, continue-on-error: true, steps: [{run: x}]}
          b: {runs-on: ubuntu-latest, needs: a, continue-on-error: true, steps: [{run: x}]}
          c: {runs-on: ubuntu-latest, steps: [{run: "\\e[2J"}]}
    """)
    assert sorted(note.code for note in made.notes) == ["malformed", "needs", "option"]
    assert [job.voting for job in made.config.jobs.values()] == [True, False]


@pytest.mark.parametrize("path", sorted(REAL.glob("*.yml")), ids=lambda path: path.stem)
def test_real_workflows(path: Path) -> None:
    made = imported(path.read_text())
    names = {
        "pluggy": ["test (python=3.10, tox_env=py310-pytestmain, use_coverage=true)",
                   "test (python=3.11, tox_env=py311, use_coverage=true)",
                   "test (python=3.10, tox_env=benchmark)"],
        "anyio": ["test (python-version=3.10, extras=[trio], lowest-bound=false)",
                  "test (python-version=3.11, extras=[trio], lowest-bound=false)",
                  "test (python-version=3.15)",
                  "test (python-version=3.10, extras=[trio], lowest-bound=true)"],
    }  # fmt: skip
    assert [each.name for each in frozen(made)] == names[path.stem]
    named = {
        "pluggy": {"action", "artefact", "empty", "needs", "runner"},
        "anyio": {"action", "condition", "empty", "needs", "option", "outputs", "runner"},
    }
    assert {note.code for note in made.notes} == named[path.stem]


def test_support_hands_variables_and_paths_to_later_steps(tmp_path: Path) -> None:
    made = job("steps: [{run: 'echo x >> $GITHUB_ENV'}]")
    (tmp_path / "support.sh").write_text(
        made.files[".cupel/github.sh"].replace("/tmp/github", str(tmp_path / "state"))
    )

    def step(script: str) -> str:
        done = subprocess.run(
            ["/bin/bash", "-eo", "pipefail", "-c", script],
            env={"BASH_ENV": "support.sh", "PATH": "/usr/bin:/bin", "CUPEL_COMMIT": "abc"},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    step('echo "A=1=2" >> "$GITHUB_ENV"; printf "B<<E\\nx\\ny=z\\nE\\n" >> "$GITHUB_ENV"')
    step('echo /one >> "$GITHUB_PATH"; echo /two >> "$GITHUB_PATH"')
    assert step('echo "$A|$B|$PATH|$GITHUB_SHA"') == "1=2|x\ny=z|/two:/one:/usr/bin:/bin|abc\n"
    assert step("export A=3; bash -c 'echo $A'") == "3\n"
    assert step("sudo -E echo x 2>/dev/null || true") == "x\n"


PIECES = st.sampled_from(
    ["x", "", "ubuntu-latest", "${{ matrix.a }}", "${{ secrets.b }}", "a: b", "\x1b", "é", "1",
     "always()", "${{ env.A && 'b' || 'c' }}", "actions/cache@v4", "${{", "'", "|"]
)  # fmt: skip
TREES = st.recursive(
    st.one_of(PIECES, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["run", "uses", "with", "env", "if", "name", "shell", "path", "image", "ports",
                 "include", "exclude", "a", "b", "working-directory", "continue-on-error"]
            ),
            inner, max_size=4,
        ),
    ),
    max_leaves=8,
)  # fmt: skip
JOBS = st.fixed_dictionaries(
    {
        "runs-on": PIECES,
        "steps": st.lists(st.one_of(st.fixed_dictionaries({"run": PIECES}), TREES)),
    },
    optional=dict.fromkeys(("needs", "if", "strategy", "services", "env", "container"), TREES),
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "_", "é"]), JOBS, min_size=1), TREES)
def test_any_workflow_is_read_and_the_outcome_can_be_loaded(jobs: object, env: object) -> None:
    text = yaml.safe_dump({"on": "push", "env": env, "jobs": jobs}, allow_unicode=True)
    made = convert.convert({PATH: text})
    if made.config.jobs:
        assert load.load(dict(made.files), list(made.files)).config == made.config


@given(st.text(alphabet="on: pushjobs\n -{}[]&*'\"", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigErrors):
        convert.convert({PATH: text})
