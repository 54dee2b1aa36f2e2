"""What an image holds of the network: jobs find it there when there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from integration import elsewhere

pytestmark = pytest.mark.e2e

FILES = """
import functools, http.server
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="served")
http.server.ThreadingHTTPServer(("", 80), handler).serve_forever()
"""

MIRRORS = r"""
import asyncio, sys
from pathlib import Path
from cupel.config.image import ImageConfig, PrefetchConfig
from cupel.host.providers.namespace import NamespaceProvider
from cupel.image import base, definition
from integration import images, small
from integration.provider_contract import machine_of, run

URL = "http://203.0.113.10/project.git"
JOB = f'''
git clone -q {URL} /build/one && cat /build/one/file
git -C /build/one fetch -q --tags origin && git -C /build/one tag
git clone -q http://203.0.113.10/absent.git /build/two 2>/dev/null || echo absent
'''

async def main(directory):
    provider = NamespaceProvider(directory / "state", environ={})
    tar = small.tar(directory, "git", extra=("git", "git-upload-pack"))
    image = ImageConfig(
        suite=None, tar=tar, packages=(), prefetch=PrefetchConfig(git=(URL,)), size=256 << 20
    )
    made = definition.define(image, base.architecture())
    try:
        first = await provider.images.ensure(made, print)
        async with machine_of(provider, images.machine_spec(image=made.config)) as machine:
            status, out, err = await run(machine, JOB)
            assert (status, out) == (0, b"mirrored\nv1\nabsent\n"), (out, err)
        assert await provider.images.rebuild(made, print) == first, "twice the same"
    finally:
        await provider.close()
    print("all is as it should be")

asyncio.run(main(Path(sys.argv[1])))
"""


def git(directory: Path, *words: str) -> None:
    people = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(
        ["git", *people, *words], cwd=directory, check=True, capture_output=True, timeout=60,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"},
    )  # fmt: skip


def test_a_mirrored_repository_is_cloned_without_a_network(tmp_path: Path) -> None:
    work, served = tmp_path / "work", tmp_path / "served"
    for directory in (work, served):
        directory.mkdir()
    git(work, "init", "-q")
    (work / "file").write_text("mirrored\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "One")
    git(work, "tag", "v1")
    git(tmp_path, "clone", "-q", "--bare", "work", "served/project.git")
    git(served / "project.git", "update-server-info")
    said = elsewhere.run(tmp_path, server=FILES, program=MIRRORS)
    assert "all is as it should be" in said
