"""A host of another process has its server's images: fetched, verified, and given up with it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cupel.config.image import TarConfig
from cupel.image import pack
from e2e import server as serving
from e2e.server import Server, wait_for
from integration import images, leftovers, small

pytestmark = pytest.mark.e2e

_SMALL = {"cpus": 1, "memory": "128M", "disk": "128M", "pids": 64, "pool": {"ready": 0}}


def settings(base: TarConfig) -> dict[str, Any]:
    return {
        "slots": 0,
        "images": {"small": {"tar": dataclasses.asdict(base)}},
        "labels": {"one": {"image": "small", **_SMALL}},
    }


@contextlib.contextmanager
def host(server: Server, state: Path, token: str) -> Iterator[None]:
    """`cupel host run` on this computer, which must leave nothing behind."""
    with (state.parent / "host.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cupel", "host", "run", "--server", server.url, "--name", "h",
             "--slots", "1", "--state", str(state)],
            env={**os.environ, "CUPEL_HOST_TOKEN": token},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert leftovers.of(state.resolve()) == {}


def digest_of(server: Server) -> str | None:
    (view,) = server.get("/api/images")
    return view["digest"] if view["state"] == "ready" else None


def test_a_host_makes_machines_of_the_image_that_the_server_has(tmp_path: Path) -> None:
    images.need()
    if shutil.which(pack.PROGRAM) is None:
        pytest.skip(f"{pack.PROGRAM} is not installed: images are directories, and not given away")
    (tmp_path / "state/images").mkdir(parents=True)
    server = Server(tmp_path / "state", settings(small.tar(tmp_path, "first")))
    with serving.lasting(server):
        token = server.post("/api/tokens", {"name": "h", "scopes": ["host"]})["secret"]
        first = wait_for(lambda: digest_of(server), why="the image")
        kept = tmp_path / "host/images"
        part = kept / f"arriving/{first}/rootfs.erofs"
        part.parent.mkdir(parents=True)
        whole = (tmp_path / f"state/images/{first}/rootfs.erofs").read_bytes()
        part.write_bytes(whole[:100_000])  # as if an earlier life had been killed
        with host(server, tmp_path / "host", token):
            wait_for(lambda: (kept / first / "image.json").exists(), why="the fetch")
            assert (kept / first / "rootfs.erofs").read_bytes() == whole
            for name in ("manifest.gz", "packages.json"):
                mine, its = (each / first / name for each in (kept, tmp_path / "state/images"))
                assert mine.read_bytes() == its.read_bytes()
            assert not part.exists()
            runs = Runs(server, tmp_path)
            assert runs() == (first, "first")
            assert run_elsewhere(server, runs.work.directory, tmp_path / "own") == (first, "first")
            (server.state / "cupel.yaml").write_text(
                json.dumps(settings(small.tar(tmp_path, "second")))
            )
            server.stop()
            server.start()
            second = wait_for(
                lambda: (now := digest_of(server)) != first and now, why="the next image"
            )
            wait_for(lambda: (kept / second / "image.json").exists(), why="the next fetch")
            assert runs() == (second, "second")
            server.post("/api/images/small/rollback")
            wait_for(lambda: runs() == (first, "first"), why="the way back")
    assert "Traceback" not in (tmp_path / "host.log").read_text()


def run_elsewhere(server: Server, tree: Path, state: Path) -> tuple[str, str]:
    """As `Runs`, of a `cupel run` without any state but its own, which has the server's image.

    What it then asks for by `--since`, the server has proved.
    """
    token = server.post("/api/tokens", {"name": "dev", "scopes": ["write"]})["secret"]

    def run(*words: str) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-m", "cupel", "--state", str(state), "run", "--json", *words],
            cwd=tree, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "CUPEL_URL": server.url, "CUPEL_TOKEN": token},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    told = run("mark")
    shutil.rmtree(state / "run/passes")
    (passed,) = (each for each in run("--since", "HEAD~1") if each["event"] == "job.passed_over")
    assert passed["reason"].startswith("it passed there as build ")
    (image,) = (each["image"] for each in told if each["event"] == "machine.ready")
    (mark,) = (each["data"] for each in told if each["event"] == "printed")
    return image, mark.strip()


class Runs:
    """Jobs on the label, one after the other."""

    def __init__(self, server: Server, directory: Path) -> None:
        files = serving.jobs(mark={"machine": "one", "steps": ["cat /etc/mark"]})
        self._server = server
        self.work = serving.project(server, directory / "work", "p", files)
        self._number = 0

    def __call__(self) -> tuple[str, str]:
        """What image the machine of a job had, and what it says of itself."""
        self._number += 1
        change = self.work.propose(f"Change {self._number}", {"n": str(self._number)}, "land")
        assert self._server.ended(change)["state"] == "landed"
        (build,) = self._server.builds(change)
        image = self._server.get(f"/api/builds/{build['id']}")["on"]["image"]
        return image, self._server.log(build["id"]).splitlines()[-1]
