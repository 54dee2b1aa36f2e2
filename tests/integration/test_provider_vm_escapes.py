"""Virtual machines: the contract of providers, and no attempt to get out of them succeeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Provider
from integration import escape_contract, test_provider_vm
from integration.test_provider_vm import spec, vm_provider

pytestmark = test_provider_vm.pytestmark


class TestVmIsHeld(escape_contract.EscapeContract):
    own_kernel = True
    permitted = frozenset(
        {
            # A guest sees copies of what its host shows; the host's files are looked at after.
            "write into what is shown read-only",
            "link what is shown read-only to a writable place",
            "chmod what is shown read-only",
            # Its own network, whose way out is kept by its cage; its own pages of the image.
            "change addresses and routes",
            "write through a private mapping into the image",
        }
    )
    uncounted = frozenset(
        {
            # Of its own kernel: what they take is its memory, which is limited as a whole.
            "use up the inodes of shared memory",
            "make files in the tmpfs of the devices",
            "use up terminals",
        }
    )
    smallest = 320 << 20
    """Its kernel and our agent take 130 MiB. With less, sockets eat what pages of programs take,
    which are read again and again: nothing gets on, and it takes the kernel minutes to kill."""

    def provider(self, state: Path) -> Provider:
        return vm_provider(state)

    def spec(self) -> MachineSpec:
        return spec()

    def test_a_bomb_of_each_kind_is_held(self, tmp_path: Path) -> None:
        self.bomb(tmp_path, self.spec(), QUICK_BOMBS)

    @pytest.mark.slow
    def test_no_bomb_harms_more_than_its_machine(self, tmp_path: Path) -> None:
        super().test_no_bomb_harms_more_than_its_machine(tmp_path)

    @pytest.mark.slow
    def test_whatever_runs_in_a_machine_ends_with_it(self, tmp_path: Path) -> None:
        super().test_whatever_runs_in_a_machine_ends_with_it(tmp_path)

    @pytest.mark.slow
    def test_what_is_carried_out_is_the_machines_own(self, tmp_path: Path) -> None:
        super().test_what_is_carried_out_is_the_machines_own(tmp_path)


QUICK_BOMBS = (
    "start threads without end",
    "eat memory",
    "fill the disk at once",
    "use up open files",
)
