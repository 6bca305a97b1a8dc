"""What changes for all namespaces at once is tried on a cluster of its own."""

import json
from pathlib import Path

import pytest

from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import KubectlError
from tests.integration.conftest import QUICK, Syncs, conditions
from tests.integration.test_sync_failures import assert_final, secret
from tests.support.operator_process import ROOT, SECOND_CLUSTER, OperatorProcess

pytestmark = pytest.mark.xdist_group(SECOND_CLUSTER)


@pytest.fixture
def installed(second_cluster: LocalCluster) -> LocalCluster:
    """The cluster of these tests, in place of the session's."""
    return second_cluster


def test_an_operator_whose_role_does_not_suffice_says_so(syncs: Syncs, own_operator: OperatorProcess) -> None:
    role = json.loads(syncs.cluster.kubectl("get", "clusterrole", "s3sync-operator", "-o", "json"))
    (index,) = (number for number, rule in enumerate(role["rules"]) if "secrets" in rule["resources"])
    rules = f"/rules/{index}"
    syncs.cluster.kubectl(
        "patch", "clusterrole", "s3sync-operator", "--type=json", "-p", f'[{{"op": "remove", "path": "{rules}"}}]'
    )
    try:
        name = syncs.apply(secretRef={"name": secret(syncs, token="t")})
        status = syncs.wait_reason(name, "OperatorForbidden")
        assert "secrets" in conditions(status)["Ready"]["message"]
    finally:
        syncs.cluster.kubectl("apply", "-f", str(ROOT / "deploy/base/rbac.yaml"))
    syncs.wait_ready(name)


def test_a_spec_that_admission_did_not_know_to_refuse(syncs: Syncs, own_operator: OperatorProcess) -> None:
    """An object can be older than a rule: the definition is loosened for a moment to make one."""
    definition = "crd/pachydermsyncs.sync.pachyderm.io"
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/repo/x-kubernetes-validations"
    syncs.cluster.kubectl("patch", definition, "--type=json", "-p", f'[{{"op": "remove", "path": "{path}"}}]')
    try:
        name = loosely_applied(syncs)
    finally:
        syncs.cluster.kubectl("apply", "-k", str(ROOT / "crd"))
    assert_final(syncs.wait_stalled(name), "InvalidSpec", "spec.repo", "may hold only letters")


def loosely_applied(syncs: Syncs) -> str:
    """Apply a bad repo name as soon as the API server has taken the loosened definition in."""
    for _ in range(50):
        try:
            return syncs.apply("old-object", repo="no spaces")
        except KubectlError as error:
            refusal = error
    raise refusal


def test_it_runs_under_kopf_run(installed: LocalCluster, syncs: Syncs, tmp_path: Path) -> None:
    with OperatorProcess(installed, tmp_path / "log", command="kopf", **QUICK):
        syncs.wait_ready(syncs.apply())
