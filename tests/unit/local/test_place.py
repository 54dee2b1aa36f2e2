"""Directories of runs: one for each at a time, and those of the dead found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.local import place

REPOSITORY = Path("/home/ada/app")


def test_runs_that_follow_each_other_have_the_same(tmp_path: Path) -> None:
    with place.hold(tmp_path, REPOSITORY) as one:
        pass
    with place.hold(tmp_path, REPOSITORY) as two, place.hold(tmp_path, Path("/else")) as other:
        assert one == two
        assert other != one


def test_runs_at_the_same_time_have_one_each(tmp_path: Path) -> None:
    with place.hold(tmp_path, REPOSITORY) as one, place.hold(tmp_path, REPOSITORY) as two:
        assert one != two


def test_what_a_killed_run_left_is_found_but_not_what_a_living_one_has(tmp_path: Path) -> None:
    with place.hold(tmp_path, REPOSITORY) as living, place.hold(tmp_path, REPOSITORY) as killed:
        for each in (living, killed):
            (each / "machines/1").mkdir(parents=True)
    with place.hold(tmp_path, REPOSITORY) as living, place.hold(tmp_path, Path("/else")) as ours:
        with place.abandoned(tmp_path, ours) as found:
            assert found == [killed]
        assert living not in found


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InfraError, match="cannot be used"), place.hold(tmp_path, REPOSITORY):
        pass
