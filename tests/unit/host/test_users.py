"""Ranges of user ids: one machine each, across agents, for as long as the machine lives."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from cupel.errors import InfraError
from cupel.host.providers.inside.plan import UIDS
from cupel.host.providers.namespace import users
from cupel.host.providers.namespace.users import FIRST, RANGES


def test_all_ranges_lie_between_systemd_s(tmp_path: Path) -> None:
    numbers = list(users.order(17))
    assert sorted(numbers) == list(range(RANGES))
    assert numbers[0] == 17
    assert FIRST > 1_879_048_191  # its containers
    assert FIRST + RANGES * UIDS <= 2_147_352_576  # its foreign images


def test_two_agents_with_the_same_numbers_get_different_ranges(tmp_path: Path) -> None:
    registry = tmp_path / "run" / "users"
    with contextlib.ExitStack() as held:
        firsts = []
        for _ in range(3):
            taken = users.take(tmp_path, 1, registry=registry)
            held.callback(taken.close)
            firsts.append(taken.first)
    assert len(set(firsts)) == 3
    with contextlib.closing(users.take(tmp_path, 1, registry=registry)) as again:
        assert again.first == firsts[0]


def test_a_range_is_taken_until_the_last_who_holds_it_is_gone(tmp_path: Path) -> None:
    registry = tmp_path / "users"
    taken = users.take(tmp_path, 1, registry=registry)
    heirs = os.dup(taken.descriptor)
    taken.close()
    with contextlib.closing(users.take(tmp_path, 1, registry=registry)) as other:
        assert other.first != taken.first
    os.close(heirs)
    with contextlib.closing(users.take(tmp_path, 1, registry=registry)) as other:
        assert other.first == taken.first


def test_what_is_given_to_users_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "subuid"
    last = FIRST + RANGES * UIDS - 1
    table.write_text(f"# mine\nanna:100000:65536\nroot:{FIRST + UIDS}:{last}\nodd line\n")
    monkeypatch.setattr(users, "TABLES", (table, tmp_path / "nowhere"))
    with contextlib.closing(users.take(tmp_path, 5, registry=tmp_path / "users")) as only:
        assert only.first == FIRST
        with pytest.raises(InfraError, match="no user ids are left"):
            users.take(tmp_path, 5, registry=tmp_path / "users")


def test_one_id_of_a_range_is_enough_to_leave_it_alone() -> None:
    assert users.given("a:5:1\nb:7:2\n") == [(5, 5), (7, 8)]
    spans = users.given(f"a:{FIRST - 1}:2\nb:{FIRST + 2 * UIDS - 1}:1\n")
    assert [number for number in users.order(0, spans) if number < 3] == [2]


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfraError, match="can't be opened") as error:
        users.take(tmp_path, 1, registry=tmp_path / "file" / "users")
    assert error.value.hint is not None
