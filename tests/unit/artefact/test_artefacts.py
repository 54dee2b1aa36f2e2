"""Artefacts: what a build leaves comes back whole, and a hostile tar does nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.artefact import receive
from cupel.artefact.store import ArtefactStore
from cupel.errors import InfraError, NotFound, UserError

LIMIT = 1 << 20


def packed(*members: tarfile.TarInfo | tuple[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def take(store: ArtefactStore, data: bytes, build: int = 1, limit: int = LIMIT) -> list[str]:
    receiver = store.receiver(build, limit)
    for at in range(0, len(data), 700):
        receiver.feed(data[at : at + 700])
    return [file.path for file in receiver.finish()]


def test_files_come_back_whole(tmp_path):
    store = ArtefactStore(tmp_path)
    script = tarfile.TarInfo("bin/run")
    script.mode = 0o755
    data = packed(("./dist/a.whl", b"wheel" * 1000), ("empty", b""), ("copy", b""), script)
    assert take(store, data) == ["dist/a.whl", "empty", "copy", "bin/run"]
    with store.open(1, "dist/a.whl") as file:
        assert file.read() == b"wheel" * 1000
    first = store.files(1)[0]
    assert first.sha256 == hashlib.sha256(b"wheel" * 1000).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(b"".join(store.tar(1)))) as tar:
        assert tar.getnames() == ["dist/a.whl", "empty", "copy", "bin/run"]
        assert tar.getmember("bin/run").mode == 0o755
        content = tar.extractfile("dist/a.whl")
        assert content is not None
        assert content.read() == b"wheel" * 1000


@pytest.mark.parametrize("form", ["gnu", "posix", "ustar", "v7"])
def test_what_the_tar_program_packs_is_read(tmp_path, form):
    tree = tmp_path / "tree"
    deep = tree / ("d" * 40) / ("e" * 20)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x" * 1000)
    os.link(deep / "file", tree / "same")
    (tree / "link").symlink_to("same")
    names = {f"{'d' * 40}/{'e' * 20}/file", "same"}
    if form in {"gnu", "posix"}:
        long = tree / ("n" * 200)
        long.write_bytes(b"long")
        (tree / "ünïcode").write_bytes(b"u")
        names |= {"n" * 200, "ünïcode"}
    command = ["tar", "-cf", "-", f"--format={form}", "-C", str(tree), "."]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    store = ArtefactStore(tmp_path / "store")
    assert set(take(store, data)) == names
    with store.open(1, "same") as file:
        assert file.read() == b"x" * 1000


files = st.dictionaries(
    st.text(st.sampled_from("abcü."), min_size=1, max_size=130).filter(lambda n: n.strip(".")),
    st.binary(max_size=1500),
    max_size=5,
)


@given(files, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_any_files_come_back(tmp_path_factory, files, form):
    store = ArtefactStore(tmp_path_factory.mktemp("store"))
    take(store, packed(*files.items(), form=form))
    with tarfile.open(fileobj=io.BytesIO(b"".join(store.tar(1)))) as tar:
        read = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    assert read == files


def broken_checksum() -> bytes:
    data = bytearray(packed(("a", b"x")))
    data[0] ^= 1
    return bytes(data)


def with_pax(**fields: str) -> bytes:
    info = tarfile.TarInfo("a")
    info.pax_headers = {key.replace("_", "."): value for key, value in fields.items()}
    return packed(info, form=tarfile.PAX_FORMAT)


def huge_size() -> bytes:
    info = tarfile.TarInfo("a")
    info.size = 1 << 60
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def negative_size() -> bytes:
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "absolute": lambda: packed(("/etc/passwd", b"x")),
    "above": lambda: packed(("a/../../b", b"x")),
    "link above": lambda: packed(special("a", tarfile.LNKTYPE, "../../etc/passwd")),
    "link to nothing": lambda: packed(special("a", tarfile.LNKTYPE, "b")),
    "control characters": lambda: packed(("a\nb", b"x")),
    "not UTF-8": lambda: packed(("a\udcff", b"x")),
    "long": lambda: packed(("a/" * 600 + "b", b"x")),
    "long part": lambda: packed(("a" * 256, b"x")),
    "deep": lambda: packed(("a/" * 40 + "b", b"x")),
    "file and directory": lambda: packed(("a", b"x"), ("a/b", b"x")),
    "directory and file": lambda: packed(("a/b", b"x"), ("a", b"x")),
    "no name": lambda: packed((".", b"x")),
    "checksum": broken_checksum,
    "huge": huge_size,
    "negative": negative_size,
    "negative in pax": lambda: with_pax(size="-1"),
    "sparse": lambda: with_pax(GNU_sparse_major="1"),
    "sparse in GNU": lambda: packed(special("a", tarfile.GNUTYPE_SPARSE)),
    "long header": lambda: with_pax(comment="x" * 100_000),
    "cut off": lambda: packed(("a", b"x" * 600))[:1100],
    "no end": lambda: packed(("a", b"x"))[:1024],
    "empty": lambda: b"",
    "garbage": lambda: b"garbage" * 1000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_is_refused_and_leaves_nothing(tmp_path, name):
    store = ArtefactStore(tmp_path / "store")
    with pytest.raises(UserError, match="cannot be taken"):
        take(store, HOSTILE[name]())
    with pytest.raises(NotFound):
        store.files(1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@given(st.binary(max_size=1500), st.integers(0, 4000))
def test_damage_is_refused_or_harmless(tmp_path_factory, noise, at):
    data = bytearray(packed(("a", b"x" * 700), ("b/c", b"y"), form=tarfile.PAX_FORMAT))
    data[at : at + len(noise)] = noise
    root = tmp_path_factory.mktemp("store")
    with contextlib.suppress(UserError):
        take(ArtefactStore(root / "store"), bytes(data))
    assert [path.name for path in root.iterdir()] == ["store"]


def test_links_and_devices_are_left_out(tmp_path):
    data = packed(
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
        special("directory", tarfile.DIRTYPE),
        ("file", b"x"),
    )
    assert take(ArtefactStore(tmp_path), data) == ["file"]


def test_a_file_below_a_symbolic_link_stays_inside(tmp_path):
    store = ArtefactStore(tmp_path / "store")
    take(store, packed(special("up", tarfile.SYMTYPE, str(tmp_path)), ("up/file", b"x")))
    assert not (tmp_path / "file").exists()
    with store.open(1, "up/file") as file:
        assert file.read() == b"x"


def test_too_much_is_told_once(tmp_path):
    store = ArtefactStore(tmp_path)
    receiver = store.receiver(1, 1000)
    receiver.feed(b"x" * 1000)
    with pytest.raises(UserError, match="larger than 1000 bytes"):
        receiver.feed(b"x")
    receiver.feed(b"x")
    assert receiver.finish() == []
    receiver.discard()


def test_links_do_not_multiply_what_is_kept(tmp_path):
    links = [special(f"link{n}", tarfile.LNKTYPE, "a") for n in range(100)]
    with pytest.raises(UserError, match="bytes in them"):
        take(ArtefactStore(tmp_path), packed(("a", b"x" * 50_000), *links))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(receive, "MOST_FILES", 3)
    with pytest.raises(UserError, match="more than 3 files"):
        take(ArtefactStore(tmp_path), packed(*[(f"f{n}", b"") for n in range(4)]))


def test_the_last_of_two_files_of_a_name_counts(tmp_path):
    store = ArtefactStore(tmp_path)
    assert take(store, packed(("a", b"old"), ("a", b"new"))) == ["a"]
    with store.open(1, "a") as file:
        assert file.read() == b"new"


def test_builds_are_apart_and_can_be_forgotten(tmp_path):
    store = ArtefactStore(tmp_path)
    take(store, packed(("a", b"one")), build=1)
    take(store, packed(("a", b"again")), build=1)
    take(store, packed(), build=2)
    assert store.files(2) == []
    assert b"".join(store.tar(2)) == bytes(1024)
    with pytest.raises(NotFound):
        store.open(1, "../2/index.json")
    store.delete(1)
    store.delete(1)
    with pytest.raises(NotFound):
        store.tar(1)
    assert store.files(2) == []


def test_a_disk_that_fails_is_told(tmp_path):
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(InfraError, match="cannot be stored"):
        ArtefactStore(tmp_path / "store").receiver(1, LIMIT)
