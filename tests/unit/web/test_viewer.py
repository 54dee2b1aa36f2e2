"""Files that builds left, hostile ones above all, as they are shown."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib

import pytest

from cupel.web import viewer
from cupel.web.viewer import archive, table, written
from cupel.web.viewer.archive import Listing
from cupel.web.viewer.picture import Picture
from cupel.web.viewer.table import Table
from cupel.web.viewer.written import Text

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def seen(path: str, data: bytes, *, first: int = 1) -> viewer.Shown:
    return viewer.of(path, io.BytesIO(data), len(data), first=first)


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("a.png", PNG, "picture"),
        ("a.txt", PNG, "picture"),
        ("a.png", b"<script>alert(1)</script>", "dump"),
        ("a.png", b"<svg onload=alert(1)>", "dump"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(9), "picture"),
        ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "picture"),
        ("a.gif", b"GIF89a" + bytes(9), "picture"),
        ("a.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "picture"),
        ("a.svg", b"<html><script>alert(1)</script>", "text"),
        ("index.html", b"<!doctype html><script>alert(1)</script>", "report"),
        ("INDEX.HTM", b"<b>", "report"),
        ("a.xml", b"<?xml version='1.0'?><svg/>", "text"),
        ("a.bin", bytes(range(256)), "dump"),
        ("a.log", b"\x1b[31mred\x1b[0m\r\n", "text"),
        ("a.txt", b"\xff\xfe\x00", "dump"),
        ("a.csv", b"a,b\n1,2\n", "table"),
        ("a.csv", bytes(range(256)), "dump"),
        ("empty", b"", "text"),
    ],
)
def test_the_first_bytes_say_what_a_file_is(path: str, data: bytes, kind: str) -> None:
    assert viewer.kind(seen(path, data)) == kind


def test_an_image_that_is_none_is_not_shown_as_one() -> None:
    shown = seen("logo.png", b"MZ\x90\0")
    assert isinstance(shown, viewer.Dump)
    assert "PNG" in shown.note
    assert shown.rows[0] == ("000000", "4d 5a 90 00", "MZ··")
    vector = seen("a.svg", b"<!-- c -->\n<svg/>")
    assert vector == Picture(media_type="image/svg+xml")


def test_a_long_text_comes_in_parts() -> None:
    data = b"".join(b"line %d\n" % number for number in range(1, 2501))
    begin = seen("a.txt", data)
    assert isinstance(begin, Text)
    assert (begin.lines[0], begin.last, begin.next) == ("line 1", 1000, 1001)
    end = seen("a.txt", data, first=2001)
    assert isinstance(end, Text)
    assert (end.lines[0], end.lines[-1], end.next) == ("line 2001", "line 2500", None)
    beyond = seen("a.txt", data, first=9999)
    assert isinstance(beyond, Text)
    assert (beyond.lines, beyond.note) == ((), "It ends before line 9999.")


def test_a_line_without_an_end_goes_on_in_the_next() -> None:
    shown = seen("a.txt", b"x" * (3 * written.LONGEST))
    assert isinstance(shown, Text)
    assert [len(line) for line in shown.lines] == [written.LONGEST] * 3


def test_json_is_arranged_and_bounded() -> None:
    shown = seen("a.json", b'{"b":[1,2],"a":"\\u202e<b>"}')
    assert isinstance(shown, Text)
    assert json.loads("\n".join(shown.lines)) == {"b": [1, 2], "a": "\u202e<b>"}
    assert shown.lines[1:3] == ('  "b": [', "    1,")
    for bad in (b"{", b"[" * 100_000, b"1" * 9_000, b'{"a":' * 5000, b"nan"):
        plain = seen("a.json", bad)
        assert isinstance(plain, Text)
        assert plain.note == ""  # as it is
    deep = b"[" * 400 + b"0," * 200_000 + b"0" + b"]" * 400
    arranged = seen("a.json", deep)
    assert isinstance(arranged, Text)
    assert sum(map(len, arranged.lines)) <= written.ARRANGED * 101
    many = seen("a.json", json.dumps(list(range(90_000))).encode())
    assert isinstance(many, Text)
    assert len(many.lines) == written.ARRANGED
    assert "cut off" in many.note


def test_a_table_has_bounds_each_way() -> None:
    shown = seen("a.csv", b'\xef\xbb\xbfname,"a, b"\n' + b"x,1\n" * 500)
    assert isinstance(shown, Table)
    assert (shown.heading, shown.next, len(shown.rows)) == (("name", "a, b"), 201, 200)
    rest = seen("a.csv", b"h\n" + b"".join(b"%d\n" % n for n in range(1, 300)), first=201)
    assert isinstance(rest, Table)
    assert (rest.rows[0], rest.last, rest.next) == (("201",), 299, None)
    wide = seen("a.tsv", b"\t".join([b"c"] * 900))
    assert isinstance(wide, Table)
    assert (len(wide.heading), wide.wide) == (table.COLUMNS, True)
    long = seen("a.csv", b"h\n" + b"y" * 200_000 + b"\n")
    assert isinstance(long, Table)
    assert "cannot be read" in long.note


def packed(names: list[str], *, mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as opened:  # type: ignore[call-overload]
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            opened.addfile(member, io.BytesIO(b"abc"))
    return file.getvalue()


def test_archives_are_listed() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("../../etc/passwd", "x" * 10)
        opened.writestr("<script>", "")
    for path, data, entries in (
        ("a.zip", file.getvalue(), (("../../etc/passwd", 10), ("<script>", 0))),
        ("a.tar", packed(["one/two", "three"]), (("one/two", 3), ("three", 3))),
        ("a.tgz", packed(["one/two"], mode="w:gz"), (("one/two", 3),)),
    ):
        shown = seen(path, data)
        assert isinstance(shown, Listing), path
        assert shown.entries == entries
        assert shown.note == ""
    assert viewer.kind(seen("a.gz", gzip.compress(b"no tar"))) == "dump"


def test_hostile_archives_are_listed_as_far_as_they_go() -> None:
    tar = packed(["a", "b"])
    cut = seen("a.tar", tar[:1300])
    assert isinstance(cut, Listing)
    assert cut.entries == (("a", 3),)
    assert "further" in cut.note
    out = seen("a.tar", packed(["../a"]))
    assert isinstance(out, Listing)
    assert out.entries == ()
    many = seen("a.tar", packed([f"f{n}" for n in range(archive.ENTRIES + 5)]))
    assert isinstance(many, Listing)
    assert (len(many.entries), many.note) == (archive.ENTRIES, "More are in it.")
    broken = seen("a.zip", b"PK\x03\x04" + bytes(100))
    assert isinstance(broken, Listing)
    assert (broken.entries, bool(broken.note)) == ((), True)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "UNPACKED", 1 << 20)
    member = tarfile.TarInfo("zeros")
    member.size = 100 << 20
    data = zlib.compressobj(9, wbits=31)
    bomb = data.compress(member.tobuf(tarfile.USTAR_FORMAT)) + data.compress(bytes(4 << 20))
    shown = seen("a.tgz", bomb + data.flush())
    assert isinstance(shown, Listing)
    assert shown.entries == ()
    assert "cut off" in shown.note


@pytest.mark.parametrize("second", [False, True])
def test_a_zip_with_an_endless_directory_is_not_read(second: bool) -> None:
    """Its end says how long the directory is, unless a second one before it says otherwise."""
    length = 100 if second else 1 << 30
    locator = b"PK\x06\x07" + bytes(16) if second else b""
    data = b"PK\x03\x04" + bytes(60) + locator
    data += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, length, 4, 0)
    shown = seen("a.zip", data)
    assert isinstance(shown, Listing)
    assert "too long" in shown.note
