"""Alerts and dashboard by promtool, and that they ask for nothing that the operator does not export."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3sync_local.manifests import MONITORING
from s3sync_local.promtool import ensure_promtool
from tests.support.exported import exposition, labels_by_name

SECONDS = 60
ADDED_BY_PROMETHEUS = {"job", "instance", "namespace", "pod"}
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")


@pytest.fixture(scope="module")
def promtool() -> Path:
    return ensure_promtool(print)


def run(promtool: Path, *arguments: str, stdin: str = "") -> str:
    ran = subprocess.run(
        [promtool, *arguments],
        cwd=MONITORING,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads((MONITORING / "dashboard.json").read_text())["panels"])


def shown() -> Iterator[tuple[str, str]]:
    for panel in panels():
        for target in panel.get("targets", ()):
            yield f"panel '{panel['title']}'", target["expr"]


def asked() -> list[tuple[str, str]]:
    """Return every expression with the place it stands in."""
    tests = yaml.safe_load((MONITORING / "rules.test.yaml").read_text())["tests"]
    series = [(test["name"], item["series"]) for test in tests for item in test["input_series"]]
    return [(rule["alert"], rule["expr"]) for rule in rules()] + list(shown()) + series


def names_and_labels(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric that an expression of PromQL names, with the labels that it is selected by."""
    bare = _STRING.sub("''", expression)
    for name, matchers in _SELECTOR.findall(bare):
        yield name, {matcher.split("=")[0].split("!")[0].strip() for matcher in matchers.split(",") if matcher.strip()}
    bare = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub("", _SELECTOR.sub("", bare)))
    for name, call in re.findall(r"([a-zA-Z_:][\w:]*)\s*(\()?", bare):
        if not call and name not in WORDS:
            yield name, set()


def grouped_by(expression: str) -> set[str]:
    parts = [part for _, part in _GROUPING.findall(_STRING.sub("''", expression))]
    return {label.strip() for part in parts for label in part.split(",") if label.strip()}


def test_the_rules_keep_prometheus_grammar(promtool: Path) -> None:
    assert f"SUCCESS: {len(rules())} rules found" in run(promtool, "check", "rules", "rules.yaml")


def test_the_alerts_fire_when_they_must_and_only_then(promtool: Path) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", "rules.test.yaml")


def test_each_alert_is_seen_to_fire_and_to_keep_quiet() -> None:
    tests = yaml.safe_load((MONITORING / "rules.test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]


def test_every_expression_of_the_dashboard_is_promql(promtool: Path, tmp_path: Path) -> None:
    def plain(expression: str) -> str:
        return expression.replace("$__rate_interval", "5m").replace("$sync_namespace", ".*")

    found = [{"record": f"panel:{number}", "expr": plain(text)} for number, (_, text) in enumerate(shown())]
    assert len(found) > 30
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": found}]}))
    run(promtool, "check", "rules", str(tmp_path / "panels.yaml"))


def test_rules_dashboard_and_tests_use_only_what_the_operator_exports() -> None:
    exported = labels_by_name()
    wrong = [
        f"{place}: {name} {sorted(labels)}"
        for place, expression in asked()
        for name, labels in names_and_labels(expression)
        if name not in exported or not labels <= exported[name] | ADDED_BY_PROMETHEUS
    ]
    assert wrong == []


def test_what_is_grouped_by_is_a_label_that_there_is() -> None:
    known = set().union(*labels_by_name().values()) | ADDED_BY_PROMETHEUS
    wrong = [f"{place}: {label}" for place, expression in asked() for label in grouped_by(expression) - known]
    assert wrong == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("sum by (le) (rate(a_bucket{x=~\"y{z}\", w!='v'}[5m])) > 0 unless b", {"a_bucket": {"x", "w"}, "b": set()}),
        ("time() - max(c_seconds) > 600", {"c_seconds": set()}),
    ],
)
def test_names_and_labels_of_an_expression_are_found(expression: str, found: dict[str, set[str]]) -> None:
    assert dict(names_and_labels(expression)) == found


def test_every_metric_of_the_operators_own_is_on_the_dashboard_or_in_an_alert() -> None:
    asked_for = {name for _, expression in asked() for name, _ in names_and_labels(expression)}
    own = {re.sub(r"_(bucket|sum|count)$", "", name) for name in labels_by_name() if name.startswith("s3sync_")}
    assert own - {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked_for} == set()


def test_the_metrics_keep_the_naming_conventions(promtool: Path) -> None:
    assert run(promtool, "check", "metrics", stdin=exposition()) == ""


def test_panels_do_not_lie_on_each_other_and_have_a_title_and_a_description() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert max(x for x, _ in taken) == 23
    assert len({panel["id"] for panel in panels()}) == len(panels())
