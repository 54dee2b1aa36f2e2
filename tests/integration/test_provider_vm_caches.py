"""Caches in virtual machines, for real."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Provider
from cupel.host.providers.vm import qemu
from cupel.host.providers.vm.provider import VmProvider
from integration import cache_contract, images

MISSING = [name for name in (qemu.PROGRAM, "mkfs.erofs", "mkfs.ext4") if shutil.which(name) is None]
if os.geteuid() != 0:
    MISSING.append("root")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(MISSING), reason=f"virtual machines need {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    images.need()
    images.ensure()


class TestVmCaches(cache_contract.CacheContract):
    def provider(self, state: Path) -> Provider:
        store = images.cache().with_name("vm")
        return VmProvider(state, images=images.cache(), store=store, environ={})

    def spec(self) -> MachineSpec:
        return images.machine_spec(provider="vm", disk=256 << 20)
