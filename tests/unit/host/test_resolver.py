"""What a machine that may reach some hosts alone is told of names."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.host.providers.inside import resolver
from cupel.host.providers.inside.egress import Names, Policy

POLICY = Policy(
    nft="nft",
    names=[
        Names(names=["pypi.org"], ports=[(443, 443)], trusted=True),
        Names(names=["*.example.com"], ports=[(22, 22)], trusted=False),
    ],
    ranges=[],
    denied=[],
)
A, AAAA, TXT, SRV = 1, 28, 16, 33


def query(name: str, kind: int = A, *, flags: int = 0x0100, count: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        struct.pack("!6H", 7, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
    )


class LookUp:
    def __init__(self) -> None:
        self.asked: list[tuple[str, list[int]]] = []

    def __call__(self, name: str, among: list[int]) -> list[str]:
        self.asked.append((name, among))
        return ["192.0.2.7", "192.0.2.8"]


def test_a_registry_has_its_addresses() -> None:
    look_up = LookUp()
    question = query("PyPI.org")
    reply = resolver.answer(question, POLICY, look_up)
    assert reply is not None
    assert struct.unpack_from("!6H", reply) == (7, 0x8180, 1, 2, 0, 0)
    assert reply[12 : len(question)] == question[12:]
    assert reply.endswith(socket.inet_aton("192.0.2.8"))
    assert look_up.asked == [("pypi.org", [0])]


def test_a_name_below_one_that_is_allowed_has_its_addresses() -> None:
    look_up = LookUp()
    assert resolver.answer(query("deep.below.example.com"), POLICY, look_up) is not None
    assert look_up.asked == [("deep.below.example.com", [1])]


@pytest.mark.parametrize("kind", [AAAA, TXT, SRV, 255])
def test_nothing_but_addresses_is_told_and_nothing_else_asked(kind: int) -> None:
    look_up = LookUp()
    reply = resolver.answer(query("pypi.org", kind), POLICY, look_up)
    assert reply is not None
    assert struct.unpack_from("!6H", reply)[1:4] == (0x8180, 1, 0)
    assert look_up.asked == []


@pytest.mark.parametrize(
    "name",
    ["example.org", "a.pypi.org", "pypi.org.example.org", "pypi", "example.com", "xexample.com"],
)
def test_other_names_do_not_exist_and_are_not_asked_for(name: str) -> None:
    look_up = LookUp()
    reply = resolver.answer(query(name), POLICY, look_up)
    assert reply is not None
    assert struct.unpack_from("!6H", reply)[1:4] == (0x8183, 1, 0)
    assert look_up.asked == []


@pytest.mark.parametrize(
    "message",
    [b"", b"\0" * 11, query("pypi.org", flags=0x8180), query("pypi.org", count=2),
     query("pypi.org")[:-3], b"\0\7\1\0\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1"],
)  # fmt: skip
def test_what_is_no_query_gets_no_reply(message: bytes) -> None:
    assert resolver.answer(message, POLICY, LookUp()) is None


@pytest.mark.parametrize("label", ["\0", "a b", "ä", "a\n"])
def test_what_is_no_name_is_not_asked_for(label: str) -> None:
    look_up = LookUp()
    raw = label.encode()
    labels = bytes([len(raw)]) + raw + b"\7example\3com\0"
    question = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!2H", A, 1)
    reply = resolver.answer(question, POLICY, look_up)
    assert reply is None or struct.unpack_from("!6H", reply)[1] == 0x8183
    assert look_up.asked == []


@given(st.binary(max_size=600))
def test_any_message_is_survived(message: bytes) -> None:
    resolver.answer(message, POLICY, LookUp())
