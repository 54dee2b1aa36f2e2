"""Names for a machine that may reach some hosts alone, and the rules that hold it to that.

The rules stand in the machine's own network namespace, where its builds lack the capability to
change them: nothing leaves but over TCP to networks that are listed and to addresses in sets. The
sets are filled by this resolver, with what the host's own finds for the few names that it answers;
no other question leaves the machine, so nothing can be carried out in one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import NoReturn

from cupel.host.providers.inside import egress, netlink, syscalls
from cupel.host.providers.inside.egress import Policy

ADDRESS = "127.0.0.53"
_PORT = 53
_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!2H")
_A, _INTERNET = 1, 1
_ANSWERED, _REFUSED_NAME = 0x8180, 0x8183
_TTL = 60
_SECONDS = 10
_MOST = 16
"""Addresses in an answer: those of any registry, and they fit into a datagram."""


def start(namespace: str, policy: Policy) -> None:
    """Lay the rules into the network namespace of this path, and serve names there from a child.

    The child ends with this process.
    """
    with _inside(namespace):
        netlink.up("lo")
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind((ADDRESS, _PORT))
        _nft(policy.nft, egress.rules(policy))
    with listening:
        if os.fork() == 0:
            _serve(listening, namespace, policy)


@contextlib.contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """Make sockets, and start programs, in another network namespace."""
    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    theirs = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(theirs, syscalls.CLONE_NEWNET)
        yield
    finally:
        syscalls.setns(ours, syscalls.CLONE_NEWNET)
        os.close(ours)
        os.close(theirs)


def _nft(program: str, rules: str) -> None:
    subprocess.run(
        [program, "-f", "-"], input=rules.encode(), stdout=2, timeout=_SECONDS, check=True, env={}
    )


def _serve(listening: socket.socket, namespace: str, policy: Policy) -> NoReturn:
    syscalls.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    known: set[tuple[int, str]] = set()

    def look_up(name: str, among: list[int]) -> list[str]:
        found = _addresses(name)
        open_to = [
            (number, each) for number in among for each in egress.opened(policy, number, found)
        ]
        if new := sorted(set(open_to) - known):
            with _inside(namespace):
                _nft(policy.nft, "".join(_element(*each) for each in new))
            known.update(new)
        return list(dict.fromkeys(address for _, address in open_to))

    while True:
        question, asker = listening.recvfrom(4096)
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            reply = answer(question, policy, look_up)
            if reply is not None:
                listening.sendto(reply, asker)


def _element(number: int, address: str) -> str:
    return f"add element inet cupel {egress.set_name(number)} {{ {address} }}\n"


def _addresses(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [address for address in addresses if not address.startswith(("127.", "0."))][:_MOST]


def answer(
    question: bytes, policy: Policy, look_up: Callable[[str, list[int]], list[str]]
) -> bytes | None:
    """The reply to a DNS query: addresses of a name that is allowed, nothing of another kind or
    name. `look_up` is given the name and which of `policy.names` it is among.

    None for what is no query.
    """
    try:
        number, flags, count, *_ = _HEADER.unpack_from(question)
        name, end = _name(question, _HEADER.size)
        kind, network = _QUESTION.unpack_from(question, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if flags & 0x8000 or count != 1:
        return None
    asked = question[_HEADER.size : end + _QUESTION.size]
    among = egress.answering(policy, name.lower())
    found = look_up(name.lower(), among) if among and (kind, network) == (_A, _INTERNET) else []
    records = b"".join(
        struct.pack("!3HIH4s", 0xC00C, _A, _INTERNET, _TTL, 4, socket.inet_aton(address))
        for address in found
    )
    status = _ANSWERED if among else _REFUSED_NAME
    return _HEADER.pack(number, status, 1, len(found), 0, 0) + asked + records


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name at a place and where it ends; IndexError if it does not, or has pointers."""
    labels = []
    while length := message[at]:
        if length > 63 or at + length >= len(message):
            raise IndexError(at)
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 1
