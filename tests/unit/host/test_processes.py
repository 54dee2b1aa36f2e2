"""What was running in a machine: read as the kernel says it, shown as a tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.host import processes
from cupel.host.processes import Process


def stat(pid: int, parent: int, name: str, state: str = "S") -> str:
    rest = " ".join(str(number) for number in range(20, 40))
    return f"{pid} ({name}) {state} {parent} 0 0 0 0 0 0 0 0 0 150 50 0 0 20 0 3 0 9000 {rest}"


def said(*rows: tuple[int, int, str, str], own: int = 99) -> bytes:
    parts = [str(own), "100.00"]
    for pid, parent, name, command in rows:
        parts += [stat(pid, parent, name), "do_wait", command, ""]
    return "\0".join([*parts, ""]).encode()


ROWS = (
    (1, 0, "init", "cupel-init"),
    (7, 1, "bash", "/bin/bash -eo pipefail -c make"),
    (9, 7, "make", "make"),
    (12, 9, "python3", "python3 -m pytest"),
    (10, 7, "tee", "tee log"),
    (99, 1, "bash", "/bin/bash -c LOOK"),
    (5, 1, "init", "cupel-init"),
)


def test_processes_are_shown_below_their_parents_without_the_machines_own() -> None:
    found = processes.parse(said(*ROWS))
    assert [each.pid for each in found] == [7, 9, 12, 10]
    assert (found[0].cpu, found[0].age, found[0].threads) == (2.0, 10.0, 3)
    commands = ("/bin/bash -eo", "make", "python3", "tee log")
    at = [line.index(text, 40) for line, text in zip(processes.tree(found), commands, strict=True)]
    assert [each - at[0] for each in at] == [0, 2, 4, 2]


def test_a_name_may_hold_anything() -> None:
    (found,) = processes.parse(said((7, 1, "a) R (b", "x\n\x1b[2Jy\u202e")))
    assert (found.name, found.state) == ("a) R (b", "S")
    assert found.command == "x \N{REPLACEMENT CHARACTER}[2Jy\N{REPLACEMENT CHARACTER}"


def test_threads_of_a_kernel_are_nobodys_business() -> None:
    rows = ((2, 0, "kthreadd", ""), (8, 2, "kworker/0:1", ""), (9, 1, "getty", "getty"))
    assert [each.pid for each in processes.parse(said(*rows))] == [9]


def test_of_many_the_first_are_shown_and_the_rest_is_counted() -> None:
    rows = [(number, 1, "sleep", "sleep 60") for number in range(100, 200)]
    lines = processes.tree(processes.parse(said(*rows)))
    assert len(lines) == processes.SHOWN + 1
    assert lines[-1].strip() == "and 60 more"


def test_a_circle_of_parents_hides_nobody_else() -> None:
    found = processes.parse(said((7, 8, "a", "a"), (8, 7, "b", "b"), (9, 1, "c", "c")))
    assert [line.split()[-1] for line in processes.tree(found)] == ["c"]


def test_a_record_has_what_the_log_cuts() -> None:
    command = "cc " + "x" * 1000
    found = processes.parse(said((7, 1, "cc", command)))
    assert command in processes.record(found)
    assert command not in "\n".join(processes.tree(found))


@given(st.binary(max_size=400))
def test_whatever_comes_back_is_read(data: bytes) -> None:
    lines = processes.tree(processes.parse(data))
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("/usr/bin/python3.11 -m pytest", True),
        ("python x", True),
        ("/opt/jdk/bin/java -jar a", True),
        ("/usr/bin/make python", False),
        ("", False),
    ],
)
def test_who_can_say_where_it_is_is_asked(command: str, asked: bool) -> None:
    process = Process(
        pid=7, parent=1, name="x", state="S", threads=1, cpu=0.0, age=0.0, wchan="", command=command
    )
    assert processes.is_asked(process) is asked


def test_the_look_itself_sees_real_processes_and_has_python_say_where_it_is() -> None:
    """In a process namespace of its own, as machines have one."""
    made = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False)
    if made.returncode != 0:
        pytest.skip("process namespaces need root here")
    code = "import time\ndef waits():\n    print('up', flush=True)\n    time.sleep(60)\nwaits()"
    script = f'{sys.executable} -c "$1" & read -t 20 _ <&3; bash -c "$2"; wait'
    up, inside = os.pipe()
    ran = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "bash", "-c",
         f'exec 3<&{up}; {script.replace("&", f">&{inside} &", 1)}', "bash", code, processes.LOOK],
        capture_output=True, pass_fds=(up, inside), timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONFAULTHANDLER": "1"},
    )  # fmt: skip
    os.close(up)
    os.close(inside)
    found = processes.parse(ran.stdout)
    assert found, ran
    (python,) = [each for each in found if each.name.startswith("python")]
    assert "time.sleep(60)" in python.command
    assert python.state in "RS"
    assert python.age < 60
    assert re.search(rb'File "<string>", line 4 in waits', ran.stderr)


def test_the_look_is_quick() -> None:
    began = time.monotonic()
    ran = subprocess.run(
        ["bash", "-c", processes.LOOK.partition('[ "${#javas')[0]],
        capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    assert len(processes.parse(ran.stdout)) >= 2
    assert time.monotonic() - began < 5.0
