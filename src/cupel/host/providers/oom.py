"""What a kernel has killed for want of memory, as its log tells (mm/oom_kill.c)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re

KMSG = "/dev/kmsg"
_MOST = 20_000
"""Records of the kernel's log that are read."""

_BEGINS = "Tasks state (memory values in pages)"
_TASK = re.compile(
    r"\[ *(?P<pid>[0-9]{1,10})\] +[0-9]+ +[0-9]+ +[0-9]+ +(?P<rss>[0-9]{1,15}) "
    r"+(?:-?[0-9]+ +)*(?P<name>\S.{0,64})$"
)
_GROUP = re.compile(r"oom-kill:constraint=.*?oom_memcg=(?P<group>[^,]*)")
_KILLED = re.compile(
    r"Killed process (?P<pid>[0-9]{1,10}) \((?P<name>.{0,64}?)\),? (?:UID:[0-9]+,? )?total-vm:"
    r"[0-9]+kB, anon-rss:(?P<anon>[0-9]{1,15})kB, file-rss:(?P<file>[0-9]{1,15})kB"
    r"(?:, shmem-rss:(?P<shmem>[0-9]{1,15})kB)?"
)
_PAGE = 4096
_WIDEST = 1000
"""Characters of a line: a guest may print anything."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A process that was killed, the bytes that it had, and what else ran: names and their bytes,
    the largest first."""

    name: str
    memory: int
    others: tuple[tuple[str, int], ...] = ()


def kernel_log() -> str:
    """What this computer's kernel has said lately; nothing where one may not read it."""
    said: list[bytes] = []
    with contextlib.suppress(OSError):
        descriptor = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while len(said) < _MOST:
                try:
                    said.append(os.read(descriptor, 8192).split(b"\n", 1)[0])
                except BrokenPipeError:  # overwritten meanwhile: the next read goes on after that
                    continue
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    return b"\n".join(said).decode(errors="replace")


def parse(text: str, group: str | None = None) -> list[Killed]:
    """Whom the kernel killed, in order; only within a cgroup, named by its path, if one is given.

    The path may have others before it: a server in a container does not see all of it.
    """
    found: list[Killed] = []
    tasks: dict[int, tuple[str, int]] = {}
    inside = group is None
    for each in text.splitlines():
        line = each[:_WIDEST]
        if _BEGINS in line:
            tasks, inside = {}, group is None
        elif (named := _GROUP.search(line)) is not None:
            inside = group is None or _is_within(named["group"], group)
        elif (killed := _KILLED.search(line)) is not None:
            if inside:
                found.append(_killed(killed, tasks))
        elif (task := _TASK.search(line)) is not None and len(tasks) < _MOST:
            tasks[int(task["pid"])] = (task["name"], int(task["rss"]) * _PAGE)
    return found


def _is_within(path: str, group: str) -> bool:
    return f"{path}/".find(f"{group.rstrip('/')}/") >= 0


def _killed(found: re.Match[str], tasks: dict[int, tuple[str, int]]) -> Killed:
    memory = sum(int(found[name] or 0) for name in ("anon", "file", "shmem")) << 10
    others = [task for pid, task in tasks.items() if pid != int(found["pid"])]
    largest = sorted(others, key=lambda task: -task[1])
    return Killed(name=found["name"], memory=memory, others=tuple(largest))
