"""The cost model: what it says about clients, without waiting for it."""

from collections.abc import Sequence

import pytest

from pachyderm_standin.costs import FREE, MIN_SLEEP, PACHYDERM, Costs, Meter

MB = 1_000_000
SMALL = 10_000


class Ledger(Meter):
    """Writes down what clients would wait for."""

    def __init__(self, costs: Costs = FREE) -> None:
        super().__init__(costs)
        self.paid: list[float] = []

    async def work(self, seconds: float) -> None:
        self.paid.append(seconds)


def puts_into_one_open_commit(count: int) -> float:
    put = PACHYDERM.request + PACHYDERM.writing(SMALL)
    return sum(put + PACHYDERM.composing(number) for number in range(1, count + 1)) + PACHYDERM.finishing(count, count)


def puts_on_a_closed_head(count: int) -> float:
    put = PACHYDERM.request + PACHYDERM.writing(SMALL)
    return count * (put + PACHYDERM.finishing(1))


def batches(count: int, size: int) -> float:
    return -(-count // size) * puts_into_one_open_commit(size)


def rounds(count: int, size: int) -> float:
    apart = PACHYDERM.call + PACHYDERM.file_set
    one = sum(PACHYDERM.composing(number) for number in range(1, size + 1)) + 3 * apart
    put = PACHYDERM.request + PACHYDERM.writing(SMALL)
    return count * put + -(-count // size) * one + apart + PACHYDERM.finishing(count, count)


def one_stream(count: int) -> float:
    return PACHYDERM.call + PACHYDERM.writing(count * SMALL, count) + PACHYDERM.finishing(count)


def test_nothing_costs_anything_unless_asked_for() -> None:
    assert (
        FREE.finishing(10, 10, merged=True)
        == FREE.writing(MB, 10)
        == FREE.composing(1000)
        == FREE.looking(MB, 0, 0)
        == 0
    )


def test_one_stream_beats_batches_and_batches_beat_a_commit_a_file() -> None:
    assert one_stream(80) < batches(80, 40) < puts_on_a_closed_head(80)
    assert one_stream(5000) * 40 < batches(5000, 40) < puts_on_a_closed_head(5000)


def test_rounds_in_one_commit_beat_batches_a_commit_each() -> None:
    assert one_stream(200) < rounds(200, 16) < batches(200, 40)


def test_puts_into_one_open_commit_cost_with_the_square_of_their_number() -> None:
    assert puts_into_one_open_commit(600) > 3 * puts_into_one_open_commit(300)
    assert puts_into_one_open_commit(600) > puts_on_a_closed_head(600)


def test_a_commit_that_was_written_to_often_or_is_merged_into_others_takes_longer_to_finish() -> None:
    assert PACHYDERM.finishing(100) < PACHYDERM.finishing(100, merged=True)
    assert PACHYDERM.finishing(100) < PACHYDERM.finishing(100, 100)


def test_one_put_beats_parts_however_large_the_file() -> None:
    parts = 256 * MB // (5 * MB)
    in_parts = parts * (PACHYDERM.writing(5 * MB) + PACHYDERM.finishing(1))
    assert PACHYDERM.writing(256 * MB) + PACHYDERM.finishing(1) < in_parts


def test_a_head_and_a_range_cost_like_the_whole_file_and_a_whole_get_nothing_more() -> None:
    size = 256 * MB
    assert PACHYDERM.looking(size, 0, 0) > 1
    assert PACHYDERM.looking(size, 0, MB) > 1
    assert PACHYDERM.looking(size, size - MB, MB) > PACHYDERM.looking(size, 0, MB)
    assert PACHYDERM.looking(size, 0, size) == 0


@pytest.mark.parametrize(
    ("costs", "payments"),
    [([MIN_SLEEP / 4] * 3, [3]), ([MIN_SLEEP / 4] * 5, [4, 1]), ([MIN_SLEEP * 2], [8, 0]), ([], [0])],
)
async def test_small_costs_are_paid_together(costs: Sequence[float], payments: Sequence[int]) -> None:
    ledger = Ledger()
    tab = ledger.tab()
    for cost in costs:
        await tab.add(cost)
    await tab.pay()
    assert ledger.paid == pytest.approx([number * MIN_SLEEP / 4 for number in payments])
