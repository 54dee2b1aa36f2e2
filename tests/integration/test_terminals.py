"""Terminals of machines, for real: what people do at them, and what becomes of it when they go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cupel.host.providers.interface import Machine, Size
from cupel.host.providers.vm.machine import VmMachine
from integration import images, test_provider_namespace, test_provider_vm
from integration.provider_contract import (
    TERMINAL_SCENARIOS,
    Heard,
    a_flood_waits_and_is_stopped,
    a_lost_line_hangs_up,
    several_terminals_are_apart,
    works_at_a_terminal,
)


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
