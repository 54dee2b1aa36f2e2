"""The documentation holds: its links lead somewhere, its commands and configurations are real."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from cupel.cli import main
from cupel.config import detect, load, server, start

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`(cupel [^`]+)`")
_SHELL = ("sh", "console")
_ENDS = {"|", ">", "&&", ";", "&"}


def blocks(text: str, *languages: str) -> Iterator[str]:
    return (body for _, language, body in _BLOCK.findall(text) if language in languages)


def without_blocks(text: str) -> str:
    return _BLOCK.sub("", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    titles = _HEADING.findall(without_blocks(page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(text: str) -> Iterator[str]:
    """Every command line of Cupel that a page shows, in blocks and within sentences."""
    for body in blocks(text, *_SHELL):
        for line in body.splitlines():
            shown = re.sub(r"^[$#] ", "", line)
            if shown.startswith("cupel "):
                yield shown
    for shown in _INLINE.findall(without_blocks(text)):
        if "…" not in shown:
            yield re.sub(r"\s+", " ", shown)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(without_blocks(page.read_text())):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_exist_with_their_options(page: Path) -> None:
    for shown in commands(page.read_text()):
        check(words(shown), shown)


def words(shown: str) -> list[str]:
    """The arguments of a command line, up to a pipe or a comment."""
    found = shlex.split(shown, comments=True)[1:]
    for number, word in enumerate(found):
        if word in _ENDS:
            return found[:number]
    return found


def check(arguments: list[str], shown: str) -> None:
    """Walk down to the command that is meant, and hold each option to the ones that it has."""
    command: click.Command = main.cli
    known = options(command)
    rest = iter(arguments)
    for word in rest:
        if word == "--":  # what follows is somebody else's
            return
        if word.startswith("-"):
            name, given, _ = word.partition("=")
            assert name in known, f"{shown}: no option {name}"
            if not known[name] and not given:
                next(rest, None)
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{shown}: no command {word}"
            command = found
            known = options(command)
        else:
            takes = [each for each in command.params if isinstance(each, click.Argument)]
            assert takes, f"{shown}: takes no argument {word}"


def options(command: click.Command) -> dict[str, bool]:
    """The options of a command, and whether each is a flag."""
    found = {"--help": True, "-h": True, "--version": True}
    for each in command.params:
        if isinstance(each, click.Option):
            found |= dict.fromkeys([*each.opts, *each.secondary_opts], each.is_flag)
    return found


CONFIGURATIONS = [
    pytest.param(body, id=f"{name}-{number}")
    for name, page in zip(NAMES, PAGES, strict=True)
    for number, body in enumerate(blocks(page.read_text(), "yaml"))
]


@pytest.mark.parametrize("body", CONFIGURATIONS)
def test_configurations_are_what_their_parser_takes(body: str) -> None:
    keys = yaml.safe_load(body).keys()
    if "jobs" in keys:
        load.load({".cupel.yaml": body}, [".cupel.yaml"])
    elif keys <= {field.key for field in server.SERVER.fields}:
        server.parse(body)
    else:
        assert keys == {"matrix"}, "a fragment of a kind that nothing checks"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / target).resolve() for target in _LINK.findall(index.read_text())}
    assert linked == {page for page in ROOT.glob("docs/**/*.md") if page != index}


def test_the_tutorial_shows_what_init_writes() -> None:
    text = (ROOT / "docs/tutorial/five-minutes.md").read_text()
    shown = re.search(r"^\$ cat .cupel.yaml\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    project = re.search(r"pyproject.toml <<'END'\n(.*?)^END$", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert project is not None
    listing = ["pyproject.toml", "src/tally/__init__.py", "tests/test_total.py"]
    found = detect.detect({"pyproject.toml": project[1]}, listing, server.DEFAULT_LABELS)
    schema = "http://127.0.0.1:8470/schema/cupel.yaml.json"
    assert shown[1] == start.text(found, schema=schema)
