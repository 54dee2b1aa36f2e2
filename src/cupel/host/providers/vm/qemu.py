"""QEMU's command line for a machine."""

from __future__ import annotations

import dataclasses
import enum
import math
import shutil

from cupel.host.messages import MachineSpec
from cupel.host.providers.vm import initramfs
from cupel.host.providers.vm.guest import frames
from cupel.image.system import System

PROGRAM = "qemu-system-x86_64"

# The descriptors that a cage gives QEMU, in this order.
PORT, CONSOLE, CONTROL, RAM, STATE = 3, 4, 5, 6, 7

KERNEL, INITRAMFS, IMAGE, DISK = "/vm/kernel", "/vm/initramfs", "/vm/image", "/vm/disk"
SOURCE = "/vm/source"
"""Where QEMU finds the machine's files, in its cage."""

SYSTEMD = "/lib/systemd/systemd"
_SYSTEMD_WORDS = (
    # Nobody logs in there, and without udev it would wait 90 seconds for the device.
    "systemd.mask=serial-getty@ttyS0.service",
    "systemd.firstboot=off",
)

OVERHEAD = 512 << 20
"""Bytes of memory that QEMU itself may use: translated code, and what is cached of its files."""
_CODE = 64
"""MiB of translated code, at most: what a clone translates anew counts as its own memory."""

GATEWAY, RESOLVER, ADDRESS, NETMASK = "10.0.2.2", "10.0.2.3", "10.0.2.15", "255.255.255.0"
"""QEMU's own user-mode network, which every machine has for itself."""

_EMULATED = "max,la57=off,smap=off,smep=off,erms=off,fsrm=off"
"""Without what costs an emulated processor time: tables of five levels, a switch around every
access to a user's memory, and instructions that copy byte by byte."""
_EMULATED_WORDS = (
    "lsm=landlock,yama,apparmor,bpf",  # not those that look at each program and do nothing
    "tsc=reliable",
    "nowatchdog",
    "init_on_alloc=0",
    "hardened_usercopy=off",
    "randomize_kstack_offset=off",
    "sysctl.vm.compaction_proactiveness=0",
)
"""What spares a kernel work that nobody asked for: all of it would be translated in each clone."""


class Accelerator(enum.StrEnum):
    KVM = "kvm"
    EMULATION = "tcg"


class Start(enum.Enum):
    """How a machine comes to be: from its kernel, as a template, from a template, from a file."""

    COLD = enum.auto()
    TEMPLATE = enum.auto()
    CLONE = enum.auto()
    REOPENED = enum.auto()

    @property
    def goes_on(self) -> bool:
        """Whether it does not boot."""
        return self in (Start.CLONE, Start.REOPENED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What must be the same for a clone and its template. `memory` in bytes."""

    cpus: int
    memory: int
    accelerator: Accelerator
    image_format: str
    init: str = ""
    """The program of the image that becomes process 1; none: ours."""


def shape(spec: MachineSpec, accelerator: Accelerator, image_format: str) -> Shape:
    # QEMU wants whole pages; whole MiB are what people mean.
    return Shape(
        cpus=max(1, math.ceil(spec.cpus)),
        memory=max(spec.memory >> 20, 128) << 20,
        accelerator=accelerator,
        image_format=image_format,
        init=SYSTEMD if spec.init == "systemd" else "",
    )


def path() -> str | None:
    return shutil.which(PROGRAM)


def arguments(program: str, shape: Shape, start: Start, *, network: bool) -> list[str]:
    """The whole command, for a cage that holds the machine's files and descriptors."""
    return [
        program,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-name", "cupel", "-M", "pc,memory-backend=ram,usb=off,vmport=off"),
        *_processor(shape),
        *_memory(shape, start),
        *("-kernel", KERNEL, "-append", _command_line(shape)),
        *(() if start.goes_on else ("-initrd", INITRAMFS)),
        *("-chardev", f"socket,id=control,fd={CONTROL}", "-mon", "chardev=control,mode=control"),
        *("-chardev", f"socket,id=console,fd={CONSOLE}", "-serial", "chardev:console"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=port,fd={PORT}"),
        *("-device", f"virtserialport,chardev=port,name={frames.PORT}"),
        *_drive("image", IMAGE, "read-only=on"),
        *_drive("disk", DISK, "cache=unsafe,discard=unmap,detect-zeroes=unmap"),
        *_network(network),
        *("-device", "pvpanic-pci", "-action", "panic=pause,shutdown=poweroff"),
    ]


def booting(program: str, shape: Shape, system: System, *, network: bool) -> list[str]:
    """The whole command for a system of its own, which stands still until `cont`."""
    return [
        program,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        # Without graphics the BIOS prints to the serial console, for itself and for who uses it.
        *("-name", "cupel", "-M", "pc,memory-backend=ram,usb=off,vmport=off,graphics=off"),
        *_processor(shape),
        *_memory(shape, Start.COLD),
        *_booted(system),
        *("-chardev", f"socket,id=control,fd={CONTROL}", "-mon", "chardev=control,mode=control"),
        *("-chardev", f"socket,id=console,fd={CONSOLE}", "-serial", "chardev:console"),
        *_drive("source", SOURCE, "read-only=on"),
        *_network(network),
        *("-device", "virtio-rng-pci", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
        *(
            "-device",
            "pvpanic",
            "-device",
            "pvpanic-pci",
            "-action",
            "panic=pause,shutdown=poweroff",
        ),
    ]


def _booted(system: System) -> list[str]:
    if system.kernel is not None:
        initrd = ("-initrd", INITRAMFS) if system.initrd is not None else ()
        return ["-kernel", KERNEL, *initrd, "-append", system.append]
    if system.format == "iso":
        drive = f"if=none,id=system,format=raw,file={IMAGE},media=cdrom,read-only=on"
        return ["-drive", drive, "-device", "ide-cd,drive=system,bootindex=0"]
    drive = f"if=none,id=system,format=qcow2,file={DISK},cache=unsafe,discard=unmap"
    device = {"virtio": "virtio-blk-pci", "ide": "ide-hd"}[system.bus]
    return ["-drive", drive, "-device", f"{device},drive=system,bootindex=0"]


def _processor(shape: Shape) -> list[str]:
    if shape.accelerator is Accelerator.KVM:
        return ["-accel", "kvm", "-cpu", "host", "-smp", str(shape.cpus)]
    return ["-accel", f"tcg,tb-size={_CODE}", "-cpu", _EMULATED, "-smp", str(shape.cpus)]


def _memory(shape: Shape, start: Start) -> list[str]:
    size = f"{shape.memory >> 20}M"
    words = ["-m", size]
    if start in (Start.TEMPLATE, Start.CLONE):
        share = "on" if start is Start.TEMPLATE else "off"
        backend = f"memory-backend-file,id=ram,size={size},mem-path=/proc/self/fd/{RAM}"
        words += ["-object", f"{backend},share={share}"]
    else:
        words += ["-object", f"memory-backend-ram,id=ram,size={size}"]
    if start.goes_on:
        words += ["-incoming", "defer"]
    return words


def _drive(name: str, path: str, options: str) -> list[str]:
    drive = f"if=none,id={name},format=raw,file={path},{options}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]


def _network(network: bool) -> list[str]:
    """Every machine has the interface, so one template does; without `network` it leads nowhere.

    No clone is announced: nobody on its network knows it under another address.
    """
    device = "virtio-net-pci,romfile=,guest_announce=off"
    if not network:
        return ["-device", device]
    return ["-netdev", "user,id=net,ipv6=off", "-device", f"{device},netdev=net"]


def _command_line(shape: Shape) -> str:
    environment = [f"{name}={value}" for name, value in initramfs.ENVIRONMENT.items()]
    words = [
        "console=ttyS0",
        "panic=0",  # it stays as it is, to be looked at
        "mitigations=off",  # a machine has one tenant, who is root
        "net.ifnames=0",
        *(_EMULATED_WORDS if shape.accelerator is Accelerator.EMULATION else ()),
        f"rdinit={initramfs.LOADER}",
        f"cupel.image={shape.image_format}",
        *([f"cupel.init={shape.init}", *_SYSTEMD_WORDS] if shape.init else []),
        *environment,
        "--",
        *initramfs.COMMAND,
    ]
    return " ".join(words)
