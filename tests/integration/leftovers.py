"""What machines of a state directory could leave behind, looked for all over the computer."""

from __future__ import annotations

import re
from pathlib import Path

from cupel.host.providers.namespace import cgroups


def of(state: Path) -> dict[str, list[str]]:
    """Everything that is left, by kind; kinds of which nothing is left are missing."""
    found = {
        "directories": [*_entries(state / "machines"), *map(str, state.glob("shells/vm-*"))],
        "control groups": _groups(state),
        "processes": _processes(state),
        "loop devices": _loops(state),
        "mounts": _mounts(Path("/proc/self/mountinfo"), state),
    }
    return {kind: names for kind, names in found.items() if names}


def of_machines(state: Path) -> dict[str, list[str]]:
    """What is left of machines while their agent runs, which keeps one laid out for nobody yet."""
    found = of(state)
    groups = [root for root in found.get("control groups", []) if len(_groups_below(root)) > 1]
    left = {"directories": found.get("directories", []), "control groups": groups}
    return {kind: names for kind, names in left.items() if names}


def _groups_below(directory: str) -> list[Path]:
    try:
        return [path for path in Path(directory).iterdir() if path.is_dir()]
    except FileNotFoundError:  # it has gone just now
        return []


def _entries(directory: Path) -> list[str]:
    return [str(path) for path in directory.iterdir()] if directory.is_dir() else []


def _groups(state: Path) -> list[str]:
    tree = cgroups.Tree(state, cgroups.here())
    return [str(root) for root in tree.roots if root.exists()]


def _processes(state: Path) -> list[str]:
    """The processes that see a mount of the state directory."""
    return [
        path.parent.name for path in Path("/proc").glob("[0-9]*/mountinfo") if _mounts(path, state)
    ]


def _mounts(mountinfo: Path, state: Path) -> list[str]:
    try:
        lines = mountinfo.read_text().splitlines()
    except OSError:
        return []
    return [
        line for line in lines if re.search(rf"{re.escape(str(state))}/(machines|shells)/", line)
    ]


def _loops(state: Path) -> list[str]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [str(file) for file in files if _text(file).startswith(f"{state}/")]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
