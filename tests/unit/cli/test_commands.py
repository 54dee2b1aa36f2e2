import asyncio
import json
from dataclasses import replace

import pytest

from cupel.control import views
from cupel.core.model import BuildState, ChangeState, Evidence, Policy, Verdict
from cupel.errors import Conflict
from cupel.log import metrics
from unit.cli.calls import Command
from unit.control_views import world


def test_status_shows_each_queue_in_landing_order(cupel: Command) -> None:
    said = cupel("status")
    assert said.code == 0
    title, columns, *rows = said.out.splitlines()
    assert title == f"demo main at {world.HEAD[:12]}: 3 in the gate"
    assert columns.split() == [
        "CHANGE",
        "STATE",
        "PROVED",
        "ON",
        "JOBS",
        "FOR",
        "LANDS",
        "AUTHOR",
        "TITLE",
    ]
    assert [row.split()[0] for row in rows[:5]] == ["#21", "#22", "#23", "#20", "#19"]
    assert rows[5:7] == ["", "#19 lint"]
    assert rows[7].startswith("  not decided: it was run once, so it may also be a flake;")
    assert "▶ running: 0 of 2 jobs done" in rows[1]
    assert "main +#21 +#22" in rows[2]
    assert "✗ rejected: lint failure" in rows[4]


def test_status_of_one_project_as_json(cupel: Command) -> None:
    queues = json.loads(cupel("status", "demo", "--json").out)
    assert [views.QueueView.model_validate(each).branch for each in queues] == ["main", "stable"]


def test_status_of_an_unknown_project(cupel: Command) -> None:
    said = cupel("status", "nobody")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("cupel: there is no project or queue nobody\n  `cupel project list`")


def test_status_watched_needs_a_terminal(cupel: Command) -> None:
    said = cupel("status", "--watch")
    assert (said.code, "terminal" in said.err) == (2, True)


def test_status_of_ones_own_changes(cupel: Command) -> None:
    said = cupel("status", "--mine")
    assert said.code == 0, said.err
    mine = views.MineView.model_validate_json(cupel("status", "--mine", "--json").out)
    assert mine.changes[0].needs_owner
    columns, first, *_ = said.out.splitlines()
    assert columns.split() == ["CHANGE", "STATE", "NEEDS", "LANDS", "ON", "TITLE"]
    assert first.startswith(f"#{mine.changes[0].id}")
    assert mine.changes[0].text in first
    refused = cupel("status", "demo", "--mine")
    assert (refused.code, "leave out PROJECT" in refused.err) == (2, True)


def test_projects(cupel: Command) -> None:
    assert (
        "demo     demo   main stable  4     3       1          merge  http"
        in cupel("project", "list").out
    )
    said = cupel("project", "add", "new", "--approvals", "2", "--no-self-approval")
    assert said.code == 0
    assert f"git remote add cupel http://cupel:{cupel.token}@127.0.0.1:8470/new.git" in said.out
    policy = Policy(approvals=2, self_approval=False)
    assert cupel.world.commands.asked == [("add_project", "new", None, None, policy, None, "ada")]
    assert json.loads(cupel("project", "list", "--json").out)[1]["name"] == "new"


def test_a_directory_to_import_is_named_in_full(
    cupel: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cupel.world.state / "mine").mkdir()
    monkeypatch.chdir(cupel.world.state)
    cupel("project", "add", "a", "--from", "mine", "--branch", "trunk")
    cupel("project", "add", "b", "--from", "https://example.com/b.git")
    sources = [asked[2] for asked in cupel.world.commands.asked]
    assert sources == [str(cupel.world.state / "mine"), "https://example.com/b.git"]


@pytest.mark.parametrize("action", ["approve", "withdraw", "land", "dequeue", "abandon"])
def test_decisions(cupel: Command, action: str) -> None:
    said = cupel(action, "#22")
    assert (said.code, said.out) == (0, "change 22 is open: 0 of 2 jobs done\n")
    assert cupel.world.commands.asked[0][:3] == (action, 22, "ada")
    assert json.loads(cupel(action, "22", "--json").out)["id"] == 22


def test_a_decision_that_does_not_fit_says_so(cupel: Command) -> None:
    cupel.world.commands.error = Conflict("change 20 is landed", hint="nothing is left to do")
    said = cupel("land", "20")
    assert (said.code, said.out) == (2, "")
    assert said.err == "cupel: change 20 is landed\n  nothing is left to do\n"


def test_an_approval_of_a_patch_set(cupel: Command) -> None:
    cupel("approve", "22", "--patch-set", "1")
    assert cupel.world.commands.asked == [("approve", 22, "ada", 1)]


def test_changes(cupel: Command) -> None:
    said = cupel("change", "list", "--limit", "2")
    assert [line.split()[0] for line in said.out.splitlines()[1:3]] == ["#23", "#22"]
    assert said.out.endswith("older ones: --before 22\n")
    landed = json.loads(cupel("change", "list", "--state", "landed", "--json").out)
    assert [each["id"] for each in landed["entries"]] == [20]


def test_a_change(cupel: Command) -> None:
    said = cupel("change", "show", "22")
    assert "approved by  bob (1 of 1)" in said.out
    assert "needed by    #23" in said.out
    assert "    Why." in said.out
    assert "222    tests (python=3.12)  ! infra: the host was lost" in said.out
    assert "not landed   lint failure" in cupel("change", "show", "19").out


def test_builds(cupel: Command) -> None:
    listed = cupel("build", "list", "--state", "running").out.splitlines()
    assert listed[1].split()[:3] == ["223", "▶", "running"]
    shown = cupel("build", "show", "223").out
    assert "machine    1223 on here, debian-12 sha256:abc" in shown
    assert "2     ▶ running  50 s  pytest" in shown
    left = cupel("build", "show", "211").out
    assert "dist/demo.whl" in left
    assert json.loads(cupel("build", "show", "211", "--json").out)["verdict"] == "success"


def test_what_the_machine_of_a_build_used(cupel: Command) -> None:
    assert len(cupel("build", "metrics", "223").out.splitlines()) == 1
    file = cupel.world.logs.metrics(223)
    file.parent.mkdir(parents=True)
    first = (100.0, 4.0, 3 << 20, 2.0, None, 1.0, None, 0.0, None, None)
    later = (102.0, 7.0, 5 << 20, 3.0, 1 << 30, 20.0, 0.0, 0.0, 4096.0, 2 << 20)
    metrics.append(file, [first, later])
    metrics.append(cupel.world.logs.metrics(223, 1), [first])
    shown = [line.split() for line in cupel("build", "metrics", "223").out.splitlines()]
    assert shown[1][-3:] == ["1%", "?", "0%"]
    assert shown[2] == [
        *("2.0", "s", "1.50", "5", "MiB", "3", "1", "GiB"),
        *("4", "KiB", "2", "MiB", "20%", "0%", "0%"),
    ]
    assert json.loads(cupel("build", "metrics", "223", "--json").out)["total"] == 2
    beside = cupel("build", "metrics", "223", "--part", "1", "--json").out
    assert json.loads(beside)["total"] == 1


def test_a_reused_build(cupel: Command) -> None:
    """It says where it comes from, and its log is that of the build that ran."""
    reused = replace(
        world.build(225, 122, 22, world.LINT),
        state=BuildState.FINISHED,
        verdict=Verdict.SUCCESS,
        finished_at=9_900.0,
        reused_from=212,
    )
    refuted = Evidence(
        id=1,
        key="key",
        build_id=212,
        project_id=1,
        job="lint",
        created_at=9_070.0,
        withdrawn_at=9_950.0,
        refuted_by=300,
    )
    asyncio.run(cupel.world.put(reused, refuted))
    listed = cupel("build", "list").out.splitlines()
    assert listed[1].startswith("225    ✓ reused: build 212")
    assert listed[-1] == "1 of 7 reused"
    shown = cupel("build", "show", "225").out
    assert "build 212 of #21 Change 21, finished 1970-01-01 02:31:10 UTC, saved 1 min 00 s" in shown
    assert "refuted   by build 300" in shown
    write(cupel, 212)
    assert cupel("logs", "225").out.startswith(
        "==> build 225 was not run: the log of build 212 <==\ncollecting\n"
    )


def test_machines_and_hosts(cupel: Command) -> None:
    assert "1223" in cupel("machine", "list").out
    assert "1211" in cupel("machine", "list", "--gone").out
    assert json.loads(cupel("machine", "list", "--json").out)["entries"][0]["host"] == "here"
    assert "here  ✓ connected  1     4      any" in cupel("host", "list").out
    assert json.loads(cupel("host", "list", "--json").out)[0]["used"] == 1
    assert "image        sha256:abc" in cupel("machine", "show", "1223").out
    host = cupel("host", "show", "here").out
    assert "machine 1223" in host
    assert "builds, " in host
    assert "from the other hosts" in host or "other hosts to compare with" in host
    shown = cupel("machine", "show", "1223").out
    assert "STATE" in shown
    assert "in use" in shown or "used" in shown
    for words in (
        ("machine", "show", "1223"),
        ("machine", "delete", "1223"),
        ("host", "show", "here"),
        ("host", "drain", "here"),
        ("host", "undrain", "here"),
        ("host", "release", "here"),
    ):
        assert isinstance(json.loads(cupel(*words, "--json").out), dict), words
    assert cupel("host", "forget", "here").out == ""
    assert cupel.world.commands.asked[-1][:2] == ("forget_host", "here")


def test_pools(cupel: Command) -> None:
    [heading, row] = cupel("pool", "list").out.splitlines()
    assert heading.split()[:3] == ["LABEL", "READY", "BUILDING"]
    assert row.split()[:4] == ["debian-12", "0", "0", "1"]
    assert "2 kept ready" in row
    assert json.loads(cupel("pool", "list", "--json").out)[0]["boot_seconds"] == 0.25


def test_tokens(cupel: Command) -> None:
    said = cupel("token", "create", "ci", "--scope", "write", "--days", "2")
    assert said.out.startswith("cupel_")
    cupel.token, owner = said.out.strip(), cupel.token
    assert cupel("land", "22").code == 0
    cupel.token = owner
    listed = json.loads(cupel("token", "list", "--json").out)
    number = next(each["id"] for each in listed if each["name"] == "ci")
    assert "ci" in cupel("token", "list").out
    assert cupel("token", "revoke", str(number)).out == f"token {number} is revoked\n"
    cupel.token = said.out.strip()
    refused = cupel("land", "22")
    assert (refused.code, "token" in refused.err) == (2, True)


def test_a_login_link(cupel: Command) -> None:
    assert cupel("login").out.startswith("http://127.0.0.1:8470/login?token=cupel_")
    assert json.loads(cupel("login", "--json").out)["url"]


HOSTILE = b"one\n\x1b]0;owned\x07\x1b[2Jtwo\x1b[31m red\x1b[0m\n10%\r99%\nhalf"


def write(cupel: Command, build: int = 223) -> None:
    writer = cupel.world.logs.writer(build)
    writer.append(0, "out", 5.0, b"collecting\n")
    writer.append(1, "err", 65.0, HOSTILE)
    writer.close()


def test_a_log_does_nothing_to_the_terminal(cupel: Command) -> None:
    write(cupel)
    assert cupel("logs", "223").out == "collecting\none\ntwo red\n99%\nhalf\n"


def test_a_raw_log_is_as_printed(cupel: Command) -> None:
    write(cupel)
    assert "\x1b[31m red" in cupel("logs", "#223", "--raw").out


def test_a_log_by_step_and_with_times(cupel: Command) -> None:
    write(cupel)
    assert cupel("logs", "223", "--step", "1").out == "collecting\n"
    assert cupel("logs", "223", "--step", "install", "--times").out == "00:00:05 collecting\n"
    said = cupel("logs", "223", "--step", "deploy")
    assert (said.code, "1 install, 2 pytest" in said.err) == (2, True)


def test_the_lines_of_a_log_that_have_a_text(cupel: Command) -> None:
    write(cupel)
    # (The text stands across a change of colour, and in the other case.)
    assert cupel("logs", "223", "--grep", "TWO RED").out == "two red\n"
    assert cupel("logs", "223", "--grep", "o", "--step", "2", "--raw").out.startswith("one\n")
    assert cupel("logs", "223", "--grep", "nothing").out == ""
    asked = cupel("logs", "223", "--grep", "o", "--follow")
    assert (asked.code, "--grep looks through what is there" in asked.err) == (2, True)


def test_a_log_as_json_lines(cupel: Command) -> None:
    write(cupel)
    lines = [json.loads(line) for line in cupel("logs", "223", "--json").out.splitlines()]
    assert [(line["step"], line["stream"]) for line in lines[:2]] == [(1, "out"), (2, "err")]


def test_logs_of_what_failed(cupel: Command) -> None:
    write(cupel, 222)
    said = cupel("logs", "--failed", "22")
    assert said.out.startswith(
        "==> build 222, tests (python=3.12): infra <==\n"
        "tests (python=3.12): the infrastructure's fault, not the change's\n"
        "  the host was lost after 60 s\n"
        "  it was tried again: build 223\n"
        "\n"
        "collecting\n"
    )
    none = cupel("logs", "--failed", "21")
    assert (none.code, none.err) == (2, "cupel: no build of change 21 has failed\n")


def test_logs_want_one_thing(cupel: Command) -> None:
    for argv in (["logs"], ["logs", "1", "--failed", "2"]):
        assert cupel(*argv).code == 2


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.SUCCESS, 0), (Verdict.FAILURE, 1)])
def test_a_followed_log_ends_with_the_verdict(cupel: Command, verdict: Verdict, code: int) -> None:
    write(cupel)
    done = world.finished(world.build(223, 122, 22, world.TESTS), verdict)
    asyncio.run(cupel.world.put(done))
    assert cupel("logs", "-f", "223").code == code
    assert cupel("logs", "223").code == 0


def test_promotion_and_urgency(cupel: Command) -> None:
    assert cupel("promote", "#23", "22").out == "first: #22 #23\n"
    assert cupel("urgent", "22").code == 0
    assert cupel("urgent", "22", "--off").code == 0
    assert cupel.world.commands.asked == [
        ("promote", (23, 22), "ada"),
        ("set_urgent", 22, "ada", True),
        ("set_urgent", 22, "ada", False),
    ]
    assert cupel("promote").code == 2


def test_rules_of_queues(cupel: Command) -> None:
    assert cupel("queue", "list").out.splitlines()[1].split() == [
        "demo", "▶", "open", "strict", "off", "expected-value", "off", "demo",
    ]  # fmt: skip
    said = cupel("queue", "set", "demo", "--landing", "set", "--window", "6", "--cycles", "on")
    assert "window    6 (3 to any)" in said.out
    said = cupel("queue", "set", "demo", "--window", "off", "--window-ceiling", "9")
    assert cupel.world.commands.asked == [
        ("set_queue", "demo", {"landing": "set", "cycles": True, "window": 6}, "ada"),
        ("set_queue", "demo", {"window": None, "window_ceiling": 9}, "ada"),
    ]
    assert json.loads(cupel("queue", "show", "demo", "--json").out)["name"] == "demo"
    assert cupel("queue", "set", "demo", "--window", "some").code == 2


def test_closing_and_opening_a_tree(cupel: Command) -> None:
    said = cupel("queue", "close", "demo", "--reason", "no power")
    assert "tree      · closed: no power (ada)" in said.out
    title = cupel("status").out.splitlines()[0]
    assert title.endswith("3 in the gate, closed by ada: no power")
    assert "tree      ▶ open" in cupel("queue", "open", "demo").out
    assert cupel("queue", "close", "demo").code == 2


def test_a_projects_rules(cupel: Command) -> None:
    said = cupel("project", "set", "demo", "--merge", "squash", "--keep-check", "on")
    assert "merge          merge" in said.out
    said = cupel("project", "set", "demo", "--queue", "shared", "--no-self-approval")
    assert cupel.world.commands.asked == [
        ("set_project", "demo", {"merge": "squash", "keep_check": True}, None, "ada"),
        ("set_project", "demo", {"self_approval": False}, "shared", "ada"),
    ]
    assert cupel("project", "set", "demo").code == 2


def test_status_says_what_is_kept_out(cupel: Command) -> None:
    newer = replace(world.patch_set(2, 19), depends_on=(22, 31))
    abandoned = world.change(31, state=ChangeState.ABANDONED)
    rows = (world.change(19, patch_set=2), newer, abandoned, world.patch_set(1, 31))
    asyncio.run(cupel.world.put(*rows))
    assert "#19" in cupel("status").out.splitlines()[-1]
    assert "kept out: needs #31, which was abandoned" in cupel("status").out
    assert "dependency: needs #31, which was abandoned" in cupel("change", "show", "19").out


def test_change_show_tells_a_flake(cupel: Command) -> None:
    lint = world.build(224, 122, 22, world.LINT)
    asyncio.run(
        cupel.world.put(
            world.finished(lint, Verdict.FAILURE),
            world.finished(world.build(225, 122, 22, world.LINT, attempt=2), Verdict.SUCCESS),
        )
    )
    assert "✓ success: a flake: it had failed on the same before" in (
        cupel("change", "show", "22").out
    )


def test_top_prints_how_it_is_where_there_is_no_screen(cupel: Command) -> None:
    said = cupel("top")
    assert said.code == 0, said.err
    assert "3 in the gate" in said.out
    assert "#21" in said.out
    assert "\x1b" not in said.out
    assert set(json.loads(cupel("top", "--json").out)) == {"status", "queues", "hosts"}
