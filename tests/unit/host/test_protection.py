"""The guard of a host, and what it reads of the computer and of machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cupel.host import metrics, protection
from cupel.host.pressure import Load, Sample
from cupel.host.protection import Guard
from cupel.host.providers.interface import Usage
from cupel.host.providers.namespace.cgroups import Group

GIB = 1 << 30
PSI = "some avg10=12.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=7.00 avg60=0 avg300=0 total=1\n"


def test_pressure_is_read_as_the_kernel_writes_it():
    assert protection.pressures(PSI) == {"some": 12.5, "full": 7.0}
    assert protection.pressures("") == {}


def test_the_computer_is_examined_as_it_is(tmp_path):
    loads = (Load(machine=1, memory=5),)
    found = protection.examine(tmp_path, 3.0, loads)
    assert (found.at, found.loads) == (3.0, loads)
    assert 0 < found.available <= found.memory
    assert 0 <= found.disk_free <= found.disk


def test_a_guard_remembers_and_frees_disk_only_now_and_then(tmp_path):
    clock, free, pruned = [0.0], GIB // 2, []

    def look(state: Path, at: float, loads: object) -> Sample:
        return Sample(at=at, memory=GIB, available=GIB, disk=500 * GIB, disk_free=free)

    guard = Guard(tmp_path, look=look, now=lambda: clock[0], prune=lambda: pruned.append(clock[0]))
    for clock[0] in (0.0, 1.0, 59.0, 61.0):
        assert guard.decide([]).prune
        guard.free_disk()
    assert pruned == [0.0, 61.0]
    assert "512 MiB left" in (guard.refuses or "")
    free = 400 * GIB
    for clock[0] in (62.0, 72.0):
        guard.decide([])
    assert guard.refuses is None


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_machine_uses_is_read_from_its_groups(tmp_path, version):
    build = tmp_path / "build"
    build.mkdir()
    (tmp_path / "init").mkdir()
    files = {
        "pids.current": "7\n",
        "cpu.pressure": PSI,
        "memory.pressure": PSI.replace("12.50", "1.50"),
        "cgroup.procs": f"{os.getpid()}\n",
        **(
            {"memory.usage_in_bytes": "900", "memory.stat": "total_inactive_file 300\nrss 1\n"}
            if version == 1
            else {"memory.current": "900", "memory.stat": "anon 1\ninactive_file 300\n"}
        ),
    }
    for name, text in files.items():
        (build / name).write_text(text)
    group = Group(tops=(tmp_path,), memory=(version, build), cpu=None)
    assert group.memory_now() == 600
    assert group.processes() == 7
    assert [group.waits(each) for each in ("cpu", "memory", "io")] == [12.5, 1.5, None]
    disk = os.statvfs("/")
    assert abs((group.disk() or 0) - (disk.f_blocks - disk.f_bfree) * disk.f_frsize) < GIB


def test_what_no_group_tells_is_not_known(tmp_path):
    group = Group(tops=(tmp_path,), memory=None, cpu=None)
    assert (group.memory_now(), group.processes(), group.disk(), group.waits("cpu")) == (None,) * 4


def test_measures_are_sent_in_batches_and_the_rest_is_there_for_the_end():
    record = metrics.Record()
    sent = []
    for at in range(12):
        used = {1: Usage(memory=at)} if at < 7 else {}
        sent += [(m, [each.memory for each in rows]) for m, rows in record.add(float(at), used)]
    assert sent == [(1, [0, 1, 2, 3, 4])]
    assert [each.memory for each in record.rest(1)] == [5, 6]
    assert record.rest(1) == ()


def test_what_a_machine_costs_its_host_goes_before_what_ran_in_it():
    record = metrics.Record()
    used = {1: Usage(cpu_seconds=1.0), 2: Usage(cpu_seconds=1.0, cpu_of_host=3.0)}
    list(record.add(0.0, used))
    assert [record.rest(machine)[0].cpu_seconds for machine in used] == [1.0, 3.0]


def test_after_an_hour_every_tenth_measure_is_kept():
    record = metrics.Record()
    kept = [
        each.at
        for at in range(metrics.DENSE + 100)
        for _, rows in record.add(float(at), {1: Usage()})
        for each in rows
    ]
    assert kept[: metrics.DENSE] == [float(at) for at in range(metrics.DENSE)]
    assert len(kept) == metrics.DENSE + 10
