"""`cupel pool`: how many machines of each label stand ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session
from cupel.core.model import MachineState
from cupel.web import text

if TYPE_CHECKING:
    from cupel.control import views

_SHOWN = (
    MachineState.READY,
    MachineState.BUILDING,
    MachineState.USED,
    MachineState.HELD,
    MachineState.DELETING,
    MachineState.ERROR,
)


def _spread(found: views.SpreadView | None) -> str | None:
    if found is None:
        return None
    return " ".join(text.duration(each) for each in (found.p50, found.p95, found.p99))


@click.group()
def pool() -> None:
    """The pools: how many machines of each label stand ready, and why."""


@pool.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List all labels: machines by state, the target, what is done next, and the image.

    WAITED and MADE IN are of the last day: half, 95 and 99 of 100 took no longer.
    """
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
            "NEXT",
            "WAITED",
            "MADE IN",
            "IMAGE",
            "SINCE",
        ),
        (
            (
                each.label,
                *(each.counts.get(state, 0) for state in _SHOWN),
                each.target,
                each.next,
                _spread(each.waits_day),
                _spread(each.launched),
                None if each.image is None else each.image.removeprefix("sha256:")[:12],
                None if each.image_seconds is None else text.elapsed(each.image_seconds),
            )
            for each in pools
        ),
    )
