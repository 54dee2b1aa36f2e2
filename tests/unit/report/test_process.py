"""The process that reads: what it may use, what it survives, and what it says then."""

import asyncio
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cupel.control.results import Reader
from cupel.core.results import Findings
from cupel.errors import NotFound
from cupel.report.results import findings, junit
from cupel.report.results.store import ResultStore

GOOD = b"<testsuite><testcase name='a'/></testsuite>"


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def read(tmp_path: Path, data: bytes, limit: int = 1 << 30) -> Findings | None:
    """What is told of a tar, by a process of its own."""

    async def go() -> Findings | None:
        store = ResultStore(tmp_path / "results")
        spool = store.spool(limit)
        for at in range(0, len(data), 1 << 20):
            spool.feed(0, data[at : at + (1 << 20)])
        return await Reader(store).read(1, spool, ())

    return asyncio.run(go())


def test_a_tar_that_is_cut_gives_what_is_whole_in_it(tmp_path: Path) -> None:
    data = packed({"a.xml": GOOD, "b.xml": b"<testsuite>" + b"<x/>" * 50_000})
    told = read(tmp_path, data, limit=100_000)
    assert told is not None
    assert told.tally.passed == 1
    assert told.notices == (
        "b.xml: it is cut off",
        "there is more than may be read; the rest was left out",
    )


def test_links_devices_and_names_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("x.xml")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("../../\x1b[31m\u202eevil.xml")
        member.size = 10
        tar.addfile(member, io.BytesIO(b"<testsuite"))
    told = read(tmp_path, made.getvalue())
    assert told is not None
    [notice] = told.notices
    assert notice.startswith(r"../../\u202eevil.xml: ")
    assert {path.name for path in tmp_path.rglob("*")} == {"results", "incoming", "0", "1"}


@pytest.mark.parametrize(
    "data", [b"\xff" * 5000, b"x", packed({"a": b""})[:600], packed({"a.txt": b"nothing here"})]
)
def test_what_is_no_tar_or_has_no_results_is_nobodys_failure(tmp_path: Path, data: bytes) -> None:
    told = read(tmp_path, data)
    assert told is None or told.tally.total == 0
    if told is None:
        with pytest.raises(NotFound):
            ResultStore(tmp_path / "results").open(1)


def run(tmp_path: Path, data: bytes, limits: str) -> tuple[int, bytes]:
    """The exit status and the answer of the process with other limits than it has."""
    (tmp_path / "tar").write_bytes(data)
    script = f"""
import sys
from pathlib import Path
import cupel.report.results.__main__ as reading
{limits}
reading.main([{str(tmp_path / "out")!r}, "", {str(tmp_path / "tar")!r}])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    return done.returncode, done.stdout


TRIES = """
import os, socket, sys
from cupel.report.results import seal
held = open("/etc/passwd")
if not seal.seal():
    print("none")
    sys.exit()
def tries(what, *arguments):
    try:
        what(*arguments)
    except PermissionError:
        return
    print("may", what)
tries(open, "/etc/hostname")
tries(os.open, "new", os.O_CREAT | os.O_WRONLY)
tries(os.unlink, "nothing")
tries(os.execv, "/bin/true", ["true"])
tries(os.fork)
tries(socket.socket)
tries(os.kill, os.getppid(), 0)
tries(os.stat, "/")
print(len(held.read()) > 0)
"""


def test_a_sealed_process_opens_starts_reaches_and_signals_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", TRIES], capture_output=True, check=True)
    if done.stdout == b"none\n":
        pytest.skip("no seccomp for processes here")
    assert done.stdout == b"True\n"


def test_every_encoding_is_read_in_a_sealed_process(tmp_path: Path) -> None:
    files = {
        f"{name}.xml": f'<?xml version="1.0" encoding="{name}"?><testcase name="{name} é"/>'.encode(
            name
        )
        for name in junit._ENCODINGS - {"us-ascii"}
    }
    told = read(tmp_path, packed(files))
    assert told is not None
    assert (told.notices, told.tally.passed) == ((), len(files))
    with ResultStore(tmp_path / "results").open(1) as kept:
        assert {each.name for each in kept} == {f"{name[:-4]} é" for name in files}


def test_reading_ends_when_its_time_is_over_and_keeps_what_it_has(tmp_path: Path) -> None:
    cases = b"".join(b"<testcase name='t%d'/>" % n for n in range(400_000))
    data = packed({"a.xml": b"<testsuite>" + cases + b"</testsuite>"})
    status, out = run(tmp_path, data, "reading.CPU_SECONDS = 1")
    assert status == 0
    told = findings.parse(out)
    assert "reading them takes too long, so the rest is not read" in told.notices[0]
    assert 0 < told.tally.total < 400_000
