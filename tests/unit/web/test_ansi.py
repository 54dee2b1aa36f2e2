from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.web import ansi


@pytest.mark.parametrize(
    ("line", "html"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m rest", '<span class="fg-1">red</span> rest'),
        ("\x1b[1;32mboth", '<span class="sgr-bold fg-2">both</span>'),
        ("\x1b[1mbold\x1b[22mnot", '<span class="sgr-bold">bold</span>not'),
        ("\x1b[91;44mbright\x1b[39;49mnot", '<span class="fg-9 bg-4">bright</span>not'),
        ("\x1b[38;5;196mindexed", '<span class="fg-1">indexed</span>'),
        ("\x1b[38;2;0;0;200mtrue", '<span class="fg-4">true</span>'),
        ("\x1b[38;5mtruncated", "truncated"),
        ("\x1b[31mred\x1b[mnot", '<span class="fg-1">red</span>not'),
        ("\x9b31mC1", '<span class="fg-1">C1</span>'),
    ],
)
def test_colours_become_classes(line: str, html: str) -> None:
    assert ansi.render(line) == html


@pytest.mark.parametrize(
    "escape",
    [
        "\x1b[2J", "\x1b[10;20H", "\x1b[?1049h", "\x1b[6n", "\x1b]0;title\x07", "\x1bc",
        "\x1b]8;;javascript:alert(1)\x1b\\", "\x1bP0;1|17/ab\x1b\\", "\x1b(B", "\x07", "\x00",
    ],
)  # fmt: skip
def test_every_other_escape_is_dropped(escape: str) -> None:
    assert ansi.render(f"a{escape}b") == "ab"


@pytest.mark.parametrize("escape", ["\x1b", "\x1b[", "\x1b[3", "\x1b]0;never ended", "\x1bP"])
def test_a_truncated_escape_is_dropped(escape: str) -> None:
    assert ansi.render(f"a{escape}") == "a"


def test_progress_shows_its_last_state() -> None:
    assert ansi.render("10%\r50%\r100%\r") == "100%"
    assert ansi.render("\x1b[32m10%\r99%") == '<span class="fg-2">99%</span>'
    assert ansi.render("line\r") == "line"


def test_backspace_takes_back() -> None:
    assert ansi.render("spinner |\b/\b-") == "spinner -"


def test_markup_is_text() -> None:
    assert ansi.render("\x1b[31m<script>&'\"") == (
        '<span class="fg-1">&lt;script&gt;&amp;&#39;&#34;</span>'
    )


def test_text_that_would_reorder_is_spelt_out() -> None:
    assert ansi.render("a\u202eb") == 'a<span class="ctl">U+202E</span>b'


def test_a_long_line_is_cut_and_says_so() -> None:
    html = ansi.render("x" * 10_000)
    assert html.count("x") == ansi.LIMIT
    assert "5,904 more characters" in html


@given(
    st.text(alphabet=st.sampled_from("\x1b\x9b[]0123;:mKP\\\x07\r\b<>&\"'a\u202e é"), max_size=200)
)
def test_nothing_gets_through_unescaped(line: str) -> None:
    html = str(ansi.render(line))
    bare = html.replace("</span>", "")
    for opened in ('<span class="',):
        while (at := bare.find(opened)) >= 0:
            bare = bare[:at] + bare[bare.index(">", at) + 1 :]
    assert not set(bare) & set("<>\"'\x1b\x9b\r\b")
