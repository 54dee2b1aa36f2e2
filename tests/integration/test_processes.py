"""What runs in real machines is seen from within, and Python in them says where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.host import processes
from cupel.host.providers.interface import Machine, Stream
from integration import images, test_provider_namespace, test_provider_vm
from integration.provider_contract import shell, succeed

WAITS = """
sleep 600 &
PYTHONFAULTHANDLER=1 python3 -c '
import time
def waits():
    print("waiting", flush=True)
    time.sleep(600)
waits()'
exit $?
"""


async def scenario(machine: Machine) -> None:
    waiting = await shell(machine, WAITS)
    output = aiter(waiting.output())
    assert await anext(output) == (Stream.OUT, b"waiting\n")
    found = await processes.look(machine, {})
    by_command = {each.command.split(" ")[0]: each for each in found}
    bash, sleep, python = (by_command[name] for name in ("/bin/bash", "sleep", "python3"))
    assert {sleep.parent, python.parent} == {bash.pid}
    assert sleep.command == "sleep 600"
    assert len(found) == 3, processes.record(found)
    said = b"".join([data async for _, data in output])
    assert b'File "<string>", line 5 in waits' in said
    assert await waiting.wait() == 128 + 6
    assert await succeed(machine, "echo well") == "well\n"


@pytest.fixture(scope="module")
def _image() -> None:
    images.need()
    images.ensure()


@pytest.mark.e2e
@pytest.mark.usefixtures("_image")
def test_in_a_machine_of_namespaces(tmp_path: Path) -> None:
    test_provider_namespace.on_machine(tmp_path, scenario)


class TestVm:
    pytestmark = test_provider_vm.pytestmark

    @pytest.mark.slow
    def test_in_a_virtual_machine(self, tmp_path: Path) -> None:
        test_provider_vm.on_machine(tmp_path, scenario)
