"""`cupel demo`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import cupel
from cupel.client import Client
from cupel.demo import releases, server
from cupel.demo.play import Outcome, Pushed, play
from cupel.demo.watch import Watch
from cupel.errors import InfraError


@click.command()
@click.option("--keep", is_flag=True, help="Leave Cupel running at the end, until Ctrl-C.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what happened to this file, as JSON.",
)
def demo(keep: bool, report: Path | None) -> None:
    """Land a real package's releases, and eject what breaks it, on a Cupel of its own.

    Everything lies in a temporary directory that is removed at the end. Needs the network: the
    package and the machines' image come from their registries.
    """
    console = Console(highlight=False)
    directory = Path(tempfile.mkdtemp(prefix="cupel-demo-"))
    try:
        outcome = asyncio.run(_run(directory, console, keep=keep, report=report))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if not outcome.good:
        raise InfraError("the demo did not end as it should", hint="\n".join(outcome.surprises))


async def _run(directory: Path, console: Console, *, keep: bool, report: Path | None) -> Outcome:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    say(f"cupel up --state {directory / 'state'}")
    async with server.running(directory / "state", releases.SETTINGS) as client:
        say(f"Cupel is up at {client.url}")
        say(
            "its machines have no network: their image holds what the jobs install, and two of them"
        )
        say("are kept ready. The image is being built meanwhile:")
        outcome = await play(client, directory, Watch(console), say)
        _tell(console, outcome)
        if report is not None:
            report.write_text(json.dumps(_report(outcome), indent=2) + "\n")
        if keep:
            await _keep(client, directory, say)
    return outcome


async def _keep(client: Client, directory: Path, say: Any) -> None:
    say(f"\nLeft running: {client.url}/queue/{releases.PACKAGE}  (Ctrl-C ends it)")
    say(f"cupel --state {directory / 'state'} status")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def _tell(console: Console, outcome: Outcome) -> None:
    console.print("\nLanded:", style="bold")
    for change in outcome.landed:
        console.print(
            f"  ✓ #{change.number} {change.title}", style="green", markup=False, soft_wrap=True
        )
    console.print("Ejected:", style="bold")
    for change, reason in outcome.ejected:
        console.print(
            f"  ✗ #{change.number} {change.title}", style="red", markup=False, soft_wrap=True
        )
        console.print(f"      {reason}", markup=False, soft_wrap=True)
    console.print("What a flaky and a broken change did to those behind them:", style="bold")
    for told in outcome.story:
        console.print(
            f"  #{told.change} ({told.part.name.lower()}): {told.text}",
            markup=False,
            soft_wrap=True,
        )
    console.print("Is what landed what was tested?", style="bold")
    for landing in outcome.proof.landings:
        same = "=" if landing.tree == landing.tested else "≠"
        console.print(
            f"  #{landing.change}: landed tree {landing.tree[:12]} {same}"
            f" tested tree {str(landing.tested)[:12]}"
        )
    console.print(f"  main is at {outcome.proof.head[:12]}, tree {outcome.proof.tree[:12]}")
    for surprise in outcome.surprises:
        console.print(f"Not as expected: {surprise}", style="bold red", markup=False)
    console.print(f"{outcome.seconds:.0f} s from the first push to the last verdict.")


def _report(outcome: Outcome) -> dict[str, Any]:
    return {
        "package": releases.PACKAGE,
        "versions": {"cupel": cupel.__version__, releases.PACKAGE: list(releases.RELEASES)},
        "landed": [_change(change) for change in outcome.landed],
        "ejected": [{**_change(change), "reason": reason} for change, reason in outcome.ejected],
        "story": [
            {**dataclasses.asdict(told), "part": told.part.name.lower()} for told in outcome.story
        ],
        "tree_verified": outcome.proof.verified,
        "head": outcome.proof.head,
        "tree": outcome.proof.tree,
        "as_expected": not outcome.surprises,
        "seconds": round(outcome.seconds, 1),
    }


def _change(pushed: Pushed) -> dict[str, Any]:
    return {"number": pushed.number, "title": pushed.title, "expected": pushed.expected}
