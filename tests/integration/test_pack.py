"""The one file of an image holds just what the tree did, so that its digest can be verified."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.image import pack, tree, verify
from integration import images

pytestmark = pytest.mark.e2e


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, str]:
    """A file, and the digest of the tree that it was made of."""
    images.need()
    root = tmp_path / "rootfs"
    (root / "etc").mkdir(parents=True)
    (root / "etc/old").write_text("from before\n")
    os.utime(root / "etc/old", (1_000_000_000, 1_000_000_000))
    (root / "etc/new").write_text("x" * 9000)
    (root / "etc/again").hardlink_to(root / "etc/new")
    (root / "etc/link").symlink_to("../nowhere")
    (root / "etc/new").chmod(0o4750)
    os.chown(root / "etc/old", 7, 70_000)
    os.mkfifo(root / "etc/pipe")
    os.setxattr(root / "etc/old", "user.mark", b"\0\1")
    tree.normalise(root)
    digest, _ = tree.write_manifest(root, tmp_path / "of-tree.gz")
    (tmp_path / "at").mkdir()
    if not asyncio.run(pack.pack(root, tmp_path / "file", tmp_path / "at", print)):
        pytest.skip("images are kept as trees here")
    return tmp_path / "file", digest


def test_what_is_in_the_file_has_the_digest_of_the_tree(
    tmp_path: Path, packed: tuple[Path, str]
) -> None:
    file, digest = packed
    found = tmp_path / "found"
    found.mkdir()
    asyncio.run(verify.verify(file, digest, found))
    assert (found / tree.MANIFEST).read_bytes() == (tmp_path / "of-tree.gz").read_bytes()
    assert (found / tree.PACKAGES).read_text() == "{}"


def test_another_file_is_refused(tmp_path: Path, packed: tuple[Path, str]) -> None:
    file, _ = packed
    with pytest.raises(InfraError, match="is not what its digest says"):
        asyncio.run(verify.verify(file, f"sha256:{'0' * 64}", tmp_path))


def test_what_is_no_image_is_refused(tmp_path: Path, packed: tuple[Path, str]) -> None:
    file, digest = packed
    file.write_bytes(file.read_bytes()[:1024])
    with pytest.raises(InfraError, match="is not what its digest says"):
        asyncio.run(verify.verify(file, digest, tmp_path))
