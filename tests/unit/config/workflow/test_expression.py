"""Expressions of workflows: read, worked out, and written as shell that means the same."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config.problem import Mark
from cupel.config.workflow import expression, shell
from cupel.config.workflow.expression import Known, Name, Unknown, Unreadable
from cupel.config.workflow.note import Notes
from cupel.config.workflow.shell import Scope, Writer

KNOWN: dict[str, Known] = {"a.text": "Yes", "a.empty": "", "a.three": 3.0, "a.true": True}


def lookup(name: Name) -> Known:
    if str(name) not in KNOWN:
        raise Unknown
    return KNOWN[str(name)]


def worked_out(source: str) -> Known:
    return expression.value(expression.read(source), lookup)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("'it''s'", "it's"), ("1.5", 1.5), ("0xff", 255.0), ("true", True), ("NULL", None),
        ("a.text == 'yes'", True), ("a.text != 'no'", True), ("a['text']", "Yes"),
        ("!a.empty", True), ("!!a.empty", False), ("!!!a.empty", True),
        ("a.empty || 'other'", "other"), ("a.text && a.three", 3.0),
        ("a.true && 'x' || 'y'", "x"), ("a.three == '3'", True), ("a.three == 'x'", False),
        ("(a.empty || a.true) && !false", True), ("contains('Hello', 'ell')", True),
        ("startsWith(a.text, 'y')", True), ("endsWith(a.text, 'x')", False),
        ("success() && !cancelled()", True), ("failure()", False),
        ("b.unknown || a.true", True), ("b.unknown && false", False),
    ],
)  # fmt: skip
def test_what_expressions_are(source: str, wanted: Known) -> None:
    assert worked_out(source) == wanted


@pytest.mark.parametrize("source", ["b.unknown", "hashFiles('x')", "1 < 2", "b.unknown && true"])
def test_what_is_not_known(source: str) -> None:
    with pytest.raises(Unknown):
        worked_out(source)


@pytest.mark.parametrize(
    "source", ["", "'open", "a b", "a.", "f(", "f(1,)", "(a", "a ==", "@", "a[b]", "(" * 200, "1 2"]
)
def test_what_is_no_expression(source: str) -> None:
    with pytest.raises(Unreadable):
        expression.read(source)


@given(st.text(alphabet="ab.'()!=&|<>, 01[]*", max_size=60))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        made = expression.read(source)
        expression.value(made, lookup)
        shell.condition(made, Scope())
    except (Unreadable, Unknown):
        pass


def run(script: str) -> str:
    done = subprocess.run(
        ["/bin/bash", "-eo", "pipefail", "-c", script],
        capture_output=True, text=True, env={"WORD": "a b", "GITHUB_SHA": "abc"}, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("env.WORD == 'a b'", True), ("env.WORD != 'a b'", False), ("env.NONE", False),
        ("env.WORD && !env.NONE", True), ("contains(env.WORD, ' ')", True),
        ("startsWith(env.WORD, 'b') || endsWith(env.WORD, 'b')", True),
        ("github.sha == 'abc' && env.WORD == '$(false)'", False),
        ("runner.os == 'Linux' && env.WORD", True),
        ("env.NONE == false", True), ("env.WORD == false", False), ("env.WORD != null", True),
    ],
)  # fmt: skip
def test_conditions_mean_the_same_to_a_shell(source: str, wanted: bool) -> None:
    test = shell.condition(expression.read(source), Scope())
    assert run(f"if {test}; then echo yes; else echo no; fi") == ("yes\n" if wanted else "no\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("${{ github.sha }}", "abc"),
        ("x ${{ env.WORD && 'yes' || 'no' }} $y `z`", "x yes $y `z`"),
        ("${{ env.NONE || 'other' }}", "other"),
        ("${{ format('{0}-{1}', github.sha, env.WORD) }}", "abc-a b"),
        ("${{ env.WORD == 'x' }}", "false"),
        ("${{ runner.os }}", "Linux"),
    ],
)
def test_texts_mean_the_same_to_a_shell(text: str, wanted: str) -> None:
    notes = Notes()
    word = Writer(Scope(), notes).word(text, Mark("f"))
    assert run(f"printf %s {word}") == wanted
    assert notes.all() == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("${{ secrets.KEY }}", "secret"), ("${{ github.token }}", "secret"),
        ("${{ steps.a.outputs.b }}", "outputs"), ("${{ needs.a.result }}", "outputs"),
        ("${{ hashFiles('x') }}", "expression"), ("${{ a b }}", "expression"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_noted_and_fails_loudly(text: str, code: str) -> None:
    notes = Notes()
    assert Writer(Scope(), notes).script(f"echo {text}", Mark("f", 3, 4)) == "echo NOT_IMPORTED"
    [note] = notes.all()
    assert (note.code, note.at.line) == (code, 3)


def test_the_matrix_is_left_to_cupel_and_single_quotes_are_noted() -> None:
    notes = Notes()
    writer = Writer(Scope(keys=frozenset({"py"})), notes)
    assert writer.script("'${{ matrix.py }}' ${{matrix.no}}", Mark("f")) == "'{{matrix.py}}' "
    assert notes.all() == ()
    writer.script("echo \"it's\" '${{ github.sha }}'", Mark("f"))
    [note] = notes.all()
    assert "single quotes" in note.message
