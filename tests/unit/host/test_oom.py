"""Whom a kernel killed for memory, as its log has it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.host.providers import oom
from cupel.host.providers.oom import Killed

SAID = """\
[39156.186095] Tasks state (memory values in pages):
[39156.186095] [  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[39156.186097] [  27901]     0 27901     1090      767       64      703         0    40960        0             0 bash
[39156.186100] [  27903]     0 27903      730      407        0      407         0    45056        0             0 sleep
[39156.186101] [  27904]     0 27904    29739     6659     4992     1667         0   102400        0             0 python3
[39156.186103] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a/cupel-1/m-7,task_memcg=/a/cupel-1/m-7/build,task=python3,pid=27904,uid=0
[39156.186117] Memory cgroup out of memory: Killed process 27904 (python3) total-vm:118956kB, anon-rss:19968kB, file-rss:6668kB, shmem-rss:0kB, UID:0 pgtables:100kB oom_score_adj:0
"""  # noqa: E501 - as Linux 6.18 prints it

KILLED = Killed(
    name="python3", memory=26636 << 10, others=(("bash", 767 * 4096), ("sleep", 407 * 4096))
)


@pytest.mark.parametrize("group", [None, "/cupel-1/m-7", "/a/cupel-1/m-7"])
def test_who_was_killed_comes_with_what_ran_beside_it(group: str | None) -> None:
    assert oom.parse(SAID, group) == [KILLED]


@pytest.mark.parametrize("group", ["/cupel-1/m-70", "/cupel-1/m-", "/other"])
def test_another_machine_is_not_this_one(group: str) -> None:
    assert oom.parse(SAID, group) == []


def test_each_killing_has_its_own_table() -> None:
    other = SAID.replace("m-7", "m-8").replace("sleep", "make").replace("python3", "cc1")
    again = SAID.replace("sleep", "dd")
    found = oom.parse(other + SAID + again, "/cupel-1/m-7")
    assert [[name for name, _ in each.others] for each in found] == [
        ["bash", "sleep"],
        ["bash", "dd"],
    ]


def test_the_kernel_of_a_guest_puts_it_otherwise() -> None:
    """The whole system is out of memory, and an older kernel tells it."""
    text = (
        "[  8.1] Out of memory: Killed process 91 (stress (x) y), UID:0, total-vm:9kB, "
        "anon-rss:5kB, file-rss:0kB"
    )
    assert oom.parse(text) == [Killed(name="stress (x) y", memory=5 << 10)]


@given(st.text(max_size=300))
def test_whatever_a_guest_prints_is_read(text: str) -> None:
    oom.parse(text)
    oom.parse(SAID.replace("python3", text))


def test_a_line_without_an_end_takes_no_time() -> None:
    assert oom.parse("oom-kill:constraint=" * 100_000 + "[ 1] 1 1 1 1 " + "1 " * 100_000) == []


def test_the_log_of_this_kernel_can_be_read_or_is_empty() -> None:
    said = oom.kernel_log()
    assert bool(said) or not os.access(oom.KMSG, os.R_OK)
