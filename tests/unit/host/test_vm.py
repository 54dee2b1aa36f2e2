"""The parts of virtual machines that need none."""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host.messages import ImageSpec, MachineSpec
from cupel.host.providers.interface import Usage
from cupel.host.providers.several import Several
from cupel.host.providers.vm import accelerator, ground, initramfs, kernel, qemu
from cupel.host.providers.vm.guest import frames
from cupel.host.providers.vm.guest.agent import Agent, Group, Started
from cupel.host.providers.vm.guest.frames import Kind
from cupel.host.providers.vm.port import Port
from cupel.host.providers.vm.qemu import Accelerator, Shape, Start
from fakes.provider import FakeProvider

SPEC = MachineSpec(label="l", image=ImageSpec(suite="bookworm"), provider="vm", cpus=1.5)
SHAPE = Shape(cpus=2, memory=1 << 30, accelerator=Accelerator.EMULATION, image_format="erofs")


def test_frames_are_cut_from_a_stream_wherever_it_breaks():
    sent = [(Kind.OUT, 7, b"abc"), (Kind.CLOSED, 7, b""), (Kind.ERR, 1 << 31, b"x" * 70_000)]
    stream = b"".join(frames.encode(*frame) for frame in sent)
    decoder = frames.Decoder()
    found = [
        frame for at in range(0, len(stream), 11) for frame in decoder.feed(stream[at : at + 11])
    ]
    assert found == sent


@pytest.mark.parametrize(
    "junk", [frames.HEADER.pack(frames.LONGEST + 1, Kind.OUT, 1), frames.HEADER.pack(0, 99, 1)]
)
def test_what_is_no_frame_is_refused(junk):
    with pytest.raises(ValueError, match=r"frame|Kind"):
        frames.Decoder().feed(junk)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (frames.encode(Kind.EXEC, 1), "a frame of kind EXEC"),
        (frames.encode(Kind.ENDED, 1, b"{}"), "invalid literal"),
        (frames.encode(Kind.USED, 1, b"{}"), "not enough values"),
        (frames.encode(Kind.HELLO, 0, b"\xff"), "decode"),
        (
            frames.encode(Kind.OUT, 1, b"x" * frames.PIECE) * 20,
            "more output than there is room for",
        ),
    ],
    ids=["an order", "no status", "no usage", "no text", "a flood"],
)
def test_a_guest_that_breaks_the_rules_is_hung_up_on(sent, said):
    async def scenario() -> None:
        ours, guest = socket.socketpair()
        guest.setblocking(False)
        port = Port(ours)
        process = await port.exec(["x"], env={}, cwd="/", pids=1, stdin=False)
        with guest:
            await asyncio.get_running_loop().sock_sendall(guest, sent)
            with pytest.raises(InfraError):
                await asyncio.wait_for(process.wait(), 10)
        assert said in (port.gone or "")

    asyncio.run(scenario())


def test_what_the_template_has_used_is_not_the_clones():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        ours, guest = socket.socketpair()
        guest.setblocking(False)
        port = Port(ours)

        async def says(kind: Kind, content: bytes = b"") -> None:
            await loop.sock_sendall(guest, frames.encode(kind, 0, content))

        with guest:
            renewing = asyncio.create_task(port.renew({}))
            await asyncio.sleep(0)
            await says(Kind.USED, b"usage_usec 5000000\n\x00\x00")
            await says(Kind.RENEWED)
            await renewing
            assert port.usage.cpu_seconds == 0.0
            await says(Kind.USED, b"usage_usec 5250000\n\x00\x00")
            await asyncio.sleep(0.05)
            assert port.usage.cpu_seconds == 0.25

    asyncio.run(scenario())


def test_output_is_asked_for_only_as_it_is_read():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        ours, guest = socket.socketpair()
        guest.setblocking(False)
        port = Port(ours)
        decoder = frames.Decoder()
        with guest:
            process = await port.exec(["x"], env={}, cwd="/", pids=1, stdin=False)
            await loop.sock_sendall(guest, frames.encode(Kind.OUT, process.number, b"abc"))
            used = b"usage_usec 5000000\nuser_usec 1\n\x00\x00low 0\noom_kill 2\n"
            await loop.sock_sendall(guest, frames.encode(Kind.USED, 0, used))
            await loop.sock_sendall(guest, frames.encode(Kind.ENDED, process.number, b"3"))
            assert await process.wait() == 3
            assert port.usage == Usage(cpu_seconds=5.0, memory_peak=None, oom_kills=2)
            assert [kind for kind, _, _ in decoder.feed(await loop.sock_recv(guest, 9999))] == [
                Kind.EXEC
            ]
            output = process.output()
            assert (await anext(output))[1] == b"abc"
            await loop.sock_sendall(guest, frames.encode(Kind.CLOSED, process.number))
            with pytest.raises(StopAsyncIteration):
                await anext(output)
            assert decoder.feed(await loop.sock_recv(guest, 9999))[0] == (
                Kind.ROOM,
                1,
                marshal.dumps(3, 2),
            )
        port.close("over")

    asyncio.run(scenario())


def test_a_stream_stays_open_when_the_other_takes_all_the_room(tmp_path):
    (out, fill), (err, fill_err) = os.pipe(), os.pipe()
    ours, port = socket.socketpair()
    with ours, port:
        started = Started(1, 0, -1, out, err, room=4)
        for descriptor in (fill, fill_err):
            os.write(descriptor, b"more")
        agent = Agent(port.fileno(), Group(tmp_path / "group"), is_init=False)
        agent.read_on(started)
        agent.turn()
        assert frames.Decoder().feed(ours.recv(4096)) == [(Kind.OUT, 1, b"more")]
    assert started.err == err
    assert os.read(err, 9) == b"more"
    for descriptor in (out, fill, err, fill_err):
        os.close(descriptor)


def test_orders_to_a_machine_that_is_gone_say_why():
    async def scenario() -> None:
        ours, guest = socket.socketpair()
        port = Port(ours)
        guest.close()
        with pytest.raises(InfraError, match="the machine is gone: it ended"):
            await port.hello()

    asyncio.run(scenario())


def test_the_ram_file_system_holds_each_file_below_its_directories():
    files = {"init": b"#!/bin/sh\n", "cupel/lib/a": b"", "cupel/b": b"x" * 5}
    entries = list(_entries(initramfs.archive(files)))
    assert [name for name, mode, _ in entries if mode & 0o40000] == ["cupel", "cupel/lib"]
    assert {name: data for name, mode, data in entries if mode == 0o100755} == files
    assert entries[-1][0] == "TRAILER!!!"


def _entries(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and content of each entry, as cpio(5) says of the new portable format."""
    at = 0
    while at < len(archive):
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        start = (at + 110 + fields[11] + 3) & ~3
        yield name, fields[1], archive[start : start + fields[6]]
        at = (start + fields[6] + 3) & ~3


def test_drivers_come_after_what_they_need(tmp_path):
    place = tmp_path / "modules" / "6.1"
    place.mkdir(parents=True)
    needs = {"virtio_blk": "", "ext4": "mbcache,jbd2", "jbd2": "crc32c-x", "mbcache": "", "odd": ""}
    for name, depends in needs.items():
        (place / f"{name}.ko").write_bytes(b"\x7fELF\0depends=" + depends.encode() + b"\0name=x\0")
    (place / "crc32c-x.ko").write_bytes(b"no dependencies")
    names = [name for name, _ in kernel.load_order(tmp_path, "6.1")]
    assert names == ["virtio_blk.ko", "mbcache.ko", "crc32c_x.ko", "jbd2.ko", "ext4.ko"]


@pytest.mark.parametrize("changed", ["qemu", "vmlinuz", "initramfs", "ours.py", "cpuinfo"])
def test_a_template_is_made_anew_when_what_it_ran_on_has_changed(tmp_path, monkeypatch, changed):
    for name in ("vmlinuz", "initramfs", "ours.py"):
        (tmp_path / name).write_text("one")
    (tmp_path / "cpuinfo").write_text("flags\t: sse2\ncpu MHz\t: 1000\n\nprocessor\t: 1\n")
    qemu_program = tmp_path / "qemu"
    qemu_program.write_text("#!/bin/sh\necho QEMU 1\n")
    qemu_program.chmod(0o755)
    monkeypatch.setattr(ground, "_OURS", [tmp_path / "ours.py"])
    monkeypatch.setattr(ground, "CPUINFO", tmp_path / "cpuinfo")
    image, initramfs = tmp_path / "vmlinuz", tmp_path / "initramfs"
    files = kernel.Kernel(version="6", image=image, initramfs=initramfs, stub=tmp_path / "stub")

    def digest(survey: ground.Survey) -> str:
        return asyncio.run(survey.ground(str(qemu_program), files)).digest

    survey = ground.Survey()
    first = digest(survey)
    (tmp_path / "cpuinfo").write_text("flags\t: sse2\ncpu MHz\t: 2000\n\nprocessor\t: 2\n")
    assert digest(survey) == digest(ground.Survey()) == first
    with (tmp_path / changed).open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace("sse2", "avx") + "\n")
    assert digest(ground.Survey()) != first
    if changed in ("qemu", "vmlinuz", "initramfs"):  # these may change while an agent runs
        assert digest(survey) != first


@pytest.mark.parametrize(("sectors", "kept"), [(0, 6), (20, 22)])
def test_of_a_kernel_that_is_not_booted_the_setup_is_kept(sectors, kept):
    image = bytearray(64 << 10)
    image[0x1F1] = sectors
    assert kernel.shortened(bytes(image)) == image[: kept * 512]


def test_a_shape_is_of_whole_cpus_and_what_the_label_asks_for():
    assert qemu.shape(SPEC, Accelerator.KVM, "erofs").cpus == 2
    assert qemu.shape(SPEC, Accelerator.KVM, "erofs").init == ""


@pytest.mark.parametrize("start", Start)
def test_qemu_is_confined_and_alone_however_it_starts(start):
    words = qemu.arguments("qemu", SHAPE, start, network=False)
    sandbox = words[words.index("-sandbox") + 1]
    assert sandbox.startswith("on,")
    assert "spawn=deny" in sandbox
    assert "-nodefaults" in words
    assert not any(word.startswith("user,") for word in words)
    assert ("share=off" in " ".join(words)) == (start is Start.CLONE)
    assert ("-incoming" in words) == (start in (Start.CLONE, Start.REOPENED))
    assert ("-initrd" in words) != ("-incoming" in words)


def test_the_verdict_on_kvm_holds_for_the_same_kernel_and_software(tmp_path, monkeypatch):
    path = tmp_path / "kvm.json"
    monkeypatch.setattr(accelerator, "DEVICE", Path("/dev/null"))
    verdicts = accelerator.Verdicts(path)
    verdicts.look("qemu 1")
    assert (verdicts.is_open, verdicts.accelerator) == (True, Accelerator.KVM)
    verdicts.write(works=False)
    assert verdicts.accelerator is Accelerator.EMULATION
    again = accelerator.Verdicts(path)
    again.look("qemu 1")
    assert (again.is_open, again.accelerator) == (False, Accelerator.EMULATION)
    assert accelerator.proved(path) is False
    again.look("qemu 2")
    assert (again.is_open, again.accelerator) == (True, Accelerator.KVM)
    path.write_text(json.dumps({"key": "another kernel", "works": True}))
    assert accelerator.proved(path) is None


def test_each_machine_is_made_by_the_provider_of_its_label():
    async def scenario() -> None:
        one, other = FakeProvider(), FakeProvider()
        one.name, other.name = "namespace", "vm"
        several = Several(one, other)
        other.sharing = False
        plain = MachineSpec(label="p", image=SPEC.image)
        assert (several.shares(plain), several.shares(SPEC)) == (True, False)
        assert await several.prepare(SPEC, print) == several.find(SPEC)
        assert several.find(plain) is None
        await several.create(4, SPEC)
        await several.prepare(plain, print)
        await several.create(3, plain)
        assert (sorted(one.existing), sorted(other.existing)) == ([3], [4])
        assert await several.list() == [3, 4]
        await several.purge(4)
        assert await several.list() == [3]
        strange = MachineSpec(label="s", image=SPEC.image, provider="lxd")
        assert several.find(strange) is None
        with pytest.raises(InfraError, match="this host makes no lxd machines, which s asks for"):
            await several.prepare(strange, print)

    asyncio.run(scenario())
