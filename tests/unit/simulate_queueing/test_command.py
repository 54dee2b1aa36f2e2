import json
import os
import subprocess
from pathlib import Path

import pytest

from cupel.cli import main
from cupel.cli.simulate import _WORLD
from cupel.simulate.queueing import contestants, measures
from cupel.simulate.queueing.workload import Parameters
from unit.cli.calls import alone

SHORT = ("simulate", "--hours", "0.5", "--seeds", "2", "--jobs", "1")


def test_every_parameter_of_the_world_is_an_option() -> None:
    assert {option.field for option in _WORLD} == set(Parameters.__dataclass_fields__)


def test_json_is_a_list_of_measures_with_intervals() -> None:
    done = alone(*SHORT, "--policy", "zuul-20+,oracle-in-order", "--landing", "set", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert [(row["policy"], row["landing"], row["seeds"]) for row in found] == [
        ("zuul-20+", "strict", 2),
        ("oracle-in-order", "oracle", 2),
    ]
    for row in found:
        assert set(row) - {"policy", "landing", "seeds"} == set(measures.UNITS)
        assert all(row[name].keys() == {"value", "low", "high"} for name in measures.UNITS)


def test_the_plain_form_prints_a_table() -> None:
    done = alone(
        *("simulate", "--rate", "30/h", "--machines", "50", "--bad", "5%", "--flaky", "2%"),
        *("--job", "30m", "--hours", "0.5", "--seeds", "1", "--jobs", "1"),
        *("--policy", "expected-value,optimistic"),
    )
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].split()[:5] == ["policy", "landing", "P50", "P95", "P99"]
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == [
        "expected-value",
        "optimistic",
    ]


def test_policies_are_listed() -> None:
    done = alone("simulate", "--list-policies")
    assert done.exit_code == 0
    assert all(f"{name} " in done.stdout for name in contestants.ALL)
    found = json.loads(alone("simulate", "--list-policies", "--json").stdout)
    assert [each["policy"] for each in found] == list(contestants.ALL)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--policy", "zuul-21"), "no policy 'zuul-21'"),
        (("--bad", "7x"), "write 5% or 0.05"),
        (("--bad", "120%"), "from 0 to 1"),
        (("--bad", "nan"), "from 0 to 1"),
        (("--rate", "30/fortnight"), "write 30/h"),
        (("--rate", "0"), "write 30/h"),
        (("--job", "soon"), "write 90s, 30m or 1h30m"),
        (("--job", "0"), "write 90s, 30m or 1h30m"),
        (("--machines", "0"), "--machines"),
        (("--rate", "900/m", "--hours", "900"), "too many"),
        (("--trace", "a.csv", "--from-git", "."), "exclude each other"),
        (("--trace", "/nonexistent/a.csv"), "cannot be read"),
        (("--from-git", "/nonexistent"), "does not exist"),
        (("--plot", "/nonexistent/a.svg", "--policy", "serial"), "cannot be written"),
    ],
)
def test_bad_values_are_refused_with_what_to_do(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([*SHORT, *words]) == 2
    assert said in capsys.readouterr().err


def test_ablations_are_added() -> None:
    done = alone(
        *("simulate", "--hours", "0.1", "--seeds", "1", "--jobs", "1", "--policy", "serial"),
        *("--ablate", "--json"),
    )
    names = [row["policy"] for row in json.loads(done.stdout)]
    assert names == ["serial", "expected-value", *contestants.ABLATIONS]


def test_a_trace_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, picture = tmp_path / "t.csv", tmp_path / "p.svg"
    trace.write_text("at,seconds,outcome\n0,600,pass\n10,600,pass\n")
    done = alone(
        *("simulate", "--trace", str(trace), "--seeds", "1", "--flaky", "0", "--json"),
        *("--policy", "optimistic", "--plot", str(picture)),
    )
    (row,) = json.loads(done.stdout)
    assert row["p50_s"]["value"] == 600
    assert picture.read_text().startswith("<svg")
    trace.write_text("at\nnever\n")
    assert main.run(["simulate", "--trace", str(trace)]) == 2
    assert f"{trace}:2:1: 'never' is no time" in capsys.readouterr().err


def test_a_repositorys_history_is_played_and_what_is_made_up_is_said(tmp_path: Path) -> None:
    def git(*words: str, when: int = 0) -> None:
        dates = {"GIT_AUTHOR_DATE": f"@{when} +0000", "GIT_COMMITTER_DATE": f"@{when} +0000"}
        named = {
            f"GIT_{who}_{what}": "a@b"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        subprocess.run(
            ["git", "-C", str(tmp_path), *words],
            check=True,
            capture_output=True,
            env={**os.environ, **dates, **named},
        )

    git("init", "--quiet")
    for number in range(6):
        (tmp_path / f"f{number % 2}").write_text(str(number))
        git("add", ".")
        git("commit", "--quiet", "-m", str(number), when=1_700_000_000 + 600 * number)
    done = alone(
        *("simulate", "--from-git", str(tmp_path), "--parts", "2", "--seeds", "1", "--jobs", "1"),
        *("--policy", "oracle-in-order", "--json"),
    )
    assert done.exit_code == 0
    assert done.stderr.startswith("6 changes over 0.8 h: their times and paths")
    assert "Made up are outcomes" in done.stderr
    (row,) = json.loads(done.stdout)
    assert row["builds_per_landing"]["value"] == 1


def test_what_is_no_repository_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["simulate", "--from-git", str(tmp_path)]) == 2
    assert "has no history that git can read" in capsys.readouterr().err
