import json
import subprocess
from pathlib import Path

import pytest

from cupel.cli import main, worktree
from cupel.errors import UserError
from unit.cli.calls import alone

GOOD = """\
jobs:
  build:
    machine: debian-12
    steps: [make]
  tests:
    machine: debian-12
    needs: [build]
    matrix: {python: ["3.11", "3.12"]}
    steps:
      - {name: pytest, run: pytest}
check: [tests]
gate: [tests]
"""


EXPLAINED = """\
job          tests (python=3.12)  .cupel.yaml:5:3
machine      debian-12            .cupel.yaml:6:14
needs        build                .cupel.yaml:7:12
inputs       everything           default
evidence     a pass is reused     default
timeout      30m                  default
votes        yes                  default
environment  MATRIX_PYTHON=3.12   .cupel.yaml:8:31
step 1: pytest                    .cupel.yaml:10:9
"""


def tree(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / name.replace("__", ".").replace("cupel_", ".cupel.")).write_text(text)
    return directory


def configured(directory: Path, text: str = GOOD) -> str:
    (directory / ".cupel.yaml").write_text(text)
    return str(directory)


def test_lint_of_a_good_configuration(tmp_path: Path) -> None:
    said = alone("lint", configured(tmp_path))
    assert (said.exit_code, said.output) == (0, f"{tmp_path}: good, 2 jobs\n")
    assert alone("lint", str(tmp_path / ".cupel.yaml")).exit_code == 0
    assert json.loads(alone("lint", str(tmp_path), "--json").output) == []


def test_lint_says_where_and_what(tmp_path: Path) -> None:
    path = configured(
        tmp_path, GOOD.replace("machine: debian-12\n    steps", "machin: x\n    steps")
    )
    said = alone("lint", path)
    assert said.exit_code == 2
    assert said.output.startswith(".cupel.yaml:3:5: ")
    [problem, *_] = json.loads(alone("lint", path, "--json").output)
    assert (problem["file"], problem["line"], problem["column"]) == (".cupel.yaml", 3, 5)


def test_lint_prints_nothing_that_a_terminal_would_act_on(tmp_path: Path) -> None:
    said = alone("lint", configured(tmp_path, 'jobs: {"\\e[2Jx": 1}\n'))
    assert said.exit_code == 2
    assert "\x1b" not in said.output


def test_lint_tells_what_was_detected(tmp_path: Path) -> None:
    (tmp_path / "tox.ini").write_text("[tox]\n")
    assert "tox.ini" in alone("lint", str(tmp_path)).output


def test_lint_of_nowhere(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        worktree.read(tmp_path / "none")


def test_explain_shows_a_job_expanded(tmp_path: Path) -> None:
    said = alone("explain", "tests (python=3.12)", "--path", configured(tmp_path))
    assert said.exit_code == 0, said.output
    assert said.output == EXPLAINED


def test_explain_as_json_with_all_cells_and_needs(tmp_path: Path) -> None:
    path = configured(tmp_path)
    jobs = json.loads(alone("explain", "--path", path, "--pipeline", "check", "--json").output)
    assert [job["name"] for job in jobs] == [
        "build",
        "tests (python=3.11)",
        "tests (python=3.12)",
    ]
    cells = json.loads(alone("explain", "tests", "--path", path, "--json").output)
    assert len(cells) == 2
    assert cells[0]["origins"]["env.MATRIX_PYTHON"] == ".cupel.yaml:8:23"


def test_explain_of_an_unknown_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", "deploy", "--path", configured(tmp_path)]) == 2
    assert "it runs: build, tests" in capsys.readouterr().err


def test_explain_of_a_template_names_those_that_extend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "jobs:\n  t: {abstract: true}\n  a: {extends: t, machine: m, steps: [x]}\ngate: [a]\n"
    assert main.run(["explain", "t", "--path", configured(tmp_path, text)]) == 2
    assert "t is a template, which is never run\n  a extends it" in capsys.readouterr().err


def test_init_writes_what_would_be_detected(tmp_path: Path) -> None:
    (tmp_path / "tox.ini").write_text("[tox]\n")
    assert alone("init", str(tmp_path)).exit_code == 0
    assert "tox" in (tmp_path / ".cupel.yaml").read_text()
    assert alone("lint", str(tmp_path)).exit_code == 0


def test_init_of_a_tree_that_tells_nothing_is_a_good_start(tmp_path: Path) -> None:
    assert alone("init", str(tmp_path)).exit_code == 0
    assert "good, 1 job" in alone("lint", str(tmp_path)).output


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured(tmp_path)
    assert main.run(["init", str(tmp_path)]) == 2
    assert "there already" in capsys.readouterr().err
    assert (tmp_path / ".cupel.yaml").read_text() == GOOD


def test_a_repository_is_read_from_any_of_its_directories_without_what_git_ignores(
    tmp_path: Path,
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    configured(tmp_path)
    (tmp_path / ".gitignore").write_text("ignored\n")
    (tmp_path / "ignored").write_text("x")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "file").write_text("x")
    found = worktree.read(tmp_path / "deep" / "er")
    assert found.root == tmp_path
    assert found.listing == (".cupel.yaml", ".gitignore", "deep/file")
    assert found.files == {".cupel.yaml": GOOD}
