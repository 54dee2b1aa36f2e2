"""The little of a network that a machine's init sets up itself: `lo` and routes."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

_NLMSG_ERROR = 2
_RTM_NEWROUTE = 24
_NLM_F_REQUEST_ACK_CREATE = 0x1 | 0x4 | 0x400
_RTN_UNICAST = 1
_RTN_UNREACHABLE = 7
_RTPROT_STATIC = 4
_RT_TABLE_MAIN = 254
_RTA_DST = 1
_RTA_GATEWAY = 5


def up(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH22x", interface.encode(), 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(
            sock, _SIOCSIFFLAGS, struct.pack("16sH22x", interface.encode(), flags | _IFF_UP)
        )


def unreachable(network: str) -> None:
    """Refuse every packet to an IPv4 network (`address/bits`) from this network namespace."""
    address, bits = network.split("/")
    route = struct.pack(
        "=BBBBBBBBI",
        socket.AF_INET, int(bits), 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNREACHABLE, 0,
    )  # fmt: skip
    destination = struct.pack("=HH4s", 8, _RTA_DST, socket.inet_aton(address))
    _request(_RTM_NEWROUTE, route + destination)


def default_route(gateway: str) -> None:
    """Send every packet that has no better route to an IPv4 address."""
    route = struct.pack(
        "=BBBBBBBBI",
        socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNICAST, 0,
    )  # fmt: skip
    _request(
        _RTM_NEWROUTE, route + struct.pack("=HH4s", 8, _RTA_GATEWAY, socket.inet_aton(gateway))
    )


def _request(kind: int, payload: bytes) -> None:
    header = struct.pack("=IHHII", 16 + len(payload), kind, _NLM_F_REQUEST_ACK_CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.send(header + payload)
        answer = sock.recv(4096)
    _, answered = struct.unpack_from("=IH", answer)
    if answered == _NLMSG_ERROR:
        (number,) = struct.unpack_from("=i", answer, 16)
        if number not in (0, -errno.EEXIST):
            raise OSError(-number, f"netlink: {os.strerror(-number)}")
