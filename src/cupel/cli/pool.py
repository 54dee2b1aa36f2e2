"""`cupel pool`: how many machines of each label stand ready."""

from __future__ import annotations

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session
from cupel.core.model import MachineState
from cupel.web import text

_SHOWN = (
    MachineState.READY,
    MachineState.BUILDING,
    MachineState.USED,
    MachineState.HELD,
    MachineState.DELETING,
    MachineState.ERROR,
)


@click.group()
def pool() -> None:
    """The pools: how many machines of each label stand ready, and why."""


@pool.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List all labels: machines by state, the target, waits of the last day, the image."""
    with session.client() as client:
        pools = client.pools()
    if as_json:
        output.document(pools)
        return
    output.table(
        (
            "LABEL",
            *(state.upper() for state in _SHOWN),
            "TARGET",
            "WHY",
            "WAITED",
            "IMAGE",
            "SINCE",
        ),
        (
            (
                each.label,
                *(each.counts.get(state, 0) for state in _SHOWN),
                each.target,
                each.why,
                None if each.waits is None else " ".join(map(text.duration, each.waits)),
                None if each.image is None else each.image.removeprefix("sha256:")[:12],
                None if each.image_seconds is None else text.elapsed(each.image_seconds),
            )
            for each in pools
        ),
    )
