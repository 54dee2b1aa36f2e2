"""Virtual machines that boot what is no system of ours."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import shutil
import struct
import tarfile
import time
from pathlib import Path

import pytest

from cupel.config.image import ImageConfig
from cupel.config.system import BlobConfig, SystemConfig
from cupel.host import messages, runner
from cupel.host.messages import BootSpec, BuildSpec, Output, SourceSpec, StepSpec
from cupel.host.providers.vm.provider import VmProvider
from cupel.host.runner import Outcome
from integration import leftovers, test_provider_vm
from integration.provider_contract import machine_of, pieces
from integration.test_provider_vm import spec, store, vm_provider

pytestmark = [
    *test_provider_vm.pytestmark,
    pytest.mark.skipif(shutil.which("qemu-img") is None, reason="there is no qemu-img"),
]

NUMBER = 0x10
PRINT = bytes.fromhex("AC 84C0 7406 BAF803 EE EBF5 C3")
"""A routine for the text at SI, to the first serial port."""


def sector(*, writes: bool = True) -> bytes:
    """A boot sector that greets, writes to its disk, prints the beginning of the second disk, and
    ends with `NUMBER`."""
    greeting, farewell, sorry = b"hello from nobody's system\r\n\0", b"\r\n\0", b"disk error\r\n\0"

    def code(printer: int, texts: tuple[int, int, int], failed: int) -> bytes:
        out = bytearray(bytes.fromhex("31C0 8ED8 8EC0"))

        def say(at: int) -> None:
            out.extend(b"\xbe" + struct.pack("<H", at))
            out.extend(b"\xe8" + struct.pack("<h", printer - (0x7C00 + len(out) + 3)))

        def disk(call: int, memory: int, number: int, drive: int) -> None:
            for opcode, value in ((0xB8, call), (0xBB, memory), (0xB9, number), (0xBA, drive)):
                out.extend(bytes([opcode]) + struct.pack("<H", value))
            out.extend(b"\xcd\x13\x0f\x82" + struct.pack("<h", failed - (0x7C00 + len(out) + 6)))

        say(texts[0])
        if writes:
            disk(0x0301, 0x7C00, 2, 0x80)
        disk(0x0201, 0x7E00, 1, 0x81)
        say(0x7E00)
        say(texts[1])
        out.extend(bytes([0xB0, NUMBER, 0xE6, 0xF4]))
        code.failed = 0x7C00 + len(out)  # type: ignore[attr-defined]
        say(texts[2])
        out.extend(b"\xf4\xeb\xfd")
        return bytes(out)

    length = len(code(0, (0, 0, 0), 0))
    printer = 0x7C00 + length
    first = printer + len(PRINT)
    texts = (first, first + len(greeting), first + len(greeting) + len(farewell))
    whole = code(printer, texts, code.failed) + PRINT + greeting + farewell + sorry  # type: ignore[attr-defined]
    return whole.ljust(510, b"\0") + b"\x55\xaa"


def program(text: bytes) -> bytes:
    """A program for Linux on x86-64 that prints a text and switches the computer off."""
    code = bytes.fromhex(
        "b801000000 bf01000000 488d3527000000"  # write(1, text,
        f"ba{struct.pack('<I', len(text)).hex()} 0f05"  # its length)
        "b8a9000000 bfaddee1fe be69191228 badcfe2143 0f05"  # reboot(…, RB_POWER_OFF)
        "ebfe"
    ) + bytes(2)
    offset = code.index(bytes.fromhex("488d35")) + 7
    code = code.replace(
        bytes.fromhex("488d3527000000"),
        bytes.fromhex("488d35") + struct.pack("<i", len(code) - offset),
    )
    body = code + text
    base = 0x400000
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, base + 120, 64, 0, 0, 64, 56, 1, 0,
        0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, 120 + len(body), 120 + len(body), 4096)
    return head + segment + body


def cpio(name: str, content: bytes) -> bytes:
    out = b""
    console = (5, 1)
    entries = [("dev", 0o40755, (0, 0), b""), ("dev/console", 0o20600, console, b""),
               (name, 0o100755, (0, 0), content), ("TRAILER!!!", 0, (0, 0), b"")]  # fmt: skip
    for number, (path, mode, device, data) in enumerate(entries):
        named = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(named), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + named
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def blob(path: Path) -> BlobConfig:
    return BlobConfig(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def written(path: Path, content: bytes) -> BlobConfig:
    path.write_bytes(content)
    return blob(path)


def sources(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(f"./{name}")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"text"))
    return buffer.getvalue()


def boot(
    tmp_path: Path,
    system: SystemConfig,
    rule: BootSpec,
    **changes: object,
) -> tuple[Outcome, str]:
    """How a build ends that boots this system, and its log."""
    wanted = spec(image=ImageConfig(suite=None, packages=(), system=system), **changes)
    said = bytearray()

    async def hear(message: messages.ToServer) -> None:
        if isinstance(message, Output):
            said.extend(message.data)

    async def whole() -> Outcome:
        provider = VmProvider(tmp_path / "state", environ={}, store=store())
        try:
            digest = await provider.prepare(wanted, print)
            assert provider.find(wanted) == digest
            async with machine_of(provider, wanted) as machine:
                assert machine.image == digest
                await machine.copy_in(pieces(sources("src/README")), "/build")
                build = BuildSpec(
                    build=1,
                    project="p",
                    job="j",
                    source=SourceSpec(url="", ref="", commit="", branch="main"),
                    steps=(StepSpec(name="boot", run="", boot=rule),),
                    timeout=60.0,
                )
                run = runner.Runner(machine, build, memory=wanted.memory, send=hear, now=time.time)
                outcome = await run.run()
                assert "console.log" in machine.records()
                return outcome
        finally:
            await provider.close()

    outcome = asyncio.run(whole())
    assert leftovers.of(tmp_path / "state") == {}
    return outcome, said.decode(errors="replace")


PASSED = Outcome(verdict="success")


@pytest.fixture
def disk(tmp_path: Path) -> SystemConfig:
    return SystemConfig(disk=written(tmp_path / "disk", sector().ljust(1 << 20, b"\0")))


def test_a_disk_is_booted_and_never_written_and_sees_the_sources(
    tmp_path: Path, disk: SystemConfig
) -> None:
    rule = BootSpec(expect=("hello from *system",), fail=("error",), exit=NUMBER)
    outcome, log = boot(tmp_path, disk, rule)
    assert outcome == PASSED
    assert "hello from nobody's system" in log
    assert "src/README" in log
    images = list((tmp_path / "state" / "images").glob("sha256:*/rootfs/disk"))
    assert [image.read_bytes() for image in images] == [(tmp_path / "disk").read_bytes()]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (BootSpec(exit=3), "the system ended with 16"),
        (BootSpec(off=True), "the system ended with 16"),
        (BootSpec(expect=("hello", "bye")), "ended with 16 before its console said: bye"),
        (BootSpec(expect=("bye",), fail=("n*body",)), "hello from nobody's system"),
    ],
)
def test_a_system_fails_by_its_rule(
    tmp_path: Path, disk: SystemConfig, rule: BootSpec, reason: str
) -> None:
    outcome, _ = boot(tmp_path, disk, rule)
    assert outcome.verdict == "failure"
    assert outcome.reason is not None
    assert outcome.reason.endswith(reason)


def kernel(tmp_path: Path) -> Path:
    async def fetched() -> Path:
        provider = vm_provider(tmp_path / "fetching")
        try:
            return (await provider._kernels.ensure(print)).image
        finally:
            await provider.close()

    return asyncio.run(fetched())


def test_a_kernel_of_ones_own_says_and_does_what_its_rule_asks(tmp_path: Path) -> None:
    init = program(b"\n12 of 12 tests passed\n")
    system = SystemConfig(
        kernel=blob(kernel(tmp_path)),
        initrd=written(tmp_path / "initrd", cpio("init", init)),
        append="console=ttyS0 quiet panic=-1",
    )
    rule = BootSpec(expect=("12 of * tests passed",), fail=("Kernel panic",), off=True)
    outcome, log = boot(tmp_path, system, rule)
    assert outcome == PASSED, log
    lost = dataclasses.replace(system, initrd=None)
    outcome, log = boot(tmp_path / "lost", lost, rule)
    assert outcome.verdict == "failure"
    assert outcome.reason is not None
    assert "Kernel panic" in outcome.reason
