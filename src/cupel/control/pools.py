"""The pools of the configuration, as the core is told of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from cupel.config.server import LabelConfig, ServerConfig
from cupel.control.orders import machine_spec
from cupel.core import events


def pools(config: ServerConfig) -> events.PoolsSet:
    """Every label that jobs may ask for."""
    return events.PoolsSet(
        pools=tuple(
            events.PoolSpec(
                label=name,
                ready=label.pool.ready,
                ceiling=label.pool.ceiling,
                quota=label.pool.quota,
                idle=label.pool.idle,
                holds=label.pool.holds,
                definition=definition(name, label),
            )
            for name, label in config.labels.items()
        )
    )


def definition(name: str, label: LabelConfig) -> str:
    """A digest of all that a host is told of a label's machines."""
    told = json.dumps(dataclasses.asdict(machine_spec(name, label)), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
