import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync_operator.admission import Admission, SyncKey, runs_under_way
from s3sync_operator.metrics import Metrics
from s3sync_operator.settings import Settings
from tests.support import objects

GATEWAY, OTHER_GATEWAY = "http://one", "http://two"


def filled(total: int = 0, each: int = 0, active: dict[SyncKey, str] | None = None) -> tuple[Admission, list[SyncKey]]:
    """Return an admission that knows the runs under way, and the list of those it wakes."""
    woken: list[SyncKey] = []
    admission = Admission(total, each)
    admission.wake = woken.append
    admission.fill(active or {})
    return admission, woken


def ask_all(admission: Admission, namespace: str, count: int, endpoint: str = GATEWAY) -> list[SyncKey]:
    keys = [(namespace, f"{number:04}") for number in range(count)]
    for key in keys:
        admission.ask(key, endpoint)
    return keys


def test_without_a_cap_all_are_admitted_at_once_and_before_anything_is_known() -> None:
    admission = Admission()
    assert admission.ready
    assert all(admission.ask(("team", str(number)), GATEWAY) for number in range(1000))


def test_with_a_cap_none_is_admitted_until_the_runs_under_way_are_known() -> None:
    admission, woken = Admission(total=2), list[SyncKey]()
    admission.wake = woken.append
    keys = ask_all(admission, "team", 3)
    assert (admission.ready, woken) == (False, [])
    admission.fill({("team", "under-way"): GATEWAY})
    assert (admission.ready, woken) == (True, keys[:1])


def test_one_namespace_with_a_thousand_syncs_does_not_starve_another() -> None:
    admission, woken = filled(total=1)
    admission.ask(("early", "x"), GATEWAY)
    many = ask_all(admission, "many", 1000)
    admission.ask(("few", "a"), GATEWAY)
    admission.ask(("few", "b"), GATEWAY)
    assert (admission.place(("few", "a")), admission.place(("few", "b"))) == (2, 4)
    running = ("early", "x")
    for _ in range(5):
        admission.leave(running)
        running = woken[-1]
    assert woken == [many[0], ("few", "a"), many[1], ("few", "b"), many[2]]


def test_within_a_namespace_the_first_to_come_is_the_first_to_go() -> None:
    admission, woken = filled(total=1)
    keys = ask_all(admission, "team", 4)
    for key in keys[:-1]:
        admission.leave(key)
    assert woken == keys[1:]


def test_a_full_gateway_keeps_nobody_from_another_one() -> None:
    admission, woken = filled(each=1)
    first, second = ask_all(admission, "team", 2)
    assert admission.ask(("team", "elsewhere"), OTHER_GATEWAY)
    assert not admission.ask(("team", "elsewhere-too"), OTHER_GATEWAY)
    admission.leave(first)
    assert woken == [second]


def test_both_caps_hold_together() -> None:
    admission, woken = filled(total=3, each=2)
    ask_all(admission, "one", 3)
    two = ask_all(admission, "two", 2, OTHER_GATEWAY)
    assert admission.place(two[1]) == 2
    admission.leave(two[0])
    assert woken == [two[1]], "the first of the queue needs a gateway that is full"


def test_a_sync_that_no_longer_wants_to_run_leaves_queue_and_place_to_others() -> None:
    admission, woken = filled(total=1)
    first, second, third = ask_all(admission, "team", 3)
    admission.leave(second)
    assert admission.place(third) == 1
    admission.leave(first)
    assert woken == [third]
    admission.leave(third)
    assert admission.ask(second, GATEWAY)


def test_asking_again_keeps_the_place() -> None:
    admission, _ = filled(total=1)
    keys = ask_all(admission, "team", 3)
    assert not admission.ask(keys[1], GATEWAY)
    assert [admission.place(key) for key in keys] == [0, 1, 2]


def test_running_and_waiting_are_counted() -> None:
    metrics = Metrics()
    admission = Admission(2, metrics=metrics)
    admission.fill({})
    keys = ask_all(admission, "team", 5)
    admission.leave(keys[4])
    shown = [metrics.registry.get_sample_value(f"s3sync_runs_{name}") for name in ("active", "queued")]
    assert shown == [2, 2]


def test_the_further_behind_a_sync_is_the_less_often_its_place_is_told() -> None:
    admission, _ = filled(total=1)
    keys = ask_all(admission, "team", 1001)
    assert [admission.refresh_after(keys[number]) for number in (1, 50, 1000)] == [15, 100, 300]


@pytest.mark.parametrize(
    ("phase", "counts"),
    [("Starting", True), ("Running", True), ("Retrying", False), ("Queued", False), ("Suspended", False)],
)
def test_the_runs_under_way_follow_from_the_statuses(phase: str, counts: bool) -> None:
    sync = objects.sync(status={"phase": phase, "observedGeneration": 1}, endpoint="http://gateway:30600")
    found = runs_under_way([sync, objects.sync(repo="no spaces")], Settings())
    assert found == ({("kubeflow", "books"): "http://gateway:30600"} if counts else {})


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "leave", "end"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 4),
        st.sampled_from([GATEWAY, OTHER_GATEWAY]),
    ),
    max_size=60,
)


@given(ACTIONS, st.integers(0, 3), st.integers(0, 2))
def test_whatever_happens_no_cap_is_broken_and_none_waits_that_could_run(
    actions: list[tuple[str, str, int, str]], total: int, each: int
) -> None:
    admission, woken = filled(total, each)
    active: dict[SyncKey, str] = {}
    waiting: dict[SyncKey, str] = {}
    for action, namespace, number, endpoint in actions:
        key = (namespace, str(number))
        if action == "ask" and admission.ask(key, endpoint):
            active[key] = endpoint
            waiting.pop(key, None)
        elif action == "ask":
            active.pop(key, None)
            waiting[key] = endpoint
        else:
            admission.leave(key)
            active.pop(key, None)
            waiting.pop(key, None)
        while woken:
            key = woken.pop(0)
            active[key] = waiting.pop(key)
        assert not total or len(active) <= total
        for gateway in (GATEWAY, OTHER_GATEWAY):
            used = list(active.values()).count(gateway)
            room = (not total or len(active) < total) and (not each or used < each)
            assert not each or used <= each
            assert not room or gateway not in waiting.values()
        assert sorted(map(admission.place, waiting)) == list(range(1, len(waiting) + 1))
