"""Admission: the API server, the models and `s3sync validate` give one verdict on each object, and what else the
definition does on a real API server."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from s3sync_cli.checking import check
from s3sync_cli.documents import documents
from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import KubectlError
from s3sync_operator.api import PLURAL, SHORT_NAME, SINGULAR, Spec, admission_complaints
from s3sync_operator.crd import PRINTER_COLUMNS, crd
from tests.support.admission import Admission, Answer
from tests.support.admission_cases import CHANGES, GOOD, NAMESPACE, REFUSED_TEXTS, TEXTS, Case, cases

# Each object is sent once, in a fixture: one process of a session runs them all.
pytestmark = pytest.mark.xdist_group("admission")
CASES = list(cases())
STORED = [GOOD | {"metadata": {"name": f"stored-{number}", "namespace": NAMESPACE}, "spec": before}
          for number, (_, before, *_) in enumerate(CHANGES)]  # fmt: skip


@pytest.fixture(scope="module")
def cluster_here(installed: LocalCluster) -> Iterator[LocalCluster]:
    """The cluster, with these tests' namespace."""
    installed.create_namespace(NAMESPACE)
    yield installed
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def admission(cluster_here: LocalCluster) -> Admission:
    """The API server to be asked."""
    return Admission(cluster_here.kubeconfig, NAMESPACE)


@pytest.fixture(scope="module")
def answers(admission: Admission) -> dict[str, Answer]:
    """What the API server says of each case."""
    return dict(zip(map(str, CASES), admission.ask([case.raw for case in CASES]), strict=True))


@pytest.fixture(scope="module")
def stored(admission: Admission) -> list[Answer]:
    """What was stored of the objects that are to be changed."""
    return admission.store(STORED)


@pytest.fixture(scope="module")
def changes(admission: Admission, stored: list[Answer]) -> list[Answer]:
    """What the API server says of each change."""
    return admission.ask_for_changes([answer.stored for answer in stored], [after for _, _, after, _ in CHANGES])


def validated(text: str, old: Any = None) -> bool:
    """Tell whether `s3sync validate` finds no error."""
    (document,) = documents(text, "f.yaml")
    return check(document, None, old).valid(strict=False)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_api_server_the_models_and_validate_give_one_verdict(answers: dict[str, Answer], case: Case) -> None:
    verdicts = {
        "the API server": not answers[case.what].refusal,
        "validate": validated(yaml.safe_dump(case.raw, sort_keys=False)),
    }
    if case.has_good_frame:
        verdicts["the models"] = not admission_complaints(case.raw.get("spec"))
    assert verdicts == dict.fromkeys(verdicts, case.said is None), answers[case.what].refusal
    for said in case.said or ():
        assert said in answers[case.what].refusal


@pytest.mark.parametrize("number", range(len(CHANGES)), ids=[f"{case[0]}-{case[3]}" for case in CHANGES])
def test_where_the_data_lies_cannot_change_and_all_else_can(changes: list[Answer], number: int) -> None:
    field, _, after, said = CHANGES[number]
    refusal = changes[number].refusal
    text = yaml.safe_dump(STORED[number] | {"spec": after})
    assert validated(text), "it is good in itself"
    assert (not refusal, validated(text, STORED[number])) == (not said, not said), refusal
    if said:
        assert f"spec.{field}: Invalid value" in refusal
        assert said in refusal


def test_what_kubectl_makes_of_a_text_is_accepted_as_validate_says(cluster_here: LocalCluster) -> None:
    printed = cluster_here.kubectl("apply", "--dry-run=server", "-f", "-", stdin="---\n".join(TEXTS.values()))
    assert len(printed.splitlines()) == len(TEXTS)
    assert {what: validated(text) for what, text in TEXTS.items()} == dict.fromkeys(TEXTS, True)


def test_kubectl_applies_none_of_what_is_refused(cluster_here: LocalCluster) -> None:
    with pytest.raises(KubectlError) as refusal:
        cluster_here.kubectl("apply", "--dry-run=server", "-f", "-", stdin="---\n".join(REFUSED_TEXTS.values()))
    told = [line for line in str(refusal.value).splitlines() if '"STDIN"' in line]
    assert len(told) == len(REFUSED_TEXTS), str(refusal.value)


def test_every_rule_of_the_definition_is_among_the_cases() -> None:
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    said = [text for case in CASES for text in case.said or () if not text.startswith("spec.")]
    said += [text for *_, text in CHANGES if text]
    untested = [message for message in rule_messages(schema) if not any(part in message for part in said)]
    assert untested == []


def rule_messages(schema: dict[str, Any]) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule["message"]
    parts = [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]
    for part in parts:
        yield from rule_messages(part)


def test_a_new_sync_is_not_current_before_the_operator_has_seen_it(stored: list[Answer]) -> None:
    assert [answer.stored["status"] for answer in stored] == [{"observedGeneration": -1}] * len(stored)


def test_the_stored_spec_is_what_was_applied_with_no_default_added(
    cluster_here: LocalCluster, stored: list[Answer]
) -> None:
    found = json.loads(cluster_here.kubectl("get", "ps3", "-n", NAMESPACE, "-o", "json"))["items"]
    assert {item["metadata"]["name"]: item["spec"] for item in found} == {
        raw["metadata"]["name"]: raw["spec"] for raw in STORED
    }


def test_kubectl_knows_the_kind_by_its_names(cluster_here: LocalCluster, stored: list[Answer]) -> None:
    names = ",".join(f"{name}/stored-0" for name in (PLURAL, SINGULAR, SHORT_NAME)).replace(",", " ").split()
    found = cluster_here.kubectl("get", *names, "-n", NAMESPACE, "-o", "name").split()
    assert found == ["pachyderms3sync.sync.pachyderm.io/stored-0"] * 3


def test_kubectl_get_shows_the_columns(cluster_here: LocalCluster, stored: list[Answer]) -> None:
    heading = cluster_here.kubectl("get", "ps3", "-n", NAMESPACE).splitlines()[0].split()
    wide = cluster_here.kubectl("get", "ps3", "-n", NAMESPACE, "-o", "wide").splitlines()[0].split()
    assert heading == ["NAME", "REPO", "BRANCH", "READY", "STATUS", "FILES", "AGE"]
    assert wide == ["NAME", *(column[0].upper() for column in PRINTER_COLUMNS)]


def test_kubectl_explains_each_field(cluster_here: LocalCluster) -> None:
    """Below FIELDS stands, by two spaces, a field's name and type, and by four what it is."""
    shown = cluster_here.kubectl("explain", f"{PLURAL}.spec").partition("\nFIELDS:\n")[2]
    parts = re.split(r"(?m)^  (\w+)\t<.*\n(?:  enum: .*\n)?", shown)[1:]
    told = {name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    assert told == {str(item.alias): " ".join(str(item.description).split()) for item in Spec.model_fields.values()}
