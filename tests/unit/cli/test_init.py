"""`cupel init`: what it writes where a server is known, and what it says."""

from __future__ import annotations

from pathlib import Path

from unit.cli import calls


def test_the_servers_labels_and_schema_are_used(cupel: calls.Command, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tox.ini").write_text("[tox]\n")
    (project / "Makefile").write_text("test:\n")
    said = cupel("init", str(project))
    assert said.code == 0, said.err
    text = (project / ".cupel.yaml").read_text()
    head = "# yaml-language-server: $schema=http://127.0.0.1:8470/schema/cupel.yaml.json\n"
    assert text.startswith(head)
    assert "It runs the job “tox”, since tox.ini is there." in said.out
    assert "Its label debian-12-net, with a network, is one of http://127.0.0.1:8470." in said.out
    assert "There could be jobs for more: Makefile has the target “test”." in said.out
    assert cupel("lint", str(project), "--server", "--strict").code == 0


def test_without_a_server_nothing_is_said_of_one(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("test:\n")
    said = calls.alone("--state", str(tmp_path / "none"), "init", str(tmp_path))
    assert said.exit_code == 0
    assert "debian-12, without a network, is one that servers have" in said.output
    assert "yaml-language-server" not in (tmp_path / ".cupel.yaml").read_text()


def test_an_example_says_that_it_is_one(tmp_path: Path) -> None:
    said = calls.alone("--state", str(tmp_path / "none"), "init", str(tmp_path))
    assert "It is an example: nothing was recognised." in said.output
