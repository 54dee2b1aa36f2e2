"""The embedded host stays connected for as long as the server lives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cupel import serve
from cupel.errors import InfraError
from cupel.host.transport import Transport


class Agent:
    """Serves as told, one session after the other: `lost` and `broken` end, `on` goes on."""

    def __init__(self, *sessions: str) -> None:
        self._sessions = iter(sessions)
        self.served = 0
        self.ended = 0
        self.on = asyncio.Event()

    async def serve(self, transport: Transport) -> None:
        self.served += 1
        match next(self._sessions):
            case "broken":
                raise InfraError("out of order")
            case "on":
                self.on.set()
                try:
                    await transport.read()
                finally:
                    transport.close()
                    await asyncio.sleep(0.01)  # machines are deleted
                    self.ended += 1


class Hosts:
    """The server's end: reads until there is no more."""

    def __init__(self) -> None:
        self.lost = 0

    async def serve(self, transport: Transport) -> None:
        while await transport.read():
            pass
        self.lost += 1


@pytest.mark.parametrize("how", ["lost", "broken"])
def test_a_session_that_ends_is_followed_by_another(how: str) -> None:
    async def scenario() -> tuple[Agent, Hosts]:
        agent: Any = Agent(how, how, "on")
        hosts: Any = Hosts()
        task = asyncio.create_task(serve.embed(agent, hosts, pause=0.0))
        async with asyncio.timeout(5):
            await agent.on.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return agent, hosts

    agent, hosts = asyncio.run(scenario())
    assert (agent.served, agent.ended) == (3, 1)
    assert hosts.lost == 2  # the third was stopped with the server, which is no loss
