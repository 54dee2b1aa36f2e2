from __future__ import annotations

import asyncio
import os
import subprocess
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
    group = tree.create("m1", ())
    tree.limit("m1", LIMITS, ())
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
    tree.create("m7", enforced)
    tree.limit("m7", LIMITS, enforced)
    build = tree.roots[0] / "m7" / "build"
    assert {path.name: path.read_text() for path in build.iterdir()} == {
        "memory.max": str(1 << 30),
        "memory.swap.max": "0",
        "cpu.max": "150000 100000",
        "pids.max": "99",
    }
    assert list((tree.roots[0] / "m7" / "init").iterdir()) == []
    assert tree.names() == {"m7"}


def test_v2_accounting_is_read(tmp_path: Path) -> None:
    tree = cgroups.Tree(tmp_path / "state", v2(tmp_path / "cgroup", "cpu memory pids"))
    group = tree.group("m7")
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


def test_io_is_counted_once_though_the_kernel_may_count_the_loop_device_and_its_disk() -> None:
    loop = "7:3 rbytes=100 wbytes=900 rios=1 wios=2 dbytes=0 dios=0\n"
    disk = "254:0 rbytes=400 wbytes=300 rios=1 wios=2 dbytes=0 dios=0\n8:0 wbytes=100\n"
    assert cgroups.accounted(loop) == (100, 900)
    assert cgroups.accounted(loop + disk) == (400, 900)
    assert cgroups.accounted("") == (0, 0)


def test_io_comes_from_its_controller_where_there_is_one(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    tree = cgroups.Tree(tmp_path / "state", v2(root, "io memory"))
    for directory in (root, tree.roots[0]):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.subtree_control").write_text("")
    enforced = tree.prepare()
    assert enforced == {"memory"}
    group = tree.create("m7", enforced)
    build = tree.roots[0] / "m7" / "build"
    (build / "io.stat").write_text("8:0 rbytes=5 wbytes=6 rios=1 wios=1\n")
    assert group.moved() == (5, 6)


def test_io_comes_from_the_processes_where_there_is_no_controller(tmp_path: Path) -> None:
    group = cgroups.Group(tops=(tmp_path,), memory=None, cpu=None)
    assert group.moved() == (None, None)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "cgroup.procs").write_text(f"{os.getpid()}\n")
    before = group.moved()
    file = tmp_path / "file"
    with file.open("wb") as data:
        data.write(b"x" * (1 << 20))
        data.flush()
        os.fsync(data.fileno())
    after = group.moved()
    assert None not in before + after
    on_disk = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True)
    if on_disk.stdout.strip() != "tmpfs":
        assert after[1] - before[1] >= 1 << 20
