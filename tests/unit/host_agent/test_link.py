"""The stream that outlives its connections: nothing is lost or doubled, whatever is cut when."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.errors import InfraError
from cupel.host import link
from cupel.host.link import Confirmed, Data, End, Link, Ping, Pong
from cupel.host.spool import Spool
from cupel.host.wire import Wire

SOME = st.binary(min_size=1, max_size=40)


@given(st.one_of(
    st.builds(Data, st.integers(0, 2**63), st.binary()),
    st.builds(Confirmed, st.integers(0, 2**63)),
    st.builds(Ping, st.integers(0, 2**63)),
    st.builds(Pong, st.integers(0, 2**63)),
    st.builds(End, st.text(max_size=100)),
))  # fmt: skip
def test_messages_are_read_as_they_were_written(message):
    if not isinstance(message, End) or message.reason.isprintable():
        assert link.decode(link.encode(message)) == message


@given(st.binary(max_size=30))
def test_anything_else_is_the_other_ends_fault(data):
    try:
        message = link.decode(data)
    except InfraError:
        return
    assert isinstance(message, End) or link.encode(message) == data


@settings(max_examples=200)
@given(st.data())
def test_a_stream_arrives_once_and_in_order_over_any_connections(data):
    """One end writes, the other reads; connections are cut with messages still on their way."""
    here, there = Link(Spool(), window=64), Link(Spool(), window=64)
    written = read = b""
    on_their_way: list[Data] = []
    answers: list[Confirmed] = []
    for do in data.draw(st.lists(st.sampled_from("wwsssrrac"), max_size=200)):
        if do == "w" and not here.crowded:
            piece = data.draw(SOME)
            here.write(piece)
            written += piece
        elif do == "s" and (message := here.next()) is not None:
            assert isinstance(message, Data)
            on_their_way.append(message)
        elif do == "r" and on_their_way:
            there.take(on_their_way.pop(0))
        elif do == "a":
            read += there.read()
            if (message := there.next()) is not None:
                assert isinstance(message, Confirmed)
                answers.append(message)
            if answers and data.draw(st.booleans()):
                here.confirm(answers.pop(0).count)
        elif do == "c":
            on_their_way.clear()
            answers.clear()
            here.begin(there.received)
            there.begin(here.received)
    assert written.startswith(read)
    here.begin(there.received)
    there.begin(here.received)
    while not here.idle or there.readable or here.unconfirmed:
        while (message := here.next()) is not None:
            there.take(message)
        read += there.read()
        while (message := there.next()) is not None:
            here.confirm(message.count)
    assert read == written


@pytest.mark.parametrize(
    "break_rules",
    [
        lambda end: end.take(Data(1, b"x")),
        lambda end: end.take(Data(0, bytes(65))),
        lambda end: end.confirm(1),
        lambda end: end.begin(1),
    ],
)
def test_what_cannot_be_is_the_other_ends_fault(break_rules):
    with pytest.raises(InfraError, match="broke the protocol"):
        break_rules(Link(Spool(), window=64))


@given(st.lists(st.tuples(SOME, st.integers(0, 60)), max_size=40))
def test_a_spool_gives_back_what_it_was_given(tmp_path_factory, steps):
    directory = tmp_path_factory.mktemp("spool")
    spool, whole = Spool(directory, memory=50), b""
    for data, dropped in steps:
        spool.append(data)
        whole += data
        spool.drop(min(spool.start + dropped, spool.end))
        got, at = b"", spool.start
        while piece := spool.read(at, 7):
            got, at = got + piece, at + len(piece)
        assert got == whole[spool.start :]
    assert list(directory.iterdir()) == []
    spool.close()


def test_a_full_disk_is_told_in_words(tmp_path):
    spool = Spool(tmp_path / "file" / "x", memory=1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InfraError, match="cannot be kept"):
        spool.append(b"more than fits")


class Cable:
    """One end of a connection that a test can cut, with what is on its way."""

    def __init__(self, out: asyncio.Queue[bytes | None], back: asyncio.Queue[bytes | None]) -> None:
        self._out, self._back = out, back
        self.sent = 0
        self.cut_after = -1
        self.is_cut = False

    async def send(self, data: bytes) -> None:
        self.sent += 1
        if self.sent == self.cut_after:
            self.cut()
        if self.is_cut:
            raise InfraError("cut")
        self._out.put_nowait(data)
        await asyncio.sleep(0)

    async def receive(self) -> bytes | None:
        got = await self._back.get()
        return None if self.is_cut else got

    def cut(self) -> None:
        self.is_cut = True
        self._out.put_nowait(None)
        self._back.put_nowait(None)

    async def close(self) -> None:
        self.cut()


def cable() -> tuple[Cable, Cable]:
    there: asyncio.Queue[bytes | None] = asyncio.Queue()
    back: asyncio.Queue[bytes | None] = asyncio.Queue()
    return Cable(there, back), Cable(back, there)


@pytest.mark.parametrize("seed", range(5))
def test_a_session_survives_cuts_at_any_message(seed, tmp_path):
    data = random.Random(seed).randbytes(2 << 20)

    async def carry(here: Wire, there: Wire) -> None:
        rng = random.Random(seed)
        while not (here.ended.is_set() or there.ended.is_set()):
            one, other = cable()
            rng.choice((one, other)).cut_after = rng.randrange(1, 60)
            received = here.received, there.received
            async with asyncio.TaskGroup() as group:
                group.create_task(here.carry(one, received[1]))
                group.create_task(there.carry(other, received[0]))

    async def scenario() -> None:
        here, there = Wire(directory=tmp_path), Wire()
        got, came = bytearray(), bytearray()

        async def write(end: Wire) -> None:
            for at in range(0, len(data), 10_000):
                await end.write(data[at : at + 10_000])

        async def read(end: Wire, into: bytearray) -> None:
            while len(into) < len(data):
                into += await end.read()

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            carrying = group.create_task(carry(here, there))
            tasks = [write(here), write(there), read(there, got), read(here, came)]
            await asyncio.gather(*tasks)
            carrying.cancel()
        assert bytes(got) == data
        assert bytes(came) == data

    asyncio.run(scenario())


def test_a_session_that_is_given_up_says_why_to_its_reader():
    async def scenario() -> None:
        wire = Wire()
        wire.give_up("nothing was heard of it for 45 s")
        with pytest.raises(InfraError, match="45 s"):
            await wire.read()
        await wire.write(b"nobody hears this")

    asyncio.run(scenario())


def test_without_a_connection_so_much_may_wait_and_no_more(tmp_path):
    async def scenario() -> None:
        wire = Wire(directory=tmp_path, most=3 << 20, window=1 << 20)
        async with asyncio.timeout(5):
            await wire.write(bytes(2 << 20))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await wire.write(bytes(2 << 20))
        wire.close()

    asyncio.run(scenario())
