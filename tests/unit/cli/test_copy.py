"""What comes out of a machine is written here only as plain files, and only where it was named."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cupel.cli import copy, visit
from cupel.errors import UserError


def made(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return buffer


def file(name: str, content: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(member, key, value)
    return member, content


def test_a_directory_comes_with_its_files_and_their_modes(tmp_path: Path) -> None:
    local = tmp_path / "out"
    tar = made(
        file("."[:1], b"", type=tarfile.DIRTYPE),
        file("./a", b"one"),
        file("./deep/b", b"two", mode=0o4755),
        file("./same", b"", type=tarfile.LNKTYPE, linkname="./a"),
    )
    copy.unpack(tar, local, is_directory=True)
    assert (local / "a").read_bytes() == (local / "same").read_bytes() == b"one"
    assert (local / "deep/b").stat().st_mode & 0o7777 == 0o755


def test_a_file_takes_the_name_that_was_given_whatever_it_says(tmp_path: Path) -> None:
    copy.unpack(made(file("passwd", b"new")), tmp_path / "mine", is_directory=False)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../above", "a/../../above", "esc\x1b[2J"])
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    local = tmp_path / "out"
    with pytest.raises(UserError, match="cannot be taken"):
        copy.unpack(made(file("./good"), file(name)), local, is_directory=True)
    assert not local.exists()


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    local = tmp_path / "out"
    tar = made(
        file("./link", b"", type=tarfile.SYMTYPE, linkname="/etc"),
        file("./link/passwd", b"through it"),
        file("./fifo", b"", type=tarfile.FIFOTYPE),
        file("./null", b"", type=tarfile.CHRTYPE),
    )
    copy.unpack(tar, local, is_directory=True)
    assert not (local / "link").is_symlink()
    assert sorted(str(p.relative_to(local)) for p in local.rglob("*")) == ["link", "link/passwd"]


def test_a_link_that_is_here_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "other")
    copy.unpack(made(file("f", b"theirs")), tmp_path / "out", is_directory=False)
    assert (tmp_path / "other").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "theirs"


@pytest.mark.parametrize("cut", [100, 700])
def test_what_is_cut_off_is_refused(cut: int, tmp_path: Path) -> None:
    whole = made(file("f", b"x" * 1000)).getvalue()
    with pytest.raises(UserError, match="cut off"):
        copy.unpack(io.BytesIO(whole[:cut]), tmp_path / "f", is_directory=False)


@pytest.mark.parametrize(
    ("typed", "sent", "leaves"),
    [
        ([b"ls\r"], b"ls\r", False),
        ([b"~", b"."], b"", True),
        ([b"a~.\r"], b"a~.\r", False),
        ([b"ls\r~", b"."], b"ls\r", True),
        ([b"~~."], b"~.", False),
        ([b"~x"], b"~x", False),
    ],
)
def test_a_tilde_and_a_dot_at_the_beginning_of_a_line_leave(
    typed: list[bytes], sent: bytes, leaves: bool
) -> None:
    escapes = visit.Escapes()
    got, left = b"", False
    for data in typed:
        piece, out = escapes.feed(data)
        got, left = got + piece, left or out
    assert (got, left) == (sent, leaves)
