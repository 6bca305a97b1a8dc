"""The model and the definition take the same specs: the real API server is the judge, of valid and of broken ones."""

from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from s3sync_cli.checking import check
from s3sync_cli.documents import documents
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import GROUP, KIND, VERSION, admission_complaints
from tests.support.admission import Admission
from tests.support.specs import SPECS, broken_specs

SAMPLE = 150


def drawn(specs: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sample: always the same, so that the API server is asked of all of it at once."""
    found: list[dict[str, Any]] = []

    @given(specs)
    @settings(max_examples=SAMPLE, database=None, derandomize=True, phases=[Phase.generate])
    def take(spec: dict[str, Any]) -> None:
        found.append(spec)

    take()
    return found


def sync_of(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": {"name": "drawn"}, "spec": spec}


@pytest.fixture
def admission(installed: LocalCluster) -> Admission:
    return Admission(installed.kubeconfig, "default")


def refusals(admission: Admission, specs: list[dict[str, Any]]) -> list[str]:
    """Return what the API server says of each spec, nothing where it takes it; fails where another judge differs."""
    said = [answer.refusal for answer in admission.ask([sync_of(spec) for spec in specs])]
    assert not (found := disagreements(specs, said)), "\n".join(found)
    return said


def disagreements(specs: list[dict[str, Any]], said: list[str]) -> list[str]:
    """Return where one takes what the other refuses; `s3sync validate` may find more, of what is not admission's."""
    found = []
    for spec, there in zip(specs, said, strict=True):
        model = [str(complaint) for complaint in admission_complaints(spec)]
        if bool(there) != bool(model):
            found.append(f"{spec}: server: {there!r}, model: {model}")
        (document,) = documents(yaml.safe_dump(sync_of(spec)), "drawn.yaml")
        if there and check(document, None).valid(strict=False):
            found.append(f"{spec}: server: {there!r}, nothing by validate")
    return found


def test_what_the_model_takes_the_definition_takes(admission: Admission) -> None:
    said = refusals(admission, drawn(SPECS))
    assert len(said) == SAMPLE
    assert not any(said), "they are all valid"


def test_what_one_refuses_the_other_refuses(admission: Admission) -> None:
    said = refusals(admission, drawn(broken_specs()))
    assert sum(map(bool, said)) > SAMPLE / 4, "the sample has enough that is broken"
