import json

import pytest

from cupel.host import probe
from cupel.host.probe import Finding
from unit.cli.calls import alone

GIT = Finding(name="git", ok=False, required=True, found="2.30", fix="apt-get install git")
GROUPS = Finding(name="cgroups", ok=False, required=False, found="none", fix="mount them")
KERNEL = Finding(name="kernel", ok=True, required=True, found="6.1")


@pytest.mark.parametrize(
    ("findings", "code"), [([KERNEL], 0), ([KERNEL, GROUPS], 0), ([KERNEL, GIT], 1)]
)
def test_doctor(monkeypatch: pytest.MonkeyPatch, findings: list[Finding], code: int) -> None:
    monkeypatch.setattr(probe, "examine", lambda state: findings)
    said = alone("doctor")
    assert said.exit_code == code
    assert "ok       kernel: 6.1\n" in said.output
    assert ("missing  git: 2.30\n         apt-get install git\n" in said.output) == bool(code)
    assert [each["ok"] for each in json.loads(alone("doctor", "--json").output)] == [
        each.ok for each in findings
    ]
