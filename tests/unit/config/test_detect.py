"""What is run for a project that does not say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import detect, load, render
from cupel.config.freeze import freeze
from cupel.config.problem import ConfigErrors
from cupel.config.server import DEFAULT_LABELS
from cupel.core.model import Pipeline

VENV = "python3 -m venv /tmp/venv"
PIP = "/tmp/venv/bin/pip install "

FOUND: list[tuple[dict[str, str], str, str, list[str]]] = [
    (
        {"tox.ini": "", "noxfile.py": "", "Makefile": "test:\n"},
        "tox.ini is there",
        "debian-12-net",
        [VENV, PIP + "tox", "/tmp/venv/bin/tox run --skip-missing-interpreters=true"],
    ),
    (
        {"pyproject.toml": "[tool.tox]\nenv_list = ['py']"},
        "pyproject.toml has [tool.tox]",
        "debian-12-net",
        [VENV, PIP + "tox", "/tmp/venv/bin/tox run --skip-missing-interpreters=true"],
    ),
    (
        {"setup.cfg": "[metadata]\n[tox:tox]\n"},
        "setup.cfg configures tox",
        "debian-12-net",
        [VENV, PIP + "tox", "/tmp/venv/bin/tox run --skip-missing-interpreters=true"],
    ),
    (
        {"noxfile.py": "", "pyproject.toml": "", "test_x.py": ""},
        "noxfile.py is there",
        "debian-12-net",
        [VENV, PIP + "nox", "/tmp/venv/bin/nox --no-error-on-missing-interpreters"],
    ),
    (
        {"setup.py": "", "tests/test_x.py": ""},
        "setup.py and tests in Python are there",
        "debian-12-net",
        [VENV, PIP + "pytest .", "/tmp/venv/bin/pytest"],
    ),
    (
        {
            "pyproject.toml": "[project.optional-dependencies]\ntests = []\n"
            "[dependency-groups]\ndev = []",
            "requirements.txt": "",
            "src/a/x_test.py": "",
        },
        "pyproject.toml and tests in Python are there",
        "debian-12-net",
        [
            VENV,
            PIP + "--upgrade pip",
            PIP + "pytest -r requirements.txt '.[tests]' --group dev",
            "/tmp/venv/bin/pytest",
        ],
    ),
    (
        {"requirements-dev.txt": "", "test_x.py": ""},
        "requirements-dev.txt and tests in Python are there",
        "debian-12-net",
        [VENV, PIP + "pytest -r requirements-dev.txt", "/tmp/venv/bin/pytest"],
    ),
    (
        {"package.json": '{"scripts": {"test": "jest"}}', "package-lock.json": ""},
        "package.json has a test script",
        "debian-12-net",
        ["npm ci", "npm test"],
    ),
    (
        {"Cargo.toml": "", "Cargo.lock": ""},
        "Cargo.toml is there",
        "debian-12-net",
        ["cargo test --locked"],
    ),
    (
        {"Makefile": ".PHONY: check test\nall check: build\n\ntest:\n\ttrue\n"},
        "Makefile has the target “check”",
        "debian-12",
        ["make check"],
    ),
    ({"GNUmakefile": "test::\n\ttrue"}, "GNUmakefile", "debian-12", ["make test"]),
]


@pytest.mark.parametrize(("files", "why", "machine", "steps"), FOUND)
def test_the_first_tool_that_fits_is_run(
    files: dict[str, str], why: str, machine: str, steps: list[str]
) -> None:
    listing = [*files, "README"]
    assert set(load.config_paths(listing)) <= detect.MARKERS
    read = {path: files[path] for path in load.config_paths(listing)}
    loaded = load.load(read, listing, DEFAULT_LABELS)
    (job,) = freeze(loaded.config, Pipeline.GATE, DEFAULT_LABELS)
    assert job.label == machine
    assert [step.run for step in job.steps] == steps
    assert loaded.notice is not None
    assert why in loaded.notice
    assert "cupel init" in loaded.notice


@pytest.mark.parametrize("files", [files for files, *_ in FOUND])
def test_what_was_detected_can_be_written_down(files: dict[str, str]) -> None:
    config = load.load(files, list(files)).config
    text = render.render_yaml(config)
    assert load.load({".cupel.yaml": text}, [".cupel.yaml"], DEFAULT_LABELS).config == config


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README": ""},
        {"test_x.py": ""},
        {"pyproject.toml": "[project]"},
        {"pyproject.toml": "[broken"},
        {"pyproject.toml": "tool = 3"},
        {"pyproject.toml": "x = " + "[" * 5000},
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
        {"package.json": "[" * 100_000},
        {"package.json": '{"scripts": {"test": 3}}'},
        {"package.json": "3"},
        {"Makefile": "test := yes\ntesting: x\n# test: no\n"},
        {"sub/Makefile": "test:"},
    ],
)
def test_nothing_found_is_said_loudly_and_proves_nothing(files: dict[str, str]) -> None:
    loaded = load.load(files, list(files), DEFAULT_LABELS)
    assert loaded.notice is not None
    assert loaded.notice.startswith("NOTHING TO PROVE")
    with pytest.raises(ConfigErrors, match="nothing to prove"):
        freeze(loaded.config, Pipeline.GATE, DEFAULT_LABELS)


@given(st.dictionaries(st.sampled_from(sorted(detect.MARKERS)), st.text(max_size=80)))
def test_any_content_is_looked_at_without_harm(files: dict[str, str]) -> None:
    loaded = load.load(files, [*files, "tests/test_x.py"], DEFAULT_LABELS)
    assert loaded.notice
