"""`s3sync validate`, on files as people write them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from s3sync_cli.app import app
from s3sync_cli.checking import check
from s3sync_cli.documents import Document, UnreadableError, documents

GOOD: dict[str, Any] = {
    "apiVersion": "sync.pachyderm.io/v1alpha1",
    "kind": "PachydermS3Sync",
    "metadata": {"name": "books", "namespace": "kubeflow"},
    "spec": {"repo": "testrepo"},
}


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


def one(text: str) -> Document:
    (found,) = documents(text, "f.yaml")
    return found


def problems(raw: dict[str, Any], address: str | None = None, old: Any = None) -> list[tuple[str, str]]:
    verdict = check(one(yaml.safe_dump(raw)), address, old)
    return [(problem.field, problem.severity) for problem in verdict.problems]


def validate(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["validate", *arguments], input=stdin)


def test_a_good_sync_has_no_problem() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"apiVersion": "sync.pachyderm.io/v1"}, "apiVersion"),
        ({"kind": "PachydermSync"}, "kind"),
        ({"extra": 1}, "extra"),
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": {"name": "Books"}}, "metadata.name"),
        ({"metadata": {"name": "b" * 254}}, "metadata.name"),
        ({"metadata": {"name": "b", "namespace": "a.b"}}, "metadata.namespace"),
        ({"metadata": {"name": "b", "labels": {"a": "b c"}}}, "metadata.labels.a"),
        ({"metadata": {"name": "b", "annotations": {"a b": "c"}}}, "metadata.annotations.a b"),
        ({"metadata": {"name": "b", "owner": "me"}}, "metadata.owner"),
        ({"metadata": {"name": 1}}, "metadata.name"),
        ({"metadata": None}, "metadata"),
        ({"spec": None}, "spec"),
        ({"spec": []}, "spec"),
        ({"spec": {"repo": None}}, "spec.repo"),
        ({"spec": {"repo": "r", "workers": "2"}}, "spec.workers"),
        ({"spec": {"repo": "r", "filter": {"include": ["ok", "#no"]}}}, "spec.filter.include[1]"),
        ({"spec": {"repo": "r", "prune": {}, "publish": "Direct"}}, "spec.prune"),
    ],
)
def test_what_the_api_server_refuses_is_told_by_the_name_of_its_field(change: dict[str, Any], field: str) -> None:
    assert problems(GOOD | change) == [(field, "error")]


def test_a_field_that_does_not_exist_is_told_with_the_one_that_may_be_meant() -> None:
    verdict = check(one(yaml.safe_dump(GOOD | {"spec": {"repo": "r", "brnch": "b"}})), None)
    assert [problem.message for problem in verdict.problems] == ["there is no such field; did you mean 'branch'?"]


@pytest.mark.parametrize("spec", [{"client": "pfs"}, {"publish": "Atomic"}, {"prune": {}}])
def test_what_the_operators_settings_decide_is_a_warning_until_they_are_told(spec: dict[str, Any]) -> None:
    field = f"spec.{next(iter(spec))}"
    raw = GOOD | {"spec": {"repo": "r", **spec}}
    assert problems(raw) == [(field, "warning")]
    assert problems(raw, address="") == [(field, "error")]
    assert problems(raw, address="grpc://pachd:30650") == []


def test_a_directory_of_the_node_is_a_warning_since_the_operator_allows_none_of_itself() -> None:
    spec = {"repo": "r", "source": {"hostPath": {"path": "/data"}}}
    assert problems(GOOD | {"spec": spec}, address="") == [("spec.source.hostPath", "warning")]


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        ({"schedule": "0 0 30 2 *"}, "spec.trigger.schedule"),
        ({"schedule": "@daily", "timeZone": "Europe/Berline"}, "spec.trigger.timeZone"),
    ],
)
def test_a_schedule_that_never_comes_is_an_error_though_admission_lets_it_pass(
    trigger: dict[str, Any], field: str
) -> None:
    assert problems(GOOD | {"spec": {"repo": "r", "trigger": trigger}}) == [(field, "error")]


def test_what_no_setting_mends_is_an_error() -> None:
    spec = {"repo": "r" * 63, "branch": "b", "client": "minio"}
    assert problems(GOOD | {"spec": spec}) == [("spec.client", "error")]


@pytest.mark.parametrize(("field", "default"), [("repo", "testrepo"), ("branch", "master"), ("project", "default")])
def test_where_the_data_lies_must_be_as_it_was_applied(field: str, default: str) -> None:
    changed = GOOD | {"spec": {**GOOD["spec"], field: "other"}}
    assert problems(changed, old=GOOD) == [(f"spec.{field}", "error")]
    written_out = GOOD | {"spec": {**GOOD["spec"], field: default}}
    assert problems(written_out, old=GOOD) == []


def test_a_key_that_stands_twice_is_a_warning_with_the_line_of_the_second() -> None:
    text = yaml.safe_dump(GOOD, sort_keys=False) + "  repo: b\n"
    (problem,) = check(one(text), None).problems
    assert (problem.field, problem.severity) == ("spec.repo", "warning")
    assert text.splitlines()[problem.line - 1] == "  repo: b"


def test_each_item_of_a_list_and_each_document_is_an_object_with_lines_of_its_own() -> None:
    listed = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [GOOD, GOOD]}, sort_keys=False)
    found = list(documents(f"# books\n---\n{listed}---\n---\n{yaml.safe_dump(GOOD)}", "f.yaml"))
    assert [item.raw for item in found] == [GOOD, GOOD, GOOD]
    text = f"# books\n---\n{listed}---\n---\n{yaml.safe_dump(GOOD)}".splitlines()
    assert ["repo: testrepo" in text[item.line(("spec", "repo")) - 1] for item in found] == [True] * 3


def test_json_is_read_too_and_a_date_stays_a_text() -> None:
    assert one(json.dumps(GOOD)).raw == GOOD
    assert one("kind: X\nday: 2026-11-24\n").raw["day"] == "2026-11-24"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [\n", "f.yaml:2"),
        ("a: b: c", "f.yaml:1"),
        ("- a", "f.yaml:1"),
        ("a: \x00", "f.yaml"),
        ("? [a]\n: b", "f.yaml"),
        ("a: " + "[" * 100_000, "f.yaml: .*nested too deeply"),
        ("- " * 100_000, "f.yaml: .*nested too deeply"),
        ("a: &a [*a]", "f.yaml: .*recursion"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_manifest_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        list(documents(text, "f.yaml"))


def test_what_kubectls_parser_takes_is_taken() -> None:
    assert one("kind:\tX\nnested: " + "[" * 400 + "]" * 400 + "\n").raw["kind"] == "X"


def test_the_exit_code_tells_valid_from_invalid_from_unreadable(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(yaml.safe_dump(GOOD))
    bad.write_text(yaml.safe_dump(GOOD | {"spec": {"repo": "no spaces"}}))
    assert validate("-f", str(good)).exit_code == 0
    assert validate("-f", str(good), "-f", str(bad)).exit_code == 1
    assert validate("-f", str(tmp_path)).exit_code == 1
    assert validate("-f", str(tmp_path / "absent.yaml")).exit_code == 2
    assert validate("-f", "-", stdin="a: [").exit_code == 2


def test_files_without_a_sync_are_no_success() -> None:
    result = validate("-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n")
    assert (result.exit_code, "nothing was checked" in result.output) == (2, True)


def test_warnings_fail_where_asked_for() -> None:
    text = yaml.safe_dump(GOOD | {"spec": {"repo": "r", "client": "pfs"}})
    assert validate("-f", "-", stdin=text).exit_code == 0
    assert validate("-f", "-", "--strict", stdin=text).exit_code == 1


def test_a_problem_is_told_as_file_line_and_field() -> None:
    text = "# a comment\n" + yaml.safe_dump(GOOD | {"spec": {"repo": "a b"}}, sort_keys=False)
    lines = validate("-f", "-", stdin=text).output.splitlines()
    assert lines[0].startswith("standard input:8: kubeflow/books: spec.repo: may hold only letters")


def test_the_same_is_told_to_programs_as_json() -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    text = yaml.safe_dump_all([GOOD | {"spec": {"repo": "a b"}}, other])
    told = json.loads(validate("-f", "-", "-o", "json", stdin=text).output)
    assert told["valid"] is False
    assert [(sync["name"], sync["valid"]) for sync in told["syncs"]] == [("books", False)]
    assert [problem["field"] for problem in told["syncs"][0]["problems"]] == ["spec.repo"]
    assert [item["object"] for item in told["passedOver"]] == ["ConfigMap/c"]
