"""A root filesystem of a few of the host's own programs: a base that is laid out in a moment."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cupel.config.image import TarConfig

_GIT = "/usr/lib/git-core"
_OF_GIT = ("git", "git-remote-http")
PROGRAMS = ("bash", "cat", "ls", "mkdir", "rm", "sleep", "tar", "true")


def lay(root: Path, mark: str, *, extra: Sequence[str] = ()) -> Path:
    """Make the tree, with `extra` programs; `/etc/mark` in it says `mark`."""
    for name in ("etc", "usr/bin", "usr/sbin", "tmp", "root", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin"):
        (root / link).symlink_to(f"usr/{link}")
    for name in (*PROGRAMS, *extra):
        program = shutil.which(name)
        assert program is not None
        _copy(program, root, f"usr/bin/{name}")
    if "git" in extra:
        for name in _OF_GIT:
            _copy(f"{_GIT}/{name}", root, f"{_GIT}/{name}".lstrip("/"))
    (root / "usr/bin/sh").symlink_to("bash")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/mark").write_text(f"{mark}\n")
    return root


def _copy(program: str, root: Path, place: str) -> None:
    """Copy a program, and the libraries that it takes."""
    for source, name in ((program, place), *((each, each) for each in _libraries(program))):
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(source).resolve(), target)


def _libraries(program: str) -> list[str]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=20)
    return re.findall(r"(/\S+) \(0x", said.stdout)


def tar(directory: Path, mark: str, *, extra: Sequence[str] = ()) -> TarConfig:
    """Such a tree as a tar."""
    root, file = lay(directory / mark, mark, extra=extra), directory / f"{mark}.tar"
    subprocess.run(["tar", "-cf", file, "-C", root, "."], check=True, timeout=60)
    return TarConfig(path=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())
