"""Caches in namespace machines, for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Provider
from cupel.host.providers.namespace import NamespaceProvider
from integration import cache_contract, images


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    if os.geteuid() != 0:
        pytest.skip("images are laid into machines by root")
    images.need()
    images.ensure()


pytestmark = pytest.mark.e2e


class TestNamespaceCaches(cache_contract.CacheContract):
    def provider(self, state: Path) -> Provider:
        return NamespaceProvider(state, images=images.cache())

    def spec(self) -> MachineSpec:
        return images.machine_spec()
