"""Builds that mean harm: they fail by their own verdict, and nobody else notices."""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from cupel.host.providers import oom
from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e


def build_of(project: Project, server: Server, script: str, **job: Any) -> Any:
    """Bring the script as the only job, through the gate; its last build that did not pass, if any.

    The branch itself is harmless: what fails on that as well would be no fault of the change.
    """
    settings = {"timeout": "20s", **job}
    work = project(serving.jobs(attack={"steps": ["true"], **settings}))
    evil = serving.jobs(attack={"steps": [script], **settings})
    number = work.propose("Attack", evil, "land")
    server.ended(number)
    builds = server.builds(number)
    wrong = [each for each in builds if each["verdict"] not in ("success", "cancelled")]
    return server.get(f"/api/builds/{(wrong or builds)[-1]['id']}")


def lands_something(project: Project, server: Server) -> bool:
    work = project(serving.jobs(tests="true"))
    number = work.propose("Still fine", {"x": "x"}, "land", "wait")
    return bool(server.change(number)["state"] == "landed")


def test_a_fork_bomb_stays_in_its_machine(server: Server, project: Project) -> None:
    build = build_of(project, server, "f() { f | f & }; f; sleep 1; wait; exit 1")
    assert build["verdict"] in ("failure", "timeout"), build
    assert lands_something(project, server)


def test_eating_all_memory_is_said(server: Server, project: Project) -> None:
    build = build_of(
        project,
        server,
        "sleep 60 & python3 -c \"x = bytearray(1 << 30); x[::4096] = b'x'*(1<<18)\"",
    )
    assert build["verdict"] == "failure"
    assert "killed for memory: limit 256 MiB" in build["reason"]
    if os.access(oom.KMSG, os.R_OK):
        assert "; it was python3, which had 2" in build["reason"], build["reason"]
        log = server.log(build["id"])
        assert "killed for memory: python3, which had 2" in log
        assert " sleep" in log[log.index("beside it ran:") :]


def test_filling_the_disk_fails_the_build(server: Server, project: Project) -> None:
    build = build_of(project, server, "dd if=/dev/zero of=/build/full bs=1M count=2000")
    assert build["verdict"] == "failure"
    assert "No space left on device" in server.log(build["id"])


def test_printing_without_end_costs_a_verdict_and_no_memory(
    server: Server, project: Project
) -> None:
    before = server.memory
    build = build_of(project, server, "yes 'a line of a few words that never ends'")
    assert build["verdict"] == "failure"
    assert build["reason"] == "printed more than 16 MiB"
    size = len(server.request("GET", f"/api/builds/{build['id']}/log").content)
    assert size <= serving.LOG_LIMIT
    assert server.memory - before < 100 << 20


def test_the_server_answers_while_a_build_floods_it(server: Server, project: Project) -> None:
    work = project(serving.jobs(flood="true"))
    script = "timeout 4 yes | head -c 15000000; sleep 2"
    number = work.propose("Flood", serving.jobs(flood=script), "land")
    server.running(number)
    for _ in range(20):
        assert server.get("/api/status") is not None
    assert server.ended(number)["state"] in ("landed", "open")


def test_one_line_without_an_end_is_kept_in_pieces(server: Server, project: Project) -> None:
    build = build_of(project, server, "head -c 3000000 /dev/zero | tr '\\0' x; echo end")
    assert build["verdict"] == "success", build
    assert server.log(build["id"]).count("x") >= 3_000_000
    page = server.request("GET", f"/builds/{build['id']}")
    assert page.status_code == 200
    assert len(page.content) < 8 << 20


def test_who_ignores_sigterm_is_ended_at_the_timeout(server: Server, project: Project) -> None:
    script = "trap '' TERM INT HUP; while true; do sleep 1; done"
    build = build_of(project, server, script, timeout="2s")
    assert build["verdict"] == "timeout"
    assert build["seconds"] < 15


def test_a_daemon_does_not_outlive_its_build(server: Server, project: Project) -> None:
    script = "setsid nohup sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & echo away"
    build = build_of(project, server, script)
    assert build["verdict"] == "success", build
    machine = build["machine"]
    number = machine["id"] if isinstance(machine, dict) else machine
    serving.wait_for(
        lambda: server.get(f"/api/machines/{number}")["state"] == "gone", why="the machine's end"
    )
    server.cleared()


def test_a_daemon_that_holds_the_output_open_does_not_hold_the_build(
    server: Server, project: Project
) -> None:
    build = build_of(project, server, "sleep 1000 & disown; echo done with it")
    assert build["verdict"] == "success", build


def test_terminal_escapes_are_shown_as_text(server: Server, project: Project) -> None:
    evil = "\\033[2J\\033]0;owned\\007\\033]52;c;b3duZWQ=\\007<script>alert(1)</script>\\r\\n"
    build = build_of(project, server, f"printf '{evil}'; printf '\\033[31mred\\033[0m\\n'; false")
    page = server.request("GET", f"/builds/{build['id']}").text
    assert "\x1b" not in page
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    said = server.cli("logs", str(build["id"])).stdout
    assert "red" in said
    assert "\x1b" not in said
    assert "\x07" not in said
    raw = server.cli("logs", "--raw", str(build["id"])).stdout
    assert "\x1b[31mred" in raw


def test_escapes_in_a_failure_do_not_reach_who_pushes(server: Server, project: Project) -> None:
    work = project(serving.jobs(attack="true"))
    work.start_over()
    evil = serving.jobs(attack="printf '\\033[2J\\033]0;owned\\007\\n'; false")
    work.commit("Title with \x1b[31m in it", evil)
    pushed = work.push("land", "wait")
    assert "\x1b[2J" not in pushed.text
    assert "\x1b[31m" not in pushed.text
    assert "owned" in pushed.text
    listed = server.cli("change", "list").stdout
    assert "\x1b" not in listed


def test_deleting_everything_deletes_nothing_of_ours(server: Server, project: Project) -> None:
    build = build_of(project, server, "rm -rf --no-preserve-root / 2>/dev/null; false")
    assert build["verdict"] in ("failure", "infra"), build
    assert build["verdict"] == "failure", build["reason"]
    assert lands_something(project, server)


@pytest.mark.parametrize("label", ["small", "net"])
def test_the_server_cannot_be_reached_from_a_machine(
    label: str, server: Server, project: Project
) -> None:
    port = urllib.parse.urlsplit(server.url).port
    script = f"""
for host in 127.0.0.1 10.0.2.2 10.0.2.1 $(hostname -I 2>/dev/null); do
  if timeout 2 bash -c "exec 3<>/dev/tcp/$host/{port}" 2>/dev/null; then echo "REACHED $host"; fi
done
find / -xdev -name '*.sock' 2>/dev/null
test ! -e /run/cupel
ls -la {server.state} 2>&1
"""
    build = build_of(project, server, script, machine=label)
    log = server.log(build["id"])
    assert "REACHED" not in log
    assert "hook.sock" not in log
    assert "No such file or directory" in log
    assert "client.json" not in log


def test_a_machine_knows_no_secret_of_its_server(server: Server, project: Project) -> None:
    script = """
env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; cat /proc/mounts
grep -rIh 'cupel_[A-Za-z0-9_-]\\{20,\\}' / --exclude-dir=proc --exclude-dir=sys 2>/dev/null || true
"""
    build = build_of(project, server, script)
    log = server.log(build["id"])
    assert "CUPEL_JOB=attack" in log
    assert not re.search(r"cupel_[A-Za-z0-9_-]{20}", log)


def test_too_many_artefacts_fail_the_build(server: Server, project: Project) -> None:
    build = build_of(project, server, 'head -c 6000000 /dev/zero > "$CUPEL_ARTIFACTS/big"')
    assert build["verdict"] == "failure"
    assert "left more than 4 MiB of artefacts" in build["reason"]
    assert server.get(f"/api/builds/{build['id']}/artefacts") == []


def test_artefacts_lead_nowhere(server: Server, project: Project) -> None:
    script = """
cd "$CUPEL_ARTIFACTS"
ln -s /etc/shadow shadow
ln -s / root
ln -s ../../.. up
mkfifo pipe
ln /etc/hostname hard 2>/dev/null || true
echo good > good
"""
    build = build_of(project, server, script)
    paths = [each["path"] for each in server.get(f"/api/builds/{build['id']}/artefacts")]
    assert "good" in paths, server.log(build["id"])
    assert "shadow" not in paths
    for path in ("shadow", "root/etc/passwd", "up/etc/passwd", "../../cupel.db", "%2e%2e/cupel.db"):
        answer = server.request("GET", f"/api/builds/{build['id']}/artefacts/{path}")
        assert answer.status_code in (400, 404, 422), (path, answer.status_code)


def test_needs_bring_no_links_out_of_their_place(server: Server, project: Project) -> None:
    work = project(
        serving.jobs(
            make='ln -s /etc "$CUPEL_ARTIFACTS/etc"; echo fine > "$CUPEL_ARTIFACTS/file"',
            use={
                "needs": ["make"],
                "steps": ['cat "$CUPEL_NEEDS/make/file"; test ! -e "$CUPEL_NEEDS/make/etc/passwd"'],
            },
        )
    )
    number = work.propose("Pass a link on", {"x": "x"}, "land", "wait")
    assert server.change(number)["state"] == "landed"


def test_artefacts_that_cannot_be_taken_fail_their_build(server: Server, project: Project) -> None:
    script = """cd "$CUPEL_ARTIFACTS"; touch good $'esc\\033[2Jape'"""
    build = build_of(project, server, script)
    assert build["verdict"] == "failure"
    assert "has control characters" in build["reason"]
    assert "\x1b" not in server.cli("build", "show", str(build["id"])).stdout
    assert server.get(f"/api/builds/{build['id']}/artefacts") == []


def test_a_checkout_follows_no_links_on_the_host(
    server: Server, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("only the host knows")
    work = project(serving.jobs(tests="ls -la; ! cat secret; ! cat loop"))
    work.start_over()
    (work.directory / "secret").symlink_to(tmp_path / "secret")
    (work.directory / "loop").symlink_to("loop")
    work.commit("Link out", {
        ".gitattributes": "*.txt filter=evil\n",
        "a.txt": "x",
        ".gitmodules": '[submodule "x"]\n path = x\n url = ext::sh -c true\n',
    })  # fmt: skip
    number = work.push("land", "wait").change
    assert server.change(number)["state"] == "landed"
    assert "only the host knows" not in server.log(server.builds(number)[-1]["id"])


def test_no_machine_of_any_of_this_is_left(server: Server) -> None:
    server.cleared()
