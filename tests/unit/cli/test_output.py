import pytest

from cupel.cli import output, terminal


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain \t text", "plain \t text"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\rest", "rest"),
        ("\x1b(Bset", "set"),
        ("\x1b7saved\x1bc", "saved"),
        ("a\rb", "b"),
        ("dos\r", "dos"),
        ("bell\x07 back\x08", "bell\ufffd back\ufffd"),
        ("broken \x1b", "broken \ufffd"),
        ("open \x1b]0;title", "open \ufffd]0;title"),
        ("\u202eevil", "\ufffdevil"),
        ("Ünïcode ✓ 日本", "Ünïcode ✓ 日本"),
    ],
)
def test_a_line_is_made_harmless(printed: str, shown: str) -> None:
    assert terminal.plain(printed) == shown


def test_what_is_left_never_acts_on_a_terminal() -> None:
    for code in range(0x180):
        for text in (f"\x1b{chr(code)}x", f"\x1b[{chr(code)}x", f"{chr(code)}"):
            assert not any(ord(char) < 0x20 and char not in "\t\n" for char in terminal.plain(text))


def test_making_harmless_is_linear() -> None:
    assert terminal.plain("\x1b]" * 100_000).startswith("\ufffd]")


def test_a_table_is_aligned_and_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("A", "LONG"), [("x\ny", None), (output.state("success", "fine"), 3)])
    assert capsys.readouterr().out == "A                LONG\nx y\n✓ success: fine  3\n"


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    def drawn() -> str:
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=True, width=80, color_system="standard")
        console.print(output.rich_table(("A",), [(output.state("success"),)]))
        return stream.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in drawn()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in drawn()


def test_markup_of_a_title_is_text() -> None:
    import io

    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, width=80)
    console.print(output.rich_table(("A",), [("[bold]no[/bold]",)]))
    assert "[bold]no[/bold]" in stream.getvalue()
