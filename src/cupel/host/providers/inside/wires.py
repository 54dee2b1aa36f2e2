"""The private network of a build that has several machines: a switch in user space.

It is a fork of the launcher. In each machine's network namespace it makes an interface whose other
end it holds, and carries frames between them, as each line allows. The interfaces end with it, and
it ends with its socket: when the build ends, or when the agent is killed. It changes nothing of the
host's own network and has no way there.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import select
import socket
import struct
import time
from pathlib import Path
from typing import NoReturn

from cupel.host.providers.inside import netlink, syscalls, wire
from cupel.host.providers.inside.line import Line

INTERFACE = "cupel0"
MTU = 1500

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_INFO = 0x0002 | 0x1000
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_SIOCSIFHWADDR = 0x8924
_ETHERNET = 1
_NETMASK = "255.255.255.0"
_NOBODY = 65534
_BATCH = 64
"""Frames that are read of one machine before the others get their turn."""
_LONGEST = 65536
_MOST = 20_000
"""Frames on their way at a time, beyond which they are dropped."""


def main(agent: socket.socket) -> NoReturn:
    """Join the machines whose network namespaces come with the first frame; carry frames."""
    try:
        received = wire.receive(agent)
        if received is None:
            os._exit(0)
        frame, namespaces = received
        try:
            for procs in frame["groups"]:
                Path(procs).write_text("0")
            taps = [_join(*each) for each in zip(namespaces, frame["addresses"], strict=True)]
        except OSError as error:
            wire.send(agent, {"event": "failed", "text": str(error)})
            os._exit(1)
        _give_up_privileges()
        wire.send(agent, {"event": "ready"})
        Switch(agent, taps).serve()
    finally:
        os._exit(0)


def hardware(number: int) -> bytes:
    """The hardware address of machine `number` of a build, counted from 0."""
    return bytes((0x02, 0xCA, 0xFE, 0, 0, number + 1))


def _join(namespace: int, address: str) -> int:
    """Make the interface in a network namespace; the end that is ours."""
    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        tap = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        name = INTERFACE.encode()
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name, _IFF_TAP_NO_INFO))
        number = int(address.rpartition(".")[2]) - 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            mine = struct.pack("16sH6s16x", name, _ETHERNET, hardware(number))
            fcntl.ioctl(sock, _SIOCSIFHWADDR, mine)
            for request, text in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, _NETMASK)):
                internet = struct.pack(
                    "16sHH4s16x", name, socket.AF_INET, 0, socket.inet_aton(text)
                )
                fcntl.ioctl(sock, request, internet)
        netlink.up(INTERFACE)
        return tap
    finally:
        syscalls.setns(ours, syscalls.CLONE_NEWNET)
        os.close(ours)
        os.close(namespace)


def _give_up_privileges() -> None:
    """What is left to do takes open files alone."""
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    syscalls.limit_capabilities(0)
    syscalls.no_new_privileges()
    syscalls.hide_memory()


def _chance() -> float:
    """From 0 up to 1. The module `random` would cost every fork of the launcher a new seed."""
    return int.from_bytes(os.urandom(7)) / (1 << 56)


class Switch:
    """Carries frames between `taps`, by the hardware addresses that the machines were given."""

    def __init__(self, agent: socket.socket, taps: list[int]) -> None:
        self._agent = agent
        self._taps = taps
        self._numbers = {tap: number for number, tap in enumerate(taps)}
        pairs = itertools.permutations(range(len(taps)), 2)
        self._lines = {pair: Line() for pair in pairs}
        self._on_their_way: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()

    def serve(self) -> None:
        while True:
            wait = None
            if self._on_their_way:
                wait = max(0.0, self._on_their_way[0][0] - time.monotonic())
            agent = self._agent.fileno()
            readable, _, _ = select.select([agent, *self._numbers], [], [], wait)
            for each in readable:
                if each != agent:
                    self._take(each)
                elif not self._obey():
                    return
            self._deliver()

    def _obey(self) -> bool:
        received = wire.receive(self._agent)
        if received is None:
            return False
        frame, _ = received
        for pair in (tuple(frame["between"]), tuple(reversed(frame["between"]))):
            line = self._lines[pair]
            line.delay, line.loss = frame["delay"], frame["loss"]
            line.rate, line.cut = frame["rate"], frame["cut"]
        wire.send(self._agent, {"event": "set", "number": frame["number"]})
        return True

    def _take(self, tap: int) -> None:
        source = self._numbers[tap]
        for _ in range(_BATCH):
            try:
                frame = os.read(tap, _LONGEST)
            except BlockingIOError:
                return
            except OSError:  # the machine is gone
                del self._numbers[tap]
                return
            self._send(source, frame)

    def _send(self, source: int, frame: bytes) -> None:
        if len(frame) < 14:
            return
        if frame[0] & 1:  # to all
            targets = [number for number in range(len(self._taps)) if number != source]
        elif frame[:5] == hardware(0)[:5] and 0 < frame[5] <= len(self._taps):
            targets = [frame[5] - 1]
        else:
            return
        for target in targets:
            if target != source:
                self._carry(source, target, frame)

    def _carry(self, source: int, target: int, frame: bytes) -> None:
        line = self._lines[source, target]
        if line.is_perfect:
            self._arrive(target, frame)
            return
        at = line.arrival(time.monotonic(), len(frame), _chance)
        if at is not None and len(self._on_their_way) < _MOST:
            heapq.heappush(self._on_their_way, (at, next(self._order), target, frame))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._on_their_way and self._on_their_way[0][0] <= now:
            _, _, target, frame = heapq.heappop(self._on_their_way)
            self._arrive(target, frame)

    def _arrive(self, target: int, frame: bytes) -> None:
        try:
            os.write(self._taps[target], frame)
        except OSError:  # full, or gone: lost, as on any network
            return
