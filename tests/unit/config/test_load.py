"""Which files make a configuration."""

from __future__ import annotations

import pytest

from cupel.config import load
from cupel.config.problem import ConfigErrors

GOOD = "jobs: {a: {machine: m, steps: [x]}}\ncheck: [a]\n"


def test_only_configuration_is_wanted_where_there_is_some() -> None:
    listing = ["Makefile", ".cupel/b.yaml", ".cupel.yaml", ".cupel/deep/x.yaml", "x/.cupel.yaml"]
    assert load.config_paths(listing) == (".cupel.yaml", ".cupel/b.yaml")


def test_else_what_tells_of_build_tools() -> None:
    assert load.config_paths(["README", "tox.ini", "Makefile"]) == ("Makefile", "tox.ini")


def test_a_written_configuration_has_no_notice() -> None:
    loaded = load.load({".cupel.yaml": GOOD, "tox.ini": ""}, [".cupel.yaml", "tox.ini"], ["m"])
    assert list(loaded.config.jobs) == ["a"]
    assert loaded.notice is None


def test_an_empty_configuration_is_not_replaced_by_a_guess() -> None:
    with pytest.raises(ConfigErrors, match=r"\.cupel\.yaml:1:1: no jobs"):
        load.load({}, [".cupel.yaml", "tox.ini"], ["m"])


@pytest.mark.parametrize("path", [".cupel.yml", ".cupel/jobs.yml"])
def test_a_name_that_is_nearly_right_is_refused(path: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load.load({}, [path, "tox.ini"])
    right = path.replace(".yml", ".yaml")
    assert str(caught.value) == (
        f"{path}:1:1: Cupel does not read this name\n  rename it to {right}"
    )
