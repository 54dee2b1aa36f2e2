"""Terminals of machines, for real: what people do at them, and what becomes of it when they go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host.providers.interface import Machine, Size, Stream
from cupel.host.providers.vm.machine import VmMachine
from integration import images, test_provider_namespace, test_provider_vm
from integration.provider_contract import (
    TERMINAL_SCENARIOS,
    Heard,
    a_flood_waits_and_is_stopped,
    a_lost_line_hangs_up,
    at_terminal,
    run,
    several_terminals_are_apart,
    works_at_a_terminal,
)

_HOG = """
import os, time
kept = []
try:
    while True:
        kept.append(os.openpty())
except OSError:
    print("all", flush=True)
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def _image() -> None:
    images.need()
    images.ensure()


@pytest.mark.e2e
@pytest.mark.usefixtures("_image")
class TestNamespace:
    @pytest.mark.parametrize("scenario", TERMINAL_SCENARIOS)
    def test_terminals(
        self, scenario: Callable[[Machine], Awaitable[None]], tmp_path: Path
    ) -> None:
        test_provider_namespace.on_machine(tmp_path, scenario)

    def test_nothing_in_the_machine_has_the_other_end(self, tmp_path: Path) -> None:
        """Whoever had it could read along, type, and change how the agent reads it."""

        async def scenario(machine: Machine) -> None:
            talk, heard = await at_terminal(machine)
            script = "for fd in /proc/[0-9]*/fd/*; do readlink $fd; done 2>/dev/null | sort -u"
            status, seen, _ = await run(machine, script)
            assert b"/dev/pts/0" in seen
            assert b"ptmx" not in seen
            status, _, _ = await run(machine, "rm -f /dev/pts/ptmx || mv /dev/pts/ptmx /tmp")
            assert status != 0
            await talk.write(b"exit\n")
            await heard.rest()

        test_provider_namespace.on_machine(tmp_path, scenario)

    def test_a_machine_that_has_no_terminal_left_says_so(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            holds = await machine.exec(["python3", "-c", _HOG], env={}, cwd="/")
            output = holds.output()
            assert await anext(output) == (Stream.OUT, b"all\n")
            with pytest.raises(InfraError, match=r"has no terminal: .*No space left"):
                await machine.talk(["/bin/cat"], env={}, cwd="/", size=Size(24, 80))
            await holds.kill()

        test_provider_namespace.on_machine(tmp_path, scenario)

    def test_a_program_that_is_missing_is_named_at_the_terminal(self, tmp_path: Path) -> None:
        async def scenario(machine: Machine) -> None:
            bad = await machine.talk(["no-such-program"], env={}, cwd="/", size=Size(24, 80))
            assert b"no-such-program" in await Heard(bad).rest()
            assert await bad.wait() == 127

        test_provider_namespace.on_machine(tmp_path, scenario)


class TestVm:
    pytestmark = test_provider_vm.pytestmark

    def test_terminals(self, tmp_path: Path) -> None:
        async def scenario(machine: VmMachine) -> None:
            await several_terminals_are_apart(machine)
            await works_at_a_terminal(machine)
            await a_lost_line_hangs_up(machine)
            await a_flood_waits_and_is_stopped(machine)

        test_provider_vm.on_machine(tmp_path, scenario)
