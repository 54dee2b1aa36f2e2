"""Expressions of workflows as shell: texts to put into scripts, and conditions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from cupel.config.problem import Mark, show
from cupel.config.workflow import expression
from cupel.config.workflow.expression import (
    MARKED,
    Call,
    Known,
    Literal,
    Name,
    Not,
    Pair,
    Tree,
    Unknown,
    Unreadable,
)
from cupel.config.workflow.note import Code, Notes

LOST = "NOT_IMPORTED"
"""Stands where an expression could not be carried over: what meets it fails."""

VARIABLES = {
    "github.sha": "GITHUB_SHA",
    "github.ref": "GITHUB_REF",
    "github.ref_name": "GITHUB_REF_NAME",
    "github.base_ref": "GITHUB_BASE_REF",
    "github.repository": "GITHUB_REPOSITORY",
    "github.workspace": "GITHUB_WORKSPACE",
    "github.run_id": "GITHUB_RUN_ID",
    "github.run_number": "GITHUB_RUN_ID",
    "github.run_attempt": "GITHUB_RUN_ATTEMPT",
    "github.job": "GITHUB_JOB",
    "runner.temp": "RUNNER_TEMP",
    "runner.tool_cache": "RUNNER_TEMP",
}
"""What is in a variable, which the first step of an imported job sets."""

CONSTANTS: Mapping[str, Known] = {
    "runner.os": "Linux",
    "runner.arch": "X64",
    "runner.environment": "self-hosted",
    "github.event_name": "pull_request",
    "github.server_url": "https://github.com",
}
EVENTS: Mapping[str, Known] = {
    "github.ref": "refs/pull/1/merge",
    "github.ref_name": "1/merge",
    "github.ref_type": "branch",
}
"""What conditions may ask of a change that is proved. Scripts get what is there, by variables."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What names stand for in a job: the keys of its matrix, and values that are known."""

    keys: frozenset[str] = frozenset()
    known: Mapping[str, Known] = dataclasses.field(default_factory=lambda: dict(CONSTANTS))
    events: Mapping[str, Known] = dataclasses.field(default_factory=lambda: dict(EVENTS))

    def judge(self, name: Name) -> Known:
        """The same for conditions. Raises `Unknown`."""
        path = str(name)
        return self.events[path] if path in self.events else self.lookup(name)

    def lookup(self, name: Name) -> Known:
        """Raises `Unknown`."""
        path = str(name)
        if path in self.known:
            return self.known[path]
        if name.path[0] == "matrix" and len(name.path) == 2 and name.path[1] not in self.keys:
            return None
        raise Unknown

    def text(self, name: Name) -> str:
        """A name whose value is only known as the job runs. Raises `Unknown`."""
        match name.path:
            case ("matrix", key) if key in self.keys:
                return f"{{{{matrix.{key}}}}}"
            case ("env", variable) if re.fullmatch(r"[A-Za-z_]\w*", variable, re.ASCII):
                return f"${{{variable}-}}"
        if str(name) in VARIABLES:
            return f"${{{VARIABLES[str(name)]}}}"
        raise Unknown


def said(found: Known) -> str:
    """A value as GitHub puts it into a text."""
    match found:
        case None:
            return ""
        case bool():
            return str(found).lower()
        case float():
            return f"{found:.15g}"
    return str(found)


def condition(tree: Tree, scope: Scope) -> str:
    """A command that succeeds where the expression is true. Raises `Unknown`."""
    try:
        return "true" if expression.is_true(expression.value(tree, scope.judge)) else "false"
    except Unknown:
        pass
    match tree:
        case Not(inner=inner):
            return f"! {{ {condition(inner, scope)}; }}"
        case Pair(sign="&&" | "||" as sign, left=left, right=right):
            return f"{{ {condition(left, scope)} {sign} {condition(right, scope)}; }}"
        case Pair(sign="==" | "!=" as sign, left=left, right=Literal(value=False | None)):
            true = condition(left, scope)  # what is absent or empty equals both
            return f"! {{ {true}; }}" if sign == "==" else true
        case Pair(sign="==" | "!=" as sign, left=left, right=right):
            return f"[[ {_word(left, scope)} {sign} {_word(right, scope)} ]]"
        case Call(function="contains", arguments=(whole, part)):
            return f"[[ {_word(whole, scope)} == *{_word(part, scope)}* ]]"
        case Call(function="startswith", arguments=(whole, part)):
            return f"[[ {_word(whole, scope)} == {_word(part, scope)}* ]]"
        case Call(function="endswith", arguments=(whole, part)):
            return f"[[ {_word(whole, scope)} == *{_word(part, scope)} ]]"
        case Name():
            word = _word(tree, scope)
            return f"[[ -n {word} && {word} != false && {word} != 0 ]]"
    raise Unknown


def _word(tree: Tree, scope: Scope) -> str:
    return f'"{quoted(tree, scope)}"'


def quoted(tree: Tree, scope: Scope) -> str:
    """What the expression is, for use between double quotes. Raises `Unknown`."""
    try:
        return escaped(said(expression.value(tree, scope.lookup)))
    except Unknown:
        pass
    match tree:
        case Name():
            return scope.text(tree)
        case Call(function="format", arguments=(Literal(value=str(pattern)), *arguments)):
            return _formatted(pattern, [quoted(each, scope) for each in arguments])
        case Pair(sign="||", left=Pair(sign="&&", left=test, right=yes), right=no):
            chosen = f"if {condition(test, scope)}; then printf %s {_word(yes, scope)}"
            return f"$({chosen}; else printf %s {_word(no, scope)}; fi)"
        case Pair(sign="||", left=left, right=right):
            first, word = condition(left, scope), _word(left, scope)
            return f"$(if {first}; then printf %s {word}; else printf %s {_word(right, scope)}; fi)"
        case Pair() | Not() | Call():
            return f"$(if {condition(tree, scope)}; then printf true; else printf false; fi)"
    raise Unknown


def _formatted(pattern: str, values: list[str]) -> str:
    def put(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        number = int(found[1])
        if number >= len(values):
            raise Unknown
        return values[number]

    parts = re.split(r"(\{\{|\}\}|\{\d{1,2}\})", pattern)
    return "".join(
        re.sub(r"\{\{|\}\}|\{(\d+)\}", put, part) if number % 2 else escaped(part)
        for number, part in enumerate(parts)
    )


def escaped(text: str) -> str:
    """The text for use between double quotes in shell."""
    return re.sub(r'([\\"$`])', r"\\\1", text)


class Writer:
    """Replaces expressions in the texts of a job, and notes those that it cannot."""

    def __init__(self, scope: Scope, notes: Notes) -> None:
        self.scope = scope
        self._notes = notes

    def script(self, text: str, at: Mark) -> str:
        """A script as the shell is to read it."""

        def put(found: re.Match[str]) -> str:
            made = self._rendered(found[1], at, _literal)
            if "$" in made and in_single_quotes(text[: found.start()]):
                message = f"{show(found[0])} stands in single quotes, where no variable is read"
                self._notes.add(at, Code.EXPRESSION, message, "put the text in double quotes")
            return made

        return MARKED.sub(put, text)

    def word(self, text: str, at: Mark) -> str:
        """A text as a word in double quotes."""
        parts = MARKED.split(text)
        made = (
            self._rendered(part, at, quoted) if number % 2 else escaped(part)
            for number, part in enumerate(parts)
        )
        return '"' + "".join(made) + '"'

    def plain(self, text: str, at: Mark) -> str:
        """A text that `is_static`, with at most the matrix left to be filled in."""
        return MARKED.sub(lambda found: self._rendered(found[1], at, _literal), text)

    def is_static(self, text: str) -> bool:
        """Whether all of its expressions are known, or of the matrix."""
        for source in MARKED.findall(text):
            try:
                if "$" in _literal(expression.read(source), self.scope):
                    return False
            except (Unreadable, Unknown):
                return True
        return True

    def _rendered(self, source: str, at: Mark, render: Callable[[Tree, Scope], str]) -> str:
        try:
            tree = expression.read(source)
        except Unreadable:
            self._notes.add(at, Code.EXPRESSION, f"{show(source.strip())} is no expression")
            return LOST
        try:
            return render(tree, self.scope)
        except Unknown:
            self._note_unknown(tree, source.strip(), at)
            return LOST

    def _note_unknown(self, tree: Tree, source: str, at: Mark) -> None:
        named = list(names(tree))
        secret = next((name for name in named if name.path[0] == "secrets"), None)
        if secret is not None or any(str(name) == "github.token" for name in named):
            message = f"there is no secret {show(str(secret or 'github.token'))}"
            self._notes.add(at, Code.SECRET, message)
        elif any(name.path[0] in ("needs", "steps") for name in named):
            self._notes.add(at, Code.OUTPUTS, f"{show(source)} is an output of another step or job")
        else:
            self._notes.add(at, Code.EXPRESSION, f"{show(source)} cannot be worked out")


def _literal(tree: Tree, scope: Scope) -> str:
    """What the expression is, to be put into a script as it is."""
    try:
        return said(expression.value(tree, scope.lookup))
    except Unknown:
        return quoted(tree, scope)


def names(tree: Tree) -> list[Name]:
    """Every name in the expression."""
    match tree:
        case Name():
            return [tree]
        case Not(inner=inner):
            return names(inner)
        case Pair(left=left, right=right):
            return [*names(left), *names(right)]
        case Call(arguments=arguments):
            return [name for each in arguments for name in names(each)]
    return []


def in_single_quotes(before: str) -> bool:
    """Whether a shell that has read so much is within single quotes."""
    quote = ""
    skip = False
    for char in before:
        if skip:
            skip = False
        elif char == "\\" and quote != "'":
            skip = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return quote == "'"
