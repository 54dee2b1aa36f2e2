"""Caches in virtual machines, for real."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

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


for _name in dir(cache_contract.CacheContract):
    # One of them, which does most of what the others do, is enough for each run.
    if _name.startswith("test_") and "another_has" not in _name:
        _test = getattr(cache_contract.CacheContract, _name)

        def _slow(self: TestVmCaches, tmp_path: Path, _test: Any = _test) -> None:
            _test(self, tmp_path)

        setattr(TestVmCaches, _name, pytest.mark.slow(_slow))
