"""The hook that git starts during a push: asks the server and passes on what it answers.

Started by itself, so it imports nothing but the standard library and little of that. The server's
side is `cupel.forge.builtin`. Both hooks speak the same protocol over a unix socket: the hook sends
the push as JSON after its length in four bytes, the server answers JSON objects, one a line:
`{"say": text}` any number of times, then `{"done": …}`.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

_QUARANTINE = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
_AWAY = (
    "Cupel is not there to take the push; nothing was changed.\nTry again when the server is back."
)
_BROKE = (
    "The connection to Cupel broke before it answered.\n"
    "Push again: what it has taken already is taken only once."
)

Command = tuple[str, str, str]
"""Old object id, new object id, name of the ref."""


class ServerAway(Exception):
    """The server cannot be reached, or it left before it answered."""


def main(name: str) -> int:
    if name == "pre-receive":
        return pre_receive(sys.stdin.buffer, os.environ)
    return proc_receive(sys.stdin.buffer, sys.stdout.buffer, os.environ)


def pre_receive(stdin: IO[bytes], env: Mapping[str, str]) -> int:
    """Ask whether the push may happen; its objects are still in quarantine. 1 refuses all of it."""
    commands = [_command(line.rstrip(b"\n")) for line in stdin]
    count = int(env.get("GIT_PUSH_OPTION_COUNT", "0"))
    options = [env[f"GIT_PUSH_OPTION_{n}"] for n in range(count)]
    quarantine = {key: env[key] for key in _QUARANTINE if key in env}
    try:
        answer = ask("pre-receive", commands, options, env, quarantine)
    except ServerAway:
        say(_AWAY)
        return 1
    return 0 if answer["ok"] else 1


def proc_receive(stdin: IO[bytes], stdout: IO[bytes], env: Mapping[str, str]) -> int:
    """Hand over the commands for `refs/for/…` and tell git what became of each."""
    features = _features(stdin)
    spoken = [feature for feature in ("push-options", "atomic") if feature in features]
    _write(stdout, b"version=1\0" + " ".join(spoken).encode())
    _flush(stdout)
    commands = [_command(line) for line in _packets(stdin)]
    options = []
    if "push-options" in features:
        options = [line.decode(errors="surrogateescape") for line in _packets(stdin)]
    try:
        results = ask("proc-receive", commands, options, env, {})["results"]
    except ServerAway:
        say(_BROKE)
        results = [{"ref": ref, "refused": "the server went away"} for _, _, ref in commands]
    for line in report(results):
        _write(stdout, line.encode(errors="surrogateescape"))
    _flush(stdout)
    return 0


def report(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the report: `ok` or `ng` for each ref, with what it became."""
    lines = []
    for result in results:
        if result["refused"] is not None:
            lines.append(f"ng {result['ref']} {result['refused']}")
            continue
        for became in result["became"] or [None]:
            lines.append(f"ok {result['ref']}")
            if became is None:
                continue
            lines.append(f"option refname {became['ref']}")
            if became["old"] is not None:
                lines.append(f"option old-oid {became['old']}")
            lines.append(f"option new-oid {became['new']}")
            if became["forced"]:
                lines.append("option forced-update")
    return lines


def ask(
    name: str,
    commands: Sequence[Command],
    options: Sequence[str],
    env: Mapping[str, str],
    quarantine: Mapping[str, str],
) -> dict[str, Any]:
    """Send the push to the server and print what it says. Returns its answer."""
    question = {
        "hook": name,
        "project": env.get("CUPEL_PROJECT", ""),
        "user": env.get("CUPEL_USER", ""),
        "repo": os.path.abspath(env.get("GIT_DIR", ".")),  # noqa: PTH100 (pathlib is slow to import)
        "commands": commands,
        "options": options,
        "quarantine": dict(quarantine),
    }
    try:
        with connect(env.get("CUPEL_HOOK_SOCKET", "")) as connection:
            body = json.dumps(question).encode()
            connection.sendall(struct.pack(">I", len(body)) + body)
            with connection.makefile("rb") as lines:
                return _answer(lines)
    except OSError as error:
        raise ServerAway from error


def _answer(lines: IO[bytes]) -> dict[str, Any]:
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ServerAway from error
        if "done" in message:
            done: dict[str, Any] = message["done"]
            return done
        say(message["say"])
    raise ServerAway


def connect(path: str) -> socket.socket:
    """Connect to a unix socket by a path of any length: the kernel allows 107 bytes."""
    directory, name = os.path.split(path)
    handle = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{handle}/{name}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(handle)
    return connection


def say(text: str) -> None:
    """Print for the person who pushes: git shows each line as `remote: …`."""
    sys.stderr.buffer.write(text.encode(errors="replace") + b"\n")
    sys.stderr.buffer.flush()


def _features(stdin: IO[bytes]) -> frozenset[str]:
    line, *_ = [*_packets(stdin), b""]
    version, _, features = line.decode().partition("\0")
    if version != "version=1":
        raise SystemExit(f"git speaks {version!r} to its proc-receive hook, not version=1")
    return frozenset(features.split())


def _command(line: bytes) -> Command:
    old, new, ref = line.decode(errors="surrogateescape").split(" ", 2)
    return old, new, ref


def _packets(stdin: IO[bytes]) -> list[bytes]:
    """The pkt-lines up to the next flush packet (git-scm.com/docs/gitprotocol-common)."""
    lines = []
    while (length := int(stdin.read(4) or b"0000", 16)) >= 4:
        lines.append(stdin.read(length - 4).rstrip(b"\n"))
    return lines


def _write(stdout: IO[bytes], line: bytes) -> None:
    stdout.write(b"%04x%s\n" % (len(line) + 5, line))


def _flush(stdout: IO[bytes]) -> None:
    stdout.write(b"0000")
    stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
