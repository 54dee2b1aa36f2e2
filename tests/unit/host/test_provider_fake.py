"""The fake provider keeps the contract that the real ones keep."""

from __future__ import annotations

from pathlib import Path

from cupel.host.messages import ImageSpec, MachineSpec
from cupel.host.providers.interface import Provider
from fakes import provider as fakes
from integration import provider_contract


class TestFakeProvider(provider_contract.ProviderContract):
    def provider(self, state: Path) -> Provider:
        return fakes.FakeProvider(
            {
                script: fakes.Script(
                    prints=prints,
                    exit=fakes.FOREVER if exit_status is None else exit_status,
                    cpu_seconds=0.1,
                )
                for script, (prints, exit_status) in provider_contract.SCRIPTS.items()
            }
        )

    def spec(self) -> MachineSpec:
        return MachineSpec(label="test", image=ImageSpec(suite="bookworm"))
