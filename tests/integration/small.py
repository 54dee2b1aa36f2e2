"""A root filesystem of a few of the host's own programs: a base that is laid out in a moment."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from cupel.config.image import TarConfig

PROGRAMS = ("bash", "cat", "ls", "mkdir", "rm", "sleep", "tar", "true")


def lay(root: Path, mark: str) -> Path:
    """Make the tree; `/etc/mark` in it says `mark`."""
    for name in ("etc", "usr/bin", "usr/sbin", "tmp", "root", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin"):
        (root / link).symlink_to(f"usr/{link}")
    for name in PROGRAMS:
        program = shutil.which(name)
        assert program is not None
        shutil.copy2(Path(program).resolve(), root / "usr/bin" / name)
        for library in _libraries(program):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, target)
    (root / "usr/bin/sh").symlink_to("bash")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/mark").write_text(f"{mark}\n")
    return root


def _libraries(program: str) -> list[str]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=20)
    return re.findall(r"(/\S+) \(0x", said.stdout)


def tar(directory: Path, mark: str) -> TarConfig:
    """Such a tree as a tar."""
    root, file = lay(directory / mark, mark), directory / f"{mark}.tar"
    subprocess.run(["tar", "-cf", file, "-C", root, "."], check=True, timeout=60)
    return TarConfig(path=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())
