"""Computers of a test's own: network namespaces, each with a cable to the server's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def lacking() -> str | None:
    """Why there can be no network namespaces here."""
    if os.geteuid() != 0:
        return "network namespaces take root"
    try:
        with _made(f"cupel-try-{os.getpid()}"):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces: {error}"


class Network:
    """A namespace for the server, in which the test is too, and one for each host.

    Host number `n` reaches the server at `server(n)`.
    """

    def __init__(self, hosts: int) -> None:
        self._hosts = range(hosts)
        self._stem = f"cupel-{os.getpid()}"
        self._home = f"{self._stem}-s"

    @contextlib.contextmanager
    def laid(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_made(self._home))
            for number in self._hosts:
                stack.enter_context(_made(self._name(number)))
                _ip("link", "add", f"c{number}", "netns", self._home, "type", "veth",
                    "peer", "name", "up0", "netns", self._name(number))  # fmt: skip
                for name, end, link in (
                    (self._home, 1, f"c{number}"),
                    (self._name(number), 2, "up0"),
                ):
                    _ip("-n", name, "address", "add", f"10.99.{number}.{end}/24", "dev", link)
                    _ip("-n", name, "link", "set", link, "up")
            stack.enter_context(_inside(self._home))
            yield

    def server(self, number: int) -> str:
        return f"10.99.{number}.1"

    def on(self, number: int) -> list[str]:
        """What to put before a command to run it on that host."""
        return ["nsenter", f"--net=/run/netns/{self._name(number)}"]

    def cut(self, number: int) -> None:
        """Both ends stay up and hear nothing, as when something in between fails."""
        _nft(self._home, f"add table netdev cut{number}")
        for hook in ("ingress", "egress"):
            _nft(
                self._home,
                f"add chain netdev cut{number} {hook} "
                f"{{ type filter hook {hook} device c{number} priority 0; policy drop; }}",
            )

    def mend(self, number: int) -> None:
        _nft(self._home, f"delete table netdev cut{number}")

    def slow(self, number: int, rate: str) -> None:
        """Let the host send no faster than that."""
        _run("tc", "-n", self._name(number), "qdisc", "add", "dev", "up0", "root", "tbf",
             "rate", rate, "burst", "16kb", "latency", "200ms")  # fmt: skip

    def _name(self, number: int) -> str:
        return f"{self._stem}-{number}"


@contextlib.contextmanager
def _made(name: str) -> Iterator[None]:
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _ip("netns", "delete", name)


@contextlib.contextmanager
def _inside(name: str) -> Iterator[None]:
    """Have this thread, and what it starts, in the namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(Path("/run/netns") / name)
        yield
    finally:
        _enter(home)
        os.close(home)


def _enter(namespace: Path | int) -> None:
    descriptor = namespace if isinstance(namespace, int) else os.open(namespace, os.O_RDONLY)
    try:
        if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        if descriptor is not namespace:
            os.close(descriptor)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _nft(namespace: str, rule: str) -> None:
    _run("nsenter", f"--net=/run/netns/{namespace}", "nft", rule)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=20)
