"""The protocol by itself: round trips, order, and whatever a broken other end may send."""

from __future__ import annotations

import dataclasses
import json
import struct
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.errors import Bug, InfraError
from cupel.host import messages, protocol
from cupel.host.messages import (
    ArtefactData,
    Cancel,
    Heartbeat,
    Hello,
    MachineGone,
    Output,
    Run,
    Welcome,
)

HELLO = Hello(version=messages.VERSION, name="here", slots=2, machines=(7,))
WELCOME = Welcome(version=messages.VERSION, heartbeat=5.0, token="secret")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.integers(0, 2**53)
PLAIN = {
    str: text,
    int: number,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=50),
    type(None): st.none(),
}


def any_of(kind: typing.Any) -> st.SearchStrategy:
    """Any value of a type that messages are made of."""
    if kind in PLAIN:
        return PLAIN[kind]
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{name: any_of(hint) for name, hint in hints.items()})
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is not tuple:
        return st.one_of([any_of(each) for each in inner])
    if inner[-1] is Ellipsis:
        return st.lists(any_of(inner[0]), max_size=2).map(tuple)
    return st.tuples(*map(any_of, inner))


to_host = st.one_of([any_of(k) for k in typing.get_args(messages.ToHost) if k is not Welcome])
to_server = st.one_of([any_of(k) for k in typing.get_args(messages.ToServer) if k is not Hello])


def opened() -> tuple[protocol.HostConnection, protocol.ServerConnection]:
    host, server = protocol.HostConnection(), protocol.ServerConnection()
    assert server.receive(host.send(HELLO)) == [HELLO]
    assert host.receive(server.send(WELCOME)) == [WELCOME]
    return host, server


def frame(header: object, payload: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("!II", len(raw), len(payload)) + raw + payload


@given(st.lists(to_server, max_size=5), st.lists(to_host, max_size=2))
def test_what_is_sent_is_what_is_received(up, down):
    host, server = opened()
    assert server.receive(b"".join(map(host.send, up))) == up
    assert host.receive(b"".join(map(server.send, down))) == down


def test_a_stream_may_be_cut_anywhere():
    host, _ = opened()
    sent = [
        Output(machine=1, step=0, stream="out", at=1.5, data=b"\x00\xff" * 5),
        Heartbeat(),
        ArtefactData(machine=1, data=b"", last=True),
    ]
    wire = b"".join(map(host.send, sent))
    for cut in range(len(wire) + 1):
        _, server = opened()
        assert server.receive(wire[:cut]) + server.receive(wire[cut:]) == sent
    _, server = opened()
    assert [m for byte in wire for m in server.receive(bytes([byte]))] == sent


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_refused_or_waited_for(data):
    _, server = opened()
    try:
        server.receive(data)
    except InfraError:
        assert server.phase is protocol.Phase.CLOSED


@given(st.recursive(st.none() | st.booleans() | number | text, st.lists, max_leaves=5))
def test_any_json_but_a_message_is_refused(value):
    _, server = opened()
    with pytest.raises(InfraError):
        server.receive(frame(value))


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack("!II", protocol.MAX_HEADER + 1, 0),
        struct.pack("!II", 10, messages.MAX_PAYLOAD + 1),
        frame({"type": "Run", "machine": 1}),
        frame({"type": "Nonsense"}),
        frame({"type": ["MachineGone"], "machine": 1}),
        frame({"type": "MachineGone", "machine": "1"}),
        frame({"type": "MachineGone", "machine": 1}, b"data"),
        frame({"type": "Output", "machine": True, "step": 0, "stream": "out", "at": 0}),
        frame({"type": "Output", "machine": 1, "step": 0, "stream": "out"}),
        frame(b"[" * 100_000),
        frame(b"\xff"),
        frame(b""),
    ],
)
def test_a_bad_frame_is_the_senders_fault_and_ends_the_connection(wire):
    _, server = opened()
    with pytest.raises(InfraError):
        server.receive(wire)
    with pytest.raises(InfraError, match="closed"):
        server.receive(b"")


def test_a_newer_end_may_add_fields():
    _, server = opened()
    wire = frame({"type": "MachineGone", "machine": 1, "why": "because"})
    assert server.receive(wire) == [MachineGone(machine=1)]


def test_messages_out_of_order_are_refused():
    server = protocol.ServerConnection()
    with pytest.raises(InfraError, match="Heartbeat on a connection that is new"):
        server.receive(frame({"type": "Heartbeat"}))
    host, server = opened()
    with pytest.raises(InfraError, match="Hello on a connection that is open"):
        server.receive(frame(json.loads(protocol.HostConnection().send(HELLO)[8:])))
    with pytest.raises(InfraError, match="no known type"):
        host.receive(frame({"type": "Heartbeat"}))


def test_sending_out_of_order_is_our_bug():
    with pytest.raises(Bug):
        protocol.HostConnection().send(Heartbeat())
    with pytest.raises(Bug):
        protocol.ServerConnection().send(WELCOME)
    host, server = opened()
    with pytest.raises(Bug):
        host.send(Cancel(machine=1))  # type: ignore[arg-type]
    with pytest.raises(Bug):
        host.send(Output(machine=1, step=0, stream="out", at=float("nan"), data=b""))
    big = b"x" * (messages.MAX_PAYLOAD + 1)
    with pytest.raises(Bug):
        host.send(Output(machine=1, step=0, stream="out", at=0.0, data=big))
    server.close()
    with pytest.raises(Bug):
        server.send(Cancel(machine=1))


def test_another_version_is_told_apart():
    host = protocol.HostConnection()
    hello = Hello(version=messages.VERSION + 1, name="n", slots=1, machines=())
    with pytest.raises(InfraError, match="speaks version"):
        protocol.ServerConnection().receive(host.send(hello))


def test_every_message_has_a_place():
    kinds = {kind for _, kind in protocol.PHASES}
    assert kinds == set(typing.get_args(messages.ToHost | messages.ToServer))
    assert Run in kinds
