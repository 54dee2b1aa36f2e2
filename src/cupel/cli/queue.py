"""`cupel queue`: the rules by which changes land, and whether the tree is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cupel.cli import output
from cupel.cli.project import ON_OFF
from cupel.cli.session import Session, pass_session

if TYPE_CHECKING:
    from cupel.control.views import RulesView

OFF = 0


class Window(click.ParamType[int]):
    """A number of items from 1 on, or `off`, which is 0."""

    name = "N|off"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        if text in ("off", str(OFF)):
            return OFF
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            self.fail(f"{value!r} is neither a number of items nor off", param, ctx)
        return int(text)


WINDOW = Window()


@click.group()
def queue() -> None:
    """The queues: their rules, and whether the tree is open."""


@queue.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List all queues with their rules."""
    with session.client() as client:
        queues = client.rules()
    if as_json:
        output.document(queues)
        return
    output.table(
        ("QUEUE", "TREE", "LANDING", "WINDOW", "PLANNER", "CYCLES", "PROJECTS"),
        (
            (
                each.name,
                _tree(each),
                each.landing,
                _window(each),
                each.planner,
                _on(each.cycles),
                " ".join(each.projects),
            )
            for each in queues
        ),
        empty="no queue yet: each project gets one of its own",
    )


@queue.command()
@click.argument("name")
@output.json_option
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Show the rules of a queue, named by itself or a project."""
    with session.client() as client:
        found = client.rules_of(name)
    _say(found, as_json)


@queue.command("set")
@click.argument("name")
@click.option(
    "--landing",
    type=click.Choice(["strict", "set"]),
    help="Whether each commit passes by itself, or a pass lands all that it holds; strict.",
)
@click.option("--window", type=WINDOW, help="How many items may be under way now; off.")
@click.option("--window-floor", type=click.IntRange(1), help="What it never falls below; 3.")
@click.option("--window-ceiling", type=WINDOW, help="What it never grows beyond; off.")
@click.option("--planner", help="Which states to prove: expected-value or optimistic.")
@click.option(
    "--cycles", type=ON_OFF, help="Whether changes that need each other land as one; off."
)
@output.json_option
@pass_session
def change(
    session: Session,
    /,
    name: str,
    window: int | None,
    window_ceiling: int | None,
    as_json: bool,
    **others: str | int | bool | None,
) -> None:
    """Change the rules of a queue, or make a queue.

    What is not named stays; of a new queue it is as by default.
    """
    rules = {key: value for key, value in others.items() if value is not None}
    limits = {"window": window, "window_ceiling": window_ceiling}
    sized = {key: value or None for key, value in limits.items() if value is not None}
    with session.client() as client:
        changed = client.set_rules(name, {**rules, **sized})
    _say(changed, as_json)


@queue.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why, for all who wait.")
@output.json_option
@pass_session
def close(session: Session, name: str, reason: str, as_json: bool) -> None:
    """Let nothing land until the queue is opened; changes are still proved."""
    with session.client() as client:
        closed = client.close(name, reason)
    _say(closed, as_json)


@queue.command("open")
@click.argument("name")
@output.json_option
@pass_session
def reopen(session: Session, name: str, as_json: bool) -> None:
    """Let changes land again."""
    with session.client() as client:
        opened = client.reopen(name)
    _say(opened, as_json)


def _say(found: RulesView, as_json: bool) -> None:
    if as_json:
        output.document(found)
        return
    output.fields(
        [
            ("queue", found.name),
            ("projects", " ".join(found.projects)),
            ("tree", _tree(found)),
            ("landing", found.landing),
            ("window", _window(found)),
            ("planner", found.planner),
            ("cycles", _on(found.cycles)),
        ]
    )


def _tree(found: RulesView) -> output.Text:
    if found.closed is None:
        return output.state("open")
    return output.state("closed", f"{found.closed} ({found.closed_by})")


def _window(found: RulesView) -> str:
    if found.window is None:
        return "off"
    return f"{found.window} ({found.window_floor} to {found.window_ceiling or 'any'})"


def _on(value: bool) -> str:
    return "on" if value else "off"
