"""Virtual machines whose image is booted by its systemd."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from cupel.host.providers.vm.provider import VmProvider
from integration import images, test_provider_vm
from integration.test_provider_vm import on_provider, said, spec

pytestmark = test_provider_vm.pytestmark

UNIT = """[Service]
Type=notify
ExecStart=/bin/sh -c 'echo the unit speaks; touch /run/started; systemd-notify --ready; sleep 98765'
"""
SYSTEM = f"""
systemctl is-system-running
cat > /etc/systemd/system/of-the-job.service <<'.'
{UNIT}.
systemctl daemon-reload && systemctl start of-the-job && test -e /run/started
systemctl is-active of-the-job
for _ in 1 2 3 4 5 6 7 8 9 10; do
  journalctl --boot --unit=of-the-job --output=cat | grep 'the unit speaks' && break
  sleep 0.3
done
test -z "$(systemctl list-units --state=failed --no-legend)" && echo none failed
"""


@pytest.mark.slow
def test_systemd_is_process_1_and_runs_the_units_of_a_job(tmp_path: Path) -> None:
    image = dataclasses.replace(images.spec(), packages=(*images.PACKAGES, "systemd-sysv", "dbus"))
    wanted = spec(image=image, init="systemd")

    async def scenario(provider: VmProvider) -> None:
        await provider.prepare(wanted, print)
        for number in (1, 2):
            machine = await provider.create(number, wanted)
            assert not any("booted" in note for note in machine.notes), machine.notes
            assert await said(machine, "cat /proc/1/comm") == "systemd"
            assert await said(machine, SYSTEM) == ("running\nactive\nthe unit speaks\nnone failed")
            began = time.monotonic()
            await machine.destroy()
            assert time.monotonic() - began < 10

    on_provider(tmp_path, scenario)
