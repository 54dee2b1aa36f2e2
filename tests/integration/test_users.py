"""Two agents on one computer: their machines have no user ids in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cupel.host.providers.inside.plan import UIDS
from cupel.host.providers.namespace import users
from integration import images, leftovers

MACHINES = 3

AGENT = """
import asyncio, sys
from pathlib import Path
from integration import images
from cupel.host.providers.namespace import NamespaceProvider

async def main(state, count):
    provider = NamespaceProvider(state, images=images.cache())
    for number in range(1, count + 1):
        await provider.create(number, images.machine_spec())
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for number in range(1, count + 1):
        await provider.purge(number)
    await provider.close()

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.fixture(autouse=True)
def possible() -> None:
    images.need()
    if os.geteuid() != 0:
        pytest.skip("without root all machines of a user have the same ids")
    images.ensure()


def start(state: Path) -> subprocess.Popen[bytes]:
    sources = [str(Path(__file__).parents[1]), *sys.path]
    return subprocess.Popen(
        [sys.executable, "-c", AGENT, str(state), str(MACHINES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sources))},
    )


def owners(state: Path) -> set[int]:
    """The host's id of root in each machine, as the kernel has it."""
    found = set()
    for record in (state / "machines").glob("*/machine.json"):
        pid = json.loads(record.read_text())["pid"]
        (init,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        inside, outside, count = map(int, Path(f"/proc/{init}/uid_map").read_text().split())
        assert (inside, count) == (0, 65536)
        found.add(outside)
    return found


def are_free(firsts: set[int]) -> bool:
    numbers = [(first - users.FIRST) // UIDS for first in firsts]
    with users.REGISTRY.open("r+b") as registry:
        return all(users.lock(registry.fileno(), number) for number in numbers)


def test_two_agents_share_no_user_ids_and_a_killed_one_keeps_none(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with start(one) as killed, start(other) as ended:
        for agent in (killed, ended):
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"up\n"
        ours, theirs = owners(one), owners(other)
        assert len(ours | theirs) == 2 * MACHINES
        assert not are_free(ours)
        killed.kill()
        killed.wait()
        deadline = time.monotonic() + 10
        while not are_free(ours):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not are_free(theirs)  # the killing of one frees nothing of the other
        assert ended.stdin is not None
        ended.stdin.close()
        assert ended.wait() == 0
    assert are_free(theirs)
    assert leftovers.of(other) == {}
