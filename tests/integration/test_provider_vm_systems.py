"""Virtual machines that boot what is no system of ours."""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
import struct
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from cupel.config.image import ImageConfig
from cupel.config.system import BlobConfig, SystemConfig
from cupel.errors import InfraError
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
START = 0x7C00
"""Where the BIOS puts a boot sector."""


class Code:
    """Machine code of 16 bits, whose places have names."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._places: dict[str, int] = {}
        self._wanted: list[tuple[int, str, bool]] = []

    def put(self, code: str) -> None:
        self._out += bytes.fromhex(code)

    def text(self, name: str, text: str) -> None:
        self.here(name)
        self._out += text.encode() + b"\r\n\0"

    def here(self, name: str) -> None:
        self._places[name] = START + len(self._out)

    def refer(self, code: str, name: str, *, jump: bool = False) -> None:
        """An instruction that ends with a place, for jumps as seen from its end."""
        self.put(code)
        self._wanted.append((len(self._out), name, jump))
        self.put("0000")

    def say(self, name: str) -> None:
        self.refer("BE", name)
        self.refer("E8", "print", jump=True)

    def disk(self, call: str, number: int, drive: str) -> None:
        """Read (02) or write (03) a sector of a drive, at 7E00."""
        self.put(f"B801{call} BB007E B9{number:02X}00 BA{drive}00 CD13")
        self.refer("0F82", "failed", jump=True)

    def sector(self) -> bytes:
        for at, name, is_jump in self._wanted:
            value = self._places[name] - (START + at + 2 if is_jump else 0)
            self._out[at : at + 2] = struct.pack("<H", value & 0xFFFF)
        assert len(self._out) <= 510
        return bytes(self._out).ljust(510, b"\0") + b"\x55\xaa"


ENDS = {
    "exit": f"B0{NUMBER:02X} E6F4",
    "panic": "BA0505 B001 EE",
    "restart": "B0FE E664",
    "halt": "",
}
"""What a system does when it is through: each by a port of the PC or of QEMU."""


def sector(ends: str = "exit") -> bytes:
    """A boot sector that greets, writes to its disk, and says how the second disk begins. One that
    ends by `flood` greets for ever."""
    code = Code()
    code.put("31C0 8ED8 8EC0")
    code.say("greeting")
    code.disk("03", 2, "80")
    code.disk("02", 1, "81")
    code.put("BE007E")
    code.refer("E8", "print", jump=True)
    code.say("farewell")
    if ends == "flood":
        code.here("flood")
        code.say("greeting")
        code.refer("E9", "flood", jump=True)
    else:
        code.put(ENDS[ends])
    code.here("halt")
    code.put("F4 EBFD")
    code.here("failed")
    code.say("sorry")
    code.refer("E9", "halt", jump=True)
    code.here("print")  # the text at SI, to the first serial port
    code.put("AC 84C0 7406 BAF803 EE EBF5 C3")
    code.text("greeting", "hello from nobody's system")
    code.text("farewell", "")
    code.text("sorry", "disk error")
    return code.sector()


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
    *,
    timeout: float = 60.0,
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
                    timeout=timeout,
                    log_limit=1 << 16,
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


def disk(tmp_path: Path, ends: str = "exit") -> SystemConfig:
    return SystemConfig(disk=written(tmp_path / "disk", sector(ends).ljust(1 << 20, b"\0")))


def test_a_disk_is_booted_and_never_written_and_sees_the_sources(tmp_path: Path) -> None:
    rule = BootSpec(expect=("hello from *system",), fail=("error",), exit=NUMBER)
    outcome, log = boot(tmp_path, disk(tmp_path), rule)
    assert outcome == PASSED
    assert "hello from nobody's system" in log
    assert "src/README" in log
    images = list((tmp_path / "state" / "images").glob("sha256:*/rootfs/disk"))
    assert [image.read_bytes() for image in images] == [(tmp_path / "disk").read_bytes()]


def test_a_disk_may_be_a_qcow2_file_behind_ide(tmp_path: Path) -> None:
    disk(tmp_path)
    packed = tmp_path / "disk.qcow2"
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", tmp_path / "disk", packed]
    subprocess.run(convert, check=True)
    system = SystemConfig(disk=blob(packed), format="qcow2", bus="ide")
    outcome, log = boot(tmp_path, system, BootSpec(expect=("src/README",), exit=NUMBER))
    assert outcome == PASSED, log


@pytest.mark.parametrize(
    ("ends", "rule", "reason"),
    [
        ("exit", BootSpec(exit=3), "the system ended with 16"),
        ("exit", BootSpec(expect=("h", "bye")), "ended with 16 before its console said: bye"),
        ("halt", BootSpec(expect=("bye",), fail=("n*body",)), "hello from nobody's system"),
        ("restart", BootSpec(off=True), "the system restarted itself"),
        ("panic", BootSpec(off=True), "the system panicked"),
        ("flood", BootSpec(off=True), "printed more than 64 KiB"),
    ],
)
def test_a_system_fails_by_its_rule(tmp_path: Path, ends: str, rule: BootSpec, reason: str) -> None:
    outcome, _ = boot(tmp_path, disk(tmp_path, ends), rule)
    assert outcome.verdict == "failure"
    assert outcome.reason is not None
    assert outcome.reason.endswith(reason)


def test_a_system_that_never_ends_runs_out_of_time(tmp_path: Path) -> None:
    outcome, _ = boot(tmp_path, disk(tmp_path, "halt"), BootSpec(off=True), timeout=1.0)
    assert outcome == Outcome(verdict="timeout", reason="took longer than 1 s, in step 'boot'")


def test_nothing_is_started_or_fetched_and_a_disk_has_its_limit(tmp_path: Path) -> None:
    large = sector().ljust(65 << 20, b"\0")
    system = SystemConfig(disk=written(tmp_path / "disk", large))
    image = ImageConfig(suite=None, packages=(), system=system)

    async def whole() -> None:
        provider = VmProvider(tmp_path / "state", environ={}, store=store())
        try:
            wanted = spec(image=image)
            await provider.prepare(wanted, print)
            async with machine_of(provider, wanted) as machine:
                with pytest.raises(InfraError, match="a system of its own"):
                    await machine.exec(["true"], env={}, cwd="/")
                assert [piece async for piece in machine.copy_out("/build")] == []
            small = spec(image=image, disk=64 << 20)
            with pytest.raises(InfraError, match="65 MiB, the label's has 64"):
                await provider.create(2, small)
        finally:
            await provider.close()

    asyncio.run(whole())
    assert leftovers.of(tmp_path / "state") == {}


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
