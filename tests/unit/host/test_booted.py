"""The second disk of a system that is booted: a tar of what its build brings along."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from cupel.errors import InfraError
from cupel.host.providers.vm import booted

SIZE = 1 << 20


def came(path: Path, *names: str, size: int = 3) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            else:
                member.size = size
            tar.addfile(member, io.BytesIO(b"x" * size))
        link = tarfile.TarInfo(f"{names[0]}-again")
        link.type, link.linkname = tarfile.LNKTYPE, names[0]
        tar.addfile(link)
    return path


def disk(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def test_what_comes_is_added_below_its_place_and_the_rest_left_out(tmp_path: Path) -> None:
    source = disk(tmp_path / "source")
    first = came(tmp_path / "first", "./src/a", "./src/b/", "./.mirrors/x", "artifacts/y")
    booted._append(first, source, PurePosixPath())
    booted._append(came(tmp_path / "second", "./kernel"), source, PurePosixPath("needs/build"))
    assert source.stat().st_size == SIZE
    with tarfile.open(source) as tar:
        assert tar.getnames() == [
            "src/a", "src/b", "src/a-again", "needs/build/kernel", "needs/build/kernel-again"
        ]  # fmt: skip
        for name in ("src/a-again", "needs/build/kernel-again"):
            file = tar.extractfile(name)  # through the name that it links to
            assert file is not None
            assert file.read() == b"xxx"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    large = came(tmp_path / "large", "src/a", size=SIZE)
    with pytest.raises(ValueError, match="larger than the label's disk, 1 MiB"):
        booted._append(large, disk(tmp_path / "source"), PurePosixPath())


def test_a_disk_has_the_size_that_its_system_sees(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(513))
    assert booted._virtual_size(path, "raw") == 1024
    path.write_bytes(b"QFI\xfb" + bytes(20) + (1 << 33).to_bytes(8, "big") + bytes(100))
    assert booted._virtual_size(path, "qcow2") == 1 << 33
    path.write_bytes(b"short")
    with pytest.raises(InfraError, match="no qcow2 file"):
        booted._virtual_size(path, "qcow2")
