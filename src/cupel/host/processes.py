"""What runs in a machine, as seen from within it: who is whose child, and what each waits for.

It is looked at by one more process of the machine, in whatever provider; that is bash and nothing
else, since a machine whose time is over may have no room for more. Programs that can tell where
they are, are then asked to: Python by SIGABRT (its `faulthandler`, which `PYTHONFAULTHANDLER`
switches on, prints the stack of each thread), Java by SIGQUIT. They print it into the log. What of
the machine itself is written in Python does not have that variable, and is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from cupel.host.providers import interface
from cupel.host.providers.interface import Machine, Stream

LOOK = r"""
IFS= read -r up _ </proc/uptime
printf '%s\0%s\0' "$$" "$up"
pythons=() javas=()
cd /proc || exit
for each in [0-9]*; do
    stat= wchan= words=() stack=()
    { IFS= read -r stat <"$each/stat" && mapfile -d '' -t words <"$each/cmdline"; } 2>/dev/null
    [ -n "$stat" ] || continue
    { IFS= read -r wchan <"$each/wchan"; mapfile -n 12 -t stack <"$each/stack"; } 2>/dev/null
    line="${words[*]}"
    printf '%s\0%s\0%s\0%s\0' "$stat" "$wchan" "${line:0:4000}" "${stack[*]}"
    case "${words[0]##*/}" in
    python*)
        vars=()
        { mapfile -d '' -t vars <"$each/environ"; } 2>/dev/null
        for var in "${vars[@]}"; do
            case "$var" in PYTHONFAULTHANDLER=?*) pythons+=("$each") ;; esac
        done ;;
    java) javas+=("$each") ;;
    esac
done
[ "${#javas[@]}" -eq 0 ] || kill -QUIT "${javas[@]}"
[ "${#pythons[@]}" -eq 0 ] || kill -ABRT "${pythons[@]}"
""".strip()
"""Prints its own pid, the uptime, and four texts for each process, all ended by NUL."""

SHOWN = 40
"""Processes that the log shows."""

_WIDEST = 160
_MOST = 4 << 20
_TICK = 1 / 100
"""Seconds: what the kernel counts in, whatever its own clock (`USER_HZ`)."""

_FIELDS = 20
_OWN = 1
"""The machine's own first process."""

_KERNEL = (2, "kthreadd")
"""The parent of a kernel's own threads, where there is a kernel of its own."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process: its state in the kernel's one letter, seconds of cpu and since it began, what it
    waits for in the kernel, and its command line. `stack` is the kernel's, where one may see it."""

    pid: int
    parent: int
    name: str
    state: str
    threads: int
    cpu: float
    age: float
    wchan: str
    command: str
    stack: str = ""


async def look(machine: Machine, env: Mapping[str, str]) -> list[Process]:
    """What runs in the machine; asks those that can to print where they are. Raises InfraError."""
    process = await machine.exec(["/bin/bash", "-c", LOOK], env=env, cwd="/")
    said = bytearray()
    try:
        async with interface.closing(process.output()) as output:
            async for stream, data in output:
                if stream is Stream.OUT:
                    said += data[: _MOST - len(said)]
    except BaseException:
        await process.kill()
        raise
    return parse(bytes(said))


def is_asked(process: Process) -> bool:
    """Whether it is one of those that are asked to print where they are."""
    program = process.command.partition(" ")[0].rpartition("/")[2]
    return program == "java" or program.startswith("python")


def parse(said: bytes) -> list[Process]:
    """What `LOOK` has printed, but for itself, the machine's own and those of a kernel."""
    own, up, *rest = [each.decode(errors="replace") for each in said.split(b"\0")] + ["", ""]
    uptime = _number(up)
    found: list[Process] = []
    for stat, wchan, command, stack in zip(*(iter(rest),) * 4, strict=False):
        process = _process(stat, wchan, command, stack, uptime)
        if process is not None and str(process.pid) != own:
            found.append(process)
    kernel = {each.pid for each in found if (each.pid, each.name) == _KERNEL}
    own_command = next((each.command for each in found if each.pid == _OWN), "")
    return [
        each
        for each in found
        if each.pid != _OWN
        and not {each.pid, each.parent} & kernel
        and (each.parent, each.command) != (_OWN, own_command)  # what it has forked
    ]


def _process(stat: str, wchan: str, command: str, stack: str, uptime: float) -> Process | None:
    """See proc_pid_stat(5). The name may hold anything, so its end is the last bracket."""
    pid, _, rest = stat.partition(" (")
    name, bracket, after = rest.rpartition(") ")
    fields = after.split()
    if not bracket or len(fields) < _FIELDS or not pid.isdecimal():
        return None
    return Process(
        pid=int(pid),
        parent=int(_number(fields[1])),
        name=_shown(name, 64),
        state=fields[0][:1],
        threads=int(_number(fields[17])),
        cpu=(_number(fields[11]) + _number(fields[12])) * _TICK,
        age=max(0.0, uptime - _number(fields[19]) * _TICK),
        wchan="" if wchan == "0" else _shown(wchan, 64),
        command=_shown(command, 4000),
        stack=_shown(stack, 4000),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _shown(text: str, most: int) -> str:
    line = " ".join(text[: 2 * most].split())
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def tree(processes: Sequence[Process], most: int = SHOWN) -> list[str]:
    """Them in lines, children below their parents; the first `most`."""
    lines = [
        f"{each.pid:>7} {each.state} {each.cpu:7.1f} s {each.wchan or '-':<20} "
        f"{'  ' * min(depth, 10)}{_shown(each.command or f'[{each.name}]', _WIDEST)}"
        for depth, each in _in_order(processes)
    ]
    left = len(lines) - most
    return [*lines[:most], f"        and {left} more"] if left > 0 else lines


def record(processes: Iterable[Process]) -> str:
    """All that is known of them, for a file."""
    lines = ["pid parent state threads cpu age wchan command", ""]
    for depth, each in _in_order(list(processes)):
        front = "  " * min(depth, 10)
        lines.append(
            f"{front}{each.pid} {each.parent} {each.state} {each.threads} {each.cpu:.2f}"
            f" {each.age:.1f} {each.wchan or '-'} {each.command or f'[{each.name}]'}"
        )
        if each.stack:
            lines.append(f"{front}    kernel stack: {each.stack}")
    return "\n".join([*lines, ""])


def _in_order(processes: Sequence[Process]) -> list[tuple[int, Process]]:
    """Each with its depth, below its parent; whoever has none here is a root."""
    known = {each.pid for each in processes}
    children: dict[int, list[Process]] = {}
    roots: list[Process] = []
    for each in sorted(processes, key=lambda process: process.pid):
        if each.parent in known and each.parent != each.pid:
            children.setdefault(each.parent, []).append(each)
        else:
            roots.append(each)
    found: list[tuple[int, Process]] = []
    waiting = [(0, each) for each in reversed(roots)]
    while waiting:
        depth, each = waiting.pop()
        found.append((depth, each))
        waiting += [(depth + 1, child) for child in reversed(children.pop(each.pid, []))]
    return found
