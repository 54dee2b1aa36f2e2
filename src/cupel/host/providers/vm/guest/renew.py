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
_SHOWN_BOOT_ID = "/run/cupel-boot-id"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_JOURNAL = Path("/sys/fs/cgroup/system.slice/systemd-journald.service/cgroup.procs")
INTERFACE = "eth0"


class Renewal:
    """Makes a guest differ from its siblings, as often as the host orders it.

    A template is renewed too, before it is saved: its files are there and open then, so that a
    clone, whose code is all yet to be translated by the emulator, only has to write to them.
    """

    def __init__(self) -> None:
        self._files: dict[str, int] = {}

    def apply(self, order: dict[str, Any]) -> None:
        time.clock_settime(time.CLOCK_REALTIME, order["time"])
        if "entropy" in order:  # else it goes on as the machine that it was
            self._become_another(order)

    def _become_another(self, order: dict[str, Any]) -> None:
        _reseed(bytes.fromhex(order["entropy"]))
        socket.sethostname(order["hostname"])
        for path, text in order["files"].items():
            self._write(path, text)
        if _SHOWN_BOOT_ID not in self._files:  # the kernel's can't be set; what is read can
            self._write(_SHOWN_BOOT_ID, order["boot_id"])
            syscalls.mount(_SHOWN_BOOT_ID, _BOOT_ID, None, syscalls.MS_BIND)
        self._write(_SHOWN_BOOT_ID, order["boot_id"])
        if order["network"] is not None:
            _connect(**order["network"])
        _restart_journal()

    def _write(self, path: str, text: str) -> None:
        if path not in self._files:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 (it may be a link to somewhere else)
            self._files[path] = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        data = text.encode()
        os.ftruncate(self._files[path], len(data))
        os.pwrite(self._files[path], data, 0)


def _restart_journal() -> None:
    """Where there is systemd's: it writes below the ids that it read when it started.

    Systemd starts it again by itself and holds what is logged meanwhile.
    """
    with contextlib.suppress(OSError):
        for pid in _JOURNAL.read_text().split():
            os.kill(int(pid), signal.SIGTERM)


def _reseed(entropy: bytes) -> None:
    """Credit the kernel with new randomness and let it be used at once."""
    with Path("/dev/urandom").open("wb", buffering=0) as device:
        request = struct.pack("ii", len(entropy) * 8, len(entropy)) + entropy
        fcntl.ioctl(device, _RNDADDENTROPY, request)
        fcntl.ioctl(device, _RNDRESEEDCRNG)


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
