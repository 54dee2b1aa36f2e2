"""Cores of what crashed in a build are kept with what it left, if the host lets that be."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.host import runner
from cupel.host.providers.interface import Machine
from cupel.host.providers.namespace import cores
from integration import images
from integration.provider_contract import succeed
from integration.test_provider_namespace import on_machine

pytestmark = pytest.mark.e2e

CRASH = """
mkdir -p /build/src/deep /build/artifacts
echo 'not a core' > /build/src/core.py
cd /build/src/deep
sh -c 'kill -SEGV $$'
true
"""


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    images.need()
    if cores.piped() or not cores.PATTERN.read_text().startswith("core"):
        pytest.skip(f"cores of this computer go elsewhere: {cores.PATTERN.read_text().strip()}")
    images.ensure()


def test_a_core_is_found_by_what_it_is(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        await succeed(machine, CRASH)
        assert await gathered(machine, 1 << 20) == ["/build/src/deep/core"]
        listed = await succeed(machine, f"ls {runner.CORES}; ls /build/src")
        assert listed.split() == ["core.build.src.deep.core", "core.py", "deep"]
        assert await gathered(machine, 1 << 20) == []

    on_machine(tmp_path, scenario)


def test_a_core_that_is_too_large_stays_where_it_is(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        await succeed(machine, CRASH)
        assert await gathered(machine, 4096) == []
        await succeed(machine, "test -s /build/src/deep/core*")

    on_machine(tmp_path, scenario)


async def gathered(machine: Machine, most: int) -> list[str]:
    """Where cores were found; a number behind the name is the pattern's business."""
    process = await machine.exec(
        ["/bin/sh", "-c", runner.GATHER_CORES, "sh", str(most), runner.CORES], env={}, cwd="/"
    )
    said = b"".join([data async for _, data in process.output()])
    return said.decode().splitlines()
