"""What `cupel top` shows of a small world, key by key and at every size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupel.cli.live import screen, seen
from cupel.cli.live.feed import Tail
from cupel.cli.live.seen import History, Log, Look, Snapshot
from cupel.control import views
from cupel.control.views import LogLineView
from cupel.host.messages import HostLoad
from unit.control_views import world

GIB = 1 << 30
LOAD = HostLoad(
    cores=4, runnable=3.0, memory=8 * GIB, available=2 * GIB, disk=100, disk_free=50,
    waits_cpu=12.0, waits_memory=0.0, waits_io=96.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    async def look() -> Snapshot:
        made = await world.make(tmp_path_factory.mktemp("world"))
        async with made.store.read() as tx:
            return Snapshot(
                at=world.NOW,
                status=await views.status_view(tx, url="http://cupel.test:8470", now=world.NOW),
                queues=tuple(await views.queue_views(tx, now=world.NOW)),
                hosts=tuple(await views.host_list(tx, now=world.NOW, loads={"here": LOAD})),
            )

    return asyncio.run(look())


def history(snapshot: Snapshot, samples: int = 30) -> History:
    found = History()
    for _ in range(samples):
        found.add(snapshot.hosts)
    return found


def drawn(
    snapshot: Snapshot, look: Look | None = None, *, width: int = 80, height: int = 24
) -> list[str]:
    shown = seen.settled(snapshot, Look()) if look is None else look
    lines = screen.draw(
        snapshot, shown, history(snapshot), width=width, height=height, now=snapshot.at
    )
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)
    return [line.plain for line in lines]


def pressed(snapshot: Snapshot, *keys: str, look: Look | None = None) -> Look:
    found = seen.settled(snapshot, look or Look())
    for key in keys:
        found = seen.press(key, snapshot, found)
    return found


def test_changes_are_in_landing_order_with_what_they_wait_for(snapshot: Snapshot) -> None:
    lines = drawn(snapshot)
    rows = [line.split()[-2:] for line in lines if " Change " in line]
    assert [row[-1] for row in rows][:3] == ["21", "22", "23"]
    (selected,) = [n for n, line in enumerate(lines) if line.startswith("▸")]
    assert "#21" in lines[selected]
    below = lines[lines.index(next(line for line in lines if "#22" in line)) + 1]
    assert "0 of 2 jobs done" in below


@pytest.mark.parametrize(
    ("width", "end"),
    [
        (100, "3 in the gate · 1 builds run · 1 wait · 1 of 4 machines"),
        (60, "3 in the gate, 1 run, 1 wait"),
        (36, "3 in the gate, 1 run, 1 wait"),
    ],
)
def test_the_first_line_says_as_much_as_fits(snapshot: Snapshot, width: int, end: str) -> None:
    title = drawn(snapshot, width=width)[0]
    assert title.endswith(end)
    assert ("cupel.test:8470" in title) == (width >= 60)


def test_hosts_show_their_load_in_bars_and_numbers(snapshot: Snapshot) -> None:
    line = next(line for line in drawn(snapshot, width=120) if line.startswith("here"))
    for said in ("cpu  75% ▇", "memory  75% ▇", "machines  25% ▃", "pressure  96% █"):
        assert said in line


def test_a_narrow_screen_has_less_of_everything_but_all_that_matters(snapshot: Snapshot) -> None:
    text = "\n".join(drawn(snapshot, width=40))
    assert "3 in the gate" in text
    assert "cpu  75%" in text
    for number in (21, 22, 23):
        assert f"#{number}" in text


@settings(max_examples=60)
@given(
    st.integers(1, 200), st.integers(1, 60),
    st.lists(st.sampled_from(["j", "k", "enter", "escape", "/", "2", "p", "G", "g"]), max_size=6),
)  # fmt: skip
def test_every_size_and_look_fits(
    snapshot: Snapshot, width: int, height: int, keys: list[str]
) -> None:
    drawn(snapshot, pressed(snapshot, *keys), width=width, height=height)


def test_the_first_is_selected_until_somebody_moves(snapshot: Snapshot) -> None:
    (queue, *_) = snapshot.queues
    later = replace(snapshot, queues=(queue.model_copy(update={"gate": queue.gate[1:]}),))
    assert pressed(snapshot).selected == queue.gate[0].id
    assert seen.settled(later, pressed(snapshot)).selected == queue.gate[1].id
    moved = pressed(snapshot, "j", "j")
    assert seen.settled(later, moved).selected == moved.selected == queue.gate[2].id


@pytest.mark.parametrize(
    ("keys", "index"),
    [(["down"], 1), (["j", "k"], 0), (["k"], 0), (["G"], -1), (["G", "j"], -1), (["G", "g"], 0),
     (["page-down"], -1), (["end", "home"], 0)],
)  # fmt: skip
def test_keys_move_within_the_rows(snapshot: Snapshot, keys: list[str], index: int) -> None:
    rows = [item.id for _, found in seen.shown(snapshot, Look()) for item in found]
    assert pressed(snapshot, *keys).selected == rows[index]


def test_a_filter_is_typed_kept_and_dropped(snapshot: Snapshot) -> None:
    typing = pressed(snapshot, "/", "q", "backspace", *"change 22")
    assert (typing.filter, typing.typing, typing.over) == ("change 22", True, False)
    text = "\n".join(drawn(snapshot, typing))
    assert "Change 22" in text
    assert "Change 21" not in text
    kept = pressed(snapshot, "enter", look=typing)
    assert (kept.typing, kept.selected) == (False, typing.selected)
    assert pressed(snapshot, "escape", look=kept).filter == ""
    nothing = pressed(snapshot, "/", *"xyzzy", "enter")
    assert "nothing fits the filter" in "\n".join(drawn(snapshot, nothing))
    assert not pressed(snapshot, "j", "enter", look=nothing).opened


def test_enter_shows_the_log_of_what_runs_and_back(snapshot: Snapshot) -> None:
    opened = pressed(snapshot, "j", "enter")
    assert seen.wanted_log(snapshot, opened) == 223
    log = Log(build=223, lines=("first", "\x1b[31mred\x1b[0m\x1b]0;title\x07", "col\tumn"))
    lines = drawn(replace(snapshot, log=log), opened)
    assert [line.strip() for line in lines if line.strip()][-4:-1] == [
        "first",
        "red",
        "col     umn",
    ]
    other = pressed(snapshot, "j", look=opened)
    assert other.job != opened.job
    assert "red" not in "\n".join(drawn(replace(snapshot, log=log), other))
    for key in ("escape", "q", "backspace", "left"):
        back = pressed(snapshot, key, look=other)
        assert (back.opened, back.over, back.selected) == (False, False, opened.selected)


def test_q_ends_it_and_p_pauses(snapshot: Snapshot) -> None:
    assert pressed(snapshot, "q").over
    paused = pressed(snapshot, "p")
    assert "paused" in drawn(snapshot, paused)[1]
    assert not pressed(snapshot, "p", look=paused).paused


def test_a_server_that_is_away_is_told_and_what_was_seen_stays(snapshot: Snapshot) -> None:
    lines = screen.draw(
        replace(snapshot, trouble="no Cupel answers"), seen.settled(snapshot, Look()),
        History(), width=80, height=24, now=snapshot.at + 7,
    )  # fmt: skip
    assert "no Cupel answers, as it was 7s ago" in lines[1].plain
    assert any("#21" in line.plain for line in lines)


def test_before_anything_is_known_there_is_a_screen_too() -> None:
    empty = Snapshot(at=0.0)
    assert drawn(empty)[0] == "cupel"
    assert drawn(replace(empty, trouble="away"))[1] == "! away"


def test_a_host_that_is_away_or_has_no_load_says_so(snapshot: Snapshot) -> None:
    (host,) = snapshot.hosts
    lost = host.model_copy(update={"state": "lost", "detail": "cable cut\x1b[2J", "load": None})
    line = drawn(replace(snapshot, hosts=(lost,)))[1]
    assert "lost" in line
    assert "\x1b" not in line
    refusing = host.model_copy(update={"refuses": "its disk is full"})
    assert "its disk is full" in drawn(replace(snapshot, hosts=(refusing,)))[1]
    fresh = host.model_copy(update={"load": None})
    assert "not known yet" in drawn(replace(snapshot, hosts=(fresh,)))[1]


def test_of_many_hosts_some_are_counted(snapshot: Snapshot) -> None:
    (host,) = snapshot.hosts
    hosts = tuple(host.model_copy(update={"name": f"host-{n}"}) for n in range(40))
    text = "\n".join(drawn(replace(snapshot, hosts=hosts)))
    assert "and 35 more hosts" in text
    assert "#21" in text


def test_a_job_that_runs_again_after_a_failure_shows(snapshot: Snapshot) -> None:
    (queue, *_) = snapshot.queues
    item = queue.gate[1]
    jobs = [job.model_copy(update={"failures": 1}) for job in item.jobs]
    gate = [queue.gate[0], item.model_copy(update={"jobs": jobs})]
    again = replace(snapshot, queues=(queue.model_copy(update={"gate": gate}),))
    assert "↻" in next(line for line in drawn(again) if "#22" in line)


def test_many_jobs_are_counted(snapshot: Snapshot) -> None:
    (queue, *_) = snapshot.queues
    item = queue.gate[0]
    bad = item.jobs[0].model_copy(update={"icon": "failure", "verdict": "failure"})
    many = item.model_copy(update={"jobs": [bad, *item.jobs * 10]})
    full = replace(snapshot, queues=(queue.model_copy(update={"gate": [many]}),))
    assert "21/21 ✗1" in next(line for line in drawn(full) if "#21" in line)


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([0.0, 0.5, 1.0], 3, "▁▅█"),
        ([0.0, 0.5, 1.0], 2, "▅█"),
        ([1.0], 4, "█   "),
        ([], 3, "   "),
        ([1.0], 0, ""),
    ],
)
def test_bars(values: list[float], width: int, line: str) -> None:
    assert screen.spark(values, width) == line


def test_loads_are_forgotten_with_their_host(snapshot: Snapshot) -> None:
    found = history(snapshot, seen.SAMPLES + 5)
    assert len(found.of("here")) == seen.SAMPLES
    found.add(())
    assert found.of("here") == ()


def test_a_page_without_a_screen_has_everything(snapshot: Snapshot) -> None:
    found = History()
    found.add(snapshot.hosts)
    lines = screen.page(snapshot, found, width=100)
    assert "".join(lines).isprintable()
    for number in (19, 20, 21, 22, 23):
        assert any(f"#{number}" in line for line in lines)


class Logs:
    """A client that has a log."""

    def __init__(self, lines: Sequence[LogLineView]) -> None:
        self.lines = list(lines)
        self.asked: list[int] = []

    def build(self, number: int) -> object:
        class Build:
            log_lines = len(self.lines)

        return Build()

    def log(self, build: int, *, start: int) -> Iterator[LogLineView]:
        self.asked.append(start)
        yield from self.lines[start:]


def line(number: int, text: str, **fields: bool) -> LogLineView:
    return LogLineView(number=number, at=1.0, step=1, stream="out", text=text, **fields)


def test_a_log_is_read_on_from_where_it_was_read() -> None:
    client = Logs([line(n, f"line {n}") for n in range(500)])
    tail = Tail()
    first = tail.read(client, 7)  # type: ignore[arg-type]
    assert first is not None
    assert (first.lines[0], first.lines[-1]) == ("line 300", "line 499")
    client.lines += [line(500, "begun"), line(501, " and ended", continues=True)]
    more = tail.read(client, 7)  # type: ignore[arg-type]
    assert more is not None
    assert more.lines[-2:] == ("line 499", "begun and ended")
    assert client.asked == [300, 500]
    assert tail.read(client, None) is None  # type: ignore[arg-type]
