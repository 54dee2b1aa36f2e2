import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.cli.live import keys


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("j", ["j"]),
        ("\x1b[A\x1b[B", ["up", "down"]),
        ("\x1bOA", ["up"]),
        ("\x1b[5~\x1b[6~", ["page-up", "page-down"]),
        ("\x1b", ["escape"]),
        ("\r\n", ["enter", "enter"]),
        ("\x7f\x08\x15", ["backspace", "backspace", "clear"]),
        ("äß", ["ä", "ß"]),
        ("\x1b[1;5C", []),  # Ctrl-Right
        ("\x1b[200~paste\x1b[201~", ["p", "a", "s", "t", "e"]),
        ("\x00\x01", []),
    ],
)
def test_keys_have_names(text: str, found: list[str]) -> None:
    assert list(keys.parse(text)) == found


@given(st.text(max_size=50))
def test_no_key_is_a_control_character(text: str) -> None:
    for key in keys.parse(text):
        assert key.isprintable()
