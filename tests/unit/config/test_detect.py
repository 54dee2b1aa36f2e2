"""What is run for a project that does not say it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import detect, load, render, start, warning
from cupel.config.freeze import freeze
from cupel.config.image import ImageConfig
from cupel.config.problem import ConfigErrors
from cupel.config.server import DEFAULT_LABELS, LabelConfig
from cupel.config.system import SystemConfig
from cupel.core.model import Pipeline

VENV = "python3 -m venv /tmp/venv"
PIP = "/tmp/venv/bin/pip install "


def needing(packages: str) -> str:
    """The command of the step that installs what the image may lack."""
    return f"apt-get install --yes --no-install-recommends {packages}"


JUNIT = "/tmp/venv/bin/pytest --junitxml=$CUPEL_RESULTS/pytest.xml"
TOX = "/tmp/venv/bin/tox run --skip-missing-interpreters=true"
PASSED = " -x testenv.pass_env+=PYTEST_ADDOPTS,CUPEL_RESULTS"
UNITTEST = "import unittest\nclass T(unittest.TestCase): ...\n"

FOUND: list[tuple[dict[str, str], str, str, list[str]]] = [
    (
        {"tox.ini": "", "noxfile.py": "", "Makefile": "test:\n"},
        "tox.ini is there",
        "debian-12-net",
        [VENV, PIP + "tox", TOX],
    ),
    (
        {"pyproject.toml": "[tool.tox]\nenv_list = ['py']\ncommands = [['pytest']]"},
        "pyproject.toml has [tool.tox]",
        "debian-12-net",
        [VENV, PIP + "tox", TOX + PASSED],
    ),
    (
        {"setup.cfg": "[metadata]\n[tox:tox]\n"},
        "setup.cfg configures tox",
        "debian-12-net",
        [VENV, PIP + "tox", TOX],
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
        [VENV, PIP + "pytest .", JUNIT],
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
            JUNIT,
        ],
    ),
    (
        {"requirements-dev.txt": "", "test_x.py": ""},
        "requirements-dev.txt and tests in Python are there",
        "debian-12-net",
        [VENV, PIP + "pytest -r requirements-dev.txt", JUNIT],
    ),
    (
        {"test_x.py": "import pytest\n"},
        "pytest and tests in Python are there",
        "debian-12-net",
        [VENV, PIP + "pytest", JUNIT],
    ),
    (
        {"tests/test_x.py": UNITTEST},
        "tests in Python by unittest are there",
        "debian-12",
        ["python3 -m unittest discover -v -s tests"],
    ),
    (
        {"pyproject.toml": "[project]", "tests/__init__.py": "", "tests/test_x.py": UNITTEST},
        "tests in Python by unittest are there",
        "debian-12-net",
        [
            VENV,
            PIP + "unittest-xml-reporting .",
            "/tmp/venv/bin/python -m xmlrunner discover -v -s tests -t . -o $CUPEL_RESULTS",
        ],
    ),
    (
        {"pyproject.toml": "[project]", "conftest.py": "", "tests/test_x.py": UNITTEST},
        "pyproject.toml and tests in Python are there",
        "debian-12-net",
        [VENV, PIP + "pytest .", JUNIT],
    ),
    (
        {"package.json": '{"scripts": {"test": "jest"}}', "package-lock.json": ""},
        "package.json has a test script",
        "debian-12-net",
        [needing("nodejs npm"), "npm ci", "npm test"],
    ),
    (
        {"package.json": '{"scripts": {"test": "jest"}, "dependencies": {"jest-junit": "1"}}'},
        "package.json has a test script",
        "debian-12-net",
        [
            needing("nodejs npm"),
            "npm install",
            (
                "JEST_JUNIT_OUTPUT_DIR=$CUPEL_RESULTS npm test -- --ci --reporters=default "
                "--reporters=jest-junit"
            ),
        ],
    ),
    (
        {"package.json": '{"scripts": {"test": "vitest"}}', "yarn.lock": ""},
        "package.json has a test script",
        "debian-12-net",
        [
            needing("nodejs npm"),
            "npx --yes yarn@1 install --frozen-lockfile",
            (
                "npx --yes yarn@1 test --run --reporter=default --reporter=junit "
                "--outputFile.junit=$CUPEL_RESULTS/vitest.xml"
            ),
        ],
    ),
    (
        {"package.json": '{"scripts": {"test": "mocha"}, "packageManager": "pnpm@9.1.0"}'},
        "package.json has a test script",
        "debian-12-net",
        [
            needing("nodejs npm"),
            "npx --yes corepack@0 pnpm install",
            "npx --yes corepack@0 pnpm run test",
        ],
    ),
    (
        {"package.json": '{"scripts": {"test": "mocha"}, "packageManager": "yarn@4.1.0"}'},
        "package.json has a test script",
        "debian-12-net",
        [
            needing("nodejs npm"),
            "npx --yes corepack@0 yarn install --immutable",
            "npx --yes corepack@0 yarn test",
        ],
    ),
    (
        {"Cargo.toml": "", "Cargo.lock": ""},
        "Cargo.toml is there",
        "debian-12-net",
        [needing("cargo rustc gcc libc6-dev"), "cargo test --locked"],
    ),
    (
        {"CMakeLists.txt": "project(x C)\n  enable_testing()\n"},
        "CMakeLists.txt has tests",
        "debian-12-net",
        [
            needing("cmake make gcc g++"),
            "cmake -S . -B /tmp/build",
            'cmake --build /tmp/build -j "$(nproc)"',
            (
                "ctest --test-dir /tmp/build --output-on-failure "
                "--output-junit $CUPEL_RESULTS/ctest.xml"
            ),
        ],
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
    read = {path: files[path] for path in load.config_paths(listing)}
    loaded = load.load(read, listing, DEFAULT_LABELS)
    (job,) = freeze(loaded.config, Pipeline.GATE, DEFAULT_LABELS)
    assert job.label == machine
    found = [step.run for step in job.steps]
    assert [re.sub(r"if ! .*\n.*\n  (.*)\nfi\n", r"\1", run) for run in found] == steps
    assert loaded.notice is not None
    assert why in loaded.notice
    assert "cupel init" in loaded.notice


OTHERS = {
    "go.mod": "go test -json",
    "pom.xml": "mvn -B",
    "meson.build": "meson test",
    ".fmf/version": "tmt --feeling-safe run",
}


@pytest.mark.parametrize("marker", OTHERS)
def test_other_build_tools(marker: str) -> None:
    (job,) = load.load({marker: ""}, [marker]).config.jobs.values()
    assert OTHERS[marker] in job.steps[-1].run
    assert "$CUPEL_RESULTS" in job.steps[-1].run


def test_a_wrapper_is_used_where_there_is_one() -> None:
    (job,) = load.load({"pom.xml": ""}, ["pom.xml", "mvnw"]).config.jobs.values()
    assert "sh ./mvnw" in job.steps[-1].run
    (job,) = load.load({}, ["build.gradle.kts", "gradlew"]).config.jobs.values()
    assert "sh ./gradlew" in job.steps[-1].run
    assert not load.load({}, ["build.gradle"]).config.jobs


def test_only_some_tests_are_looked_at() -> None:
    listing = [f"tests/test_{number:03}.py" for number in range(300)]
    assert load.config_paths(listing) == tuple(listing[: detect.TESTS])


LABELS = {
    "full": LabelConfig(network="full"),
    "node": LabelConfig(network="registries", image=ImageConfig(packages=("nodejs", "npm"))),
    "cut": LabelConfig(),
    "some": LabelConfig(network="allowed"),
    "vm": LabelConfig(image=ImageConfig(system=SystemConfig())),
}


@pytest.mark.parametrize(
    ("files", "label"),
    [
        ({"package.json": '{"scripts": {"test": "x"}}'}, "node"),
        ({"tox.ini": ""}, "node"),
        ({"Makefile": "test:\n"}, "cut"),
        ({"go.mod": ""}, "node"),
    ],
)
def test_a_label_with_the_packages_and_the_least_network_is_taken(
    files: dict[str, str], label: str
) -> None:
    (job,) = load.load(files, list(files), LABELS).config.jobs.values()
    assert job.machine == label
    installs = any("apt-get install" in step.run for step in job.steps)
    assert installs == ("go.mod" in files)


def test_the_usual_label_is_named_where_none_fits() -> None:
    with pytest.raises(ConfigErrors, match="no machine has the label"):
        freeze(
            load.load({"tox.ini": ""}, ["tox.ini"], {"cut": LabelConfig()}).config,
            Pipeline.GATE,
            {"cut": LabelConfig()},
        )


@pytest.mark.parametrize("files", [files for files, *_ in FOUND])
def test_what_was_detected_can_be_written_down(files: dict[str, str]) -> None:
    config = load.load(files, list(files)).config
    text = render.render_yaml(config)
    assert load.load({".cupel.yaml": text}, [".cupel.yaml"], DEFAULT_LABELS).config == config


@pytest.mark.parametrize("files", [files for files, *_ in FOUND] + [{name: ""} for name in OTHERS])
def test_what_init_writes_says_the_same_and_explains_it(files: dict[str, str]) -> None:
    found = detect.detect(files, list(files), DEFAULT_LABELS)
    text = start.text(found, schema="http://127.0.0.1/s")
    assert text.startswith("# yaml-language-server: $schema=http://127.0.0.1/s\n# What proves")
    assert found.choice is not None
    assert found.choice.why in " ".join(text.split())
    read = load.load({".cupel.yaml": text}, [".cupel.yaml"], DEFAULT_LABELS)
    assert read.config == found.config
    assert warning.warnings(read.config, labels=DEFAULT_LABELS) == ()


def test_the_comments_of_what_init_writes_are_right_too() -> None:
    text = start.text(detect.detect({"tox.ini": ""}, ["tox.ini"]))
    uncommented = re.sub(r"^    # (?=\w+: )", "    ", text, flags=re.MULTILINE)
    (job,) = load.load({".cupel.yaml": uncommented}, [".cupel.yaml"]).config.jobs.values()
    assert (job.timeout, job.inputs) == (1200.0, ("src/**", "tests/**"))
    assert job.matrix
    assert job.services


def test_where_nothing_is_found_an_example_is_written() -> None:
    text = start.text(detect.detect({}, []), label="own")
    (job,) = load.load({".cupel.yaml": text}, [".cupel.yaml"]).config.jobs.values()
    assert job.machine == "own"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README": ""},
        {"test_x.py": ""},
        {"test_x.py": "def test_it(): pass"},
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
