"""Two builds of a job beside each other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from cupel.core.model import Build, Host, Machine
from cupel.core.results import Outcome, Result
from fakes import busy
from fakes.rows import IMAGE
from unit.web.test_pages import HOSTILE
from unit.web.test_results import recorded
from unit.web.visit import HTML, Visitor, visit

OTHER = "sha256:" + "0" * 64


def staged() -> tuple[busy.Busy, Build, Build]:
    """A world whose failed build has another image and host than the last that passed."""
    told = busy.busy()
    failed = told.world.rows_of(Build)[told.failed_build]
    green = max(
        build.id
        for build in told.world.rows_of(Build).values()
        if build.id < failed.id and build.job == failed.job and build.verdict == "success"
    )
    # The newest pass is of the queue; it has no machine of its own there, so it gets one.
    host = told.world.put(dataclasses.replace(told.world.rows_of(Host)[2], cpu=HOSTILE[0]))
    told.world.put(dataclasses.replace(told.world.rows_of(Host)[1], cpu="known"))
    machine = told.world.rows_of(Machine)[failed.machine_id or 0]
    twin = told.world.put(
        dataclasses.replace(machine, id=9_000, host_id=host.id, image=OTHER, build_id=green)
    )
    before = told.world.put(
        dataclasses.replace(told.world.rows_of(Build)[green], machine_id=twin.id)
    )
    return told, before, failed


def test_a_failed_build_says_what_differs_from_the_last_that_passed(tmp_path: Path) -> None:
    told, green, failed = staged()

    async def act(visitor: Visitor) -> None:
        for digest, version in ((IMAGE, "3.0.15"), (OTHER, HOSTILE[1])):
            place = visitor.served.state / "images" / digest
            place.mkdir(parents=True)
            kept = {"bash": "5.2", "openssl": version}
            (place / "packages.json").write_text(json.dumps(kept))
        page = await visitor.see(f"/builds/{failed.id}")
        assert f'The job last passed in <a href="/builds/{green.id}">' in page
        assert "another image, of which 1 package differs, another host" in page
        compared = await visitor.see(f"/builds/{failed.id}/compare")
        assert "openssl" in compared
        assert "<bdi>bash</bdi>" not in compared
        assert "&lt;script&gt;" in compared
        for bad in HOSTILE[:2]:
            assert bad not in compared
        answer = await visitor.client.get(f"/api/builds/{failed.id}/compare")
        found = answer.json()
        assert found["packages"] == [{"name": "openssl", "old": HOSTILE[1], "new": "3.0.15"}]
        assert [each["what"] for each in found["differences"]][:2] == ["image", "host"]

    visit(told.world, tmp_path, act)


def test_tests_that_begin_to_fail_stand_first(tmp_path: Path) -> None:
    told, green, failed = staged()

    def of(name: str, outcome: Outcome) -> Result:
        return Result(suite="s", name=name, outcome=outcome, message=HOSTILE[0])

    before = recorded(
        told, green.id, [of("cured", Outcome.FAILED), of("broken", Outcome.PASSED)], tmp_path
    ).rename(tmp_path / "before")
    after = recorded(
        told,
        failed.id,
        [of("broken", Outcome.FAILED), of("new", Outcome.ERROR), of("cured", Outcome.PASSED)],
        tmp_path,
    )

    async def act(visitor: Visitor) -> None:
        visitor.served.results.keep(green.id, before)
        visitor.served.results.keep(failed.id, after)
        found = (await visitor.client.get(f"/api/builds/{failed.id}/compare")).json()["tests"]
        assert [(each["id"], each["old"]) for each in found["failing"]] == [
            ("s::broken", "passed"),
            ("s::new", None),
        ]
        assert [(each["id"], each["new"]) for each in found["fixed"]] == [("s::cured", "passed")]
        page = await visitor.see(f"/builds/{failed.id}/compare?with={green.id}")
        assert page.index("Fail now") < page.index("How they ran")
        assert "<script>alert" not in page

    visit(told.world, tmp_path, act)


def test_only_builds_of_one_job_can_be_compared(tmp_path: Path) -> None:
    told, _, failed = staged()
    other = next(b for b in told.world.rows_of(Build).values() if b.job != failed.job)

    async def act(visitor: Visitor) -> None:
        at = f"/builds/{failed.id}/compare"
        refused = await visitor.client.get(f"{at}?with={other.id}", headers=HTML)
        assert refused.status_code == 400
        assert "another job" in refused.text
        await visitor.see(f"{at}?with=99999", 404)
        first = min(told.world.rows_of(Build))
        assert "nothing to compare it with" in await visitor.see(f"/builds/{first}/compare")
        assert (await visitor.client.get(f"/api/builds/{first}/compare")).status_code == 404

    visit(told.world, tmp_path, act)
