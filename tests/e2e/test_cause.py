"""A real package with a bug planted: the test that finds it is the first thing that anybody sees.

The package is a release of cachetools with its own test suite, from its registry; pytest comes with
this test's own environment, so that the machine needs no network.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from e2e.conftest import Project
from e2e.server import Server
from integration import images

pytestmark = pytest.mark.e2e

RELEASE = "cachetools-5.3.0"
PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py")
CONFIG = {
    "jobs": {
        "tests": {
            "machine": "small",
            "steps": [
                {
                    "name": "pytest",
                    "run": "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=src:.tools python3 -m pytest -q"
                    ' -p no:cacheprovider --junitxml="$CUPEL_RESULTS/pytest.xml" tests',
                }
            ],
            "timeout": "2m",
        }
    },
    "check": ["tests"],
    "gate": ["tests"],
}
BUG = ("next(iter(self.__order))", "next(reversed(self.__order))")
FAILS = re.compile(r"tests[./]test_fifo(?:\.py)?[.:]+(?:\w+Test[.:]+)?test_\w+")
"""The tests that the bug breaks, as pytest or its XML calls them."""

SHOWN = re.compile(r"test_\w+\s+tests\.test_fifo\.\w+Test")
"""The same on a page, which shows of a test its name first and then the suite it is from."""


def package() -> Path:
    """The source distribution, kept between runs; skips where its registry is out of reach."""
    archive = images.cache().parent / "packages" / f"{RELEASE}.tar.gz"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        asked = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
             ":all:", "--dest", archive.parent, RELEASE.replace("-", "==")],
            capture_output=True, text=True, timeout=120, check=False, env=os.environ,
        )  # fmt: skip
        if not archive.exists():
            pytest.skip(f"the registry does not have {RELEASE}: {asked.stderr[-300:]}")
    return archive


def files() -> dict[str, str]:
    """The release's sources and tests, with pytest beside them, and a `.cupel.yaml`."""
    found = {".cupel.yaml": json.dumps(CONFIG)}
    with tarfile.open(package()) as tar:
        for each in tar:
            path = each.name.partition("/")[2]
            if path.startswith(("src/cachetools/", "tests/")) and each.isfile():
                data = tar.extractfile(each)
                assert data is not None
                found[path] = data.read().decode()
    for name in PYTEST:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        sources = origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
        for source in sources:
            kept = source.relative_to(origin.parent)
            place = (
                Path(".tools", name, kept) if origin.name == "__init__.py" else Path(".tools", kept)
            )
            found[str(place)] = source.read_text()
    return found


def test_the_failing_test_is_what_everybody_sees_first(server: Server, project: Project) -> None:
    release = files()
    work = project(release)
    source = release["src/cachetools/__init__.py"]
    broken = source.replace(*BUG, 1)  # in FIFOCache, the first of its classes
    assert broken != source
    work.start_over()
    work.commit("Evict the newest item first", {"src/cachetools/__init__.py": broken})
    pushed = work.push("land", "wait")
    lines = pushed.remote.splitlines()

    # The push: right below the failure, and again with the verdict.
    failed = next(at for at, line in enumerate(lines) if "tests: failure in" in line)
    assert FAILS.search(lines[failed + 1]), pushed.remote
    verdict = next(at for at, line in enumerate(lines) if "rejected in gate" in line)
    assert FAILS.search(lines[verdict + 1]), pushed.remote
    whose = next(line for line in lines[verdict:] if "the change's fault" in line)
    assert "failed on the same inputs as well: build" in whose
    assert "passed without the change: build" in whose

    # The terminal.
    number = pushed.change
    view = server.change(number)
    build = view["causes"][0]["build"]
    for words in (("build", "show", str(build)), ("change", "show", str(number))):
        said = server.cli(*words).stdout.splitlines()
        assert "the change's fault" in said[0]
        assert "without the change" in said[2]
        assert FAILS.search(said[3]), said
    assert FAILS.search(
        "\n".join(server.cli("logs", "--failed", str(number)).stdout.splitlines()[:7])
    )

    # The pages: before the facts, and before the log.
    for page, after in ((f"/builds/{build}", "<h2>Facts</h2>"), (f"/changes/{number}", "<h2>Gate")):
        html = server.request("GET", page).text
        above = html[: html.index(after)]
        assert "The change&#39;s fault" in above
        text = re.sub("<[^>]+>", "", above)
        assert FAILS.search(text) or SHOWN.search(text), text


SLOW = r"""
import threading, time

def waits_for_ever():
    threading.Event().wait()

print("\x1b]0;owned\x07\x1b[2Jerror: about to wait\u202e\x07", flush=True)
waits_for_ever()
"""


def test_a_job_that_takes_too_long_says_what_was_running(server: Server, project: Project) -> None:
    slow = {"timeout": "4s", "steps": [{"name": "slow", "run": "sleep 60 & python3 slow.py"}]}
    config = {"jobs": {"slow": {"machine": "small", **slow}}, "check": ["slow"], "gate": ["slow"]}
    work = project({".cupel.yaml": json.dumps(config), "slow.py": SLOW})
    work.start_over()
    work.commit("Wait for ever", {"note": "1"})
    pushed = work.push("wait")
    build = server.builds(pushed.change)[-1]
    assert (build["verdict"], build["reason"]) == (
        "timeout",
        "took longer than 4 s, in step 'slow'",
    )
    log = server.log(build["id"])
    tree = log[log.index("still running after 4 s:") :]
    bash, sleep, python = (
        tree.index(text) for text in ("/bin/bash", "sleep 60", "python3 slow.py")
    )
    assert bash < min(sleep, python)
    assert 'File "/build/src/slow.py", line 5 in waits_for_ever' in log
    assert "still running after 4 s:" in pushed.remote
    shown = server.cli("build", "show", str(build["id"])).stdout
    for text in (pushed.remote, shown):
        assert "error: about to wait" in text
        assert not set(text) & {"\x1b", "\x07", "\u202e"}, text
    kept = [each["path"] for each in server.get(f"/api/builds/{build['id']}")["artefacts"]]
    assert ".machine/processes" in kept
