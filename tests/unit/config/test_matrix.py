"""The cells of a matrix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import matrix
from cupel.config.matrix import Matrix


def cells(written: Matrix) -> list[dict[str, str]]:
    return [dict(cell) for cell in matrix.cells(written)]


def test_cells_are_the_product_the_first_axis_slowest() -> None:
    written = Matrix(axes=(("os", ("a", "b")), ("py", ("1", "2"))))
    names = [matrix.cell_name("t", cell) for cell in matrix.cells(written)]
    assert names == ["t (os=a, py=1)", "t (os=a, py=2)", "t (os=b, py=1)", "t (os=b, py=2)"]


def test_an_exclusion_takes_all_that_it_matches() -> None:
    written = Matrix(
        axes=(("os", ("a", "b")), ("py", ("1", "2"))),
        exclude=((("os", "a"),), (("os", "b"), ("py", "2"))),
    )
    assert cells(written) == [{"os": "b", "py": "1"}]


def test_inclusions_mean_what_they_mean_in_github_actions() -> None:
    # The example of that product's own documentation, with its result.
    written = Matrix(
        axes=(("fruit", ("apple", "pear")), ("animal", ("cat", "dog"))),
        include=(
            (("color", "green"),),
            (("color", "pink"), ("animal", "cat")),
            (("fruit", "apple"), ("shape", "circle")),
            (("fruit", "banana"),),
            (("fruit", "banana"), ("animal", "cat")),
        ),
    )
    assert cells(written) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_inclusions_alone_are_cells() -> None:
    assert cells(Matrix(include=((("a", "1"),), (("a", "2"), ("b", "x"))))) == [
        {"a": "1"},
        {"a": "2", "b": "x"},
    ]


def test_a_matrix_of_nothing_has_no_cells() -> None:
    assert cells(Matrix()) == []


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("py{{matrix.py}}", "py3.11"),
        ("{{ matrix.py }}{{matrix.os}}", "3.11linux"),
        ("{{matrix.other}}", ""),
        ("{{ py }} {{matrix}} {matrix.py}", "{{ py }} {{matrix}} {matrix.py}"),
    ],
)
def test_references_are_filled_and_other_braces_left(text: str, filled: str) -> None:
    assert matrix.fill(text, (("py", "3.11"), ("os", "linux"))) == filled


def test_what_is_filled_in_is_not_filled_again() -> None:
    cell = (("a", "{{matrix.b}}"), ("b", "x"))
    assert matrix.fill("{{matrix.a}}", cell) == "{{matrix.b}}"


def test_a_cell_name_is_one_path_segment() -> None:
    assert matrix.cell_name("t", (("dir", "../../etc"),)) == "t (dir=..-..-etc)"


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.sampled_from("123"), min_size=1, unique=True)
    ),
    st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), min_size=1)),
)
def test_exclusions_only_take_away(
    axes: dict[str, list[str]], exclude: list[dict[str, str]]
) -> None:
    whole = Matrix(axes=tuple((key, tuple(values)) for key, values in axes.items()))
    less = Matrix(axes=whole.axes, exclude=tuple(tuple(cell.items()) for cell in exclude))
    kept = set(matrix.cells(less))
    for cell in matrix.cells(whole):
        matched = any(set(excluded.items()) <= set(cell) for excluded in exclude)
        assert (cell in kept) != matched
