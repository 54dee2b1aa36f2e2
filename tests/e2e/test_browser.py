"""A real browser on a real server, while real builds run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server
from e2e.stage import CHROMIUM, FLAGS, NEEDS_CHROMIUM

pytestmark = [pytest.mark.e2e, NEEDS_CHROMIUM]

Open = Callable[..., Page]

SOON = 15_000
"""Milliseconds within which a page shows what has happened."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Open]:
    """Opens pages, each in a browser of its own; no script of theirs may fail."""
    complaints: list[str] = []
    contexts = []

    def visit(path: str, **options: object) -> Page:
        context = browser.new_context(base_url=server.url, **options)  # type: ignore[arg-type]
        context.set_default_timeout(SOON)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def login(server: Server) -> str:
    return server.cli("login").stdout.strip().removeprefix(server.url)


def stays(page: Page) -> None:
    """Mark the page, so that a reload would show."""
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def test_the_queue_shows_a_push_and_its_landing_by_itself(
    server: Server, project: Project, visit: Open
) -> None:
    work = project(serving.jobs(tests="sleep 2"))
    page = visit(f"/queue/{work.project}")
    page.locator("#pulse[data-live=yes]").wait_for()
    stays(page)
    number = work.propose("Seen as it comes", {"x": "x"}, "land")
    expect(page.locator(".queue > li", has_text="Seen as it comes")).to_be_visible(timeout=SOON)
    server.ended(number)
    expect(page.locator(".queue > li")).to_have_count(0, timeout=SOON)
    # It may be in the pipeline after landing for a moment, too.
    expect(page.get_by_text("Seen as it comes").last).to_be_visible()
    assert stayed(page)


def test_a_log_grows_under_ones_eyes(server: Server, project: Project, visit: Open) -> None:
    script = "for n in $(seq 20); do echo line $n; sleep 0.2; done; printf '\\033[31mred\\033[0m'"
    work = project(serving.jobs(tests=script))
    number = work.propose("Talk", {"x": "x"}, "land")
    build = server.running(number)
    page = visit(f"/builds/{build['id']}")
    stays(page)
    page.get_by_text("line 20", exact=True).wait_for()
    page.locator("#live .big", has_text="passed").wait_for()
    lines = page.locator("#log .l > span").all_inner_texts()
    assert [line for line in lines if line.startswith("line ")] == [
        f"line {n}" for n in range(1, 21)
    ]
    assert "red" in lines
    assert stayed(page)


def test_a_login_link_works_once(server: Server, visit: Open) -> None:
    link = login(server)
    first = visit(link)
    first.get_by_role("button", name="Log out").wait_for()
    assert "token=" not in first.url
    second = visit(link)
    second.get_by_text("has been used").or_(second.get_by_text("expired")).first.wait_for()
    assert second.get_by_role("button", name="Log out").count() == 0


def test_a_button_approves_and_the_change_lands(
    server: Server, project: Project, visit: Open
) -> None:
    work = project(serving.jobs(tests="true"))
    number = work.propose("Approve me by hand", {"x": "x"}, "wait")
    page = visit(login(server))
    page.goto(f"/changes/{number}")
    page.get_by_role("button", name="Approve").click()
    page.locator(".head .big", has_text="landed").wait_for()
    assert server.change(number)["state"] == "landed"


@pytest.mark.parametrize("scripts", [False, True])
def test_every_page_can_be_read(
    scripts: bool, server: Server, project: Project, visit: Open
) -> None:
    work = project(serving.jobs(tests="true"))
    failing = serving.jobs(tests="echo all there; false")
    number = work.propose("Read me <b>plainly</b>", failing, "land", "wait")
    build = server.builds(number)[0]
    page = visit("/", java_script_enabled=scripts)
    for path in ("/", "/queue", f"/queue/{work.project}", "/changes", f"/changes/{number}",
                 f"/builds/{build['id']}", "/machines", "/events", "/login"):  # fmt: skip
        answer = page.goto(path)
        assert answer is not None
        assert answer.ok, path
        assert page.locator("h1").count() >= 1
    page.goto(f"/changes/{number}")
    assert page.get_by_text("Read me <b>plainly</b>").first.is_visible()
    assert page.get_by_text("Job tests failed").first.is_visible()
    page.goto(f"/builds/{build['id']}")
    assert page.get_by_role("log").get_by_text("all there", exact=True).is_visible()
    missing = page.goto("/changes/99999")
    assert missing is not None
    assert missing.status == 404


def test_who_is_not_logged_in_sees_no_buttons(
    server: Server, project: Project, visit: Open
) -> None:
    work = project(serving.jobs(tests="true"))
    number = work.propose("Look, do not touch", {"x": "x"}, "wait")
    page = visit(f"/changes/{number}")
    assert page.get_by_role("button", name="Approve").count() == 0
    for path in (f"/changes/{number}/approve", f"/api/changes/{number}/approve"):
        answer = server.request("POST", path, headers={})
        assert answer.status_code in (401, 403), (path, answer.status_code)
    assert server.change(number)["state"] == "open"


def test_an_administrator_drains_a_host_and_deletes_the_machine_of_a_build(
    server: Server, project: Project, visit: Open
) -> None:
    """By hand, without scripts as well: what cannot be taken back is asked for first."""
    work = project(
        serving.jobs(tests="dd if=/dev/zero of=x bs=1M count=30; sync; sleep 6; sleep 60")
    )
    number = work.propose("Nobody waits for me", {"x": "x"})
    build = server.running(number)
    page = visit(login(server), java_script_enabled=False)
    page.goto("/machines")
    host = page.locator("li", has_text="slots")
    expect(host).to_contain_text("of memory")
    host.get_by_role("button", name="Drain").click()
    page.get_by_role("button", name="Undrain").click(timeout=SOON)
    expect(page.get_by_role("button", name="Drain", exact=False)).to_be_visible(timeout=SOON)
    assert not server.get("/api/hosts")[0]["draining"]
    page.wait_for_timeout(8_000)  # metrics come five at a time
    page.goto(f"/builds/{build['id']}")
    expect(page.get_by_role("heading", name="What it used")).to_be_visible(timeout=SOON)
    assert page.locator(".charts figure svg path").count() >= 4
    page.get_by_text("As a table").click()
    expect(page.locator("details table tbody tr").first).to_be_visible()
    machine = server.get(f"/api/builds/{build['id']}")["on"]["id"]
    page.goto("/machines")
    page.get_by_role("link", name=f"Delete machine {machine}").click()
    expect(page.get_by_text("counts as lost to infrastructure")).to_be_visible()
    page.get_by_role("link", name="Keep it").click()
    assert server.get(f"/api/machines/{machine}")["state"] == "used"
    page.get_by_role("link", name=f"Delete machine {machine}").click()
    page.get_by_role("button", name="Delete it").click()
    page.wait_for_url("**/machines")
    serving.wait_for(lambda: server.get(f"/api/machines/{machine}")["state"] == "gone")
    assert server.get(f"/api/builds/{build['id']}")["verdict"] == "infra"
    server.post(f"/api/changes/{number}/abandon")
