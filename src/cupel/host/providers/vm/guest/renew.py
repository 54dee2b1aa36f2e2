"""What clones of one snapshot would share and must not: randomness, clock, names, addresses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

from cupel.host.providers.inside import netlink, syscalls

_RNDADDENTROPY = 0x40085203
_RNDRESEEDCRNG = 0x5207
_SIOCSIFHWADDR = 0x8924
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_ARPHRD_ETHER = 1
SHOWN_BOOT_ID = "run/cupel-boot-id"
"""A file of the order, which is shown in place of the kernel's."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_JOURNAL = Path("/sys/fs/cgroup/system.slice/systemd-journald.service/cgroup.procs")
INTERFACE = "eth0"


class Renewal:
    """Makes a guest differ from its siblings, as often as the host orders it.

    A template is renewed too, before it is saved: its files are there and open then, so that a
    clone, whose code is all yet to be translated by the emulator, only has to write to them.
    """

    def __init__(self, *, has_system: bool) -> None:
        self._has_system = has_system
        self._files: dict[str, tuple[int, int]] = {}
        """The descriptor of each file and how long it is."""
        self._random = os.open("/dev/urandom", os.O_WRONLY | os.O_CLOEXEC)

    def apply(self, order: dict[str, Any]) -> None:
        time.clock_settime(time.CLOCK_REALTIME, order["time"])
        if "entropy" in order:  # else it goes on as the machine that it was
            self._become_another(order)

    def _become_another(self, order: dict[str, Any]) -> None:
        self._reseed(order["entropy"])
        socket.sethostname(order["hostname"])
        for path, data in order["files"].items():
            self._write(path, data)
        if order["network"] is not None:
            _connect(**order["network"])
        if self._has_system:
            _restart_journal()

    def _reseed(self, entropy: bytes) -> None:
        """Credit the kernel with new randomness and let it be used at once."""
        request = struct.pack("ii", len(entropy) * 8, len(entropy)) + entropy
        fcntl.ioctl(self._random, _RNDADDENTROPY, request)
        fcntl.ioctl(self._random, _RNDRESEEDCRNG)

    def _write(self, path: str, data: bytes) -> None:
        known = self._files.get(path)
        file, length = (_create(path), 0) if known is None else known
        if length > len(data):
            os.ftruncate(file, len(data))
        os.pwrite(file, data, 0)
        self._files[path] = file, len(data)
        if known is None and path == f"/{SHOWN_BOOT_ID}":
            # The kernel's can't be set; what is read can.
            syscalls.mount(path, _BOOT_ID, None, syscalls.MS_BIND)


def _create(path: str) -> int:
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 (it may be a link to somewhere else)
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)


def _restart_journal() -> None:
    """Where there is systemd's: it writes below the ids that it read when it started.

    Systemd starts it again by itself and holds what is logged meanwhile.
    """
    with contextlib.suppress(OSError):
        for pid in _JOURNAL.read_text().split():
            os.kill(int(pid), signal.SIGTERM)


def _connect(mac: str, address: str, netmask: str, gateway: str) -> None:
    name = INTERFACE.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        hardware = bytes.fromhex(mac.replace(":", ""))
        fcntl.ioctl(sock, _SIOCSIFHWADDR, struct.pack("16sH14s", name, _ARPHRD_ETHER, hardware))
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, netmask)):
            fcntl.ioctl(sock, request, struct.pack("16s16s8x", name, _internet(value)))
        netlink.up(INTERFACE)
    netlink.default_route(gateway)


def _internet(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
