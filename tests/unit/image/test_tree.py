"""Trees: what varies goes, what is there is listed, equal ones have one digest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import py_compile
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cupel.image import pack, tree


def plant(root: Path) -> Path:
    """A tree with something of every kind, written just now."""
    for directory in ("etc", "usr/lib/python3", "var/log/apt", "var/lib/dpkg", "tmp", "run"):
        (root / directory).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\n")
    (root / "etc/machine-id").write_text(os.urandom(8).hex())
    (root / "var/log/apt/history.log").write_text(os.urandom(8).hex())
    (root / "tmp/left").write_text("x")
    (root / "usr/lib/python3/one.py").write_text("x = 1\n")
    py_compile.compile(
        str(root / "usr/lib/python3/one.py"),
        dfile="/usr/lib/python3/one.py",
        invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
    )
    os.link(root / "etc/passwd", root / "etc/passwd.same")
    (root / "etc/link").symlink_to("passwd")
    (root / "var/lib/dpkg/status").write_text(
        "Package: git\nStatus: install ok installed\nVersion: 1:2\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 3\n"
    )
    return root


def digest(root: Path) -> str:
    tree.normalise(root)
    return tree.write_manifest(root, root.with_suffix(".gz"))[0]


def test_two_trees_of_the_same_have_one_digest(tmp_path: Path) -> None:
    one, two = plant(tmp_path / "one"), plant(tmp_path / "two")
    os.utime(two / "etc/passwd", (2e9, 2e9))
    assert digest(one) == digest(two)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "etc/new").write_text(""),
        lambda root: (root / "etc/passwd").write_text("other"),
        lambda root: (root / "etc/passwd").chmod(0o600),
        lambda root: os.chown(root / "etc/link", 5, 5, follow_symlinks=False),
        lambda root: os.utime(root / "etc/passwd", (1, 1)),
        lambda root: ((root / "etc/link").unlink(), (root / "etc/link").symlink_to("x")),
        lambda root: (root / "etc/passwd.same").unlink(),
    ],
)  # fmt: skip
def test_every_difference_makes_another(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    if os.geteuid() != 0:
        pytest.skip("needs root, to give files away")
    one, two = plant(tmp_path / "one"), plant(tmp_path / "two")
    change(two)
    assert digest(one) != digest(two)


def test_what_varies_is_gone_and_the_rest_is_listed(tmp_path: Path) -> None:
    root = plant(tmp_path / "root")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(root / "etc/door"))
    digest(root)
    found = tree.read_manifest(tmp_path / "root.gz")
    assert found["etc/link"].content == "passwd"
    assert found["etc/passwd.same"].first == "etc/passwd"
    content = (root / "etc/passwd").read_bytes()
    assert found["etc/passwd"].content == hashlib.sha256(content).hexdigest()
    assert max(entry.time for entry in found.values()) == tree.EPOCH
    gone = {"etc/machine-id", "var/log/apt/history.log", "tmp/left", "etc/door"}
    assert gone.isdisjoint(found)
    assert {"var/log/apt", "tmp"} <= set(found)
    assert tree.packages(root) == {"git": "1:2"}


def test_packages_of_python_are_known_where_pip_has_put_them(tmp_path: Path) -> None:
    for place in (
        "usr/local/lib/python3.11/dist-packages/typing_extensions-4.12.2.dist-info",
        "opt/venv/lib/python3.13/site-packages/Jinja2-3.1.4.dist-info",
        "usr/lib/python3/dist-packages/PyYAML-6.0.dist-info",  # Debian's own: dpkg has it
        "usr/local/lib/python3.11/dist-packages/odd.dist-info",
    ):
        (tmp_path / place).mkdir(parents=True)
    outside = tmp_path / "outside" / "evil-1.dist-info"
    outside.mkdir(parents=True)
    (tmp_path / "opt" / "link").symlink_to(tmp_path / "outside")
    assert tree.packages(tmp_path) == {
        "python jinja2": "3.1.4",
        "python typing-extensions": "4.12.2",
    }


def test_no_link_leads_the_cleaning_out_of_the_tree(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    root = tmp_path / "root"
    (root / "var").mkdir(parents=True)
    (root / "tmp").symlink_to(outside)
    (root / "var/tmp").symlink_to(outside)
    tree.normalise(root)
    assert (outside / "kept").exists()
    tree.empty(root)
    assert (outside / "kept").exists()
    assert list(root.iterdir()) == []


def test_bytecode_stays_good_when_its_source_becomes_older(tmp_path: Path) -> None:
    root = plant(tmp_path / "root")
    tree.normalise(root)
    library = root / "usr/lib/python3"
    found = subprocess.run(
        [sys.executable, "-v", "-c", "import one"],
        env={"PYTHONPATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert f"matches {library}/one.py" in found.stderr


def test_the_file_is_the_same_for_the_same_tree_and_mounts(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        root = plant(tmp_path / name)
        tree.normalise(root)
        target, told = tmp_path / f"{name}.erofs", list[str]()
        (tmp_path / "mnt").mkdir(exist_ok=True)
        if not asyncio.run(pack.pack(root, target, tmp_path / "mnt", told.append)):
            assert not target.exists()
            pytest.skip(told[0])
        files.append(target.read_bytes())
    assert files[0] == files[1]


def test_without_the_program_the_image_stays_a_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "PROGRAM", "mkfs.nothing")
    told: list[str] = []
    assert not asyncio.run(pack.pack(tmp_path, tmp_path / "x", tmp_path, told.append))
    assert "no mkfs.nothing here" in told[0]
