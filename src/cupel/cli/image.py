"""`cupel image`: what machines are made of."""

from __future__ import annotations

import time

import click

from cupel.cli import output
from cupel.cli.session import Session, pass_session
from cupel.client import Client
from cupel.control import views
from cupel.errors import UserError
from cupel.web import text

SHORT = 19
"""Characters of a digest that tell it from others: `sha256:` and twelve digits."""

_WHY = 80
"""Characters of the reason of a failure in the list."""

_POLL = 0.5


@click.group()
def image() -> None:
    """The images: what machines are made of."""


@image.command("list")
@output.json_option
@pass_session
def list_all(session: Session, as_json: bool) -> None:
    """List all images, those with a name first."""
    with session.client() as client:
        images = client.images()
    if as_json:
        output.document(images)
        return
    now = time.time()
    output.table(
        ("IMAGE", "STATE", "DIGEST", "AGE", "SIZE", "PACKAGES"),
        (
            (
                each.name,
                output.state(each.state, _why(each)),
                each.digest and each.digest[:SHORT],
                None if each.built_at is None else text.elapsed(now - each.built_at),
                None if each.size is None else text.size(each.size),
                each.packages,
            )
            for each in images
        ),
        empty="no image has a name; `images` in the server's cupel.yaml gives them one",
    )


def _why(found: views.ImageView) -> str | None:
    """Why an image is not built, in a few words: `cupel image show` has them all."""
    if found.state != "failed" or found.error is None:
        return None
    return text.shortened(found.error, _WHY)


@image.command()
@click.argument("name")
@click.option("--log", "with_log", is_flag=True, help="Print the log of its build instead.")
@output.json_option
@pass_session
def show(session: Session, name: str, with_log: bool, as_json: bool) -> None:
    """Show an image: what it is made of, its digest, its tests."""
    with session.client() as client:
        if with_log:
            click.echo(client.image_log(name), nl=False)
            return
        if as_json:
            output.document(client.image(name))
            return
        past = client.image_past(name)
    output.fields(
        [
            *_facts(past.image),
            ("labels", " ".join(past.labels) or "none"),
            *((f"{state} machines", count) for state, count in past.machines.items()),
            ("ready of old", past.old or None),
        ]
    )


def _facts(found: views.ImageView) -> list[tuple[str, output.Text]]:
    return [
        ("image", found.name),
        ("state", output.state(found.state)),
        ("digest", found.digest),
        ("before it", found.previous),
        ("given up", found.rejected),
        ("made of", found.definition),
        ("age", None if found.built_at is None else text.elapsed(time.time() - found.built_at)),
        ("built in", None if found.seconds is None else text.duration(found.seconds)),
        ("size", None if found.size is None else text.size(found.size)),
        ("packages", found.packages),
        ("refreshed", None if found.refresh is None else f"after {text.duration(found.refresh)}"),
        *(("test", test) for test in found.tests),
        ("failed" if found.state == "failed" else "failed before", found.error),
        ("", found.hint),
    ]


@image.command()
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Do not wait for the end of the build.")
@pass_session
def build(session: Session, name: str, no_wait: bool) -> None:
    """Build an image anew; machines move over once it has passed its tests."""
    with session.client() as client:
        client.build_image(name)
        if no_wait:
            return
        found = _follow(client, name)
    if found.error is not None:
        raise UserError(f"image {name} can't be built: {found.error}", hint=found.hint)
    click.echo(found.digest)


def _follow(client: Client, name: str) -> views.ImageView:
    """Print the log of a build that was asked for as it grows; the image at its end."""
    printed, waits = 0, False
    while True:
        found = client.image(name)
        if found.state == "waiting" and not waits:
            click.echo("Waiting for other images, which are built before it", err=True)
            waits = True
        if found.state != "waiting":
            said = client.image_log(name)
            click.echo(said[printed:], nl=False, err=True)
            printed = max(printed, len(said))
        if found.state not in ("waiting", "building"):
            return found
        time.sleep(_POLL)


@image.command()
@click.argument("name")
@pass_session
def rollback(session: Session, name: str) -> None:
    """Use the image before the current one again."""
    with session.client() as client:
        click.echo(client.roll_back_image(name).digest)


@image.command()
@click.argument("old")
@click.argument("new")
@output.json_option
@pass_session
def diff(session: Session, old: str, new: str, as_json: bool) -> None:
    """Show the packages and files that differ between two images, by name or digest."""
    with session.client() as client:
        found = client.image_difference(old, new)
    if as_json:
        output.document(found)
        return
    output.table(
        ("PACKAGE", "OLD", "NEW"),
        ((each.name, each.old or "none", each.new or "none") for each in found.packages),
        empty="the same packages",
    )
    signs = {"added": "+", "removed": "-", "changed": "~"}
    for each in found.files:
        click.echo(f"{signs[each.change]} /{each.path}")


@image.command()
@click.option("--keep", type=click.IntRange(0, 1000), default=2, help="How many; 2.")
@pass_session
def prune(session: Session, keep: int) -> None:
    """Remove images that nothing uses, but for the newest."""
    with session.client() as client:
        gone = client.prune_images(keep)
    for digest in gone:
        click.echo(digest)
    if not gone:
        click.echo("nothing to remove", err=True)
