"""`cupel host run`: a host in a process of its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from cupel import logger, serve
from cupel.host import probe, protection, remote
from cupel.host.agent import Agent
from cupel.host.protection import Guard
from cupel.host.providers.namespace import NamespaceProvider
from cupel.host.providers.several import Several
from cupel.host.providers.vm.provider import VmProvider
from cupel.host.stock import Stock

_FAREWELL = 15.0
"""Seconds that telling the server and deleting machines may take at a stop."""


def run(
    state: Path,
    server: remote.Server,
    *,
    name: str,
    slots: int | None,
    labels: tuple[str, ...],
) -> None:
    """Make machines for a server until SIGINT or SIGTERM.

    Raises `UserError` when the server refuses the host or its state directory is in use, and
    `InfraError` when builds could not be sandboxed.
    """
    logger.plainly()
    with serve.keeping(state), serve.sole_user(state) as held:
        protection.spare_me()
        probe.can_isolate(probe.examine(held))
        provider = NamespaceProvider(held, ahead=True)
        stock = Stock(provider.images, in_use=provider.images_in_use)
        several = Several(provider, VmProvider(held, ahead=True))
        agent = Agent(
            name=name,
            slots=slots or max(2, os.cpu_count() or 2),
            provider=several,
            state=held,
            labels=labels,
            # To prove what was fetched takes a mount. Others have their images from elsewhere.
            stock=stock if os.geteuid() == 0 else None,
            guard=_guard(held, stock),
        )
        host = remote.Remote(agent, server, name=name, state=held, say=serve.show)
        asyncio.run(_until_stopped(host, several))


def _guard(state: Path, stock: Stock) -> Guard:
    """Sees to it that the computer lives."""
    return Guard(state, prune=lambda: stock.prune(keep=serve.KEPT_IMAGES))


async def _until_stopped(host: remote.Remote, provider: Several) -> None:
    """Be a host until a signal comes; what was laid out for nobody yet goes as well."""
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(host.run(), name="host")
            stopping = group.create_task(serve.told_to_stop(), name="signals")
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            host.stop()
            await asyncio.wait({running}, timeout=_FAREWELL)
            running.cancel()
            stopping.cancel()
    finally:
        await provider.close()
