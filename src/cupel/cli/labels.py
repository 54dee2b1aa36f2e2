"""The labels that the server knows, for commands that read a configuration beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cupel.cli.session import Session

if TYPE_CHECKING:
    from cupel.control.views import LabelView

server_option = click.option(
    "--server", is_flag=True, help="Ask the server which labels there are, and what they are."
)


def ask(session: Session) -> dict[str, LabelView]:
    with session.client() as client:
        return {label.label: label for label in client.labels()}


def described(label: LabelView) -> Iterator[tuple[str, str]]:
    """What a machine of the label is, in words."""
    from cupel.config import quantity

    made = f"{label.suite} with {', '.join(label.packages)}" if label.suite else ""
    yield "image", label.image or made or "of its own"
    yield "provider", label.provider
    yield "network", ", ".join([label.network, *label.allow])
    yield "cpus", f"{label.cpus:g}"
    yield "memory", quantity.bytes_text(label.memory)
    yield "disk", quantity.bytes_text(label.disk)
