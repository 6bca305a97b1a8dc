from s3sync_operator.freshness import Freshness


def fresh() -> Freshness:
    return Freshness(limit=180, started=0)


def test_a_watch_that_delivered_all_that_is_listed_is_fresh() -> None:
    watch = fresh()
    watch.delivered("a", "7")
    assert watch.compare([("a", "7")], now=100) == []
    assert watch.complaint(now=200) is None


def test_an_object_that_the_watch_has_not_delivered_is_missing_at_once_and_stale_after_the_limit() -> None:
    watch = fresh()
    watch.delivered("a", "7")
    assert watch.compare([("a", "9")], now=60) == ["a"]
    watch.compare([("a", "9")], now=200)
    assert watch.complaint(now=239) is None
    watch.compare([("a", "9")], now=241)
    assert "has not delivered 1 changed object" in (watch.complaint(now=241) or "")


def test_a_late_delivery_makes_it_fresh_again() -> None:
    watch = fresh()
    watch.compare([("a", "9")], now=60)
    watch.delivered("a", "9")
    watch.compare([("a", "9")], now=300)
    assert watch.complaint(now=301) is None


def test_an_object_that_is_gone_is_not_waited_for() -> None:
    watch = fresh()
    watch.compare([("a", "9")], now=60)
    watch.delivered("a", "10", deleted=True)
    assert watch.compare([], now=300) == []
    assert watch.complaint(now=301) is None


def test_a_delivery_newer_than_the_listing_is_fresh() -> None:
    watch = fresh()
    watch.delivered("a", "12")
    assert watch.compare([("a", "9")], now=60) == []


def test_listings_that_fail_for_long_make_it_stale() -> None:
    watch = fresh()
    watch.compare([], now=60)
    assert watch.complaint(now=240) is None
    assert "could not be listed" in (watch.complaint(now=241) or "")


def test_an_operator_that_just_started_is_given_its_time() -> None:
    assert fresh().complaint(now=179) is None
    assert fresh().complaint(now=181) is not None


def test_the_watch_has_caught_up_once_it_has_delivered_the_first_listing() -> None:
    watch = fresh()
    watch.delivered("early", "5")
    assert not watch.caught_up
    watch.expect([("early", "5"), ("a", "7"), ("b", "9")], now=1)
    assert not watch.caught_up
    watch.delivered("a", "7")
    watch.delivered("b", "8")
    assert not watch.caught_up
    watch.delivered("b", "9")
    assert watch.caught_up


def test_a_watch_with_nothing_to_deliver_has_caught_up_with_the_first_listing_and_stays_so() -> None:
    watch = fresh()
    watch.expect([], now=1)
    watch.expect([("a", "7")], now=2)
    assert watch.caught_up


def test_what_was_deleted_before_the_watch_began_is_not_waited_for() -> None:
    watch = fresh()
    watch.expect([("seen-going", "7"), ("gone", "8")], now=1)
    watch.delivered("seen-going", "9", deleted=True)
    assert not watch.caught_up
    watch.compare([], now=60)
    assert watch.caught_up


def test_the_first_listing_is_a_sign_of_life() -> None:
    watch = fresh()
    watch.expect([], now=100)
    assert watch.complaint(now=279) is None
    assert "could not be listed" in (watch.complaint(now=281) or "")
