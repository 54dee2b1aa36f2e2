"""A real `cupel up` as a process of its own, and the people who work with it: git, HTTP, cupel."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import psutil

from cupel.core import pool
from integration import images, leftovers

PATIENCE = 30.0
"""Seconds after which a test gives up on something that should have happened."""

LOG_LIMIT = 16 << 20
ARTEFACT_LIMIT = 4 << 20
RESULT_LIMIT = 8 << 20

_SMALL = {"cpus": 1, "memory": "256M", "disk": "256M", "pids": 128}
_CHANGE = re.compile(r"Change (\d+): ")


def config(*, ready: int = 0, **changes: Any) -> dict[str, Any]:
    """The server's configuration: small machines on the shared test image.

    So many are kept `ready`: none, so that tests can say that nothing is left.
    """
    image = {"suite": images.suite(), "packages": list(images.PACKAGES)}
    return {
        "slots": 4,
        "labels": {
            "small": {"image": image, **_SMALL, "pool": {"ready": ready}},
            "net": {"image": image, **_SMALL, "network": "full", "pool": {"ready": 0}},
        },
        "limits": {"log": LOG_LIMIT, "artefacts": ARTEFACT_LIMIT, "results": RESULT_LIMIT},
        **changes,
    }


def wait_for(what: Callable[[], Any], *, seconds: float = PATIENCE, why: str = "it") -> Any:
    """The first true result of `what`, asked again and again."""
    end = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > end:
            raise AssertionError(f"{why} did not happen within {seconds:g} s")
        time.sleep(0.05)
    return found


class Server:
    """`cupel up` on a state directory; may be stopped, killed and started again."""

    def __init__(self, state: Path, settings: Mapping[str, Any] | None = None) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state = state
        self.env = dict(os.environ)
        self.process: subprocess.Popen[bytes] | None = None
        self._listen = "127.0.0.1:0"
        if not (state / "images").exists():
            (state / "images").symlink_to(images.cache())
        (state / "cupel.yaml").write_text(json.dumps(settings or config()))

    @property
    def output(self) -> str:
        """What the server has printed in all its lives."""
        return (self.state / "up.log").read_text(errors="replace")

    def start(self) -> None:
        """Start, on the same port as before, and wait until it answers."""
        if self.process is not None:
            self.process.wait(PATIENCE)
        (self.state / "client.json").unlink(missing_ok=True)
        with (self.state / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cupel", "--state", str(self.state), "up", "--listen",
                 self._listen],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                start_new_session=True,
            )  # fmt: skip
        wait_for(self._answers, why="the start of the server")
        self._listen = self.url.removeprefix("http://")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"cupel up ended: {self.output[-3000:]}")
        with contextlib.suppress(OSError, ValueError, httpx2.TransportError):
            return self.get("/api/status") is not None
        return False

    def kill(self) -> None:
        """As a crash or the kernel would: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop as asked by a signal; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    @property
    def memory(self) -> int:
        """Bytes of memory of the server alone, without git and machines."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def _client(self) -> Any:
        return json.loads((self.state / "client.json").read_text())

    @property
    def url(self) -> str:
        return str(self._client["url"])

    @property
    def token(self) -> str:
        return str(self._client["token"])

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Any answer, good or bad; the owner's token unless `headers` say otherwise."""
        options.setdefault("headers", {"Authorization": f"Bearer {self.token}"})
        with httpx2.Client(base_url=self.url, timeout=30, trust_env=False) as http:
            return http.request(method, path, **options)

    def get(self, path: str) -> Any:
        answer = self.request("GET", path)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.request("POST", path, **({} if body is None else {"json": body}))
        assert answer.is_success, answer.text
        return answer.json()

    def log(self, build: int) -> str:
        return self.request("GET", f"/api/builds/{build}/log").text

    def cli(
        self, *words: str | int | Path, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command of the real command line, against this server."""
        return subprocess.run(
            [sys.executable, "-m", "cupel", "--state", str(self.state), *map(str, words)],
            cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def change(self, number: int) -> Any:
        return self.get(f"/api/changes/{number}")

    def builds(self, change: int) -> list[Any]:
        """All builds of a change, the oldest first."""
        items = self.change(change)["items"]
        found = [b for item in items for state in item["buildsets"] for b in state["builds"]]
        return sorted(found, key=lambda build: int(build["id"]))

    def ended(self, change: int, pipeline: str = "gate", *, seconds: float = PATIENCE) -> Any:
        """The change once its newest item in the pipeline has ended."""

        def look() -> Any:
            view = self.change(change)
            items = [each["item"] for each in view["items"]]
            states = [item["state"] for item in items if item["pipeline"] == pipeline]
            return view if states and states[0] not in ("live", "landing") else None

        return wait_for(look, seconds=seconds, why=f"the end of change {change} in {pipeline}")

    def running(self, change: int, *, job: str | None = None) -> Any:
        """A build of the change, once it runs."""

        def look() -> Any:
            builds = self.builds(change)
            return next(
                (b for b in builds if b["state"] == "running" and job in (None, b["job"])), None
            )

        return wait_for(look, why=f"a running build of change {change}")

    def printed(self, build: int, text: str) -> None:
        wait_for(lambda: text in self.log(build), why=f"{text!r} in the log of build {build}")

    def leftovers(self) -> dict[str, list[str]]:
        """Everything that is left once it has stopped."""
        return leftovers.of(self.state.resolve())

    def machines_left(self) -> dict[str, list[str]]:
        """What is left of machines while it runs."""
        return leftovers.of_machines(self.state.resolve())

    def cleared(self) -> None:
        """Wait until nothing is left of machines, also of one for which nobody waits any more."""
        try:
            wait_for(lambda: self.machines_left() == {}, seconds=pool.SURPLUS + PATIENCE)
        except AssertionError:
            listed = self.get("/api/machines")["entries"]
            raise AssertionError(f"left: {self.machines_left()}, listed: {listed}") from None


@contextlib.contextmanager
def running(state: Path, settings: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """A server that runs during the block, and must leave nothing behind."""
    server = Server(state, settings)
    with lasting(server):
        yield server


@contextlib.contextmanager
def lasting(server: Server) -> Iterator[None]:
    """Run the server during the block; whatever becomes of it, it must leave nothing behind."""
    try:
        server.start()
        yield
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()
    assert server.leftovers() == {}
    assert "Traceback" not in server.output, server.output


class Pushed:
    """What a push said and what came of it."""

    def __init__(self, status: int, text: str) -> None:
        self.ok = status == 0
        self.text = text
        lines = [line.rstrip() for line in text.replace("\x1b[K", "").splitlines()]
        prefix = "remote: "
        self.remote = "\n".join(
            line.removeprefix(prefix) for line in lines if line.startswith(prefix)
        )
        self.changes = [int(number) for number in _CHANGE.findall(self.remote)]

    @property
    def change(self) -> int:
        assert len(self.changes) == 1, self.text
        return self.changes[0]


class Work:
    """A developer's work tree of a project."""

    def __init__(self, directory: Path, server: Server, project: str, author: str = "ada") -> None:
        self.directory = directory
        self.server = server
        self.project = project
        self.author = author
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str, check: bool = True) -> str:
        result = subprocess.run(
            ["git", *words], cwd=self.directory, env=self._env(), capture_output=True,
            text=True, errors="replace", timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert not check or result.returncode == 0, result.stderr
        return result.stdout.strip()

    def _env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        return {
            **kept,
            "GIT_AUTHOR_NAME": self.author, "GIT_AUTHOR_EMAIL": f"{self.author}@example.org",
            "GIT_COMMITTER_NAME": self.author, "GIT_COMMITTER_EMAIL": f"{self.author}@example.org",
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0", "no_proxy": "127.0.0.1", "LC_ALL": "C.UTF-8",
        }  # fmt: skip

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, title: str, files: Mapping[str, str], *, amend: bool = False) -> str:
        """Commit files on top; the commit."""
        self.write(files)
        self.git("add", "--all")
        extra = ["--amend"] if amend else []
        self.git("commit", "--quiet", "--allow-empty", *extra, "--message", title)
        return self.git("rev-parse", "HEAD")

    def start_over(self) -> None:
        """Check out what has landed."""
        self.git("fetch", "--quiet", self.remote(), "main")
        self.git("checkout", "--quiet", "--detach", "FETCH_HEAD")

    def remote(self, token: str | None = None, project: str | None = None) -> str:
        address = self.server.url.removeprefix("http://")
        secret = self.server.token if token is None else token
        return f"http://{self.author}:{secret}@{address}/{project or self.project}.git"

    def pushing(
        self, *options: str, ref: str = "HEAD:refs/for/main", remote: str | None = None
    ) -> subprocess.Popen[str]:
        """A push under way."""
        words = [word for option in options for word in ("-o", option)]
        return subprocess.Popen(
            ["git", "push", remote or self.remote(), ref, *words],
            cwd=self.directory, env=self._env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip

    def push(
        self, *options: str, ref: str = "HEAD:refs/for/main", remote: str | None = None
    ) -> Pushed:
        pushing = self.pushing(*options, ref=ref, remote=remote)
        return finished(pushing)

    def propose(self, title: str, files: Mapping[str, str], *options: str) -> int:
        """A change on what has landed, by itself; its number."""
        self.start_over()
        self.commit(title, files)
        pushed = self.push(*options)
        assert pushed.ok, pushed.text
        return pushed.change


def finished(pushing: subprocess.Popen[str], seconds: float = PATIENCE) -> Pushed:
    """The end of a push; one that hangs is killed and fails the test."""
    try:
        text, _ = pushing.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        pushing.kill()
        text, _ = pushing.communicate()
        raise AssertionError(f"the push hangs: {text}") from None
    return Pushed(pushing.returncode, text)


def project(
    server: Server, directory: Path, name: str, files: Mapping[str, str], **policy: Any
) -> Work:
    """A project with a first commit, imported by the server, and a work tree of it."""
    work = Work(directory / name, server, name)
    work.commit("Begin", files)
    server.post(
        "/api/projects", {"name": name, "source": str(work.directory), "policy": policy or {}}
    )
    return work


def jobs(**definitions: Any) -> dict[str, str]:
    """A `.cupel.yaml` whose gate has these jobs; a script stands for a job of one step."""
    made = {
        name.replace("_", "-"): (
            {"machine": "small", "steps": [job]} if isinstance(job, str) else
            {"machine": "small", **job}
        )
        for name, job in definitions.items()
    }  # fmt: skip
    return {".cupel.yaml": json.dumps({"jobs": made, "gate": list(made)}, indent=1)}


def first_parents(work: Work, upto: str = "FETCH_HEAD") -> Sequence[str]:
    """The subjects of what landed, the newest first."""
    work.git("fetch", "--quiet", work.remote(), "main")
    return work.git("log", "--first-parent", "--format=%s", upto).splitlines()


def remove(directory: Path) -> None:
    """Delete what a test made, however its permissions are."""
    shutil.rmtree(directory, ignore_errors=True)
