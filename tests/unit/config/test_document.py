"""YAML with positions: what it becomes, what it refuses, and that it stays small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import document
from cupel.config.document import Array, Entry, Kind, Scalar, Table
from cupel.config.problem import ConfigErrors, Mark, Problems


def read(text: str) -> document.Value | None:
    problems = Problems()
    value = document.read("f.yaml", text, problems)
    problems.raise_any()
    return value


def refusal(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read(text)
    return str(caught.value)


def scalar(line: int, column: int, text: str, kind: Kind = Kind.TEXT) -> Scalar:
    return Scalar(at=Mark("f.yaml", line, column), text=text, kind=kind)


def test_values_know_where_they_stand() -> None:
    assert read("a: 1\nlist:\n  - x\n") == Table(
        at=Mark("f.yaml", 1, 1),
        entries=(
            Entry(key=scalar(1, 1, "a"), value=scalar(1, 4, "1", Kind.NUMBER)),
            Entry(
                key=scalar(2, 1, "list"),
                value=Array(at=Mark("f.yaml", 3, 3), items=(scalar(3, 5, "x"),)),
            ),
        ),
    )


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\ufeff"])
def test_no_document_is_no_value(text: str) -> None:
    value = read(text)
    assert value is None or (isinstance(value, Scalar) and value.kind is Kind.NULL)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("word", Kind.TEXT),
        ("'1'", Kind.TEXT),
        ("!!str 1", Kind.TEXT),
        ("3.10", Kind.NUMBER),
        ("010", Kind.NUMBER),
        ("1:30", Kind.NUMBER),
        ("yes", Kind.BOOLEAN),
        ("~", Kind.NULL),
        ("2024-01-01", Kind.TEXT),
    ],
)
def test_kinds_of_scalars(text: str, kind: Kind) -> None:
    value = read(text)
    assert isinstance(value, Scalar)
    assert value.kind is kind


def test_aliases_stand_where_they_are_used() -> None:
    table = read("a: &x {k: v}\nb: *x\n")
    assert isinstance(table, Table)
    first, second = (entry.value for entry in table.entries)
    assert isinstance(first, Table)
    assert isinstance(second, Table)
    assert second.at == Mark("f.yaml", 2, 4)
    assert second.entries == first.entries


def test_merge_keys_fill_what_a_mapping_leaves_out() -> None:
    table = read("- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], x: 0}\n")
    assert isinstance(table, Array)
    merged = table.items[2]
    assert isinstance(merged, Table)
    values = {e.key.text: e.value.text for e in merged.entries if isinstance(e.value, Scalar)}
    assert values == {"x": "0", "y": "1", "z": "2"}


MALFORMED = {
    "a:\n\tb: 1": "2:1: a tab, where YAML allows only spaces\n  indent with spaces",
    "a: b: c": "1:5: a colon that YAML takes for a second key on this line",
    "jobs:\n  a:\n    machine:x\n    steps: [a]\n": (
        '3:5: no space after the colon\n  write "machine: …"'
    ),
    "a: 1\nb:2\nc: 3\n": '2:1: no space after the colon\n  write "b: …"',
    "a: 1\nb\nc: 3\n": "2:1: neither a key nor an item",
    "a: 'x\nb: c": "1:4: this quote is never closed",
    'a: "x\nb: 1\n': "1:4: this quote is never closed",
    'a: "x\n---\nb': "1:4: this quote is never closed",
    "a:\n  b: 1\n c: 2\n": "3:2: this line does not fit the ones above it",
    "- **/*.py": "1:4: “*” begins an alias in YAML\n  put the value in quotes",
    "a: [x, y\nb: 1": "1:4: “[” without its “]”",
    "a: {x: y\nb: 1": "1:4: “{” without its “}”",
    "a: %x": "1:4: a value cannot begin with “%”\n  put the value in quotes",
    "a: @x": "1:4: a value cannot begin with “@”",
    'a: "\\q"': "1:6: an unknown escape in double quotes",
    "a: ok\nb: \x07": "2:4: a character that YAML does not allow",
    'a: "\\U99999999"': "1:1: this cannot be read as YAML",
    "a: - b": "1:4: this cannot be read as YAML",
    "a: *x": '1:4: no anchor "&x" stands before this alias',
    "a: &x [*x]": '1:8: the anchor "&x" contains itself',
    "? [a]\n: b": "1:3: a key has to be a text",
    "a: {{matrix.x}}": "1:5: a key has to be a text",
    "a: 1\nb: 2\na: 3": '3:1: duplicate key "a"\n  the first is at f.yaml:1:1',
    "a: 1\n--- \nb: 2": "2:1: a second document",
    "a: !!python/object/apply:os.system [x]": "1:4: tags have no meaning here",
    "a: !x {}": "1:4: tags have no meaning here",
    "<<: 1": "1:5: “<<” merges mappings",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_not_good_yaml_is_explained_at_its_place(text: str) -> None:
    assert refusal(text).startswith("f.yaml:" + MALFORMED[text])


def test_all_duplicates_are_reported() -> None:
    assert refusal("a: 1\na: 2\nb: 1\nb: 2").count("duplicate key") == 2


def test_laughs_are_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    assert "more than 20,000 values, aliases expanded" in refusal("\n".join(lines))


def test_repeated_text_is_bounded() -> None:
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]"
    assert "more than 4 MiB of text" in refusal(text)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded(opening: str) -> None:
    assert "nested deeper than 50 levels" in refusal(opening * 5000)


def test_depth_is_bounded_through_aliases() -> None:
    lines = ["a0: &a0 " + "[" * 40 + "]" * 40, "a1: " + "[" * 20 + "*a0" + "]" * 20]
    assert "2:25: nested deeper" in refusal("\n".join(lines))


def test_size_is_bounded() -> None:
    assert refusal("#" * (document.MAX_BYTES + 1)) == "f.yaml:1:1: the file is larger than 1 MiB"


def test_file_names_are_shown_printable() -> None:
    problems = Problems()
    document.read(".cupel/\x1b[2J.yaml", "a: b: c", problems)
    with pytest.raises(ConfigErrors, match=r"\.cupel/\\x1b\[2J\.yaml:1:5"):
        problems.raise_any()


YAMLISH = st.text(
    st.sampled_from("ab:-?[]{}&*!|>'\"%@`#,\n\t \\<~0.1Ux=\x85\u2028\ufeff"), max_size=60
)


@given(st.one_of(st.text(max_size=200), YAMLISH))
def test_any_text_is_read_or_refused(text: str) -> None:
    problems = Problems()
    value = document.read("f.yaml", text, problems)
    assert value is None or isinstance(value, Scalar | Array | Table)
