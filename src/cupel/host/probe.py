"""What this computer offers for running builds, what it lacks, and the command that mends it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from cupel import process
from cupel.errors import InfraError
from cupel.host.providers.inside import landlock, seccomp
from cupel.host.providers.namespace import cgroups, cores, disk, trial
from cupel.host.providers.vm import accelerator, qemu

KERNEL = (5, 19)
"""From here on an overlay may lie on an id-mapped mount."""
GIT = (2, 38)
DISK = 2 << 30
MEMORY = 1 << 30
_NAMESPACES = ("user", "mnt", "pid", "net", "uts", "ipc", "cgroup")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. Without what is `required` no build can run.

    `fix` is the command, or else the deed, that mends it.
    """

    name: str
    ok: bool
    required: bool
    found: str
    fix: str | None = None


def examine(state: Path) -> list[Finding]:
    """Look at everything that builds need; `state` need not exist yet. Changes nothing."""
    place = _existing(state)
    machine = _machine(place)  # first: it loads the kernel modules that the others look for
    return [
        _root(),
        _kernel(os.uname().release),
        _namespaces(),
        _overlay(),
        machine,
        _control_groups(),
        _disk_limit(),
        _system_calls(os.uname().machine),
        _landlock(),
        _cores(),
        _git(),
        _program("mmdebstrap", "builds images", "mmdebstrap", required=True),
        _program("tar", "carries files into machines and out", "tar", required=True),
        _program("mkfs.erofs", "packs images into files", "erofs-utils", required=False),
        _program("skopeo", "fetches OCI images", "skopeo", required=False),
        _program("umoci", "unpacks OCI images", "umoci", required=False),
        _program("slirp4netns", "gives machines a network", "slirp4netns", required=False),
        _program(
            "nft",
            "keeps machines to registries of packages, and to lists of hosts",
            "nftables",
            required=False,
        ),
        _virtual_machines(),
        _program("qemu-img", "keeps disks that are booted", "qemu-utils", required=False),
        _kvm(state),
        _space(place),
        _memory(),
    ]


def can_isolate(findings: Sequence[Finding]) -> None:
    """Raise `InfraError` when builds could not run, or not in a sandbox."""
    lacking = [finding for finding in findings if finding.required and not finding.ok]
    if lacking:
        raise InfraError(
            "builds can't be run safely here: "
            + "; ".join(f"{finding.name}: {finding.found}" for finding in lacking),
            hint="\n".join(finding.fix for finding in lacking if finding.fix) or None,
        )


def _existing(path: Path) -> Path:
    path = path.resolve()
    return next(parent for parent in (path, *path.parents) if parent.is_dir())


def _root() -> Finding:
    is_root = os.geteuid() == 0
    return Finding(
        name="root",
        ok=is_root,
        required=True,
        found="yes" if is_root else f"no, user {os.geteuid()}: images are built by root",
        fix="sudo cupel up",
    )


def _kernel(release: str) -> Finding:
    wanted = ".".join(map(str, KERNEL))
    return Finding(
        name="kernel",
        ok=_version(release) >= KERNEL,
        required=True,
        found=f"{release}, wanted {wanted} or newer for overlays of id-mapped mounts",
        fix=f"install a kernel of {wanted} or newer",
    )


def _namespaces() -> Finding:
    missing = [name for name in _NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    limit = Path("/proc/sys/user/max_user_namespaces")
    barred = limit.exists() and int(limit.read_text()) == 0
    if barred:
        found, fix = "user namespaces are switched off", "sysctl user.max_user_namespaces=65536"
    else:
        found = f"without {', '.join(missing)}" if missing else ", ".join(_NAMESPACES)
        fix = "boot a kernel that has them"
    ok = not missing and not barred
    return Finding(name="namespaces", ok=ok, required=True, found=found, fix=fix)


def _overlay() -> Finding:
    ok = "\toverlay\n" in Path("/proc/filesystems").read_text()
    found = "in the kernel" if ok else "not in the kernel"
    return Finding(name="overlayfs", ok=ok, required=True, found=found, fix="modprobe overlay")


def _machine(place: Path) -> Finding:
    """The proof of all that came before: a machine is made, on the file system to be used."""
    try:
        seconds = trial.attempt(place)
    except (InfraError, OSError) as error:
        return Finding(
            name="trial machine",
            ok=False,
            required=True,
            found=error.message if isinstance(error, InfraError) else str(error),
            fix="run as root, not in a container, with the state directory on ext4, xfs or btrfs",
        )
    found = f"stood after {seconds * 1000:.0f} ms"
    return Finding(name="trial machine", ok=True, required=True, found=found)


def _control_groups() -> Finding:
    flavour = cgroups.here()
    lacking = sorted(set(cgroups.LIMITED) - flavour.enforced)
    found = f"{flavour.text}; limits for {', '.join(sorted(flavour.enforced)) or 'nothing'}"
    if lacking:
        found += f"; by weaker means: {', '.join(lacking)}"
    return Finding(
        name="control groups",
        ok=not lacking,
        required=False,
        found=found,
        fix="mount -t cgroup2 none /sys/fs/cgroup",
    )


def _disk_limit() -> Finding:
    mkfs = disk.tool()
    return Finding(
        name="disk limits",
        ok=mkfs is not None,
        required=False,
        found="by loop devices" if mkfs else "no loop device or mkfs.ext4: files stay in memory",
        fix="apt-get install e2fsprogs; modprobe loop",
    )


def _system_calls(architecture: str) -> Finding:
    ok = seccomp.program(architecture) is not None
    return Finding(
        name="system calls",
        ok=ok,
        required=False,
        found="filtered for builds" if ok else f"not filtered: no table for {architecture}",
        fix="run builds on x86_64 or aarch64",
    )


def _landlock() -> Finding:
    version = landlock.version()
    ok = version >= landlock.OLDEST
    return Finding(
        name="landlock",
        ok=ok,
        required=False,
        found=f"version {version}" if ok else "not in the kernel: one wall less around files",
        fix="boot with lsm=landlock,... on a kernel that has it",
    )


def _cores() -> Finding:
    """Whether cores of builds are kept; the setting is the host's, and stays as it is."""
    piped = cores.piped()
    return Finding(
        name="core dumps",
        ok=not piped,
        required=False,
        found="the host hands them to a program of its own, so builds leave none"
        if piped
        else "kept in machines, and with what a failed build left",
        fix="sysctl kernel.core_pattern=core",
    )


def _git() -> Finding:
    wanted = ".".join(map(str, GIT))
    try:
        result = asyncio.run(process.run(["git", "--version"], timeout=10))
    except InfraError:
        text, ok = "not installed", False
    else:
        text = result.out.decode(errors="replace").strip()
        ok = _version(text) >= GIT
    return Finding(
        name="git",
        ok=ok,
        required=True,
        found=f"{text}, wanted {wanted} or newer",
        fix="apt-get install git",
    )


def _program(name: str, purpose: str, package: str, *, required: bool) -> Finding:
    path = shutil.which(name, path=disk.TOOLS)
    return Finding(
        name=name,
        ok=path is not None,
        required=required,
        found=path or f"not installed; it {purpose}",
        fix=f"apt-get install {package}",
    )


def _virtual_machines() -> Finding:
    """What labels with `provider: vm` need besides what all machines need."""
    programs = (qemu.PROGRAM, "mkfs.erofs")
    missing = [name for name in programs if shutil.which(name, path=disk.TOOLS) is None]
    told = "not installed; labels with `provider: vm` need it"
    return Finding(
        name="virtual machines",
        ok=not missing,
        required=False,
        found=f"{', '.join(missing)} {told}" if missing else f"{qemu.path()}; {_guest_kernel()}",
        fix="apt-get install qemu-system-x86 erofs-utils",
    )


def _guest_kernel() -> str:
    if shutil.which("apt-get"):
        return "their kernel is fetched as a package when the first one is made"
    return "their kernel must be unpacked by hand: there is no apt-get"


def _kvm(state: Path) -> Finding:
    """Whether virtual machines are fast. A device that opens proves nothing, a guest does."""
    proved = accelerator.proved(state / "vm" / "kvm.json")
    if not accelerator.DEVICE.exists():
        found = f"there is no {accelerator.DEVICE}: virtual machines are emulated, which is slow"
    elif proved is None:
        found = "not tried yet: the first virtual machine that boots proves it"
    elif proved:
        found = "a guest has booted with it"
    else:
        found = "no guest boots with it: virtual machines are emulated, which is slow"
    return Finding(
        name="kvm",
        ok=accelerator.DEVICE.exists() and proved is not False,
        required=False,
        found=found,
        fix="modprobe kvm_intel || modprobe kvm_amd, or use a computer with virtualisation",
    )


def _space(place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    return Finding(
        name="disk",
        ok=free >= DISK,
        required=True,
        found=f"{free / 2**30:.1f} GiB free at {place}, wanted {DISK >> 30}",
        fix="choose another place with --state DIR",
    )


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    return Finding(
        name="memory",
        ok=available >= MEMORY,
        required=False,
        found=f"{available / 2**30:.1f} GiB available",
        fix="fewer slots in the server's configuration",
    )


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
