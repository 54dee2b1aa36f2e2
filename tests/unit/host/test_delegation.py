"""The group that systemd delegates: parted into the agent's and the builds', or left alone.

A real kernel refuses what is done in the wrong order; tests/integration/test_delegation.py has one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host.providers.namespace import cgroups, delegation
from unit.host.test_cgroups import mountinfo

UNIT = "cupel.slice/cupel-host.service"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hierarchy with a unit in it; a file that is called `delegated` is the mark of systemd."""
    home = tmp_path / UNIT
    home.mkdir(parents=True)
    for directory in (tmp_path, home):
        (directory / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (directory / "cgroup.subtree_control").write_text("")
        (directory / "cgroup.procs").write_text("")
    (home / "memory.min").write_text("268435456\n")

    def getxattr(path: Path, name: str) -> bytes:
        if name == "trusted.delegate" and (path / "delegated").exists():
            return b"1"
        raise OSError

    monkeypatch.setattr(os, "getxattr", getxattr)
    return tmp_path


def test_a_delegated_group_is_parted(root: Path) -> None:
    home = root / UNIT
    (home / "delegated").touch()
    (home / "agent").mkdir()
    for name in ("min", "low"):
        (home / "agent" / f"memory.{name}").write_text("0")
    membership = f"1:name=systemd:/x\n0::/{UNIT}\n"
    assert delegation.builds(root, membership) is None
    assert delegation.settle(root, membership) == delegation.Delegated(home=home, kept=256 << 20)
    assert (home / "cgroup.subtree_control").read_text() == "+pids"  # the last of them
    assert (home / "agent" / "memory.min").read_text() == str(delegation.MEMORY_MIN)
    assert (home / "agent" / "memory.low").read_text() == str(delegation.MEMORY_LOW)
    after = f"0::/{UNIT}/agent\n"
    assert delegation.settle(root, after) is not None  # a process that replaced itself
    assert delegation.builds(root, after) == home / "builds"
    info = mountinfo((root, "cgroup2", "nsdelegate"))
    (home / "builds" / "cgroup.controllers").write_text("cpu memory pids io\n")
    assert cgroups.detect(info, after).v2 == home / "builds"
    assert cgroups.detect(info, after).enforced == {"cpu", "memory", "pids"}
    assert cgroups.detect(info).v2 == root


def test_what_is_not_delegated_is_not_touched(root: Path) -> None:
    before = sorted(root.rglob("*"))
    assert delegation.settle(root, f"0::/{UNIT}\n") is None
    assert delegation.settle(root, "0::/\n") is None
    assert delegation.settle(root, "4:memory:/x\n") is None
    assert sorted(root.rglob("*")) == before


def test_processes_that_do_not_leave_are_told(root: Path) -> None:
    home = root / UNIT
    (home / "delegated").touch()
    (home / "cgroup.procs").write_text("17\n")
    with pytest.raises(InfraError, match="processes 17 do not leave"):
        delegation.settle(root, f"0::/{UNIT}\n")


def test_a_group_that_cannot_be_parted_is_told(root: Path) -> None:
    home = root / UNIT
    (home / "delegated").touch()
    (home / "builds").touch()
    with pytest.raises(InfraError, match="can't be parted") as error:
        delegation.settle(root, f"0::/{UNIT}\n")
    assert "Delegate=yes" in (error.value.hint or "")
