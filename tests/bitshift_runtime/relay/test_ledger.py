import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from bitshift_core.evidence.live import Row
from bitshift_runtime.relay.ledger import Ledger, Ticket
from tests.examples import examples

START = 1_000


def a_ledger(**changes) -> Ledger:
    return Ledger("end", **({"pod": "p", "opened_at": START, "maturity_seconds": 120} | changes))


def a_request(ledger: Ledger, second: int, tenant: str = "") -> Ticket:
    ticket = Ticket("stable", tenant, second)
    ledger.begin(ticket)
    return ticket


def rows(ledger: Ledger, since: int = 0, most_bytes: int = 10**9) -> list[Row]:
    return [Row.model_validate(row) for row in json.loads(b"[" + ledger.page(since, most_bytes)[0] + b"]")]


def test_seconds_without_requests_close_as_time_passes():
    ledger = a_ledger()
    assert ledger.closed_until == START - 1

    ledger.advance(START + 0.9)
    assert ledger.closed_until == START - 1
    ledger.advance(START + 7.5)
    assert ledger.closed_until == START + 6
    assert rows(ledger) == []


def test_a_second_stays_open_until_it_is_over():
    ledger = a_ledger()
    ledger.settle(a_request(ledger, START))

    ledger.advance(START + 0.99)
    assert ledger.closed_until == START - 1
    ledger.advance(START + 1)
    assert ledger.closed_until == START


def test_an_unfinished_request_holds_back_its_second_and_all_after_it():
    ledger = a_ledger()
    slow = a_request(ledger, START)
    ledger.settle(a_request(ledger, START + 1))

    ledger.advance(START + 50)
    assert (ledger.closed_until, rows(ledger)) == (START - 1, [])
    ledger.settle(slow)
    ledger.advance(START + 50)
    assert ledger.closed_until == START + 49
    assert [row.bucket for row in rows(ledger)] == [START, START + 1]


def test_a_request_is_overdue_once_its_whole_second_had_the_maturity():
    ledger = a_ledger()
    slow = a_request(ledger, START)

    assert ledger.overdue(START + 120.9) == ()
    assert ledger.overdue(START + 121) == (slow,)


def test_an_outcome_counts_once_and_never_after_it_was_left_out():
    ledger = a_ledger()
    once, never = a_request(ledger, START), a_request(ledger, START)
    ledger.leave_out(never)

    assert [ledger.settle(once), ledger.settle(once), ledger.settle(never)] == [True, False, False]
    ledger.advance(START + 1)
    assert [row.started for row in rows(ledger)] == [1]
    assert not ledger.settle(once)


def test_a_second_in_which_every_request_was_left_out_has_no_rows():
    ledger = a_ledger()
    ledger.leave_out(a_request(ledger, START))

    ledger.advance(START + 1)
    assert (ledger.closed_until, rows(ledger)) == (START, [])


def test_a_far_behind_reader_gets_whole_seconds_and_is_told_how_far_they_reach():
    ledger = a_ledger()
    for second in range(START, START + 10):
        ledger.settle(a_request(ledger, second))
    ledger.advance(START + 10)

    read, since = [], 0
    while since < ledger.closed_until:
        read += rows(ledger, since, most_bytes=300)
        since = ledger.page(since, 300)[1]
    assert [row.bucket for row in read] == list(range(START, START + 10))


def test_closed_seconds_are_kept_a_quarter_of_an_hour():
    ledger = a_ledger()
    ledger.settle(a_request(ledger, START))

    ledger.advance(START + 900)
    assert len(rows(ledger)) == 1
    ledger.advance(START + 901)
    assert rows(ledger) == []


def test_what_is_kept_is_bounded_in_bytes_and_the_oldest_goes_first():
    ledger = a_ledger(most_bytes=1_000)
    for second in range(START, START + 100):
        ledger.settle(a_request(ledger, second))
    ledger.advance(START + 100)

    kept = [row.bucket for row in rows(ledger)]
    assert 0 < len(kept) < 20
    assert kept[-1] == START + 99


moves = st.lists(
    st.tuples(st.sampled_from(["begin", "settle", "leave_out", "tick", "read"]), st.integers(0, 9)), max_size=80
)


@settings(max_examples=examples(60))
@given(moves)
def test_a_reader_that_remembers_where_it_was_counts_each_outcome_exactly_once(moves):
    ledger, now, since = a_ledger(), float(START), 0
    waiting: list[Ticket] = []
    settled, read = Counter(), Counter()

    def look() -> int:
        found, until = ledger.page(since, 200)
        for row in json.loads(b"[" + found + b"]"):
            read[row["bucket"]] += row["started"]
        return max(since, until)

    for move, number in moves:
        if move == "begin":
            waiting.append(a_request(ledger, int(now), f"t{number % 3}"))
        elif move == "tick":
            now += number / 3
            ledger.advance(now)
        elif move == "read":
            since = look()
        elif waiting:
            ticket = waiting.pop(number % len(waiting))
            if move == "settle" and ledger.settle(ticket):
                settled[ticket.second] += 1
            ledger.leave_out(ticket)
    for ticket in waiting:
        ledger.leave_out(ticket)
    ledger.advance(now + 1)
    while since < ledger.closed_until:
        since = look()
    assert read == settled
