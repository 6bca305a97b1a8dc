"""What uninstalling takes away, and what it leaves: the definition with its syncs until it goes too, and all data."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3sync_local.errors import KubectlError
from s3sync_local.manifests import render
from tests.e2e.conftest import OwnSyncs
from tests.e2e.sharing import Shared
from tests.e2e.target import DEFINITION, OPERATOR_NAMESPACE, Target, install_operator, uninstall_operator
from tests.e2e.test_seed import BOOKS, stored

NAMESPACED = (
    "serviceaccounts",
    "deployments",
    "services",
    "networkpolicies",
    "roles",
    "rolebindings",
    "secrets",
    "pods",
)


def cluster_scoped(target: Target) -> set[str]:
    """Return the names of all objects without a namespace that have to do with this project."""
    kinds = target.kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    listed = target.kubectl("get", ",".join(kinds), "-o", "name", "--ignore-not-found").split()
    # The namespaces of other tests go in their own time.
    return {name for name in listed if ("s3sync" in name and "s3sync-e2e" not in name) or "pachydermsync" in name}


@pytest.mark.alone
def test_without_the_operator_syncs_and_data_stay_and_nothing_else(
    syncs: OwnSyncs, target: Target, operator: Path, shared: Shared, s3: Any
) -> None:
    name = syncs.apply()
    before = syncs.wait_ready(name)
    rendered = [item for item in yaml.safe_load_all(render(operator)) if item["kind"] != "CustomResourceDefinition"]

    shared.taken_away()
    target.kubectl("delete", "-f", "-", "--wait=true", stdin=yaml.safe_dump_all(rendered), timeout=180)

    assert cluster_scoped(target) == {f"customresourcedefinition.apiextensions.k8s.io/{DEFINITION}"}
    with pytest.raises(KubectlError, match="not found"):
        target.kubectl("get", "namespace", OPERATOR_NAMESPACE)
    assert syncs.get(name)["status"] == before
    syncs.kubectl("delete", "ps3", syncs.apply(), "--timeout=20s")  # No finalizer waits for the operator that is gone.

    install_operator(target, operator)
    again = syncs.apply()
    syncs.wait_ready(again)
    assert syncs.get(name)["status"] == before, "an operator that comes back runs nothing again"

    uninstall_operator(target, operator)
    assert cluster_scoped(target) == set()
    jobs = json.loads(syncs.kubectl("get", "tfjobs", "-o", "json"))["items"]
    for job in jobs:
        syncs.kubectl("wait", "--for=delete", f"tfjob/{job['metadata']['name']}", "--timeout=90s", timeout=120)
    assert stored(s3, f"master.{name}") == BOOKS
