import re
from collections.abc import Iterator
from pathlib import Path

import click
import click.testing

from cupel.cli import main
from cupel.cli.exits import MEANING, Exit
from unit.cli.calls import alone

REFERENCE = Path(__file__).parents[3] / "docs/reference/cli.md"


def commands(
    group: click.Group = main.cli, path: tuple[str, ...] = ("cupel",)
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def sections() -> dict[str, str]:
    found = re.findall(r"^### `(cupel [^`]*)`\n(.*?)(?=^##|\Z)", REFERENCE.read_text(), re.M | re.S)
    return {re.split(r" [A-Z\[-]", title)[0]: title + body for title, body in found}


def test_every_command_is_in_the_reference_and_nothing_else() -> None:
    assert set(sections()) == {name for name, _ in commands()}


def test_every_option_and_argument_is_in_the_reference() -> None:
    text = sections()
    for name, command in commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for option in [*parameter.opts, *parameter.secondary_opts]:
                    assert f"`{option}" in text[name], (name, option)
            else:
                assert str(parameter.metavar or (parameter.name or "").upper()) in text[name]


def test_every_shared_option_and_exit_code_is_in_the_reference() -> None:
    text = REFERENCE.read_text()
    for parameter in main.cli.params:
        assert f"`{parameter.opts[0]}" in text
    for code in Exit:
        assert f"| {code:d} | {MEANING[code]} |" in text


def test_every_command_and_option_has_help() -> None:
    for name, command in commands():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)


def test_help_works_for_every_command_and_its_first_line_is_not_cut() -> None:
    top = click.testing.CliRunner().invoke(main.cli, ["--help"], terminal_width=100)
    assert top.exit_code == 0
    assert "..." not in top.output.partition("Commands:")[2]
    for name, _ in commands():
        assert alone(*name.split()[1:], "--help").exit_code == 0
