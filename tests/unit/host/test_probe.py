from __future__ import annotations

from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host import probe


def finding(*, ok: bool, required: bool) -> probe.Finding:
    return probe.Finding(name="tool", ok=ok, required=required, found="absent", fix="get it")


def test_what_is_required_and_missing_forbids_builds() -> None:
    with pytest.raises(InfraError, match="tool: absent") as raised:
        probe.can_isolate([finding(ok=True, required=True), finding(ok=False, required=True)])
    assert raised.value.hint == "get it"


def test_what_is_not_required_may_be_missing() -> None:
    probe.can_isolate([finding(ok=False, required=False), finding(ok=True, required=True)])


def test_everything_is_looked_at_and_nothing_changed(tmp_path: Path) -> None:
    findings = probe.examine(tmp_path / "not" / "there")
    names = [each.name for each in findings]
    assert {"root", "kernel", "trial machine", "control groups", "git", "disk"} <= set(names)
    assert len(names) == len(set(names))
    assert all(each.fix for each in findings if not each.ok)
    assert list(tmp_path.iterdir()) == []
