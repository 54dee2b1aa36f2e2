"""The store of caches, and the images that it makes of tars that nobody vouches for."""

from __future__ import annotations

import asyncio
import io
import random
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.errors import InfraError, UserError
from cupel.host.caches import erofs, pack
from cupel.host.caches.store import IDLE_SECONDS, Caches

LIMIT = 64 << 20
MOST_FREE = 2 << 40


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test says how full the disk is, not the computer that it runs on."""
    free = lambda _: shutil._ntuple_diskusage(MOST_FREE, 0, MOST_FREE)  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", free)


def tar(fill: Callable[[tarfile.TarFile], None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        fill(archive)
    return buffer.getvalue()


def files(content: Mapping[str, bytes]) -> bytes:
    def fill(archive: tarfile.TarFile) -> None:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

    return tar(fill)


def special(name: str, kind: bytes, **changes: object) -> bytes:
    def fill(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type = kind
        for key, value in changes.items():
            setattr(member, key, value)
        archive.addfile(member)

    return tar(fill)


def framed(*archives: bytes, piece: int = 700) -> bytes:
    return b"".join(
        b"".join(
            pack.LENGTH.pack(len(part)) + part
            for part in (each[at : at + piece] for at in range(0, len(each), piece))
        )
        + pack.LENGTH.pack(0)
        for each in archives
    )


def packed(*archives: bytes) -> bytes:
    target = io.BytesIO()
    pack.pack(io.BytesIO(framed(*archives)), target, len(archives))
    return target.getvalue()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 5000):
        yield data[at : at + 5000]


def extracted(image: bytes, tmp_path: Path) -> Path:
    """What another reader of the format makes of an image."""
    if shutil.which("fsck.erofs") is None:
        pytest.skip("needs erofs-utils")
    (tmp_path / "image").write_bytes(image)
    target = tmp_path / "tree"
    command = ["fsck.erofs", f"--extract={target}", "--no-preserve-owner", tmp_path / "image"]
    subprocess.run(command, check=True, capture_output=True)
    return target


class TestImage:
    def test_it_holds_what_the_archives_hold(self, tmp_path: Path) -> None:
        def fill(archive: tarfile.TarFile) -> None:
            archive.add(source, ".")

        source = tmp_path / "source"
        (source / "deep" / "er").mkdir(parents=True)
        (source / "deep" / "er" / "big").write_bytes(random.Random(1).randbytes(100_001))
        (source / "empty").touch()
        (source / "again").hardlink_to(source / "deep" / "er" / "big")
        (source / "link").symlink_to("deep/er")
        (source / "long").symlink_to("x" * 3000)
        for number in range(400):
            (source / f"one of many files with a long name {number:04}").write_text(str(number))
        target = extracted(packed(tar(fill), files({"b": b"second"})), tmp_path)
        assert sorted(path.name for path in target.iterdir()) == ["0", "1"]
        command = ["diff", "-r", "--no-dereference", source, target / "0"]
        subprocess.run(command, check=True)
        assert (target / "1" / "b").read_text() == "second"
        assert (target / "0" / "long").readlink() == Path("x" * 3000)

    def test_parents_that_are_not_named_are_made(self, tmp_path: Path) -> None:
        target = extracted(packed(files({"a/b/c": b"x"})), tmp_path)
        assert (target / "0" / "a" / "b" / "c").read_bytes() == b"x"

    def test_what_comes_later_takes_the_place(self, tmp_path: Path) -> None:
        target = extracted(packed(files({"a": b"x", "a/b": b"y"})), tmp_path)
        assert (target / "0" / "a" / "b").read_bytes() == b"y"

    @pytest.mark.parametrize(
        "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=["chr", "blk", "fifo"]
    )
    def test_devices_and_pipes_are_left_out(self, kind: bytes, tmp_path: Path) -> None:
        target = extracted(packed(special("d", kind)), tmp_path)
        assert list((target / "0").iterdir()) == []

    @pytest.mark.parametrize(
        ("archive", "why"),
        [
            (files({"../x": b""}), "leads out"),
            (files({"a/../../x": b""}), "leads out"),
            (files({"/".join(["d"] * 300): b""}), "too deep"),
            (files({"x" * 256: b""}), "no name"),
            (special("x", tarfile.SYMTYPE, linkname="y" * 5000), "5000 bytes"),
            (special("x", tarfile.SYMTYPE, linkname=""), "0 bytes"),
            (special("x", tarfile.LNKTYPE, linkname="not there"), "not there"),
            (special("x", tarfile.LNKTYPE, linkname="../../etc/passwd"), "leads out"),
            (special(".", tarfile.SYMTYPE, linkname="/etc"), "no directory"),
        ],
    )
    def test_what_it_cannot_hold_is_refused(self, archive: bytes, why: str) -> None:
        with pytest.raises(UserError, match=why):
            packed(archive)

    def test_an_archive_that_is_cut_off_is_refused(self) -> None:
        whole = framed(files({"a": b"x" * 5000}))
        with pytest.raises((EOFError, tarfile.TarError, OSError)):
            pack.pack(io.BytesIO(whole[:2500]), io.BytesIO(), 1)

    def test_a_second_archive_that_never_comes_is_missed(self) -> None:
        with pytest.raises(EOFError):
            pack.pack(io.BytesIO(framed(files({"a": b""}))), io.BytesIO(), 2)

    def test_there_is_an_end_to_how_many_files_it_takes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(erofs, "MOST_NODES", 10)
        with pytest.raises(UserError, match="more than 10 files"):
            packed(files({str(number): b"" for number in range(20)}))

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_no_bytes_do_harm(self, data: st.DataObject) -> None:
        archive = bytearray(files({"a/b": b"x" * 600, "c": b"y"}) + files({"d": b"z"}))
        for _ in range(data.draw(st.integers(0, 6))):
            archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
        try:
            image = packed(bytes(archive))
        except (UserError, tarfile.TarError, EOFError, OSError, ValueError):
            return
        assert len(image) % erofs.BLOCK == 0


class TestStore:
    def test_what_is_saved_is_there_and_whole(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            caches = Caches(tmp_path)
            size = await caches.save("7.pip", [pieces(files({"a": b"x" * 9000}))], limit=LIMIT)
            image = caches.find("7.pip")
            assert image is not None
            assert image.stat().st_size == size
            assert caches.names() == ("7.pip",)
            caches.remove("7.pip")
            caches.remove("7.pip")
            assert caches.find("7.pip") is None

        asyncio.run(scenario())

    def test_what_is_too_large_is_not_kept(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            caches = Caches(tmp_path)
            with pytest.raises(UserError, match="larger than 65536 bytes"):
                await caches.save("7.a", [pieces(files({"a": b"x" * 200_000}))], limit=65536)
            assert caches.names() == ()
            assert list((tmp_path / "incoming").iterdir()) == []

        asyncio.run(scenario())

    def test_what_is_broken_is_not_kept(self, tmp_path: Path) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield files({"a": b"x"})[:700]
            raise InfraError("the machine went away")

        async def scenario() -> None:
            caches = Caches(tmp_path)
            with pytest.raises(InfraError, match="went away"):
                await caches.save("7.a", [broken()], limit=LIMIT)
            with pytest.raises(UserError):
                await caches.save("7.b", [pieces(b"no tar at all" * 100)], limit=LIMIT)
            assert caches.names() == ()
            assert list((tmp_path / "incoming").iterdir()) == []

        asyncio.run(scenario())

    def test_a_full_disk_is_left_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full = shutil._ntuple_diskusage(MOST_FREE, MOST_FREE, 1 << 30)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(InfraError, match="too little room"):
            asyncio.run(Caches(tmp_path).save("7.a", [], limit=LIMIT))

    def test_what_a_killed_life_left_is_no_cache_and_goes(self, tmp_path: Path) -> None:
        half = tmp_path / "incoming" / "7.pip"
        half.parent.mkdir()
        half.write_bytes(b"half")
        caches = Caches(tmp_path)
        assert caches.names() == ()
        assert not half.exists()

    @pytest.mark.parametrize("name", ["", "pip", "../7.pip", "7.", "7.a/b", "7..x", "7.x\n"])
    def test_no_name_leads_elsewhere(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(InfraError, match="no name of a cache"):
            Caches(tmp_path).find(name)

    def test_those_that_were_not_used_lately_are_pruned(self, tmp_path: Path) -> None:
        now = 1_000_000.0
        caches = Caches(tmp_path, now=lambda: now)
        for name in ("1.old", "2.new"):
            (tmp_path / name).touch()
            caches.find(name)
        now += IDLE_SECONDS
        caches.find("2.new")
        assert caches.prune() == ["1.old"]
        assert caches.names() == ("2.new",)
