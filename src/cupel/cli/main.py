"""The `cupel` command: finds its subcommands when they are asked for, and says every error well."""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

import cupel
from cupel.cli.exits import EPILOG, Exit
from cupel.cli.session import Session
from cupel.errors import CupelError

COMMANDS: Mapping[str, str] = {
    "up": "up:up",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "run": "run:run",
    "project": "project:project",
    "status": "status:status",
    "top": "top:top",
    "logs": "logs:logs",
    "approve": "decision:approve",
    "withdraw": "decision:withdraw",
    "land": "decision:land",
    "dequeue": "decision:dequeue",
    "promote": "decision:promote",
    "urgent": "decision:urgent",
    "retry": "decision:retry",
    "abandon": "decision:abandon",
    "flake": "flake:flake",
    "quarantine": "flake:quarantine",
    "queue": "queue:queue",
    "change": "change:change",
    "build": "build:build",
    "tests": "tests:tests",
    "notes": "notes:notes",
    "search": "search:search",
    "shell": "shell:shell",
    "cp": "copy:cp",
    "hold": "hold:hold",
    "machine": "machine:machine",
    "pool": "pool:pool",
    "host": "host:host",
    "image": "image:image",
    "webhook": "webhook:webhook",
    "cache": "cache:cache",
    "init": "init:init",
    "import": "importing:importing",
    "lint": "lint:lint",
    "explain": "explain:explain",
    "explain-plan": "explain_plan:explain_plan",
    "schema": "schema:schema",
    "completion": "completion:completion",
    "simulate": "simulate:simulate",
    "login": "login:login",
    "token": "token:token",
    "openapi": "openapi:openapi",
}
"""Command → the module below `cupel.cli` and the name in it."""


COMPLETING = "_CUPEL_COMPLETE"
"""The variable by which a shell asks for what a word may become."""


class Commands(click.Group):
    """Imports the module of a command when it is run or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(f"cupel.cli.{module}"), name)
        assert isinstance(command, click.Command)
        if COMPLETING in os.environ:
            from cupel.cli import complete

            complete.attach(command, (cmd_name,))
        return command


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(cupel.__version__, message="cupel %(version)s")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="CUPEL_STATE",
    help="The server's state directory; by default ~/.local/state/cupel.",
)
@click.option("--url", help="The server to speak to; by default CUPEL_URL, else that of --state.")
@click.option("--token", help="The token to speak with; by default CUPEL_TOKEN, else the owner's.")
@click.pass_context
def cli(ctx: click.Context, state: Path | None, url: str | None, token: str | None) -> None:
    """Land every commit by proving it on a Linux machine that has never been used before.

    `cupel up` starts everything in one process. Then guard a repository with `cupel project add`,
    and propose changes with `git push cupel HEAD:refs/for/main`.
    """
    given = ctx.obj if isinstance(ctx.obj, Session) else Session()
    ctx.obj = dataclasses.replace(
        given, state=state or given.state, url=url or given.url, token=token or given.token
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit; errors are said in words, with what to do about them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run one command; its exit code."""
    try:
        code = cli.main(argv, prog_name="cupel", standalone_mode=False, obj=session)
    except click.ClickException as error:
        error.show()
        return Exit.USER
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except SystemExit as leaving:
        # Click leaves by itself when it has completed a word for a shell, and when whoever reads
        # us has seen enough, which is no failure.
        return int(leaving.code or 0) if COMPLETING in os.environ else Exit.OK
    except Exception as error:
        return _end_with(error)
    return code if isinstance(code, int) else Exit.OK


def _end_with(error: Exception) -> int:
    """Say what went wrong; the exit code. Of a group of errors the first that is no bug counts."""
    leaves = list(_leaves(error))
    known = next((leaf for leaf in leaves if isinstance(leaf, CupelError)), None)
    if known is not None:
        _say(known.message, known.hint)
        return known.exit_code
    if os.environ.get("CUPEL_TRACEBACK"):
        raise error
    _say(
        f"this is a bug in Cupel: {type(leaves[0]).__name__}: {leaves[0]}",
        "CUPEL_TRACEBACK=1 shows where; please report it",
    )
    return Exit.BUG


def _leaves(error: Exception) -> Iterator[Exception]:
    """The errors of a group, at any depth; of another error, itself."""
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _say(message: str, hint: str | None) -> None:
    from cupel.cli import terminal

    lines = [*f"cupel: {message}".split("\n"), *(f"  {each}" for each in (hint or "").split("\n"))]
    for text in lines:
        if text.strip():
            click.echo(terminal.plain(text), err=True)
