"""What begins while all that runs jobs is still being loaded: next to nothing is needed for it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable

from cupel.errors import InfraError
from cupel.host.providers.namespace import rootless
from cupel.host.providers.namespace.launcher import Launcher
from cupel.local import sources
from cupel.local.reading import Read
from cupel.local.sources import LocalSources


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What makes machines, and the checkout that the first of them will want."""

    launcher: Launcher
    sources: LocalSources


@contextlib.asynccontextmanager
async def begun(coming: Awaitable[Read]) -> AsyncIterator[Begun]:
    """Start the launcher, and lay out the state of the working tree as soon as it is read."""
    launcher = Launcher(rootless.command(rootless.detect()))
    try:
        with contextlib.suppress(OSError, InfraError):  # the first machine will say so
            launcher.start()
        read = await coming
        found = LocalSources(read.held)
        found.begin(*sources.own(read))
        try:
            yield Begun(launcher=launcher, sources=found)
        finally:
            await found.close()
    finally:
        launcher.close()
