"""Hosts and machines as rows, and what planning makes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from cupel.core import pool
from cupel.core.draft import Draft
from cupel.core.model import Host, HostState, Machine, MachineState, Row


def host(id: int, slots: int = 4, **fields: Any) -> Host:
    made = Host(
        id=id,
        name=f"host{id}",
        slots=slots,
        labels=(),
        state=HostState.CONNECTED,
        detail=None,
        last_seen=0.0,
    )
    return replace(made, **fields)


def machine(
    id: int, host_id: int, state: MachineState = MachineState.USED, **fields: Any
) -> Machine:
    made = Machine(
        id=id,
        label="debian-12",
        image=None,
        host_id=host_id,
        build_id=None,
        state=state,
        detail=None,
        created_at=0.0,
    )
    return replace(made, **fields)


def planned(*rows: Row, now: float = 1.0) -> Draft:
    draft = Draft(rows, now=now, ids=itertools.count(1000))
    pool.plan(draft)
    return draft


def make_all(draft: Draft) -> Draft:
    """Every machine that is asked for is ready, and what follows from that is planned."""
    for each in draft.all(Machine):
        if each.state is MachineState.BUILDING:
            draft.put(replace(each, state=MachineState.READY, ready_at=draft.now))
    pool.plan(draft)
    return draft
