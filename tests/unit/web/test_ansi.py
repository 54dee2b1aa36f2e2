from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.log import screen
from cupel.web import ansi


@pytest.mark.parametrize(
    ("line", "html"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m rest", '<span class="fg-1">red</span> rest'),
        ("\x1b[1;32mboth", '<span class="sgr-bold fg-2">both</span>'),
        ("\x1b[1mbold\x1b[22mnot", '<span class="sgr-bold">bold</span>not'),
        ("\x1b[91;44mbright\x1b[39;49mnot", '<span class="fg-9 bg-4">bright</span>not'),
        ("\x1b[38;5;9mindexed", '<span class="fg-9">indexed</span>'),
        ("\x1b[38;5;196mred", '<span class="fg-1" data-fg="ff0000">red</span>'),
        ("\x1b[48;5;232mgrey", '<span class="bg-0" data-bg="080808">grey</span>'),
        ("\x1b[38;2;0;0;200mtrue", '<span class="fg-4" data-fg="0000c8">true</span>'),
        ("\x1b[38;2;0;0;999mtrue", '<span class="fg-4" data-fg="0000ff">true</span>'),
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


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("spinner |\b/\b-", "spinner -"),
        ("100 of 200\r150", "150 of 200"),
        ("a long one\r\x1b[Kshort", "short"),
        ("a long one\x1b[2K\rshort", "short"),
        ("abcdef\x1b[3D\x1b[K", "abc"),
        ("abcdef\x1b[3DX", "abcXef"),
        ("abc\x1b[2Cd", "abc  d"),
        ("abcdef\x1b[2G\x1b[1K", "  cdef"),
        ("abcdef\x1b[1G\x1b[2P", "cdef"),
        ("abcdef\x1b[1G\x1b[2X", "  cdef"),
        ("abc\x1b[1G\x1b[2@", "  abc"),
        ("a\x1b[999999999999Cb", "a" + " " * 16383 + "b"),
        ("\x1b[1A\x1b[2Kof another line", "of another line"),
    ],
)
def test_the_cursor_moves_within_the_line(line: str, shown: str) -> None:
    assert screen.text(line) == shown


@pytest.mark.parametrize("bomb", ["\x1b[9999@x", "\x1b[2K\x1b[9999Cx", "\x1b[9999Gx\x1b[9999P"])
def test_a_line_that_asks_for_much_work_is_soon_done(bomb: str) -> None:
    began = time.process_time()
    screen.text(bomb * (65536 // len(bomb)))
    assert time.process_time() - began < 1


def test_what_is_written_over_keeps_its_style() -> None:
    assert ansi.render("\x1b[31mred\x1b[0m\rb") == 'b<span class="fg-1">ed</span>'


def link(url: str, text: str) -> str:
    return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\"


def test_a_link_says_where_it_leads() -> None:
    html = ansi.render(link("https://example.org/a?b=c&d", "here") + ".")
    assert html == (
        '<a class="out" href="https://example.org/a?b=c&amp;d" rel="noopener noreferrer nofollow"'
        ' title="https://example.org/a?b=c&amp;d">here</a>'
        '<span class="cut"> (example.org)</span>.'
    )
    assert "cut" not in ansi.render(link("https://example.org/", "https://example.org/"))


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "data:text/html,x", "//example.org", "https://a@b.org/", "ftp://a.b",
        "https://example.org/ x", "https://[", "https://ex\u0430mple.org/", "https:\\\\a", "/x",
    ],
)  # fmt: skip
def test_a_link_that_may_mislead_is_text(url: str) -> None:
    assert ansi.render(link(url, "here")) == "here"


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
    st.text(
        alphabet=st.sampled_from("\x1b\x9b[]01238;:mKPCDGX@h/\\\x07\r\b<>&\"'a\u202e é"),
        max_size=200,
    )
)
def test_nothing_gets_through_unescaped(line: str) -> None:
    html = str(ansi.render(line))
    bare = html.replace("</span>", "").replace("</a>", "")
    for opened in ('<span class="', "<a "):
        while (at := bare.find(opened)) >= 0:
            bare = bare[:at] + bare[bare.index(">", at) + 1 :]
    assert not set(bare) & set("<>\"'\x1b\x9b\r\b")
