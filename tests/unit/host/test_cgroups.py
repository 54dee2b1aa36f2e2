from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cupel.host.providers.namespace import cgroups

LIMITS = cgroups.Limits(memory=1 << 30, cpus=1.5, pids=99)


def mountinfo(*mounts: tuple[Path, str, str]) -> str:
    """A line for each (mount point, kind, options of the file system), as the kernel writes it."""
    return "".join(
        f"{number} 1 0:{number} / {path} rw,relatime shared:9 - {kind} {kind} rw,{options}\n"
        for number, (path, kind, options) in enumerate(mounts, start=20)
    )


def v2(path: Path, controllers: str) -> cgroups.Flavour:
    path.mkdir()
    (path / "cgroup.controllers").write_text(f"{controllers}\n")
    return cgroups.detect(mountinfo((path, "cgroup2", "nsdelegate")))


def test_v2_alone_limits_everything(tmp_path: Path) -> None:
    flavour = v2(tmp_path / "cgroup", "cpuset cpu io memory pids")
    assert flavour.text == "v2"
    assert flavour.enforced == {"memory", "pids", "cpu"}


def test_v2_without_controllers_beside_v1_is_hybrid(tmp_path: Path) -> None:
    for name in ("memory", "pids", "cpu,cpuacct", "unified"):
        (tmp_path / name).mkdir()
    (tmp_path / "unified/cgroup.controllers").write_text("\n")
    flavour = cgroups.detect(
        mountinfo(
            (tmp_path / "memory", "cgroup", "memory"),
            (tmp_path / "pids", "cgroup", "pids"),
            (tmp_path / "cpu,cpuacct", "cgroup", "cpu,cpuacct"),
            (tmp_path / "unified", "cgroup2", "nsdelegate"),
        )
    )
    assert flavour.text.startswith("hybrid")
    assert flavour.enforced == {"memory", "pids", "cpu"}
    assert flavour.hierarchies == tuple(
        tmp_path / name for name in ("memory", "pids", "cpu,cpuacct", "unified")
    )


def test_a_computer_without_control_groups_enforces_nothing(tmp_path: Path) -> None:
    flavour = cgroups.detect(mountinfo((tmp_path, "ext4", "discard")))
    assert flavour.text == "none"
    assert flavour.enforced == frozenset()
    tree = cgroups.Tree(tmp_path, flavour)
    assert tree.prepare() == frozenset()
    group = tree.create(1, LIMITS, ())
    assert group.init == []
    assert group.memory_peak() is None
    assert group.cpu_seconds() is None
    assert group.oom_kills() == 0
    asyncio.run(tree.remove(group))


def test_spaces_in_mount_points_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "with space"
    path.mkdir()
    (path / "cgroup.controllers").write_text("pids\n")
    text = mountinfo((path, "cgroup2", "nsdelegate")).replace(" space", "\\040space")
    assert cgroups.detect(text).v2 == path


def test_v2_limits_are_written_to_the_builds_group_alone(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    flavour = v2(root, "cpu memory pids")
    tree = cgroups.Tree(tmp_path / "state", flavour)
    for directory in (root, tree.roots[0]):  # the kernel makes these files
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.subtree_control").write_text("")
    enforced = tree.prepare()
    assert enforced == {"memory", "pids", "cpu"}
    tree.create(7, LIMITS, enforced)
    build = tree.roots[0] / "m7" / "build"
    assert {path.name: path.read_text() for path in build.iterdir()} == {
        "memory.max": str(1 << 30),
        "memory.swap.max": "0",
        "cpu.max": "150000 100000",
        "pids.max": "99",
    }
    assert list((tree.roots[0] / "m7" / "init").iterdir()) == []
    assert tree.machines() == {7}


def test_v2_accounting_is_read(tmp_path: Path) -> None:
    tree = cgroups.Tree(tmp_path / "state", v2(tmp_path / "cgroup", "cpu memory pids"))
    group = tree.group(7)
    build = tree.roots[0] / "m7" / "build"
    build.mkdir(parents=True)
    (build / "memory.peak").write_text("4096\n")
    (build / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    (build / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    assert group.memory_peak() == 4096
    assert group.oom_kills() == 2
    assert group.cpu_seconds() == pytest.approx(1.5)


def test_state_directories_have_trees_of_their_own(tmp_path: Path) -> None:
    flavour = v2(tmp_path / "cgroup", "pids")
    one, two = (cgroups.Tree(tmp_path / name, flavour) for name in ("one", "two"))
    assert one.roots != two.roots
