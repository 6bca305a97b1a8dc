import pytest

from pachyderm_standin.faults import NO_EFFECTS, Effects, Faults, FaultsError, parse_rules
from pachyderm_standin.s3.routes import Route

PUT = Route("PutObject", "master.repo", "dir/file")
GET = Route("GetObject", "master.repo", "dir/file")


def faults(rules: str) -> Faults:
    made = Faults()
    made.replace(parse_rules(rules))
    return made


def test_without_rules_nothing_goes_wrong() -> None:
    assert Faults().effects("PUT", PUT) is NO_EFFECTS


def test_a_rule_must_match_all_over_and_in_full() -> None:
    made = faults('[{"action": "cut", "method": "P.*", "bucket": "master\\\\..*", "key": "dir/.*"}]')
    assert made.effects("PUT", PUT) == Effects(cut=True)
    assert made.effects("GET", GET) is NO_EFFECTS
    assert made.effects("PUT", Route("PutObject", "master.repo", "other/dir/file")) is NO_EFFECTS


def test_after_and_times_count_only_what_matches() -> None:
    made = faults('[{"action": "cut", "method": "PUT", "after": 1, "times": 2}]')
    seen = []
    for _ in range(5):
        made.effects("GET", GET)
        seen.append(made.effects("PUT", PUT).cut)
    assert seen == [False, True, True, False, False]


def test_several_actions_meet_in_one_request_and_the_earlier_of_a_kind_wins() -> None:
    made = faults(
        '[{"action": "latency", "seconds": 2}, {"action": "flip", "offset": 7}, {"action": "latency", "seconds": 9}]'
    )
    assert made.effects("GET", GET) == Effects(latency=2, flip_at=7)


def test_new_rules_start_counting_anew() -> None:
    rules = '[{"action": "cut", "times": 1}]'
    made = faults(rules)
    assert [made.effects("PUT", PUT).cut for _ in range(2)] == [True, False]
    made.replace(parse_rules(rules))
    assert made.effects("PUT", PUT).cut


@pytest.mark.parametrize("body", ["", "{}", "[1]", "nonsense", '[{"action": "cut", "times": 0}]'])
def test_anything_but_a_list_of_rules_is_refused(body: str) -> None:
    with pytest.raises(FaultsError, match=r"^rules"):
        parse_rules(body)
