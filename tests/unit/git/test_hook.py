"""The hook's side of git's proc-receive protocol."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cupel.git import hook

OLD, NEW = "0" * 40, "1" * 40


def packets(*lines: bytes | None) -> bytes:
    return b"".join(
        b"0000" if line is None else b"%04x%s" % (len(line) + 4, line) for line in lines
    )


def converse(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | Exception, *lines: bytes | None
) -> tuple[bytes, list[Any]]:
    asked: list[Any] = []

    def ask(*question: Any) -> dict[str, Any]:
        asked.append(question)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(hook, "ask", ask)
    out = io.BytesIO()
    assert hook.proc_receive(io.BytesIO(packets(*lines)), out, {}) == 0
    return out.getvalue(), asked


def test_features_are_agreed_on_and_results_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    became = {"ref": "refs/changes/01/1/2", "old": NEW, "new": NEW, "forced": True}
    answer = {"results": [{"ref": "refs/for/main", "refused": None, "became": [became]}]}
    out, asked = converse(
        monkeypatch,
        answer,
        b"version=1\0push-options atomic object-format=sha1\n",
        None,
        f"{OLD} {NEW} refs/for/main".encode(),
        None,
        b"topic=x",
        None,
    )
    assert out == packets(
        b"version=1\0push-options atomic\n",
        None,
        b"ok refs/for/main\n",
        b"option refname refs/changes/01/1/2\n",
        f"option old-oid {NEW}\n".encode(),
        f"option new-oid {NEW}\n".encode(),
        b"option forced-update\n",
        None,
    )
    assert asked[0][:3] == ("proc-receive", [(OLD, NEW, "refs/for/main")], ["topic=x"])


def test_without_push_options_none_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"results": [{"ref": "refs/for/main", "refused": None, "became": []}]}
    out, asked = converse(
        monkeypatch, answer, b"version=1", None, f"{OLD} {NEW} refs/for/main".encode(), None
    )
    assert asked[0][2] == []
    assert out == packets(b"version=1\0\n", None, b"ok refs/for/main\n", None)


def test_a_server_that_goes_away_refuses_every_ref(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [f"{OLD} {NEW} refs/for/{name}".encode() for name in ("a", "b")]
    out, _ = converse(monkeypatch, hook.ServerAway(), b"version=1\n", None, *commands, None)
    assert out.count(b"ng refs/for/") == 2


def test_another_version_ends_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="version=2"):
        converse(monkeypatch, {}, b"version=2\n", None)


def test_the_hook_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    command = [sys.executable, "-IS", hook.__file__, "pre-receive"]
    env = {"CUPEL_HOOK_SOCKET": str(tmp_path / "nobody.sock")}
    done = subprocess.run(
        command, input=f"{OLD} {NEW} refs/heads/main\n".encode(), env=env, capture_output=True
    )
    assert done.returncode == 1
    assert b"nothing was changed" in done.stderr
    assert b"Traceback" not in done.stderr
