"""`cupel run` on real machines: what jobs see, what is left of them, and what a kill leaves."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from integration import images, leftovers

pytestmark = pytest.mark.e2e

JOBS = {
    "build": ["mkdir -p $CUPEL_ARTIFACTS/bin && cp new $CUPEL_ARTIFACTS/bin/tool"],
    "tests": [
        {
            "name": "tree",
            "run": "test ! -e gone && test ! -e noise.log && cat kept && git describe",
        },
        {"name": "needs", "run": "cat $CUPEL_NEEDS/build/bin/tool"},
        {"name": "where", "run": "echo $CUPEL_PROJECT $CUPEL_BRANCH $CUPEL_JOB $CUPEL_PIPELINE"},
    ],
    "bad": ["echo before; exit 7"],
    "long": ["echo begun; sleep 600"],
}
CONFIG = {
    "jobs": {
        name: {
            "machine": "small",
            "steps": steps,
            "timeout": "5m",
            **({"needs": ["build"]} if name == "tests" else {}),
        }
        for name, steps in JOBS.items()
    },
    "check": ["tests"],
}


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    images.need()
    images.ensure()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository in which something was changed, added, deleted and ignored."""
    root = tmp_path / "app"
    root.mkdir()
    for name, text in {
        ".cupel.yaml": json.dumps(CONFIG),
        ".gitignore": "*.log\n",
        "kept": "committed\n",
        "gone": "",
    }.items():
        (root / name).write_text(text)
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for words in (("init", "-q", "-b", "topic"), ("add", "-A"), (*who, "commit", "-qm", "One"),
                  (*who, "tag", "-am", "One", "v1")):  # fmt: skip
        subprocess.run(["git", "-C", str(root), *words], check=True, timeout=20)
    (root / "kept").write_text("changed\n")
    (root / "new").write_text("a tool\n")
    (root / "noise.log").write_text("")
    (root / "gone").unlink()
    return root


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with the images of the tests, and small machines."""
    made = tmp_path / "state"
    made.mkdir()
    (made / "images").symlink_to(images.cache())
    image = {"suite": images.suite(), "packages": list(images.PACKAGES)}
    small = {"image": image, "cpus": 1, "memory": "256M", "disk": "256M", "pids": 128}
    (made / "cupel.yaml").write_text(json.dumps({"labels": {"small": small}}))
    return made


def command(state: Path, *words: str) -> Sequence[str]:
    return [sys.executable, "-m", "cupel", "--state", str(state), "run", *words]


def run(tree: Path, state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(state, *words), cwd=tree, capture_output=True, text=True, timeout=60, check=False
    )


def events(said: str) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def left(state: Path) -> dict[str, list[str]]:
    found = [leftovers.of(place.resolve()) for place in (state / "run").iterdir()]
    return {kind: names for each in found for kind, names in each.items()}


def test_the_working_tree_is_run_with_what_the_job_needs(tree: Path, state: Path) -> None:
    done = run(tree, state, "--json", "--artefacts", str(tree.parent / "left"))
    assert done.returncode == 0, done.stdout + done.stderr
    told = events(done.stdout)
    assert told[0]["jobs"] == ["build", "tests"]
    assert told[0]["dirty"] is True
    printed = "".join(each["data"] for each in told if each["event"] == "printed")
    assert "changed\n" in printed
    assert "v1-1-g" in printed
    assert "a tool\n" in printed
    assert "app topic tests check\n" in printed
    assert (tree.parent / "left/build/bin/tool").read_text() == "a tool\n"
    digests = {each["image"] for each in told if each["event"] == "machine.ready"}
    assert digests == {images.ensure()}
    assert left(state) == {}


def test_a_failure_is_said_and_is_the_exit_code(tree: Path, state: Path) -> None:
    done = run(tree, state, "bad")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert "before" in lines
    assert lines[-2].startswith("✗ bad failed in ")
    assert lines[-2].endswith("step 'echo before; exit 7' exited with status 7")
    assert lines[-1] == "  1 | before"


def test_what_is_proved_is_not_run_again(tree: Path, state: Path) -> None:
    assert run(tree, state, "build").returncode == 0
    told = events(run(tree, state, "--json", "--since", "HEAD", "build", "tests").stdout)
    assert [
        (each["job"], each["reason"]) for each in told if each["event"] == "job.passed_over"
    ] == []
    assert told[0]["jobs"] == ["build", "tests"]  # tests needs what build leaves
    told = events(run(tree, state, "--json", "--since", "HEAD", "build", "tests").stdout)
    passed = [each["job"] for each in told if each["event"] == "job.passed_over"]
    assert (told[0]["jobs"], passed) == ([], ["build", "tests"])


def test_a_committed_state_is_run(tree: Path, state: Path) -> None:
    done = run(tree, state, "tests", "--commit", "HEAD")
    assert done.returncode == 1
    assert "✗ build failed" in done.stdout  # the tool was not committed
    assert "tests was skipped: it needs build, which did not pass" in done.stdout


def begun(tree: Path, state: Path) -> subprocess.Popen[bytes]:
    """A run whose job is under way."""
    out = tree.parent / "out"
    with out.open("wb") as file:
        running = subprocess.Popen(
            command(state, "long"), cwd=tree, stdout=file, stderr=file, start_new_session=True
        )
    end = time.monotonic() + 30
    while "begun\n" not in out.read_text():
        assert running.poll() is None, out.read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    return running


def test_ctrl_c_leaves_nothing(tree: Path, state: Path) -> None:
    running = begun(tree, state)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    assert "long was cancelled" in (tree.parent / "out").read_text()
    assert left(state) == {}


def test_what_a_killed_run_left_goes_with_the_next_even_of_another_repository(
    tree: Path, state: Path
) -> None:
    running = begun(tree, state)
    os.kill(running.pid, signal.SIGKILL)
    running.wait(20)
    assert "directories" in left(state)
    other = tree.parent / "other"
    subprocess.run(["cp", "-a", str(tree), str(other)], check=True, timeout=20)
    assert run(other, state, "build").returncode == 0
    assert left(state) == {}


def test_whoever_has_seen_enough_ends_the_run(tree: Path, state: Path) -> None:
    running = subprocess.Popen(
        command(state, "long"), cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline().startswith("app at ")
    running.stdout.close()
    assert (running.wait(20), running.stderr.read()) == (0, "")
    running.stderr.close()
    assert left(state) == {}


def test_a_full_disk_that_takes_no_output_is_said(tree: Path, state: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(state, "build"), cwd=tree, stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "cupel: what happened could not be told: No space left on device\n"
    assert left(state) == {}


def test_two_runs_of_one_tree_at_a_time(tree: Path, state: Path) -> None:
    running = begun(tree, state)
    assert run(tree, state, "build").returncode == 0
    assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 130
    assert left(state) == {}


class Terminal:
    """A run at a terminal of its own, as somebody who types and reads."""

    def __init__(self, tree: Path, state: Path, *words: str) -> None:
        self.said = ""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command(state, *words), cwd=tree, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def until(self, text: str) -> None:
        """Read until this has been said since the last time."""
        end = time.monotonic() + 30
        while text not in self.said:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, self.said
            try:
                self.said += os.read(self._ours, 65536).decode(errors="replace")
            except OSError:  # nobody has the other end any more
                raise AssertionError(self.said) from None
        self.said = self.said.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Its exit code, once it has ended; what it says until then is read."""
        with contextlib.suppress(OSError):
            while os.read(self._ours, 65536):
                pass
        os.close(self._ours)
        return self.process.wait(20)


def test_a_shell_in_the_machine_of_a_job_that_failed(tree: Path, state: Path) -> None:
    person = Terminal(tree, state, "--shell", "bad")
    person.until("✗ bad failed")
    person.until("A shell in the machine of bad")
    person.until(":/build/src# ")
    person.type("test -t 0 && cat kept && echo $CUPEL_JOB-$((6 * 7))\n")
    person.until("changed")
    person.until("bad-42")
    person.type("exit\n")
    assert person.end() == 1
    assert left(state) == {}


def test_a_machine_is_kept_until_enter(tree: Path, state: Path) -> None:
    person = Terminal(tree, state, "--keep", "bad")
    for number in (1, 2):
        person.until("Enter lets it go, s opens a shell there: ")
        person.type("s\n")
        person.until(":/build/src# ")
        person.type(f"echo $((40 + {number})) >> seen; cat seen; exit\n")
        person.until(f"4{number}")
    person.until("Enter lets it go")
    person.type("\n")
    assert person.end() == 1
    assert left(state) == {}


def test_a_machine_that_is_kept_is_released_from_elsewhere(tree: Path, state: Path) -> None:
    assert run(tree, state, "--release").returncode == 1
    out = tree.parent / "out"
    with out.open("wb") as file:
        running = subprocess.Popen(
            command(state, "--keep", "bad"), cwd=tree, stdin=subprocess.DEVNULL, stdout=file,
            stderr=file, start_new_session=True,
        )  # fmt: skip
    end = time.monotonic() + 30
    while "lets it go" not in out.read_text():
        assert time.monotonic() < end, out.read_text()
        time.sleep(0.02)
    assert "directories" in left(state)
    assert run(tree, state, "--release").stdout == "released: 1\n"
    assert running.wait(20) == 1
    assert left(state) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("test",), 'there is no job "test"\n  did you mean "tests"?'),
        (("--commit", "nothing"), "has no commit 'nothing'"),
        (("--matrix", "a=b"), 'no job here has "a" in its matrix'),
        (("--path", "/"), "/ is in no git repository"),
        (("--shell", "bad"), "--shell needs a terminal"),
        (("--keep", "-j", "2"), "one after the other"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(
    tree: Path, state: Path, words: Sequence[str], said: str
) -> None:
    done = run(tree, state, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
