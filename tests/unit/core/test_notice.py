from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core import notice
from cupel.core.notice import Attempt, Delivery, DeliveryState, Receiver, Wish

CHAT = Receiver(id=1, name="chat", cursor=7)


def delivery(number: int, /, **fields: object) -> Delivery:
    row = Delivery(
        id=number,
        key=f"msg_{number}",
        receiver="chat",
        event="change.landed",
        event_id=number,
        change_id=number,
        address="",
        body="{}",
        state=DeliveryState.PENDING,
        attempts=(),
        tried=0,
        created_at=100.0,
        asked_at=100.0,
        due_at=100.0,
    )
    return replace(row, **fields)  # type: ignore[arg-type]


def bad(**fields: object) -> Attempt:
    return replace(Attempt(at=0.0, seconds=0.1, error="no answer"), **fields)  # type: ignore[arg-type]


GOOD = Attempt(at=0.0, seconds=0.1, status=200)


def test_what_arrives_ends_the_delivery_and_heals_the_receiver() -> None:
    ill = replace(CHAT, failures=3, failing_since=1.0, retry_at=200.0)
    receiver, told = notice.attempted(ill, delivery(1), GOOD, 150.0)
    assert (told.state, told.finished_at, told.tried) == (DeliveryState.DELIVERED, 150.0, 1)
    assert receiver == replace(CHAT, delivered_at=150.0)


def test_intervals_grow_up_to_an_hour_and_then_it_is_given_up() -> None:
    receiver, told, now, pauses = CHAT, delivery(1), 100.0, []
    while told.state is DeliveryState.PENDING:
        receiver, told = notice.attempted(receiver, told, bad(), now)
        assert receiver.retry_at is not None
        pauses.append(receiver.retry_at - now)
        now = receiver.retry_at
    assert pauses[: len(notice.INTERVALS)] == list(notice.INTERVALS)
    assert set(pauses[len(notice.INTERVALS) :]) == {notice.INTERVALS[-1]}
    assert told.state is DeliveryState.FAILED
    assert told.finished_at is not None
    assert told.finished_at - told.asked_at >= notice.PATIENCE
    assert len(told.attempts) == notice.KEPT_ATTEMPTS < told.tried
    assert receiver.failing_since == 100.0


def test_a_refusal_is_final_and_no_illness_of_the_receiver() -> None:
    receiver, told = notice.attempted(CHAT, delivery(1), bad(status=404, refused=True), 150.0)
    assert (told.state, receiver) == (DeliveryState.FAILED, CHAT)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, 5.0), (1.0, 5.0), (60.0, 60.0), (1e9, notice.LONGEST_WAIT), (float("inf"), 5.0)],
)
def test_a_receiver_may_ask_for_peace_within_reason(asked: float | None, wait: float) -> None:
    assert notice.pause(0, asked) == wait


def test_while_one_waits_those_behind_it_wait_too() -> None:
    waiting = [delivery(1, due_at=90.0), delivery(2, due_at=80.0)]
    assert notice.next_due(CHAT, waiting) == 90.0
    assert notice.next_due(replace(CHAT, retry_at=500.0), waiting) == 500.0
    assert notice.next_due(CHAT, []) is None


def test_of_too_many_and_too_old_the_oldest_are_given_up() -> None:
    many = [delivery(n) for n in range(1, notice.BACKLOG + 4)]
    assert [row.id for row in notice.given_up(many, 150.0)] == [1, 2, 3]
    old = [delivery(1), delivery(2, asked_at=100.0 + notice.PATIENCE)]
    (gone,) = notice.given_up(old, 100.0 + notice.PATIENCE)
    assert (gone.id, gone.state) == (1, DeliveryState.FAILED)


def test_by_hand_it_is_sent_again_with_its_key_and_a_day_of_its_own() -> None:
    done = delivery(1, state=DeliveryState.FAILED, finished_at=1.0, attempts=(bad(),), tried=4)
    again = notice.once_more(done, 999_999.0)
    assert (again.state, again.key, again.attempts) == (DeliveryState.PENDING, "msg_1", (bad(),))
    assert notice.given_up([again], 999_999.0) == []


def test_a_wish_is_for_events_and_projects() -> None:
    assert Wish(events=("host.lost",)).wants("host.lost", None)
    assert not Wish(events=("host.lost",), projects=("demo",)).wants("host.lost", None)
    assert Wish(events=("change.landed",), projects=("demo",)).wants("change.landed", "demo")
    assert not Wish(events=("change.landed",)).wants("item.passed", "demo")


def mail(number: int, address: str, change: int, due: float = 100.0) -> Delivery:
    return delivery(number, receiver="mail", address=address, change_id=change, due_at=due)


def test_what_waits_goes_along_with_what_is_due() -> None:
    waiting = [mail(1, "ada", 7), mail(2, "ada", 7, due=130.0), mail(3, "bob", 8, due=130.0)]
    (only,) = notice.letters(waiting, 110.0)
    assert (only.address, only.change_id) == ("ada", 7)
    assert [each.id for each in only.deliveries] == [1, 2]


def test_each_change_has_its_mail_until_there_are_too_many() -> None:
    three = [mail(n, "ada", n) for n in (1, 2, 3)]
    assert [each.change_id for each in notice.letters(three, 100.0)] == [1, 2, 3]
    (one,) = notice.letters([*three, mail(4, "ada", 4)], 100.0)
    assert (one.change_id, len(one.deliveries)) == (None, 4)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6), st.floats(0, 200)), max_size=30),
    st.floats(0, 200),
)
def test_no_mail_is_lost_doubled_or_sent_too_early(
    waiting: list[tuple[str, int, float]], now: float
) -> None:
    rows = [mail(n, *each) for n, each in enumerate(waiting, 1)]
    sent = [each for letter in notice.letters(rows, now) for each in letter.deliveries]
    assert len({each.id for each in sent}) == len(sent)
    due = {row.address for row in rows if row.due_at <= now}
    assert {each.id for each in sent} == {row.id for row in rows if row.address in due}
    by_address = [letter.address for letter in notice.letters(rows, now)]
    assert all(by_address.count(address) <= 3 for address in by_address)
