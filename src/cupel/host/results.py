"""Sends what the tests of a build left in $CUPEL_RESULTS, apart from its artefacts.

Apart, so that results are there where the artefacts are too large to be kept; and where they are
lost, that costs the build nothing but their being shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cupel.errors import InfraError
from cupel.host.messages import MAX_PAYLOAD, ResultData, ToServer
from cupel.host.providers import interface
from cupel.host.providers.interface import Machine

DIRECTORY = "/build/results"
"""$CUPEL_RESULTS."""

SECONDS = 120.0
"""How long fetching them may take."""


async def fetch(
    machines: Sequence[Machine], *, limit: int, send: Callable[[ToServer], Awaitable[None]]
) -> str | None:
    """Send the results on the machines of a build, its own first, at most `limit` bytes in all.

    What is past that is not sent: the largest files. Says why, if not everything could be.
    """
    left = limit
    own = machines[0].id
    try:
        async with asyncio.timeout(SECONDS):
            for part, machine in enumerate(machines):
                async with interface.closing(
                    machine.copy_out(DIRECTORY, smallest_first=True)
                ) as tar:
                    async for data in tar:
                        # One byte more than may be kept says that there is more.
                        kept = data[: left + 1]
                        for at in range(0, len(kept), MAX_PAYLOAD):
                            piece = kept[at : at + MAX_PAYLOAD]
                            await send(ResultData(machine=own, part=part, data=piece))
                        left -= len(kept)
                        if left < 0:
                            return "results of tests are larger than what is read of them"
    except InfraError as error:
        return f"results of tests are lost: {error}"
    except TimeoutError:
        return f"results of tests are lost: fetching them took longer than {SECONDS:g} s"
    return None
