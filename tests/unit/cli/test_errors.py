import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog.testing

from cupel import client, directory
from cupel.cli import main
from cupel.cli.exits import MEANING, Exit
from cupel.cli.session import Session
from cupel.errors import Bug, InfraError, UserError
from unit.cli.calls import Command


def test_exit_codes_are_those_of_the_errors() -> None:
    assert UserError.exit_code == Exit.USER
    assert InfraError.exit_code == Exit.INFRASTRUCTURE
    assert Bug.exit_code == Exit.BUG
    assert set(MEANING) == set(Exit)


def test_no_server_was_ever_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--state", str(tmp_path / "none"), "status"]) == 3
    assert "cupel up" in capsys.readouterr().err


def test_a_server_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert main.run(["--url", url, "status"]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"cupel: no Cupel answers at {url}\n")
    assert "cupel up" in said


def test_a_token_that_is_refused(cupel: Command) -> None:
    cupel.token = "cupel_wrong"
    said = cupel("status")
    assert said.code == 2
    assert "the server refuses: this token is not valid" in said.err
    assert "CUPEL_TOKEN" in said.err


@pytest.mark.parametrize(
    ("error", "code"), [(InfraError("the disk is full"), 3), (RuntimeError("oops"), 4)]
)
def test_the_server_says_whose_fault_it_is(cupel: Command, error: Exception, code: int) -> None:
    cupel.world.commands.error = error
    with structlog.testing.capture_logs():
        said = cupel("land", "22")
    assert said.code == code
    assert "Traceback" not in said.err


def test_a_bug_of_the_command_shows_no_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(address: directory.Address) -> client.Client:
        raise ZeroDivisionError("by zero")

    session = Session(state=tmp_path, url="http://x", connect=broken)
    assert main.run(["status"], session) == 4
    said = capsys.readouterr().err
    assert said.startswith("cupel: this is a bug in Cupel: ZeroDivisionError")
    assert "Traceback" not in said


def test_ctrl_c(tmp_path: Path) -> None:
    def interrupted(address: directory.Address) -> client.Client:
        raise KeyboardInterrupt

    session = Session(state=tmp_path, url="http://x", connect=interrupted)
    assert main.run(["status"], session) == 130


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["land"],
        ["land", "x"],
        ["land", "٣"],
        ["logs", "-f"],
    ],
)
def test_what_cannot_be_understood_is_the_users(argv: list[str]) -> None:
    assert main.run(argv) == 2


@pytest.mark.parametrize("url", ["127.0.0.1:8470", "ftp://x", "http://"])
def test_a_url_that_is_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--url", url, "status"]) == 2
    assert "is not the URL of a server" in capsys.readouterr().err


def test_a_server_that_is_no_cupel(cupel: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    def connect(address: directory.Address) -> client.Client:
        transport = httpx2.MockTransport(lambda request: httpx2.Response(502, text="<html>"))
        return client.Client(address, http=httpx2.Client(transport=transport, base_url=address.url))

    assert main.run(["status"], Session(url="http://x", connect=connect)) == 3


def test_the_server_is_found_as_said_then_by_environment_then_by_state(tmp_path: Path) -> None:
    (tmp_path / directory.FILE).write_text(json.dumps({"url": "http://here:1", "token": "mine"}))
    env = {"CUPEL_URL": "http://env:2", "CUPEL_TOKEN": "theirs"}

    def find(**said: str | None) -> tuple[str, str | None]:
        found = directory.find(
            url=said.get("url"), token=said.get("token"), state=tmp_path, env=said.get("env") or {}
        )
        return found.url, found.token

    assert find() == ("http://here:1", "mine")
    assert find(url="http://here:1/") == ("http://here:1", "mine")
    assert find(env=env) == ("http://env:2", "theirs")
    assert find(env=env, url="http://said:3", token="said") == ("http://said:3", "said")


def test_the_owners_token_goes_to_no_other_server(tmp_path: Path) -> None:
    (tmp_path / directory.FILE).write_text(json.dumps({"url": "http://here:1", "token": "mine"}))
    assert directory.find(url="http://elsewhere", token=None, state=tmp_path, env={}).token is None


@pytest.mark.parametrize("text", ["", "[]", '{"url": 3}', '{"url": "x", "token": "y"}'])
def test_a_state_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / directory.FILE).write_text(text)
    with pytest.raises(UserError):
        directory.find(url=None, token=None, state=tmp_path, env={})


def test_the_state_directory_follows_xdg(tmp_path: Path) -> None:
    assert directory.default_state({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "cupel"
    assert directory.default_state({}) == Path.home() / ".local/state/cupel"
    assert directory.default_state({"XDG_STATE_HOME": "relative"}).is_absolute()


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "from cupel.cli.main import main; main(['openapi'])"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(client.__file__).parents[1])},
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_the_version_needs_nothing_heavy() -> None:
    code = (
        "import sys; from cupel.cli import main; main.run(['--version']);"
        "print([m for m in ('pydantic', 'fastapi', 'httpx2', 'rich', 'yaml', 'sqlalchemy')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(client.__file__).parents[1])},
    )
    assert done.stdout == "cupel 0.1.0\n[]\n"
