"""`cupel import github`: what is written, what is said, and the exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cupel.cli import main
from cupel.config.workflow import action
from cupel.config.workflow.note import CURES
from unit.cli.calls import alone

ROOT = Path(__file__).parents[3]
GOOD = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{run: make}]\n"
PARTLY = GOOD + "    container: x\n"


def workflow(directory: Path, text: str, place: str = ".github") -> str:
    path = directory / place / "workflows" / "ci.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return str(directory)


def test_all_of_it(tmp_path: Path) -> None:
    said = alone("import", "github", workflow(tmp_path, GOOD))
    assert said.exit_code == 0
    assert said.output == f"wrote {tmp_path}/.cupel.yaml\nall was carried over\n"
    assert alone("lint", str(tmp_path), "--strict").exit_code == 0


def test_what_was_not_carried_over_is_said_and_counts(tmp_path: Path) -> None:
    path = workflow(tmp_path, PARTLY + "    env: {A: '$GITHUB_SHA'}\n")
    said = alone("import", "github", path, "--machine", "own")
    assert said.exit_code == 1
    assert said.output.startswith(
        ".github/workflows/ci.yml:6:16: container: the job runs in a container\n  give the server"
    )
    assert said.output.endswith("1 thing was not carried over\n")
    assert "machine: own" in (tmp_path / ".cupel.yaml").read_text()


def test_it_can_be_looked_at_first(tmp_path: Path) -> None:
    path = workflow(tmp_path, PARTLY, ".forgejo")
    (tmp_path / ".cupel.yaml").write_text("")
    said = alone("import", "github", path, "--print")
    assert said.exit_code == 1
    assert said.stdout.startswith("# Imported from ci.yml")
    assert said.stderr.startswith(".forgejo/workflows/ci.yml:6:16: container")
    made = json.loads(alone("import", "github", path, "--print", "--json").output)
    assert made["files"][".cupel.yaml"] == said.stdout
    [note] = made["notes"]
    assert (note["code"], note["line"], note["column"]) == ("container", 6, 16)
    assert (tmp_path / ".cupel.yaml").read_text() == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD.replace("push", "release"), "nothing was imported"),
        (GOOD.replace("ubuntu", "windows"), "nothing was imported"),
        ("on: [", "without its"),
    ],
)
def test_what_cannot_be_imported(
    text: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["import", "github", workflow(tmp_path, text)]) == 2
    assert wanted in capsys.readouterr().err
    assert not (tmp_path / ".cupel.yaml").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = workflow(tmp_path, GOOD)
    (tmp_path / ".cupel.yaml").write_text("x")
    assert main.run(["import", "github", path]) == 2
    assert "there already" in capsys.readouterr().err
    assert main.run(["import", "github", str(tmp_path / ".github" / "workflows")]) == 2


def test_without_workflows_init_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["import", "github", str(tmp_path)]) == 2
    assert "cupel init" in capsys.readouterr().err


def test_every_code_and_action_is_documented() -> None:
    text = (ROOT / "docs/how-to/import-from-github.md").read_text()
    named = text.partition("## What is named")[2]
    assert re.findall(r"^\| `([a-z]+)` \|", named, re.MULTILINE) == [str(code) for code in CURES]
    assert [name for name in action.NAMES if f"`{name}`" not in text] == []
