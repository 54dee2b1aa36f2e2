"""What can begin while all that runs jobs is still being loaded: next to nothing is needed."""

from __future__ import annotations

import contextlib

from cupel.errors import InfraError
from cupel.host.providers.namespace import rootless
from cupel.host.providers.namespace.launcher import Launcher


def launcher() -> Launcher:
    """Starts what makes machines. Where that fails, the first machine will say so."""
    made = Launcher(rootless.command(rootless.detect()))
    with contextlib.suppress(OSError, InfraError):
        made.start()
    return made
