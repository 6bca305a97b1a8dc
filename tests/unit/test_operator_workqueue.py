import asyncio

from s3sync_operator.metrics import Metrics
from s3sync_operator.workqueue import WorkQueue


def queue_of(
    handle: object, concurrency: int = 10, time_limit: float = 5, metrics: Metrics | None = None
) -> WorkQueue[str]:
    return WorkQueue(handle, concurrency=concurrency, time_limit=time_limit, metrics=metrics)  # type: ignore[arg-type]


async def test_a_key_added_often_while_it_is_handled_is_handled_once_more() -> None:
    started, go_on, again = asyncio.Event(), asyncio.Event(), asyncio.Event()
    calls: list[str] = []

    async def handle(key: str) -> None:
        calls.append(key)
        started.set()
        if len(calls) > 1:
            again.set()
        await go_on.wait()

    queue = queue_of(handle)
    queue.add("a")
    await started.wait()
    for _ in range(5):
        queue.add("a")
    go_on.set()
    await asyncio.wait_for(again.wait(), 5)
    await asyncio.sleep(0.01)
    assert calls == ["a", "a"]
    await queue.close()


async def test_a_key_is_never_handled_twice_at_the_same_time_and_not_lost() -> None:
    working, most, done = set(), [0], asyncio.Event()
    calls = 0

    async def handle(key: str) -> None:
        nonlocal calls
        assert key not in working
        working.add(key)
        most[0] = max(most[0], len(working))
        await asyncio.sleep(0.001)
        working.discard(key)
        calls += 1
        if calls == 4:
            done.set()

    queue = queue_of(handle)
    for key in ("a", "b", "a", "b"):
        queue.add(key)
    await asyncio.wait_for(done.wait(), 5)
    assert (most[0], calls) == (2, 4)
    await queue.close()


async def test_no_more_keys_are_handled_at_once_than_there_are_slots() -> None:
    working, most, left, done = 0, 0, 20, asyncio.Event()

    async def handle(_: str) -> None:
        nonlocal working, most, left
        working += 1
        most = max(most, working)
        await asyncio.sleep(0.001)
        working -= 1
        left -= 1
        if not left:
            done.set()

    queue = queue_of(handle, concurrency=3)
    for number in range(20):
        queue.add(str(number))
    await asyncio.wait_for(done.wait(), 5)
    assert most == 3
    await queue.close()


async def test_a_handler_that_asks_for_it_is_called_again() -> None:
    calls, done = 0, asyncio.Event()

    async def handle(_: str) -> float | None:
        nonlocal calls
        calls += 1
        if calls < 3:
            return 0.001
        done.set()
        return None

    queue = queue_of(handle)
    queue.add("a")
    await asyncio.wait_for(done.wait(), 5)
    await queue.close()


async def test_after_an_error_a_key_comes_back_later_and_later() -> None:
    queue = queue_of(fail)
    delays = [await queue._handled("a") for _ in range(10)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    await queue.close()


async def fail(_: str) -> None:
    raise OSError("the API server is away")


async def test_a_handler_that_hangs_is_ended_and_comes_back() -> None:
    async def hang(_: str) -> None:
        await asyncio.sleep(60)

    queue = queue_of(hang, time_limit=0.01)
    assert await queue._handled("a") == 1
    await queue.close()


async def test_a_closed_queue_takes_nothing_more() -> None:
    calls = []

    async def handle(key: str) -> None:
        calls.append(key)

    queue = queue_of(handle)
    queue.add_after("later", 0.001)
    await queue.close()
    queue.add("a")
    await asyncio.sleep(0.01)
    assert calls == []


async def test_what_waits_and_what_is_worked_on_shows_in_the_metrics() -> None:
    metrics, go_on, started = Metrics(), asyncio.Event(), asyncio.Event()

    async def handle(_: str) -> None:
        started.set()
        await go_on.wait()

    queue = queue_of(handle, concurrency=1, metrics=metrics)
    for key in ("a", "b", "c"):
        queue.add(key)
    await started.wait()
    value = metrics.registry.get_sample_value
    assert (value("s3sync_queue_depth"), value("s3sync_reconciles_in_progress")) == (2, 1)
    assert queue.longest_wait > 0
    go_on.set()
    await queue.close()
    assert (value("s3sync_queue_depth"), value("s3sync_reconciles_in_progress")) == (0, 0)
    assert value("s3sync_queue_wait_seconds_count") == 3
    assert value("s3sync_reconciles_total", {"result": "done"}) == 3
    assert queue.longest_wait == 0


async def test_reconciles_count_by_how_they_end() -> None:
    metrics = Metrics()

    async def end_as_told(key: str) -> float | None:
        await asyncio.sleep(60 if key == "hang" else 0)
        if key == "fail":
            raise OSError
        return 5 if key == "again" else None

    queue = queue_of(end_as_told, time_limit=0.05, metrics=metrics)
    for key in ("hang", "fail", "fail", "again", "fine"):
        await queue._handled(key)
    results = ("timeout", "error", "requeued", "done")
    found = [metrics.registry.get_sample_value("s3sync_reconciles_total", {"result": result}) for result in results]
    assert found == [1, 2, 1, 1]
    await queue.close()
